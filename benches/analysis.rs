//! Times of the pixel kernels on images like those of nuclei, about one nucleus per 900 pixels.
//!
//! With `BENCH_INPUTS=<folder>` the inputs are also written there as `.npy`, for
//! `benches/python/segmentation.py`, which times the Python libraries on them and prints both.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use ndarray::{Array2, Array4, ArrayView2, Axis};
use redis_consumer::analysis::{
    Connectivity, DeepWatershed, LocalMaxima, MaximaAlgorithm, MesmerPreprocess, PadMode, Tiling, Untiler, erode_edges,
    fill_holes, gaussian_filter, h_maxima, histogram_normalization, label, mesmer_preprocess, normalize,
    peak_local_max, percentile_threshold, relabel_sequential, remove_small_objects, resize_image, resize_labels,
    watershed,
};

/// That of the program, since fresh memory takes longer than many a kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 4] = [256, 512, 1024, 2048];

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
        let scene = Scene::new(size);
        if let Some(folder) = &folder {
            scene.save(Path::new(folder)).expect("inputs can be written");
        }
        bench_preparation(&mut criterion, &scene);
        bench_resizing(&mut criterion, &scene);
        bench_tiling(&mut criterion, &scene);
        bench_primitives(&mut criterion, &scene);
        bench_regions(&mut criterion, &scene);
        bench_segmentation(&mut criterion, &scene);
        bench_chains(&mut criterion, &scene);
    }
    criterion.final_summary();
}

/// An image of nuclei and what a model could say about it.
struct Scene {
    size: usize,
    /// `[1, size, size, 2]`, counts of a camera.
    image: Array4<f32>,
    /// `[size, size]`, high in the middle of each nucleus.
    maxima: Array2<f32>,
    /// `[size, size]`, high in each nucleus.
    interior: Array2<f32>,
}

impl Scene {
    fn new(size: usize) -> Self {
        let mut random = Random(size as u64);
        let mut image = Array4::from_shape_simple_fn((1, size, size, 2), || 90.0 + 20.0 * random.next());
        let mut maxima = Array2::from_shape_simple_fn((size, size), || 0.01 * random.next());
        let mut interior = Array2::from_shape_simple_fn((size, size), || 0.008 * random.next());
        for _ in 0..size * size / 900 {
            let centre = [random.next(), random.next()].map(|place| place * size as f32);
            let (radius, light) = (7.0 + 6.0 * random.next(), 400.0 + 3000.0 * random.next());
            let reach = radius * 1.5;
            let range = |at: f32| (at - reach).max(0.0) as usize..((at + reach) as usize + 1).min(size);
            for row in range(centre[0]) {
                for column in range(centre[1]) {
                    let distance = (row as f32 - centre[0]).hypot(column as f32 - centre[1]) / radius;
                    let inside = 1.0 / (1.0 + (12.0 * (distance - 1.0)).exp());
                    let texture = 0.9 + 0.1 * random.next();
                    image[[0, row, column, 0]] += (light * inside * texture).round();
                    image[[0, row, column, 1]] += (light * (1.4 - distance).max(0.0) * texture).round();
                    let pixel = [row, column];
                    maxima[pixel] = maxima[pixel].max((1.0 - distance).max(0.0) * (0.98 + 0.02 * random.next()));
                    interior[pixel] = interior[pixel].max(inside * (0.97 + 0.03 * random.next()));
                }
            }
        }
        image.mapv_inplace(f32::floor);
        Self { size, image, maxima, interior }
    }

    fn save(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let size = self.size;
        let image = self.image.iter().copied();
        save_npy(&folder.join(format!("image_{size}.npy")), &[1, size, size, 2], image)?;
        for (name, head) in [("maxima", &self.maxima), ("interior", &self.interior)] {
            save_npy(&folder.join(format!("{name}_{size}.npy")), &[size, size], head.iter().copied())?;
        }
        Ok(())
    }

    fn nuclear_channel(&self) -> Array4<f32> {
        self.image.slice_axis(Axis(3), (0..1).into()).as_standard_layout().into_owned()
    }

    fn markers(&self) -> Array2<u32> {
        label(h_maxima(self.maxima.view(), 0.1, 10).view(), Connectivity::Eight)
    }

    fn labels(&self) -> Array2<u32> {
        let interior = gaussian_filter(self.interior.view(), 1.0);
        let mask = interior.mapv(|value| value > 0.2);
        watershed(interior.mapv(|value| -value).view(), self.markers().view(), mask.view())
    }
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

fn save_npy(path: &Path, shape: &[usize], values: impl Iterator<Item = f32>) -> std::io::Result<()> {
    let shape: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.flat_map(f32::to_le_bytes));
    std::fs::write(path, bytes)
}

fn bench<T>(criterion: &mut Criterion, name: &str, size: usize, mut work: impl FnMut() -> T) {
    criterion.benchmark_group(name).bench_function(BenchmarkId::from_parameter(size), |bencher| {
        bencher.iter(|| black_box(work()));
    });
}

fn bench_preparation(criterion: &mut Criterion, scene: &Scene) {
    let (size, image, nuclear) = (scene.size, &scene.image, scene.nuclear_channel());
    bench(criterion, "histogram_normalization", size, || histogram_normalization(nuclear.clone(), None));
    bench(criterion, "percentile_threshold", size, || percentile_threshold(image.clone(), 99.9));
    bench(criterion, "mesmer_preprocess", size, || mesmer_preprocess(image.clone(), &MesmerPreprocess::default()));
    bench(criterion, "normalize", size, || normalize(nuclear.clone()));
}

