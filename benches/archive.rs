//! Times of packing a result, and of putting many results into one archive, on labels like those of nuclei.
//!
//! With `BENCH_INPUTS=<folder>` the labels are also written there as `.tif`, for `benches/python/archive.py`.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use bioimage::encode_tiff;
use criterion::{BenchmarkId, Criterion};
use ndarray::Array2;
use redis_consumer::storage::archive::{ZipMerger, write_zip};

/// That of the program, since fresh memory takes longer than many a kernel.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIZES: [usize; 3] = [512, 1024, 2048];

/// Results in one archive.
const RESULTS: usize = 100;

#[expect(clippy::disallowed_methods, reason = "a benchmark has no settings")]
fn main() {
    let folder = std::env::var_os("BENCH_INPUTS");
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1000))
        .without_plots()
        .configure_from_args();
    for size in SIZES {
        let labels = encode_tiff(labels(size).view().into_dyn());
        if let Some(folder) = &folder {
            save(Path::new(folder), size, &labels).expect("inputs can be written");
        }
        bench(&mut criterion, size, &labels);
    }
    criterion.final_summary();
}

fn save(folder: &Path, size: usize, labels: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("labels_{size}.tif")), labels)
}

fn bench(criterion: &mut Criterion, size: usize, labels: &[u8]) {
    let pack = |name: &str| {
        write_zip([(format!("{name}_batch_0_feature_0.tif"), labels.to_vec())]).expect("it fits")
    };
    criterion.bench_with_input(
        BenchmarkId::new("pack a result", size),
        &labels,
        |bench, labels| {
            bench.iter(|| {
                write_zip([(
                    "field_batch_0_feature_0.tif".to_owned(),
                    black_box(labels).to_vec(),
                )])
            });
        },
    );
    let results: Vec<_> = (0..RESULTS)
        .map(|number| pack(&format!("field {number}")))
        .collect();
    criterion.bench_with_input(
        BenchmarkId::new("collect 100 results", size),
        &results,
        |bench, results| {
            bench.iter(|| collect(black_box(results)));
        },
    );
}

/// The archive of all results, as pieces that leave at once.
fn collect(results: &[Vec<u8>]) -> usize {
    let mut merger = ZipMerger::new();
    let grown = |result: &Vec<u8>| merger.add(result, "result.zip").expect("an archive").len();
    let grown: usize = results.iter().map(grown).sum();
    grown + merger.finish().expect("it fits").len()
}

/// `[size, size]`, about one round nucleus per 900 pixels, numbered from 1.
fn labels(size: usize) -> Array2<f32> {
    let mut random = Random(size as u64);
    let mut labels = Array2::zeros((size, size));
    for label in 1..=size * size / 900 {
        let centre = [random.next(), random.next()].map(|place| place * size as f32);
        let radius = 7.0 + 6.0 * random.next();
        let range =
            |at: f32| (at - radius).max(0.0) as usize..((at + radius) as usize + 1).min(size);
        for row in range(centre[0]) {
            for column in range(centre[1]) {
                if (row as f32 - centre[0]).hypot(column as f32 - centre[1]) < radius {
                    labels[[row, column]] = label as f32;
                }
            }
        }
    }
    labels
}

/// Xorshift, so that inputs are the same everywhere.
struct Random(u64);

impl Random {
    /// 0 … 1, 1 excluded.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}
