//! How long items take: `cargo run --release --package batch-plan --example times -- 10000000`.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use batch_plan::{Entries, Entry, Lists, Overrides, Plan, Renderer, Resolved, Row, Supply};

/// As many frames as are wanted, in movies of a thousand.
struct Frames(u64);

impl Supply for Frames {
    fn folder(&mut self, _: &str) -> io::Result<Entries<'_>> {
        let entry = |number| {
            let (movie, frame) = (number % 10_007, number / 10_007);
            let name = format!("m{movie:05}/t{frame:04}.tif");
            Ok(Entry {
                name,
                size: 2_000_000,
            })
        };
        Ok(Box::new((0..self.0).map(entry)))
    }
}

fn resolve(text: &[u8]) -> Resolved {
    let plan = Plan::parse(text).expect("the plan is right");
    plan.resolve(&Overrides::default())
        .expect("the plan fits together")
}

fn report(what: &str, count: u64, since: Instant) {
    let took = since.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let each = took * 1e6 / count as f64;
    println!("{what:<40} {each:7.2} µs each, {took:6.2} s");
}

fn peak() {
    // Linux tells it; elsewhere there is nothing to show.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("{}", line.unwrap_or("memory is not known here"));
}

fn main() {
    let rows = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    time_chunks();
    time_frames(rows);
}

/// Items of a grid, which have no rows.
fn time_chunks() {
    let layers = Arc::new(resolve(include_bytes!("../tests/plans/layers.yaml")));
    for stage in [0, 5] {
        let renderer = Renderer::new(Arc::clone(&layers), stage).expect("the templates are right");
        let total = layers.total(stage).unwrap_or(0);
        let count = 300_000;
        let since = Instant::now();
        for position in 0..count {
            let item = layers.item_at(stage, position % total).unwrap_or(0);
            let job = renderer.job(item, None).expect("the item can be rendered");
            std::hint::black_box(job.hash(layers.name()));
        }
        report(
            &format!("job of a chunk, {}", layers.stages()[stage].name),
            count,
            since,
        );
    }
}

/// Items of a list, in groups.
fn time_frames(rows: u64) {
    let mut movies = resolve(include_bytes!("../tests/plans/movies.yaml"));
    let since = Instant::now();
    let lists: Lists = movies
        .read_lists(&mut Frames(rows))
        .expect("the rows are right");
    report("row listed, compared, grouped, sorted", rows, since);
    peak();
    let frames = lists.get(0).expect("frames are listed");
    let renderer = Renderer::new(Arc::new(movies), 0).expect("the templates are right");
    let count = rows.min(300_000);
    let since = Instant::now();
    for (item, line) in (0..count).zip(frames.lines()) {
        let row = Row::from_line(&line).expect("the row was written");
        let job = renderer
            .job(item, Some(&row))
            .expect("the item can be rendered");
        std::hint::black_box(job);
    }
    report("job of a frame, from its line", count, since);
}