fn bench_resizing(criterion: &mut Criterion, scene: &Scene) {
    let (size, image, nuclear) = (scene.size, &scene.image, scene.nuclear_channel());
    let labels = scene.labels().insert_axis(Axis(0)).insert_axis(Axis(3));
    for (name, factor) in [("x1.3", 1.3), ("x0.7", 0.7)] {
        let target = [(size as f64 * factor) as usize; 2];
        bench(criterion, &format!("resize_image_1 {name}"), size, || resize_image(nuclear.view(), target));
        bench(criterion, &format!("resize_image_2 {name}"), size, || resize_image(image.view(), target));
        bench(criterion, &format!("resize_labels_1 {name}"), size, || resize_labels(labels.view(), target));
    }
}

fn bench_tiling(criterion: &mut Criterion, scene: &Scene) {
    let (size, image, nuclear) = (scene.size, &scene.image, scene.nuclear_channel());
    bench(criterion, "tile and untile, 1 channel", size, || tile_and_untile(&nuclear));
    bench(criterion, "tile and untile, 2 channels", size, || tile_and_untile(image));
}

/// Everything a job does with pixels but decode and encode them, with heads that are there in place of a model.
fn bench_chains(criterion: &mut Criterion, scene: &Scene) {
    let (size, image, nuclear) = (scene.size, &scene.image, scene.nuclear_channel());
    let head = |plane: &Array2<f32>| plane.clone().insert_axis(Axis(0)).insert_axis(Axis(3));
    let (maxima, interior) = (head(&scene.maxima), head(&scene.interior));
    let joined = |head: &Array4<f32>| tile_and_untile(head).index_axis_move(Axis(3), 0);
    let segment = |options: &DeepWatershed| {
        // As in a job, where the heads of an answer are joined side by side.
        let (maxima, interior) = rayon::join(|| joined(&maxima), || joined(&interior));
        options.segment(maxima, interior).expect("heads are sound")
    };
    bench(criterion, "nuclear chain", size, || {
        (histogram_normalization(nuclear.clone(), None), segment(&DeepWatershed::nuclear()))
    });
    bench(criterion, "mesmer chain, both", size, || {
        let prepared = mesmer_preprocess(image.clone(), &MesmerPreprocess::default());
        (prepared, segment(&DeepWatershed::mesmer_whole_cell()), segment(&DeepWatershed::mesmer_nuclear()))
    });
    bench(criterion, "copy of a plane", size, || nuclear.clone());
}

fn tile_and_untile(image: &Array4<f32>) -> Array4<f32> {
    let (_, _, _, channels) = image.dim();
    let tiling = Tiling::new(image.dim().into(), [256; 2], PadMode::Reflect);
    let mut untiler = Untiler::new(&tiling, channels);
    let mut tile = ndarray::Array3::zeros((256, 256, channels));
    for index in 0..tiling.len() {
        tiling.copy_tile(image.view(), index, tile.view_mut());
        untiler.add(index, tile.view());
    }
    untiler.finish()
}

fn bench_primitives(criterion: &mut Criterion, scene: &Scene) {
    let (size, maxima, interior) = (scene.size, scene.maxima.view(), scene.interior.view());
    bench(criterion, "gaussian_filter sigma 1", size, || gaussian_filter(interior, 1.0));
    bench(criterion, "gaussian_filter sigma 2", size, || gaussian_filter(interior, 2.0));
    bench(criterion, "h_maxima radius 10", size, || h_maxima(maxima, 0.1, 10));
    bench(criterion, "h_maxima radius 2", size, || h_maxima(maxima, 0.1, 2));
    let options = LocalMaxima { min_distance: 10, threshold: 0.1, border: 0 };
    bench(criterion, "peak_local_max distance 10", size, || peak_local_max(maxima, &options));
    let peaks = h_maxima(maxima, 0.1, 10);
    bench(criterion, "label", size, || label(peaks.view(), Connectivity::Eight));
    let smooth = gaussian_filter(interior, 1.0);
    let (heights, mask) = (smooth.mapv(|value| -value), smooth.mapv(|value| value > 0.01));
    let markers = scene.markers();
    bench(criterion, "watershed", size, || watershed(heights.view(), markers.view(), mask.view()));
}

fn bench_regions(criterion: &mut Criterion, scene: &Scene) {
    let (size, labels) = (scene.size, scene.labels());
    bench(criterion, "remove_small_objects 15", size, || changed(labels.view(), |l| remove_small_objects(l, 15)));
    bench(criterion, "fill_holes 15", size, || changed(labels.view(), |l| fill_holes(l, 15)));
    bench(criterion, "erode_edges 1", size, || changed(labels.view(), |l| erode_edges(l, 1)));
    let sparse = labels.mapv(|label| label * 2);
    bench(criterion, "relabel_sequential", size, || relabel_sequential(sparse.clone()));
}

fn changed(labels: ArrayView2<'_, u32>, change: impl Fn(&mut Array2<u32>)) -> Array2<u32> {
    let mut labels = labels.to_owned();
    change(&mut labels);
    labels
}

fn bench_segmentation(criterion: &mut Criterion, scene: &Scene) {
    let maxima = scene.maxima.clone().insert_axis(Axis(0));
    let interior = scene.interior.clone().insert_axis(Axis(0));
    let peaks = DeepWatershed { maxima_algorithm: MaximaAlgorithm::PeakLocalMax, ..DeepWatershed::nuclear() };
    let variants = [
        ("deep_watershed nuclear", DeepWatershed::nuclear()),
        ("deep_watershed peak_local_max", peaks),
        ("deep_watershed mesmer nuclear", DeepWatershed::mesmer_nuclear()),
    ];
    for (name, options) in variants {
        bench(criterion, name, scene.size, || {
            options.segment(maxima.clone(), interior.clone()).expect("heads are sound")
        });
    }
}
