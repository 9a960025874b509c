//! A laboratory on an ordinary day: pages as they are when they are used, with real pictures. And every kind of page there is.

use std::time::{SystemTime, UNIX_EPOCH};

use bioimage::{Limits, encode_tiff};
use ndarray::{Array2, Axis, Ix2};

use super::{empty, encoded};
use crate::peers::browser::Dashboard;
use crate::peers::chromium::Tab;
use crate::peers::cluster::{Cluster, IMAGE};
use crate::peers::redis::Redis;
use crate::peers::results::zipped;

const OTHER_IMAGE: &[u8] = include_bytes!("../../fixtures/nuclei/dsb2018_9ebcfaf2.png");
const LABELS: &[u8] = include_bytes!("../../fixtures/nuclei/dsb2018_777f7c42_labels.tif");
const OTHER_LABELS: &[u8] = include_bytes!("../../fixtures/nuclei/dsb2018_9ebcfaf2_labels.tif");

pub(super) const DONE: &str = "segmentation:hoechst_B04.tif:5f0c9a";
pub(super) const FAILED: &str = "segmentation:overview_0731.png:c41d07";
pub(super) const RUNNING: &str = "mesmer:core_12.ome.tif:88ab31";

const TOKEN: &str = "0123456789-operator-token";

/// Where results can be fetched.
const FILES: (&str, &str) = ("STORAGE_PUBLIC_URL", "https://kiosk.example/files");

/// It, somebody who is not let in, and one on its first day.
pub(super) struct Lab {
    pub(super) cluster: Cluster,
    pub(super) dashboard: Dashboard,
    closed: Dashboard,
    blank: Dashboard,
    _nothing: Cluster,
}

/// A page, and how one gets there.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    port: u16,
    path: String,
    /// What is clicked on there, one after the other.
    clicks: &'static [&'static str],
}

impl Lab {
    pub(super) async fn open() -> Self {
        let (cluster, nothing) = (empty().await, empty().await);
        furnish(&cluster);
        let closed = [("DASHBOARD_AUTH", "token"), ("DASHBOARD_TOKEN", TOKEN)];
        Self {
            dashboard: Dashboard::start(&cluster, &[FILES]),
            closed: Dashboard::start(&cluster, &closed),
            blank: Dashboard::start(&nothing, &[]),
            cluster,
            _nothing: nothing,
        }
    }

    pub(super) fn address(&self, path: &str) -> String {
        self.dashboard.address(path)
    }

    /// Every kind of page. The last ones change something.
    pub(super) fn scenes(&self) -> Vec<Scene> {
        let scene = |name, path: &str| Scene {
            name,
            port: self.dashboard.port,
            path: path.to_owned(),
            clicks: &[],
        };
        let on = |port, scene| Scene { port, ..scene };
        let click = |clicks, scene| Scene { clicks, ..scene };
        let job = |name, key: &str| scene(name, &job_path(key));
        let (closed, blank) = (self.closed.port, self.blank.port);
        vec![
            scene("overview", "/"),
            on(blank, scene("first-use", "/")),
            scene("queues", "/queues"),
            on(blank, scene("queues-empty", "/queues")),
            scene("queue", "/queues/segmentation?hours=24"),
            scene("queue-running", "/queues/segmentation?tab=running&hours=24"),
            scene("queue-delayed", "/queues/segmentation?tab=delayed&hours=24"),
            scene("queue-parked", "/queues/segmentation?tab=parked&hours=24"),
            scene("queue-failed", "/queues/segmentation?tab=failed&hours=24"),
            scene("failed", "/failed"),
            on(blank, scene("failed-empty", "/failed")),
            job("job-done", DONE),
            job("job-failed", FAILED),
            job("job-running", RUNNING),
            job("job-parts", "segmentation:plate_0411.zip:2e90ff"),
            scene("cells", &format!("{}/cells", job_path(DONE))),
            scene("batches", "/batches"),
            on(blank, scene("batches-empty", "/batches")),
            scene("batch", "/batches/plate-0412"),
            scene("workers", "/workers"),
            on(blank, scene("workers-empty", "/workers")),
            scene("system", "/system"),
            scene("search", "/search?q=overview"),
            scene("search-none", "/search?q=nowhere.tif"),
            scene("help", "/help"),
            click(&["#show-keys"], scene("keys", "/queues")),
            on(closed, scene("login", "/queues")),
            scene("fault", "/jobs/bm9uZQ"),
            click(&["[data-key=r]"], job("confirmation", FAILED)),
            click(
                &[".actions form:nth-of-type(3) button"],
                scene("confirmation-grave", "/queues/tracking"),
            ),
            click(&["[data-key=r]", "button.main"], job("outcome", FAILED)),
        ]
    }
}

