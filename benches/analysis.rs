//! Times of the pixel kernels on images like those of nuclei, about one nucleus per 900 pixels.
//!
//! With `BENCH_INPUTS=<folder>` the inputs are also written there as `.npy`, for
//! `benches/python/segmentation.py`, which times the Python libraries on them and prints both.

use std::fs;
use std::path::Path;

use cell_analysis::cellpose::{
    Cellpose, fill_holes_and_remove_small_masks, flow_errors, follow_flows, masks_of_positions,
    masks_to_flows,
};
use cell_analysis::quality::{ImageQuality, Quality};
use cell_analysis::regions::measure_regions;
use cell_analysis::segmentation::{
    Connectivity, DeepWatershed, LocalMaxima, MaximaAlgorithm, MesmerPreprocess, PadMode, Tiling,
    Untiler, erode_edges, fill_holes, gaussian_filter, h_maxima, histogram_normalization, label,
    mesmer_preprocess, normalize, peak_local_max, percentile_threshold, relabel_sequential,
    remove_small_objects, resize_image, resize_labels, watershed,
};
use cell_analysis::stardist::{StarDist, StarHeads};
use cell_pictures::{
    ChannelView, Layer, Palette, Thumbnail, Window, channel_statistics, label_levels, levels,
    render_channels, render_labels,
};
use criterion::Criterion;
use ndarray::{Array2, Array3, Array4, ArrayView2, Axis};

use bioimage::npy;

use crate::nuclei::Nuclei;
use crate::timing::bench;

mod nuclei;
mod timing;

/// That of the program, since fresh memory takes longer than many a kernel.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIZES: [usize; 4] = [256, 512, 1024, 2048];

/// Pixels for each cell of StarDist's heads, in either direction.
const GRID: usize = 2;

const RAYS: usize = 32;

fn main() {
    let folder = timing::folder_for_inputs();
    let mut criterion = timing::criterion();
    for size in SIZES {
        let scene = Scene::new(size);
        if let Some(folder) = &folder {
            scene.save(folder).expect("inputs can be written");
        }
        bench_preparation(&mut criterion, &scene);
        bench_resizing(&mut criterion, &scene);
        bench_tiling(&mut criterion, &scene);
        bench_primitives(&mut criterion, &scene);
        bench_regions(&mut criterion, &scene);
        bench_segmentation(&mut criterion, &scene);
        bench_cellpose(&mut criterion, &scene);
        bench_stardist(&mut criterion, &scene);
        bench_looks(&mut criterion, &scene);
        bench_chains(&mut criterion, &scene);
    }
    criterion.final_summary();
}

/// An image of nuclei of this size.
struct Scene {
    size: usize,
    image: Array4<f32>,
    maxima: Array2<f32>,
    interior: Array2<f32>,
}

impl Scene {
    fn new(size: usize) -> Self {
        let Nuclei {
            image,
            maxima,
            interior,
        } = Nuclei::new(size);
        Self {
            size,
            image,
            maxima,
            interior,
        }
    }

    fn save(&self, folder: &Path) -> std::io::Result<()> {
        let size = self.size;
        let heads = self.cellpose_heads();
        let (probabilities, distances) = self.stardist_heads();
        let inputs = [
            ("image", self.image.view().into_dyn()),
            ("maxima", self.maxima.view().into_dyn()),
            ("interior", self.interior.view().into_dyn()),
            ("cellpose", heads.view().into_dyn()),
            ("star_prob", probabilities.view().into_dyn()),
            ("star_dist", distances.view().into_dyn()),
        ];
        inputs.iter().try_for_each(|(name, values)| {
            fs::write(
                folder.join(format!("{name}_{size}.npy")),
                npy::write(values),
            )
        })
    }

    fn nuclear_channel(&self) -> Array4<f32> {
        self.image
            .slice_axis(Axis(3), (0..1).into())
            .as_standard_layout()
            .into_owned()
    }

    fn markers(&self) -> Array2<u32> {
        label(
            h_maxima(self.maxima.view(), 0.1, 10).view(),
            Connectivity::Eight,
        )
    }

