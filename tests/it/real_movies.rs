//! Movies of other people, end to end: frames segmented by jobs of their own, then tracked, held against what is known.
//!
//! The `expected.json` of a folder says which movies there are and what is known of them. One lies in
//! `tests/fixtures/movies`, more in `DATA_DIR`, else `../shared/data` beside the project. Segmentation is the demo's.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bioimage::trk::write_trk;
use bioimage::{Limits, encode_tiff};
use cell_analysis::tracking::Lineage;
use ndarray::{Array3, ArrayD, Axis, Ix3, stack};
use redis_consumer::serving::ModelId;
use serde_json::{Value, json};

use crate::peers::cluster::{Cluster, PodSettings};
use crate::peers::real_data::folders;
use crate::peers::redis::Redis;
use crate::peers::{exact_models, graph_models};

#[tokio::test(flavor = "multi_thread")]
async fn real_movies_are_tracked_as_far_as_their_cells_are_known() {
    let movies = spots_that_move_are_followed().await
        + cells_whose_fates_are_known_keep_their_labels().await
        + frames_of_a_microscope_become_a_tracked_movie().await;
    println!("real-movies: {movies} movies");
    assert!(movies > 0, "one movie lies in the project");
}

/// Gives the number of movies.
async fn spots_that_move_are_followed() -> usize {
    // They move by several of their radii, so that closeness must count for less than usual.
    let mut parameters = graph_models::defaults();
    parameters["same_dist"] = json!(0.2);
    let studio = Studio::with_closed_forms(parameters).await;
    let groups = groups("spots_tracking");
    for (folder, group) in &groups {
        let name = group["images"].as_str().expect("a movie has a name");
        let points = ["reference_points_t_row_col", "measured_points_t_row_col"]
            .map(|key| group[key].as_array());
        let points = points
            .into_iter()
            .flatten()
            .next()
            .expect("its spots are known");
        let points = points
            .iter()
            .map(|point| [0, 1, 2].map(|axis| number(&point[axis])));
        let movie = read(&folder.join(name));
        let result = studio.track(&movie, &[("scale", "1")]);
        let mut tracks = BTreeMap::<i32, Vec<usize>>::new();
        for [frame, row, column] in points {
            let label = result.labels[[frame, row, column]];
            assert_ne!(
                label, 0,
                "{name}: no spot at row {row}, column {column} of frame {frame}"
            );
            tracks.entry(label).or_default().push(frame);
        }
        println!("real-movies {name}: {tracks:?}");
        assert!(
            tracks.len() == 3 && tracks.values().all(|frames| *frames == [0, 1, 2, 3, 4]),
            "{name}: {tracks:?}"
        );
    }
    groups.len()
}

/// Gives the number of movies.
async fn cells_whose_fates_are_known_keep_their_labels() -> usize {
    let studio = Studio::with_demo_models().await;
    let groups = groups("tracking");
    for (folder, group) in &groups {
        let path = |key: &str| folder.join(group[key].as_str().expect("a file"));
        let (movie, truth) = (
            read(&path("images")),
            Truth::read(&path("labels"), &path("lineage")),
        );

        // With the demo's segmentation, which cuts nuclei with bright spots to pieces, and parts them when they begin to
        // divide.
        let judged = truth.judge(&studio.track(&movie, &[]));
        println!("real-movies {}: {judged}", group["images"]);
        assert!(
            judged.found * 4 >= judged.cells * 3 && judged.kept * 20 >= judged.steps * 19,
            "{judged}"
        );

        // With the true segmentation, in which each frame has numbers of its own.
        let judged = truth.judge(&studio.track_labelled(&movie, &truth.numbered_frame_by_frame()));
        println!("real-movies {}, true cells: {judged}", group["images"]);
        assert_eq!(
            (judged.found, judged.kept),
            (judged.cells, judged.steps),
            "{judged}"
        );
        assert!(
            judged.divisions == judged.mothers && judged.mothers > 0,
            "{judged}"
        );
    }
    groups.len()
}