impl Scene {
    /// Its path, if it is a page of this dashboard that takes no clicks.
    pub(super) fn path_at(&self, dashboard: &Dashboard) -> Option<&str> {
        let is_plain = self.port == dashboard.port && self.clicks.is_empty();
        is_plain.then_some(&self.path)
    }

    /// Goes there, and waits until everything is drawn.
    pub(super) async fn enter(&self, tab: &Tab) {
        let address = format!("http://127.0.0.1:{}{}", self.port, self.path);
        tab.visit(&address).await;
        for selector in self.clicks {
            tab.until("document.readyState === 'complete'").await;
            tab.value::<bool>("window.isOld = true").await;
            tab.click(selector).await;
            tab.until("!window.isOld || document.querySelector('dialog[open]')")
                .await;
        }
        drawn(tab).await;
    }

    /// The same where no script runs.
    pub(super) async fn enter_without_scripts(&self, tab: &Tab) {
        let address = format!("http://127.0.0.1:{}{}", self.port, self.path);
        tab.visit(&address).await;
        for selector in self.clicks {
            tab.click(selector).await;
            tab.until(
                "location.pathname.startsWith('/act/') || location.pathname.endsWith('/purge')",
            )
            .await;
        }
    }
}

/// Waits until everything on a page is drawn.
pub(super) async fn drawn(tab: &Tab) {
    tab.until("document.readyState === 'complete'").await;
    tab.value::<bool>(
        "document.querySelectorAll('img').forEach(it => { it.loading = 'eager'; }), true",
    )
    .await;
    tab.until("[...document.images].every(it => it.complete)")
        .await;
    tab.until("!document.querySelector('.foot')?.hidden").await;
    tab.until(PICTURES).await;
    tab.rest().await;
}

/// Whether every picture that can be looked into shows something, or says why it does not.
const PICTURES: &str = "[...document.querySelectorAll('.viewer')].every((viewer) => {
    const canvas = viewer.querySelector('.view-stage canvas');
    if (!canvas) return viewer.querySelector('.view-said').textContent.startsWith('It cannot');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value, at) => at % 4 < 3 && value > 60);
})";

pub(super) fn job_path(key: &str) -> String {
    format!("/jobs/{}", encoded(key.as_bytes()))
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_millis() as u64
}

/// So many seconds ago, as jobs have it.
fn stamp(seconds: u64) -> String {
    let millis = (now() - seconds * 1000) as i64;
    let time = jiff::Timestamp::from_millisecond(millis);
    time.expect("a time").to_string()
}

fn set(redis: &Redis, key: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().flat_map(|(name, value)| [*name, *value]);
    let command: Vec<_> = ["HSET", key].into_iter().chain(fields).collect();
    let _: i64 = redis.ask(&command);
}

fn furnish(cluster: &Cluster) {
    let redis = &cluster.redis;
    changes(redis);
    plate(cluster);
    done(cluster);
    waiting(redis);
    failures(cluster);
    history(redis);
    workers(redis);
}

/// The first channel of an image, `[row, column]`.
fn plane(file: &[u8], name: &str) -> Array2<f32> {
    let image = bioimage::decode(file, name, &Limits::default()).expect("an image");
    let image = match image.ndim() {
        2 => image,
        _ => image.index_axis_move(Axis(2), 0),
    };
    image.into_dimensionality::<Ix2>().expect("two axes")
}

