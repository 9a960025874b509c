//! How kernels are timed, and where their inputs go for Python.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};

/// Short runs: there are many kernels and sizes.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1000))
        .without_plots()
        .configure_from_args()
}

/// The folder that inputs are to be written to, if `BENCH_INPUTS` names one.
#[expect(clippy::disallowed_methods, reason = "a benchmark has no settings")]
pub(crate) fn folder_for_inputs() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("BENCH_INPUTS")?);
    std::fs::create_dir_all(&folder).expect("the folder can be created");
    Some(folder)
}

pub(crate) fn bench<T>(
    criterion: &mut Criterion,
    name: &str,
    size: usize,
    mut work: impl FnMut() -> T,
) {
    criterion
        .benchmark_group(name)
        .bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| black_box(work()));
        });
}