    /// What a network of Cellpose could answer, `[3, row, column]`: the flows of the labels with noise, as smooth as a
    /// network's, and a probability.
    fn cellpose_heads(&self) -> Array3<f32> {
        let flows = masks_to_flows(self.labels().view());
        let mut random = fastrand::Rng::with_seed(self.size as u64);
        let mut heads = Array3::zeros((3, self.size, self.size));
        for (flows, mut head) in flows.outer_iter().zip(heads.outer_iter_mut()) {
            let rough = flows.mapv(|flow| 5.0 * flow as f32 + 4.0 * (random.f32() - 0.5));
            head.assign(&gaussian_filter(rough.view(), 1.0));
        }
        let cellprob = self.interior.mapv(|interior| 12.0 * interior - 2.4);
        heads.index_axis_mut(Axis(0), 2).assign(&cellprob);
        heads
    }

    /// What a network of StarDist with a grid of 2 could answer: a probability, and for each cell of the grid the distances to
    /// the edge of its label along 32 rays, a pixel more or less.
    fn stardist_heads(&self) -> (Array2<f32>, Array3<f32>) {
        let labels = self.labels();
        let mut random = fastrand::Rng::with_seed(self.size as u64);
        let cells = self.size / GRID;
        let probabilities = Array2::from_shape_fn((cells, cells), |(row, column)| {
            self.interior[[row * GRID, column * GRID]]
        });
        let distances = Array3::from_shape_fn((cells, cells, RAYS), |(row, column, ray)| {
            let at = [row * GRID, column * GRID];
            let angle = ray as f32 * std::f32::consts::TAU / RAYS as f32;
            distance_to_edge(labels.view(), at, angle) + random.f32()
        });
        (probabilities, distances)
    }

    fn labels(&self) -> Array2<u32> {
        let interior = gaussian_filter(self.interior.view(), 1.0);
        let mask = interior.mapv(|value| value > 0.2);
        watershed(
            interior.mapv(|value| -value).view(),
            self.markers().view(),
            mask.view(),
        )
    }
}

fn bench_preparation(criterion: &mut Criterion, scene: &Scene) {
    let (size, image, nuclear) = (scene.size, &scene.image, scene.nuclear_channel());
    bench(criterion, "histogram_normalization", size, || {
        histogram_normalization(nuclear.clone(), None)
    });
    bench(criterion, "percentile_threshold", size, || {
        percentile_threshold(image.clone(), 99.9)
    });
    bench(criterion, "mesmer_preprocess", size, || {
        mesmer_preprocess(image.clone(), &MesmerPreprocess::default())
    });
    bench(criterion, "normalize", size, || normalize(nuclear.clone()));
}

fn bench_resizing(criterion: &mut Criterion, scene: &Scene) {
    let (size, image, nuclear) = (scene.size, &scene.image, scene.nuclear_channel());
    let labels = scene.labels().insert_axis(Axis(0)).insert_axis(Axis(3));
    for (name, factor) in [("x1.3", 1.3), ("x0.7", 0.7)] {
        let target = [(size as f64 * factor) as usize; 2];
        bench(criterion, &format!("resize_image_1 {name}"), size, || {
            resize_image(nuclear.view(), target)
        });
        bench(criterion, &format!("resize_image_2 {name}"), size, || {
            resize_image(image.view(), target)
        });
        bench(criterion, &format!("resize_labels_1 {name}"), size, || {
            resize_labels(labels.view(), target)
        });
    }
}