/// A part of one of the real images, and what is in it; another one for each number.
fn field(number: usize) -> (Array2<f32>, Array2<f32>) {
    let (image, labels) = match number % 3 {
        0 => (OTHER_IMAGE, OTHER_LABELS),
        _ => (IMAGE, LABELS),
    };
    let (mut image, mut labels) = (plane(image, "a.png"), plane(labels, "a.tif"));
    for (bit, axis) in [(1, Axis(0)), (2, Axis(1))] {
        if (number / 3) & bit != 0 {
            image.invert_axis(axis);
            labels.invert_axis(axis);
        }
    }
    let (top, left) = (number * 7 % 16, number * 13 % 60);
    let part = |of: &Array2<f32>| {
        Array2::from_shape_fn((240, 240), |(row, column)| of[(top + row, left + column)])
    };
    (part(&image), part(&labels))
}

/// How many labels there are.
fn count(labels: &Array2<f32>) -> usize {
    let mut all: Vec<_> = labels.iter().map(|it| *it as u32).collect();
    all.sort_unstable();
    all.dedup();
    all.len() - 1
}

fn quality(cells: usize, contrast: f64, border: f64) -> String {
    format!(
        "{{\"cells\":{cells},\"area\":[148,402,731],\"cover\":0.27,\"border\":{border},\"tiny\":1,\"huge\":0,\"largest\":0.02,\"contrast\":{contrast},\"sat\":0.0004,\"focus\":0.41}}"
    )
}

/// The fields of a job that is done.
fn of_done<'f>(
    input: &'f str,
    result: &'f str,
    times: &'f [String; 3],
    quality: &'f str,
) -> Vec<(&'f str, &'f str)> {
    vec![
        ("status", "done"),
        ("progress", "100"),
        ("input_file_name", input),
        ("output_file_name", result),
        ("channels", "0"),
        ("created_at", &times[0]),
        ("started_at", &times[1]),
        ("updated_at", &times[2]),
        ("finished_at", &times[2]),
        ("updated_by", "segmentation-6d9f7c4b8-x2kqv"),
        ("download_time", "0.21"),
        ("preprocess_time", "0.38"),
        ("prediction_time", "1.94"),
        ("postprocess_time", "0.87"),
        ("upload_time", "0.16"),
        ("rc_quality", quality),
    ]
}