/// Gives the number of movies.
async fn frames_of_a_microscope_become_a_tracked_movie() -> usize {
    let studio = Studio::with_closed_forms(graph_models::defaults()).await;
    let groups = groups("timelapse_frames");
    for (folder, group) in &groups {
        let names = group["frames"]
            .as_array()
            .expect("frames")
            .iter()
            .filter_map(Value::as_str);
        let frames = names.map(|name| {
            let frame = decode(&std::fs::read(folder.join(name)).expect("a frame"));
            frame.mean_axis(Axis(2)).expect("it has channels")
        });
        let frames: Vec<ArrayD<f32>> = frames.collect();
        let views: Vec<_> = frames.iter().map(|frame| frame.view()).collect();
        let movie = stack(Axis(0), &views)
            .expect("frames of one size")
            .into_dimensionality()
            .expect("a movie");
        let result = studio.track(&movie, &[]);
        println!(
            "real-movies {} frames: {} tracks",
            movie.dim().0,
            result.lineage.0.len()
        );
        let throughout = result
            .lineage
            .0
            .iter()
            .filter(|track| track.frames.len() == movie.dim().0);
        assert!(
            throughout.count() >= 3,
            "some nuclei are seen in every frame"
        );
    }
    groups.len()
}

/// Everything that tracks movies: consumers of frames, and models.
struct Studio {
    cluster: Cluster,
    demo: Option<ModelServer>,
}

impl Studio {
    /// With models that are closed forms, and these parameters of the one that compares cells.
    async fn with_closed_forms(parameters: Value) -> Self {
        let models = vec![
            exact_models::model("blobs", "NuclearSegmentation:6", [64, 64]),
            graph_models::encoder(&ModelId::new("NuclearTrackingNE", 6)),
            graph_models::inference(&ModelId::new("NuclearTrackingInf", 6), &parameters),
        ];
        Self {
            cluster: Cluster::with(Redis::start_in_memory(), models).await,
            demo: None,
        }
    }

    /// With the models of the demo.
    async fn with_demo_models() -> Self {
        Self {
            cluster: Cluster::with(Redis::start_in_memory(), Vec::new()).await,
            demo: Some(ModelServer::start()),
        }
    }

    fn pod(&self, name: &str) -> PodSettings {
        let pod = self.cluster.pod(name);
        match &self.demo {
            Some(demo) => pod.set("TF_HOST", "127.0.0.1").set("TF_PORT", &demo.port),
            None => pod,
        }
    }

    /// Runs a movie through a tracking consumer and a consumer of its frames, and checks the form of the result.
    fn track(&self, movie: &Array3<f32>, fields: &[(&str, &str)]) -> Tracked {
        let _frames = self.pod("pod-frames").start();
        let (hash, tracked) = self.run("movie.tif", &encode_tiff(movie.view().into_dyn()), fields);
        assert_eq!(
            hash["total_jobs"].parse(),
            Ok(movie.dim().0),
            "a job for each frame"
        );
        assert_eq!(tracked.labels.dim(), movie.dim());
        tracked
    }

    /// Runs a movie whose cells are known in each frame.
    fn track_labelled(&self, movie: &Array3<f32>, labels: &Array3<i32>) -> Tracked {
        let (raw, labels) = (
            movie.clone().insert_axis(Axis(3)),
            labels.clone().insert_axis(Axis(3)),
        );
        let file = write_trk("{}", &raw.view().into_dyn(), &labels.view().into_dyn())
            .expect("it fits in memory");
        let (hash, tracked) = self.run("movie.trk", &file, &[]);
        assert_eq!(hash["total_jobs"], "1");
        tracked
    }

    fn run(
        &self,
        name: &str,
        file: &[u8],
        fields: &[(&str, &str)],
    ) -> (HashMap<String, String>, Tracked) {
        let pod = self
            .pod("pod-tracking")
            .set("CONSUMER_TYPE", "tracking")
            .set("QUEUE", "tracking");
        let _tracking = pod
            .set("ISBI_OUTPUT", "true")
            .set("SEGMENTATION_QUEUE", "segmentation")
            .start();
        let input = format!("uploads/{name}");
        self.cluster.put(&input, file);
        let key = self.cluster.submit_to(
            "tracking",
            &input,
            &[&[("original_name", "movie.tif")], fields].concat(),
        );
        let hash = self.cluster.wait_done(&key);
        assert_eq!(hash["progress"], "100");
        let tracked = Tracked::read(self.cluster.result(&hash));
        (hash, tracked)
    }
}