fn bench_tiling(criterion: &mut Criterion, scene: &Scene) {
    let (size, image, nuclear) = (scene.size, &scene.image, scene.nuclear_channel());
    bench(criterion, "tile and untile, 1 channel", size, || {
        tile_and_untile(&nuclear)
    });
    bench(criterion, "tile and untile, 2 channels", size, || {
        tile_and_untile(image)
    });
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
        (
            histogram_normalization(nuclear.clone(), None),
            segment(&DeepWatershed::nuclear()),
        )
    });
    bench(criterion, "mesmer chain, both", size, || {
        let prepared = mesmer_preprocess(image.clone(), &MesmerPreprocess::default());
        (
            prepared,
            segment(&DeepWatershed::mesmer_whole_cell()),
            segment(&DeepWatershed::mesmer_nuclear()),
        )
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
    bench(criterion, "gaussian_filter sigma 1", size, || {
        gaussian_filter(interior, 1.0)
    });
    bench(criterion, "gaussian_filter sigma 2", size, || {
        gaussian_filter(interior, 2.0)
    });
    bench(criterion, "h_maxima radius 10", size, || {
        h_maxima(maxima, 0.1, 10)
    });
    bench(criterion, "h_maxima radius 2", size, || {
        h_maxima(maxima, 0.1, 2)
    });
    let options = LocalMaxima {
        min_distance: 10,
        threshold: 0.1,
        border: 0,
    };
    bench(criterion, "peak_local_max distance 10", size, || {
        peak_local_max(maxima, &options)
    });
    let peaks = h_maxima(maxima, 0.1, 10);
    bench(criterion, "label", size, || {
        label(peaks.view(), Connectivity::Eight)
    });
    let smooth = gaussian_filter(interior, 1.0);
    let (heights, mask) = (
        smooth.mapv(|value| -value),
        smooth.mapv(|value| value > 0.01),
    );
    let markers = scene.markers();
    bench(criterion, "watershed", size, || {
        watershed(heights.view(), markers.view(), mask.view())
    });
}

fn bench_regions(criterion: &mut Criterion, scene: &Scene) {
    let (size, labels) = (scene.size, scene.labels());
    bench(criterion, "remove_small_objects 15", size, || {
        changed(labels.view(), |l| remove_small_objects(l, 15))
    });
    bench(criterion, "fill_holes 15", size, || {
        changed(labels.view(), |l| fill_holes(l, 15))
    });
    bench(criterion, "erode_edges 1", size, || {
        changed(labels.view(), |l| erode_edges(l, 1))
    });
    let sparse = labels.mapv(|label| label * 2);
    bench(criterion, "relabel_sequential", size, || {
        relabel_sequential(sparse.clone())
    });
}

/// What is measured and drawn of a result.
fn bench_looks(criterion: &mut Criterion, scene: &Scene) {
    let (size, labels) = (scene.size, scene.labels());
    let channels: Vec<_> = (0..2)
        .map(|channel| scene.image.index_axis(Axis(3), channel))
        .map(|channel| {
            channel
                .index_axis_move(Axis(0), 0)
                .as_standard_layout()
                .into_owned()
        })
        .collect();
    let views: Vec<_> = channels.iter().map(|channel| channel.view()).collect();
    bench(criterion, "measure_regions", size, || {
        measure_regions(labels.view(), &views)
    });
    bench(criterion, "quality of an image", size, || {
        ImageQuality::of(views[0], Some(65535.0))
    });
    let seen = ImageQuality::of(views[0], Some(65535.0));
    bench(criterion, "quality of labels", size, || {
        Quality::of(labels.view(), &seen)
    });
    bench(criterion, "thumbnail", size, || Thumbnail::new(&views[..1]));
    let thumbnail = Thumbnail::new(&views[..1]).expect("there are pixels");
    bench(criterion, "preview", size, || {
        thumbnail.with_outlines(labels.view())
    });
    bench(criterion, "label_levels", size, || {
        label_levels(labels.view(), 512)
    });
    bench(criterion, "levels", size, || {
        levels(channels[0].clone(), 512)
    });
    let found = channel_statistics(views[0], 1_000_000);
    bench(criterion, "channel_statistics", size, || {
        channel_statistics(views[0], 1_000_000)
    });
    let window = Window::tile((size, size), 512, 0, 0).expect("there are pixels");
    let shown = [(views[0], ChannelView::gray(found.low, found.high))];
    bench(criterion, "tile of a channel", size, || {
        render_channels(&shown, &window).to_png()
    });
    let level = &label_levels(labels.view(), size)[0];
    bench(criterion, "tile of labels", size, || {
        render_labels(level, Layer::Outline, Palette::Bright, &window).to_png()
    });
}

fn changed(labels: ArrayView2<'_, u32>, change: impl Fn(&mut Array2<u32>)) -> Array2<u32> {
    let mut labels = labels.to_owned();
    change(&mut labels);
    labels
}

fn bench_segmentation(criterion: &mut Criterion, scene: &Scene) {
    let maxima = scene.maxima.clone().insert_axis(Axis(0));
    let interior = scene.interior.clone().insert_axis(Axis(0));
    let peaks = DeepWatershed {
        maxima_algorithm: MaximaAlgorithm::PeakLocalMax,
        ..DeepWatershed::nuclear()
    };
    let variants = [
        ("deep_watershed nuclear", DeepWatershed::nuclear()),
        ("deep_watershed peak_local_max", peaks),
        (
            "deep_watershed mesmer nuclear",
            DeepWatershed::mesmer_nuclear(),
        ),
    ];
    for (name, options) in variants {
        bench(criterion, name, scene.size, || {
            options
                .segment(maxima.clone(), interior.clone())
                .expect("heads are sound")
        });
    }
}

fn bench_cellpose(criterion: &mut Criterion, scene: &Scene) {
    let (size, heads) = (scene.size, scene.cellpose_heads());
    let (flows, cellprob) = heads.view().split_at(Axis(0), 2);
    let inside = cellprob.index_axis(Axis(0), 0).mapv(|value| value > 0.0);
    let weights = inside.mapv(|inside| f32::from(u8::from(inside)));
    let scaled = &flows * &weights / 5.0;
    bench(criterion, "cellpose follow_flows", size, || {
        follow_flows(scaled.view(), inside.view(), 200)
    });
    let ends = follow_flows(scaled.view(), inside.view(), 200).mapv(|position| position as i32);
    bench(criterion, "cellpose get_masks", size, || {
        masks_of_positions(ends.view(), inside.view(), 0.4)
    });
    let labels = masks_of_positions(ends.view(), inside.view(), 0.4);
    bench(criterion, "cellpose flow_error", size, || {
        flow_errors(labels.view(), flows)
    });
    bench(criterion, "cellpose fill_holes", size, || {
        fill_holes_and_remove_small_masks(labels.clone(), 15)
    });
    bench(criterion, "cellpose compute_masks", size, || {
        Cellpose::default()
            .segment(heads.view())
            .expect("heads are sound")
    });
}

/// How many pixels lie between a pixel and the edge of its label, in steps of one.
fn distance_to_edge(labels: ArrayView2<'_, u32>, at: [usize; 2], angle: f32) -> f32 {
    let label = labels[at];
    if label == 0 {
        return 0.0;
    }
    let steps = (1..).take_while(|step| {
        let pixel = [
            at[0] as f32 + *step as f32 * angle.sin(),
            at[1] as f32 + *step as f32 * angle.cos(),
        ];
        pixel.iter().all(|place| *place >= 0.0)
            && labels.get(pixel.map(|place| place as usize)) == Some(&label)
    });
    steps.last().unwrap_or(0) as f32
}

fn bench_stardist(criterion: &mut Criterion, scene: &Scene) {
    let (size, (probabilities, distances)) = (scene.size, scene.stardist_heads());
    let options = StarDist {
        grid: [GRID; 2],
        ..StarDist::default()
    };
    let heads = StarHeads {
        probabilities: probabilities.view(),
        distances: distances.view(),
    };
    bench(criterion, "stardist suppression", size, || {
        options.suppress(&heads).expect("heads are sound")
    });
    let polygons = options.suppress(&heads).expect("heads are sound");
    bench(criterion, "stardist painting", size, || {
        polygons.labels([size; 2], f32::NEG_INFINITY)
    });
    bench(criterion, "stardist instances", size, || {
        options.segment(&heads, [size; 2]).expect("heads are sound")
    });
}
