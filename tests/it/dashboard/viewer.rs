//! The picture of a job that can be looked into: tiles, labels, spots and cells, against a slow reference.

use bioimage::{Limits, encode_tiff, npy};
use ndarray::{Array2, Array3, ArrayD, Axis, Ix2, array};
use serde_json::Value;

use super::empty;
use super::looks::job;
use super::pages::visitor;
use crate::peers::browser::{Browser, Dashboard};
use crate::peers::cluster::Cluster;
use crate::peers::results::zipped;

const KEY: &str = "segmentation:viewed:1";
const INPUT: &str = "uploads/viewed.tif";
const RESULT: &str = "output/viewed.zip";

/// Rows and columns: several tiles, odd at all levels.
const SHAPE: (usize, usize) = (701, 1101);

/// Two channels, `[channel, row, column]`.
fn image() -> Array3<f32> {
    Array3::from_shape_fn((2, SHAPE.0, SHAPE.1), |at| match at {
        (0, row, column) => ((row * 31 + column * 17) % 997) as f32,
        (_, row, column) => (row + column) as f32 / 2.0,
    })
}

/// Cells of 3 to 40 pixels.
fn labels() -> Array2<f32> {
    Array2::from_shape_fn(SHAPE, |(row, column)| {
        let side = if row < 350 { 9 } else { 40 };
        let is_cell = row % side < side - 6 && column % side < side - 3;
        let label = 1 + row / side * 1000 + column / side;
        if is_cell { label as f32 } else { 0.0 }
    })
}

/// A job that is done, and its files.
pub(super) fn furnish(cluster: &Cluster) -> String {
    cluster.put(INPUT, &encode_tiff(image().view().into_dyn()));
    let labels = encode_tiff(labels().view().into_dyn());
    cluster.put(
        RESULT,
        &zipped([("viewed_feature_0.tif".to_owned(), labels)]),
    );
    job(cluster, KEY, &done(INPUT, RESULT, &[("channels", "0,1")]))
}

fn done<'f>(
    input: &'f str,
    result: &'f str,
    more: &[(&'f str, &'f str)],
) -> Vec<(&'f str, &'f str)> {
    let fields = [
        ("status", "done"),
        ("input_file_name", input),
        ("output_file_name", result),
        ("finished_at", "2026-01-01T00:00:00.000000+00:00"),
    ];
    [&fields, more].concat()
}