/// The demo's model server as a process of its own, which ends with the value.
struct ModelServer {
    port: String,
    child: Child,
}

impl ModelServer {
    fn start() -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_redis-consumer"));
        let demo = program.with_file_name("redis-consumer-demo");
        assert!(
            demo.is_file(),
            "the demo has the models: test the whole workspace, or build it before"
        );
        let mut command = Command::new(demo);
        command
            .args(["model-server", "--port", "0"])
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let port = line
            .split("127.0.0.1:")
            .nth(1)
            .and_then(|rest| rest.split(':').next());
        Self {
            port: port
                .unwrap_or_else(|| panic!("no port in {line}"))
                .to_owned(),
            child,
        }
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A result.
struct Tracked {
    labels: Array3<i32>,
    lineage: Lineage,
}

impl Tracked {
    /// Labels and lineage, which must tell the same, also in the form in which trackers are compared.
    fn read(entries: Vec<(String, Vec<u8>)>) -> Self {
        let entries: HashMap<String, Vec<u8>> = entries.into_iter().collect();
        let text = |name: &str| String::from_utf8(entries[name].clone()).expect("text");
        let movie = |name: &str| decode(&entries[name]).mapv(|label| label as i32);
        let labels: Array3<i32> = movie("movie_feature_0.tif")
            .into_dimensionality::<Ix3>()
            .expect("a movie");
        let lineage = Lineage::from_json(&text("lineage.json")).expect("a lineage");
        let rows: Vec<Vec<usize>> = text("isbi/res_track.txt").lines().map(numbers).collect();
        let mut seen = BTreeMap::<usize, Vec<usize>>::new();
        for (frame, plane) in labels.outer_iter().enumerate() {
            let mask = movie(&format!("isbi/mask{frame:03}.tif"));
            let is_same = mask.iter().zip(plane).all(|(a, b)| (*a > 0) == (*b > 0));
            assert!(is_same, "the cells of frame {frame}");
            let mut present: Vec<_> = mask
                .iter()
                .filter(|label| **label > 0)
                .map(|label| *label as usize)
                .collect();
            present.sort_unstable();
            present.dedup();
            present
                .into_iter()
                .for_each(|label| seen.entry(label).or_default().push(frame));
        }
        assert!(
            rows.iter().map(|row| row[0]).eq(seen.keys().copied()),
            "a row for each label, and no other"
        );
        for row in &rows {
            let [label, begin, end, parent] = row[..] else {
                panic!("{row:?} has not four columns")
            };
            let frames: Vec<usize> = (begin..=end).collect();
            assert_eq!(seen[&label], frames, "in every mask: {row:?}");
            assert!(
                parent == 0
                    || rows
                        .iter()
                        .any(|other| other[0] == parent && other[2] < begin),
                "{row:?}"
            );
        }
        for entry in &lineage.0 {
            let frames = labels.outer_iter().enumerate();
            let frames = frames.filter(|(_, plane)| plane.iter().any(|it| *it == entry.label));
            let frames: Vec<usize> = frames.map(|(frame, _)| frame).collect();
            assert_eq!(entry.frames, frames, "{entry:?}");
        }
        Self { labels, lineage }
    }
}

/// What is known of a movie.
struct Truth {
    /// `[frame, row, column]`, the same for a cell in all frames.
    labels: Array3<i32>,
    /// Daughters by their mother.
    divisions: BTreeMap<i32, Vec<i32>>,
}

/// How a result fares against the truth.
struct Judged {
    cells: usize,
    /// Cells, frame by frame, most of which has one label.
    found: usize,
    steps: usize,
    /// Steps from frame to frame in which a cell that is found in both keeps its label.
    kept: usize,
    mothers: usize,
    /// Mothers whose daughters are known as such.
    divisions: usize,
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cells,
            found,
            steps,
            kept,
            mothers,
            divisions,
        } = self;
        write!(
            f,
            "{found} of {cells} cells found, {kept} of {steps} steps kept, {divisions} of {mothers} divisions"
        )
    }
}