/// A batch of 96 wells, of which some are done.
fn plate(cluster: &Cluster) {
    let wells = ('A'..='H').flat_map(|row| (1..=12).map(move |column| format!("{row}{column:02}")));
    let wells: Vec<_> = wells.collect();
    let plan = format!(
        "plan: 1\nname: plate-0412\nstages:\n  - name: cells\n    queue: segmentation\n    items: {{list: [{}]}}\n    \
         input: \"uploads/plate-0412/{{{{ item }}}}.tif\"\n    fields: {{channels: \"0\"}}\n    limit: {{queue: 48}}\n  \
         - name: report\n    queue: report\n    after: {{stage: cells, all: true}}\n    trigger: manual\n    \
         items: {{list: [plate]}}\n    fields: {{what: \"{{{{ item }}}}\"}}\n",
        wells.join(", ")
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.yaml");
    std::fs::write(&path, plan).expect("a file");
    let path = path.to_str().expect("a path");
    crate::operators::run(cluster, 0, &["submit", "--plan", path]);
    let redis = &cluster.redis;
    for key in redis.list("segmentation") {
        let fields = redis.hash(&key);
        let at = fields["rc_item"].rsplit(':').next();
        let at: usize = at.and_then(|it| it.parse().ok()).expect("a number");
        let bit = match at {
            0..27 => "done",
            27..30 => "failed",
            _ => continue,
        };
        let _: i64 = redis.ask(&["LREM", "segmentation", "0", &key]);
        let bits = format!("rc:batch:plate-0412:0:{bit}");
        let _: i64 = redis.ask(&["SETBIT", &bits, &at.to_string(), "1"]);
        let input = &fields["input_file_name"];
        let (image, labels) = field(at);
        cluster.put(input, &encode_tiff(image.view().into_dyn()));
        if bit == "failed" {
            fail(redis, (&key, input), BROKEN, 300);
            continue;
        }
        let result = format!("output/plate-0412/{}.zip", wells[at]);
        let file = encode_tiff(labels.view().into_dyn());
        cluster.put(&result, &zipped([("feature_0.tif".to_owned(), file)]));
        let times = [stamp(900), stamp(600), stamp(590 - at as u64 * 10)];
        let (contrast, border) = ([5.2, 4.1, 6.3][at % 3], [0.12, 0.55][usize::from(at == 7)]);
        let quality = quality(
            count(&labels),
            if at == 12 { 1.2 } else { contrast },
            border,
        );
        set(redis, &key, &of_done(input, &result, &times, &quality));
        let seconds = format!("{:.2}", 1.31 + (at % 9) as f64 * 0.27);
        set(redis, &key, &[("prediction_time", &seconds)]);
        let _: i64 = redis.ask(&["ZADD", "rc:recent:segmentation", &at.to_string(), &key]);
    }
    let counters = [("0:done", "27"), ("0:failed", "3"), ("0:out", "18")];
    set(redis, "rc:batch:plate-0412", &counters);
    let _: i64 = redis.ask(&["ZADD", "rc:batches", "1", "plate-0398"]);
    let old = [
        ("state", "finished"),
        ("created", &(now() / 1000 - 400_000).to_string()),
        ("created_by", "ana"),
        ("ended_at", &(now() / 1000 - 390_000).to_string()),
        ("stages", "1"),
        ("ended", "1"),
        ("0:name", "cells"),
        ("0:queue", "segmentation"),
        ("0:total", "384"),
        ("0:next", "384"),
        ("0:done", "381"),
        ("0:failed", "3"),
    ];
    set(redis, "rc:batch:plate-0398", &old);
}

/// A job of the whole image, with its result.
fn done(cluster: &Cluster) {
    let (input, result) = ("uploads/hoechst_B04.tif", "output/hoechst_B04.zip");
    let image = plane(IMAGE, "a.png");
    cluster.put(input, &encode_tiff(image.view().into_dyn()));
    let labels = plane(LABELS, "a.tif");
    let cells = count(&labels);
    cluster.put(
        result,
        &zipped([("hoechst_B04_feature_0.tif".to_owned(), LABELS.to_vec())]),
    );
    let times = [stamp(210), stamp(196), stamp(192)];
    set(
        &cluster.redis,
        DONE,
        &of_done(input, result, &times, &quality(cells, 5.2, 0.15)),
    );
}

fn waiting(redis: &Redis) {
    for number in 1..=9 {
        let key = format!("tracking:movie_{number:02}.tif:7b{number}");
        let input = format!("uploads/movie_{number:02}.tif");
        set(
            redis,
            &key,
            &[
                ("status", "new"),
                ("input_file_name", &input),
                ("created_at", &stamp(7200)),
                ("updated_at", &stamp(7200)),
            ],
        );
        let _: i64 = redis.ask(&["LPUSH", "tracking", &key]);
    }
    let late = "segmentation:scan_0730.tif:a90b12";
    let error = "while started\nStorageError: the bucket answered 503, slow down";
    set(
        redis,
        late,
        &[
            ("status", "new"),
            ("input_file_name", "uploads/scan_0730.tif"),
            ("created_at", &stamp(900)),
            ("updated_at", &stamp(44)),
            ("rc_attempts", "2"),
            ("rc_last_error", error),
            ("reason", error),
            ("error_class", "storage_read"),
        ],
    );
    let _: i64 = redis.ask(&[
        "ZADD",
        "rc:delayed:segmentation",
        &(now() + 90_000).to_string(),
        late,
    ]);
    let parent = "segmentation:plate_0411.zip:2e90ff";
    let children: Vec<_> = (1..=12)
        .map(|it| format!("segmentation:plate_0411_{it:02}.tif:2e90ff-{it}"))
        .collect();
    for (at, child) in children.iter().enumerate() {
        let input = format!("uploads/plate_0411/{:02}.tif", at + 1);
        match at {
            4 => fail(redis, (child, &input), BROKEN, 500),
            0..7 => set(
                redis,
                child,
                &[
                    ("status", "done"),
                    ("input_file_name", &input),
                    ("updated_at", &stamp(420)),
                ],
            ),
            _ => set(
                redis,
                child,
                &[
                    ("status", "new"),
                    ("input_file_name", &input),
                    ("updated_at", &stamp(700)),
                ],
            ),
        }
    }
    set(
        redis,
        parent,
        &[
            ("status", "waiting"),
            ("progress", "58"),
            ("input_file_name", "uploads/plate_0411.zip"),
            ("created_at", &stamp(760)),
            ("updated_at", &stamp(12)),
            ("children", &children.join(",")),
            ("children_done", "6"),
            ("children_failed", "1"),
        ],
    );
    let _: i64 = redis.ask(&[
        "ZADD",
        "rc:parked:segmentation",
        &(now() + 60_000).to_string(),
        parent,
    ]);
    let pause = format!(
        "{{\"by\":\"ana\",\"at\":\"{}\",\"why\":\"new weights are being copied\"}}",
        stamp(1500)
    );
    let _: String = redis.ask(&["SET", "rc:paused:tracking", &pause]);
}

const BROKEN: (&str, &str) = (
    "invalid_input",
    "while pre-processing\nInvalidInput: the image has 1 channel, and channel 2 is to be used",
);

fn fail(redis: &Redis, (key, input): (&str, &str), (class, reason): (&str, &str), ago: u64) {
    let time = stamp(ago);
    let fields = [
        ("status", "failed"),
        ("input_file_name", input),
        ("channels", "0"),
        ("reason", reason),
        ("error_class", class),
        ("created_at", &stamp(ago + 40)),
        ("started_at", &stamp(ago + 2)),
        ("updated_at", &time),
        ("finished_at", &time),
        ("updated_by", "segmentation-6d9f7c4b8-x2kqv"),
        ("download_time", "0.18"),
    ];
    set(redis, key, &fields);
    let at = (now() - ago * 1000).to_string();
    let queue = key.split(':').next().unwrap_or_default();
    let _: i64 = redis.ask(&["ZADD", &format!("rc:failed:{queue}"), &at, key]);
}

fn failures(cluster: &Cluster) {
    let redis = &cluster.redis;
    cluster.put("uploads/overview_0731.png", OTHER_IMAGE);
    let core = field(4).0;
    cluster.put(
        "uploads/core_12.ome.tif",
        &encode_tiff(core.view().into_dyn()),
    );
    fail(redis, (FAILED, "uploads/overview_0731.png"), BROKEN, 130);
    let gone = (
        "storage_read",
        "while started\nNotFound: there is no uploads/scan.tif in the bucket",
    );
    for number in 1..=5 {
        let key = format!("segmentation:scan_{number:02}.tif:d0{number}");
        fail(
            redis,
            (&key, &format!("uploads/scan_{number:02}.tif")),
            gone,
            3000 + number * 60,
        );
    }
    let model = (
        "model_mismatch",
        "while predicting\nModelError: MultiplexSegmentation:9 takes 2 channels, and the image has 3",
    );
    for number in 1..=2 {
        let key = format!("mesmer:lymph_node_{number}.ome.tif:e1{number}");
        fail(
            redis,
            (&key, &format!("uploads/lymph_node_{number}.ome.tif")),
            model,
            9000,
        );
    }
}

/// What has ended within a day, more of it by day than by night.
fn history(redis: &Redis) {
    let minute = now() / 60_000;
    for (queue, most) in [("segmentation", 42.0), ("mesmer", 9.0), ("tracking", 2.0)] {
        for hour in minute / 60 - 25..=minute / 60 {
            let mut fields = Vec::new();
            for at in 0..60 {
                let phase = (hour * 60 + at) as f64;
                let day = (1.0 + (phase / 229.0).sin()) / 2.0;
                let done = most * day * (0.75 + 0.25 * (phase * 1.7).sin());
                fields.push((format!("{at}:done"), format!("{}", done as u64)));
                if (hour * 60 + at) % 47 == 0 {
                    fields.push((format!("{at}:failed"), format!("{}", (done / 8.0) as u64)));
                }
            }
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            set(redis, &format!("rc:hist:{queue}:{hour}"), &fields);
        }
        let day = now() / 86_400_000;
        let done = format!("{}", (most * 290.0) as u64);
        set(
            redis,
            &format!("rc:days:{queue}"),
            &[
                (&format!("{day}:done"), done.as_str()),
                (&format!("{day}:failed"), "6"),
            ],
        );
        let _: i64 = redis.ask(&["SADD", "rc:queues", queue]);
    }
}

fn workers(redis: &Redis) {
    let all = [
        (
            "segmentation",
            "segmentation-6d9f7c4b8-x2kqv",
            "image",
            2_u64,
        ),
        ("segmentation", "segmentation-6d9f7c4b8-lm7dz", "image", 3),
        ("mesmer", "mesmer-5b8f6d97c-qq4rt", "mesmer", 1),
    ];
    for (queue, name, kind, memory) in all {
        // Nobody tells of it again while the test goes on.
        let seen = (now() + 3_600_000).to_string();
        let _: i64 = redis.ask(&["ZADD", &format!("rc:workers:{queue}"), &seen, name]);
        let memory = (memory * 1_340_000_000).to_string();
        let card = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("type", kind),
            ("slots", "4"),
            ("started", &stamp(93_000)),
            ("memory", &memory),
            ("budget", "8589934592"),
        ];
        set(redis, &format!("rc:worker:{queue}:{name}"), &card);
    }
    let silent = (now() - 400_000).to_string();
    let _: i64 = redis.ask(&[
        "ZADD",
        "rc:workers:segmentation",
        &silent,
        "segmentation-6d9f7c4b8-9wz5c",
    ]);
    let running = [
        (
            "segmentation",
            "segmentation-6d9f7c4b8-x2kqv",
            "segmentation:hoechst_C02.png:41aa",
            "uploads/hoechst_C02.png",
            "predicting",
            "55",
        ),
        (
            "segmentation",
            "segmentation-6d9f7c4b8-lm7dz",
            "segmentation:hoechst_C03.png:41ab",
            "uploads/hoechst_C03.png",
            "post-processing",
            "85",
        ),
        (
            "mesmer",
            "mesmer-5b8f6d97c-qq4rt",
            RUNNING,
            "uploads/core_12.ome.tif",
            "predicting",
            "62",
        ),
    ];
    for (queue, worker, key, input, status, progress) in running {
        let list = format!("processing-{queue}:{worker}");
        let fields = [
            ("status", status),
            ("progress", progress),
            ("input_file_name", input),
            ("created_at", &stamp(60)),
            ("started_at", &stamp(21)),
            ("updated_at", &stamp(1)),
            ("updated_by", worker),
            ("rc_owner", &list),
            ("rc_token", "t"),
            ("download_time", "0.64"),
            ("preprocess_time", "1.20"),
        ];
        set(redis, key, &fields);
        let _: i64 = redis.ask(&["LPUSH", &list, key]);
        let lease = (now() + 3_600_000).to_string();
        let _: i64 = redis.ask(&["ZADD", &format!("rc:lease:{queue}"), &lease, key]);
    }
}

fn changes(redis: &Redis) {
    for (ago, who, verb, about, result) in [
        (
            8000,
            "bo",
            "requeue",
            "queue mesmer, cause ModelError: …",
            "4 jobs: 4 requeued",
        ),
        (
            1500,
            "ana",
            "pause",
            "queue tracking",
            "paused: new weights are being copied",
        ),
    ] {
        let at = stamp(ago);
        let _: String = redis.ask(&[
            "XADD", "rc:audit", "*", "at", &at, "who", who, "verb", verb, "about", about, "result",
            result,
        ]);
    }
}