fn told(browser: &Browser, path: &str) -> Value {
    let answer = browser.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// A picture `[row, column, part]`.
fn picture(browser: &Browser, path: &str) -> ArrayD<f32> {
    let answer = browser.get_bytes(path);
    assert_eq!(
        answer.status,
        200,
        "{path}: {}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(answer.headers["content-type"], "image/png");
    bioimage::decode(&answer.body, "tile.png", &Limits::default()).expect("a PNG")
}

/// Which pixels of a tile show something: what is transparent is the first entry of the palette.
fn opaque(tile: &ArrayD<f32>) -> Array2<bool> {
    assert_eq!(tile.len_of(Axis(2)), 1, "entries of a palette");
    let entries = tile.index_axis(Axis(2), 0).into_dimensionality::<Ix2>();
    entries.expect("two axes").mapv(|entry| entry > 0.0)
}

/// Means of what is there of two by two pixels, again and again.
fn halved(plane: &Array2<f32>, times: usize) -> Array2<f32> {
    if times == 0 {
        return plane.clone();
    }
    let (rows, columns) = plane.dim();
    let half = Array2::from_shape_fn((rows.div_ceil(2), columns.div_ceil(2)), |(r, c)| {
        let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let values = places.map(|(down, right)| plane.get((2 * r + down, 2 * c + right)));
        let values: Vec<f32> = values.into_iter().flatten().copied().collect();
        values.iter().sum::<f32>() / values.len() as f32
    });
    halved(&half, times - 1)
}

/// The brightness of a value, 0 to 255.
fn brightness(value: f32, (low, high): (f32, f32), gamma: f32) -> f32 {
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    255.0 * share.powf(1.0 / gamma)
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_have_the_pixels_of_a_slow_reference() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let before = cluster.redis.dump();
    let scene = told(&browser, &format!("{page}/image.json"));
    assert_eq!(
        (scene["width"].as_u64(), scene["height"].as_u64()),
        (Some(1101), Some(701))
    );
    assert_eq!(
        (&scene["levels"], &scene["frames"], &scene["scale"]),
        (&Value::from(3), &Value::from(1), &Value::from(1))
    );
    assert_eq!(scene["kind"], "2d");
    assert_eq!(scene["channels"][0]["name"], "Nuclei");
    assert_eq!(scene["channels"][1]["max"], 900.0);
    assert_eq!(
        scene["labels"][0]["max"].as_f64(),
        Some(f64::from(labels().fold(0.0, |a: f32, b| a.max(*b))))
    );

    let image = image();
    let planes = [0, 1].map(|channel| image.index_axis(Axis(0), channel).to_owned());
    for (level, x, y, shape) in [
        (0, 0, 0, (512, 512)),
        (0, 2, 1, (189, 77)),
        (1, 1, 0, (351, 39)),
        (2, 0, 0, (176, 276)),
    ] {
        let reference = halved(&planes[0], level);
        let gray = picture(
            &browser,
            &format!("{page}/tile/0/{level}/{x}_{y}.png?c=0:100:900:ffffff&g=2"),
        );
        assert_eq!(gray.shape()[..2], [shape.0, shape.1], "level {level}");
        let plane = gray.index_axis(Axis(2), 0).into_dimensionality::<Ix2>();
        for ((row, column), value) in plane.expect("two axes").indexed_iter() {
            let at = [512 * y + row, 512 * x + column];
            let wanted = brightness(reference[at], (100.0, 900.0), 2.0);
            // Brightnesses come in 4096 steps, which gamma spreads at the dark end.
            assert!(
                (value - wanted).abs() <= 4.0,
                "{level} {at:?}: {value} {wanted}"
            );
        }
        let second = halved(&planes[1], level);
        let both = picture(
            &browser,
            &format!("{page}/tile/0/{level}/{x}_{y}.png?c=0:0:996:ff0000,1:0:900:00ff80"),
        );
        for row in (0..shape.0).step_by(7) {
            for column in (0..shape.1).step_by(5) {
                let at = [512 * y + row, 512 * x + column];
                let [red, green] = [
                    brightness(reference[at], (0.0, 996.0), 1.0),
                    brightness(second[at], (0.0, 900.0), 1.0),
                ];
                let wanted = [red, green, green * 128.0 / 255.0];
                for (part, wanted) in wanted.into_iter().enumerate() {
                    assert!(
                        (both[[row, column, part]] - wanted).abs() <= 1.0,
                        "{at:?} {part}"
                    );
                }
            }
        }
    }
    assert_eq!(cluster.redis.dump(), before, "looking changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn label_tiles_keep_outlines_and_points_tell_their_cells() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let labels = labels();
    let is_edge = |row: usize, column: usize| {
        let here = labels[[row, column]];
        [(row + 1, column), (row, column + 1)]
            .iter()
            .any(|at| labels.get(*at).is_some_and(|other| *other != here))
    };
    let outlines = opaque(&picture(
        &browser,
        &format!("{page}/labels/0/0/2/0_0.png?mode=outline"),
    ));
    for row in 0..SHAPE.0 {
        for column in (0..SHAPE.1).filter(|column| is_edge(row, *column)) {
            assert!(outlines[[row >> 2, column >> 2]], "{row} {column}");
        }
    }
    let areas = picture(
        &browser,
        &format!("{page}/labels/0/0/0/0_1.png?mode=fill&palette=safe"),
    );
    for ((row, column), shows) in opaque(&areas).indexed_iter() {
        assert_eq!(*shows, labels[[512 + row, column]] > 0.0, "{row} {column}");
    }
    let other = picture(
        &browser,
        &format!("{page}/labels/0/0/0/0_1.png?mode=fill&palette=yellow"),
    );
    assert_ne!(areas, other);

    for (x, y) in [(0, 0), (20, 30), (1100, 700), (400, 500), (8, 8)] {
        let cell = told(&browser, &format!("{page}/label?x={x}&y={y}"));
        let label = labels[[y, x]];
        assert_eq!(cell["label"].as_f64(), Some(f64::from(label)), "{x} {y}");
        if label > 0.0 {
            let again = told(&browser, &format!("{page}/label?label={label}"));
            assert_eq!(again, cell);
            assert_eq!(cell["id"], format!("cell=0.0.{label}"));
            let inside = |low: &str, high: &str, at: usize| {
                (cell[low].as_u64() <= Some(at as u64)) && (Some(at as u64) < cell[high].as_u64())
            };
            assert!(
                inside("left", "right", x) && inside("top", "bottom", y),
                "{cell}"
            );
            let table = browser.get(&format!("{page}/cells")).body;
            assert!(table.contains("<tr id=\"cell=0.0.1\">"), "{table}");
            let area = labels.iter().filter(|it| **it == label).count();
            assert_eq!(
                cell["values"][1],
                serde_json::json!(["Area (px)", area.to_string()])
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_has_is_not_sent_again() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let running = job(
        &cluster,
        "segmentation:runs:1",
        &[("status", "started"), ("input_file_name", INPUT)],
    );
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let tile = "tile/0/2/0_0.png?c=0:0:900:ffffff";
    for path in ["image.json", tile, "labels/0/0/2/0_0.png"] {
        let answer = browser.get_bytes(&format!("{page}/{path}"));
        assert_eq!(
            answer.headers["cache-control"],
            "private, max-age=86400, immutable"
        );
        let known = browser
            .clone()
            .with("if-none-match", &answer.headers["etag"]);
        let again = known.get_bytes(&format!("{page}/{path}"));
        assert_eq!((again.status, again.body.len()), (304, 0));
        let other = known.get_bytes(&format!("{page}/tile/0/2/0_0.png?c=0:0:901:ffffff"));
        assert_eq!(other.status, 200, "it looks otherwise");
    }
    let answer = browser.get_bytes(&format!("{running}/{tile}"));
    assert_eq!(
        (answer.status, answer.headers["cache-control"].as_str()),
        (200, "private, no-cache")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_drawn_is_said() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let many = ["0:0:1:ffffff"; 17].join(",");
    let many = format!("tile/0/0/0_0.png?c={many}");
    for (path, status) in [
        ("tile/0/0/0_0.png", 400),
        ("tile/0/0/0_0.png?c=0:nan:1:ffffff", 400),
        ("tile/0/0/0_0.png?c=0:0:1:ffffff&g=0", 400),
        ("tile/0/0/0_0.png?c=%3Cimg%20src%3Dx%3E", 400),
        (&many, 400),
        ("tile/-1/0/0_0.png?c=0:0:1:ffffff", 400),
        ("tile/0/0/..%2f0.png?c=0:0:1:ffffff", 400),
        ("tile/0/99999999999999999999/0_0.png?c=0:0:1:ffffff", 400),
        ("labels/0/0/0/0_0.png?mode=x", 400),
        ("labels/0/0/0/0_0.png?palette=x", 400),
        ("label", 400),
        ("label?x=-1&y=0", 400),
        ("label?x=1e3&y=0", 400),
        ("tile/0/0/0_0.png?c=7:0:1:ffffff", 404),
        ("tile/0/0/9_0.png?c=0:0:1:ffffff", 404),
        ("tile/0/9/0_0.png?c=0:0:1:ffffff", 404),
        ("tile/5/0/0_0.png?c=0:0:1:ffffff", 404),
        ("tile/0/0/18446744073709551615_0.png?c=0:0:1:ffffff", 404),
        ("labels/3/0/0/0_0.png", 404),
        ("label?x=1101&y=0", 404),
        ("label?label=4294967296", 404),
        ("label?label=999999", 404),
        ("label?n=9&x=0&y=0", 404),
        ("label?frame=9&x=0&y=0", 404),
    ] {
        let answer = browser.get(&format!("{page}/{path}"));
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(!answer.body.contains("<img src=x"), "{path}");
    }
    assert_eq!(browser.get("/jobs/!/image.json").status, 404);
    let gone = job(
        &cluster,
        "q:gone:1",
        &[
            ("status", "failed"),
            ("input_file_name", "uploads/gone.tif"),
        ],
    );
    for path in [
        "image.json",
        "tile/0/0/0_0.png?c=0:0:1:ffffff",
        "label?x=0&y=0",
    ] {
        let answer = browser.get(&format!("{gone}/{path}"));
        assert_eq!(answer.status, 404);
        assert!(
            answer.body.contains("no picture can be made of this job"),
            "{}",
            answer.body
        );
    }

    // Labels that do not belong to the image leave it as it is.
    let other = encode_tiff(Array2::<f32>::ones((7, 9)).view().into_dyn());
    cluster.put(
        "output/other.zip",
        &zipped([("a_feature_0.tif".to_owned(), other)]),
    );
    let odd = job(&cluster, "q:odd:1", &done(INPUT, "output/other.zip", &[]));
    let scene = told(&browser, &format!("{odd}/image.json"));
    assert_eq!(scene["labels"], serde_json::json!([]));
    assert!(
        scene["problem"]
            .as_str()
            .is_some_and(|it| it.contains("(7, 9)")),
        "{scene}"
    );

    let strict = Dashboard::start(&cluster, &[("MAX_PREVIEW_PIXELS", "10000")]);
    let answer = strict.browser().get(&format!("{page}/image.json"));
    assert_eq!(answer.status, 404);
    assert!(
        answer.body.contains("MAX_PREVIEW_PIXELS"),
        "{}",
        answer.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_shown_coarser() {
    let cluster = empty().await;
    let image = ArrayD::from_shape_fn(vec![1200, 1400], |at| (at[0] % 50) as f32);
    let cell = |at: &[usize]| match (at[0], at[1]) {
        (400..600, 200..300) => 7.0,
        _ => 0.0,
    };
    let labels = ArrayD::from_shape_fn(vec![1200, 1400], |at| cell(&[at[0], at[1]]));
    cluster.put("uploads/huge.tif", &encode_tiff(image.view()));
    let entries = [("huge_feature_0.tif".to_owned(), encode_tiff(labels.view()))];
    cluster.put("output/huge.zip", &zipped(entries));
    let fields = done("uploads/huge.tif", "output/huge.zip", &[]);
    let page = job(&cluster, "q:huge:1", &fields);
    // An eighth of the budget is for what is kept, which takes 12 bytes a pixel; the work takes 76.
    let dashboard = Dashboard::start(&cluster, &[("MEMORY_BUDGET", "150000000")]);
    let browser = dashboard.browser();
    let scene = told(&browser, &format!("{page}/image.json"));
    let size = ["scale", "width", "height", "levels"].map(|name| scene[name].as_u64());
    assert_eq!(size, [Some(2), Some(700), Some(600), Some(2)]);
    for (x, y, label) in [(200, 400, 7), (299, 599, 7), (300, 599, 0), (1399, 1199, 0)] {
        let cell = told(&browser, &format!("{page}/label?x={x}&y={y}"));
        assert_eq!(cell["label"], label, "{x} {y}");
    }
    let tile = picture(&browser, &format!("{page}/labels/0/0/0/0_0.png?mode=fill"));
    assert!(opaque(&tile)[[250, 120]] && !opaque(&tile)[[250, 151]]);

    let poor = Dashboard::start(&cluster, &[("MEMORY_BUDGET", "100000000")]);
    let answer = poor.browser().get(&format!("{page}/image.json"));
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("of MEMORY_BUDGET"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_may_look_into_it_and_nobody_may_not() {
    let cluster = empty().await;
    let page = furnish(&cluster);
    let (operator, viewer) = ("0123456789-operator-token", "0123456789-viewers-token");
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", operator),
        ("DASHBOARD_VIEW_TOKEN", viewer),
    ];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    let viewer = nobody.clone().log_in(viewer);
    for path in [
        "image.json",
        "tile/0/2/0_0.png?c=0:0:1:ffffff",
        "labels/0/0/2/0_0.png",
        "spots/0/2/0_0.png",
        "label?x=0&y=0",
    ] {
        let path = format!("{page}/{path}");
        assert_eq!(nobody.get_bytes(&path).status, 401, "{path}");
        assert_eq!(viewer.get_bytes(&path).status, 200, "{path}");
    }
}

/// A movie of three frames, `[frame, row, column]`, with two cells, of which one divides.
fn movie() -> (Array3<f32>, Array3<f32>) {
    let labels = Array3::from_shape_fn((3, 40, 60), |at| match at {
        (_, 5..15, 5..15) => 1.0,
        (0, 20..30, 20..40) => 2.0,
        (1.., 20..30, 20..28) => 3.0,
        (1.., 20..30, 32..40) => 4.0,
        _ => 0.0,
    });
    (labels.mapv(|label| 10.0 + 5.0 * label), labels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_has_frames_and_its_cells_have_tracks() {
    let cluster = empty().await;
    let (movie, labels) = movie();
    cluster.put("uploads/movie.tif", &encode_tiff(movie.view().into_dyn()));
    let lineage = r#"{"1": {"label": 1, "frames": [0, 1, 2], "parent": null}, "2": {"label": 2, "frames": [0], "daughters": [3, 4]},
        "3": {"label": 3, "frames": [1, 2], "parent": 2}, "4": {"label": 4, "frames": [1, 2], "parent": 2}}"#;
    let entries = [
        (
            "movie_feature_0.tif".to_owned(),
            encode_tiff(labels.view().into_dyn()),
        ),
        ("lineage.json".to_owned(), lineage.as_bytes().to_vec()),
    ];
    cluster.put("output/movie.zip", &zipped(entries));
    let page = job(
        &cluster,
        "tracking:movie:1",
        &done("uploads/movie.tif", "output/movie.zip", &[]),
    );
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let scene = told(&browser, &format!("{page}/image.json"));
    assert_eq!(
        (&scene["frames"], &scene["kind"]),
        (&Value::from(3), &Value::from("movie"))
    );
    assert_eq!(scene["channels"].as_array().map(Vec::len), Some(1));

    let tile = |frame: usize| {
        picture(
            &browser,
            &format!("{page}/labels/0/{frame}/0/0_0.png?mode=fill"),
        )
    };
    let (first, last) = (tile(0), tile(2));
    let pixel = |tile: &ArrayD<f32>, row: usize, column: usize| tile[[row, column, 0]];
    assert_eq!(
        pixel(&first, 10, 10),
        pixel(&last, 10, 10),
        "a track keeps its color"
    );
    assert_ne!(pixel(&first, 25, 25), pixel(&last, 25, 25));
    let cell = told(&browser, &format!("{page}/label?frame=2&x=35&y=25"));
    assert_eq!(cell["label"], 4);
    let values = cell["values"].to_string();
    assert!(values.starts_with(r#"[["Track","4"],["Frame","2"],["Parent","2"],["Frames of the track","2"],["Area (px)","80"]"#), "{values}");

    let table = browser
        .get(&format!("{page}/cells?sort=parent&order=up"))
        .body;
    assert!(
        table.contains("8 cells") && table.contains(">Parent</a>"),
        "{table}"
    );
    assert!(table.contains("<tr id=\"cell=0.2.4\">"), "{table}");
    let csv = super::looks::unchunked(&browser.get_bytes(&format!("{page}/cells.csv")));
    assert!(csv.starts_with("frame,label,area_px,"), "{csv}");
    let row = csv
        .lines()
        .find(|line| line.starts_with("2,4,80,"))
        .expect("a cell");
    assert!(row.ends_with(",4,2,2"), "{row}");
    assert_eq!(csv.lines().count(), 1 + 8);
    assert_eq!(
        picture(&browser, &format!("{page}/preview.png")).shape()[..2],
        [40, 60]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn spots_are_disks_at_every_level() {
    let cluster = empty().await;
    let image = ArrayD::from_shape_fn(vec![600, 700], |at| (at[0] % 7) as f32);
    cluster.put("uploads/spots.tif", &encode_tiff(image.view()));
    let spots = npy::write(&array![[100.0, 200.0], [500.5, 650.0]].view().into_dyn());
    let table = b"x,y\r\n200.0,100.0\r\n650.0,500.5\r\n".to_vec();
    let mut pictures = Vec::new();
    for (name, file) in [("a_0.npy", spots), ("a_0.csv", table)] {
        cluster.put("output/spots.zip", &zipped([(name.to_owned(), file)]));
        let page = job(
            &cluster,
            &format!("spot:{name}"),
            &done("uploads/spots.tif", "output/spots.zip", &[]),
        );
        let dashboard = Dashboard::start(&cluster, &[]);
        let browser = dashboard.browser();
        let scene = told(&browser, &format!("{page}/image.json"));
        assert_eq!(
            (&scene["spots"], &scene["kind"]),
            (&Value::from(true), &Value::from("spots"))
        );
        for level in [0, 1] {
            let tile = picture(&browser, &format!("{page}/spots/0/{level}/0_0.png"));
            let shown = opaque(&tile);
            assert!(shown[[100 >> level, 200 >> level]], "level {level}");
            let count = shown.iter().filter(|it| **it).count();
            let disks = if level == 0 { 1 } else { 2 };
            assert!(
                (9 * disks..=25 * disks).contains(&count),
                "{count} pixels at level {level}"
            );
            pictures.push(tile);
        }
        let preview = browser.get_bytes(&format!("{page}/preview.png"));
        assert_eq!(preview.status, 200);
    }
    assert_eq!(pictures[..2], pictures[2..]);
}

/// A gray image of 8 bits as ImageJ writes it, with pixels of 0.5 by 0.5 µm.
fn of_imagej(rows: u32, columns: u32) -> Vec<u8> {
    let text = "ImageJ=1.53t\nunit=micron\n";
    let pixels = vec![9; (rows * columns) as usize];
    let text_at = 8 + pixels.len() as u32;
    let resolution_at = text_at + text.len() as u32;
    let directory_at = resolution_at + 8;
    let entries = [
        (256, 4, 1, columns),
        (257, 4, 1, rows),
        (258, 4, 1, 8),
        (259, 4, 1, 1),
        (270, 2, text.len() as u32, text_at),
        (273, 4, 1, 8),
        (279, 4, 1, rows * columns),
        (282, 5, 1, resolution_at),
        (283, 5, 1, resolution_at),
    ];
    let mut file = b"II\x2a\0".to_vec();
    file.extend(directory_at.to_le_bytes());
    file.extend(pixels);
    file.extend(text.as_bytes());
    file.extend([2_u32, 1].map(u32::to_le_bytes).concat());
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend([u16::to_le_bytes(tag), u16::to_le_bytes(kind)].concat());
        file.extend([u32::to_le_bytes(count), u32::to_le_bytes(value)].concat());
    }
    file.extend([0; 4]);
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn areas_are_told_in_square_micrometers_if_the_file_knows_its_pixels() {
    let cluster = empty().await;
    cluster.put("uploads/scaled.tif", &of_imagej(20, 30));
    let labels = Array2::from_shape_fn((20, 30), |at| {
        if matches!(at, (2..12, 3..6)) {
            7.0
        } else {
            0.0
        }
    });
    let entries = [(
        "a_feature_0.tif".to_owned(),
        encode_tiff(labels.view().into_dyn()),
    )];
    cluster.put("output/scaled.zip", &zipped(entries));
    let page = job(
        &cluster,
        "q:scaled:1",
        &done("uploads/scaled.tif", "output/scaled.zip", &[]),
    );
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let table = browser.get(&format!("{page}/cells")).body;
    assert!(table.contains("data-label=\"Area (µm²)\">7.50<"), "{table}");
    let csv = super::looks::unchunked(&browser.get_bytes(&format!("{page}/cells.csv")));
    assert!(csv.starts_with("label,area_px,area_um2,"), "{csv}");
    assert!(csv.contains("\r\n7,30,7.5,"), "{csv}");
}