impl Truth {
    fn read(labels: &Path, lineage: &Path) -> Self {
        let labels = read(labels).mapv(|label| label as i32);
        let mut divisions = BTreeMap::<i32, Vec<i32>>::new();
        for row in std::fs::read_to_string(lineage)
            .expect("a table of tracks")
            .lines()
            .map(numbers)
        {
            if row[3] != 0 {
                divisions
                    .entry(row[3] as i32)
                    .or_default()
                    .push(row[0] as i32);
            }
        }
        Self { labels, divisions }
    }

    /// The labels `[frame, row, column]` with numbers that say nothing of other frames.
    fn numbered_frame_by_frame(&self) -> Array3<i32> {
        let most = self.labels.iter().copied().max().unwrap_or(0);
        let mut labels = self.labels.clone();
        for (frame, mut plane) in (1..).zip(labels.outer_iter_mut()) {
            plane.mapv_inplace(|label| {
                if label == 0 {
                    0
                } else {
                    (label * 7 + frame * 11) % 1009 + most
                }
            });
        }
        labels
    }

    fn judge(&self, result: &Tracked) -> Judged {
        let most = self.labels.iter().copied().max().unwrap_or(0);
        let fates: Vec<_> = (1..=most)
            .map(|cell| self.fate(cell, &result.labels))
            .collect();
        let steps = || {
            fates
                .iter()
                .flat_map(|fate| fate.windows(2))
                .filter_map(|step| Some((step[0]?, step[1]?)))
        };
        Judged {
            cells: fates.iter().map(Vec::len).sum(),
            found: fates.iter().flatten().flatten().count(),
            steps: steps().count(),
            kept: steps().filter(|(before, after)| before == after).count(),
            mothers: self.divisions.len(),
            divisions: self
                .divisions
                .iter()
                .filter(|(mother, daughters)| self.divides(**mother, daughters, result))
                .count(),
        }
    }

    /// For each frame in which a cell is, the label that more than half of it has.
    fn fate(&self, cell: i32, found: &Array3<i32>) -> Vec<Option<i32>> {
        let frames = self.labels.outer_iter().zip(found.outer_iter());
        let labels = frames.filter_map(|(truth, found)| {
            let mut counts = BTreeMap::<i32, usize>::new();
            let pixels = truth.iter().zip(found).filter(|(label, _)| **label == cell);
            pixels.for_each(|(_, label)| *counts.entry(*label).or_default() += 1);
            let area: usize = counts.values().sum();
            let (label, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
            Some((label != 0 && 2 * count > area).then_some(label))
        });
        labels.collect()
    }

    /// Whether the tracks of all daughters come from the mother's, and are not one.
    fn divides(&self, mother: i32, daughters: &[i32], result: &Tracked) -> bool {
        let fate = |cell| self.fate(cell, &result.labels).into_iter().flatten();
        let Some(mother) = fate(mother).last() else {
            return false;
        };
        let tracks: Vec<_> = daughters
            .iter()
            .filter_map(|daughter| fate(*daughter).next())
            .collect();
        let is_daughter = |label: &i32| {
            result
                .lineage
                .0
                .iter()
                .any(|it| it.label == *label && it.parent == Some(mother))
        };
        let are_apart = tracks.windows(2).all(|pair| pair[0] != pair[1]);
        tracks.len() == daughters.len() && are_apart && tracks.iter().all(is_daughter)
    }
}

/// The groups of this type, with the folder that they are in.
fn groups(kind: &str) -> Vec<(PathBuf, Value)> {
    let mut groups = Vec::new();
    for folder in folders(&["movies"]) {
        let all = folder.index["groups"].as_array();
        let all = all.expect("the index has groups").iter();
        let of_kind = all.filter(|group| group["type"] == kind);
        groups.extend(of_kind.map(|group| (folder.path.clone(), group.clone())));
    }
    groups
}

fn read(path: &Path) -> Array3<f32> {
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    decode(&file)
        .into_dimensionality()
        .expect("a movie has three axes")
}

fn decode(file: &[u8]) -> ArrayD<f32> {
    bioimage::decode(file, "movie.tif", &Limits::default()).expect("a TIFF file")
}

fn number(value: &Value) -> usize {
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .expect("a number")
}

fn numbers(line: &str) -> Vec<usize> {
    line.split(' ')
        .map(|word| word.parse().expect("a number"))
        .collect()
}
