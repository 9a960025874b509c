//! Times of cell tracking without its models, and of finding spots, on movies of round cells that move a little.
//!
//! With `BENCH_INPUTS=<folder>` the movies are also written there as `.npy`, for `benches/python/tracking.py`.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use bioimage::npy;
use cell_analysis::spots::{Contrast, SpotHeads, SpotPeaks, min_max_normalize};
use cell_analysis::tracking::{
    BirthDeathCost, CropMode, CropOptions, EmptyFrames, InferenceInputs, Lineage, Movie, Tracks,
    frame_features, linear_sum_assignment, number_cells,
};
use criterion::Criterion;
use ndarray::{Array2, Array3, Array4, Axis};

use crate::timing::bench;

mod timing;

/// Side of a frame, and cells in it.
const MOVIES: [(usize, usize); 2] = [(512, 100), (1024, 300)];

const FRAMES: usize = 30;

fn main() {
    let folder = timing::folder_for_inputs();
    let mut criterion = timing::criterion();
    for (side, cells) in MOVIES {
        let scene = Scene::new(side, cells);
        if let Some(folder) = &folder {
            scene.save(folder).expect("inputs can be written");
        }
        bench_features(&mut criterion, &scene);
        bench_movie(&mut criterion, &scene);
    }
    for side in [200, 500, 1000] {
        bench_assignment(&mut criterion, side);
    }
    for side in [512, 2048] {
        bench_spots(&mut criterion, side);
    }
    criterion.final_summary();
}

/// A movie of cells.
struct Scene {
    side: usize,
    /// `[frame, row, column]`, counts of a camera.
    raw: Array3<f32>,
    /// `[frame, row, column]`.
    labels: Array3<i32>,
}

impl Scene {
    fn new(side: usize, cells: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(cells as u64);
        let mut raw = Array3::from_shape_simple_fn((FRAMES, side, side), || {
            (100.0 + 50.0 * random.f32()).floor()
        });
        let mut labels = Array3::zeros((FRAMES, side, side));
        let across = (cells as f32).sqrt().ceil() as usize;
        let pitch = side as f32 / across as f32;
        for cell in 0..cells {
            let mut centre =
                [cell / across, cell % across].map(|place| (place as f32 + 0.5) * pitch);
            let radius = pitch * (0.2 + 0.15 * random.f32());
            for frame in 0..FRAMES {
                centre = centre.map(|at| at + 2.0 * random.f32() - 1.0);
                let range = |at: f32| {
                    (at - radius).max(0.0) as usize..((at + radius) as usize + 1).min(side)
                };
                for row in range(centre[0]) {
                    for column in range(centre[1]) {
                        if (row as f32 - centre[0]).hypot(column as f32 - centre[1]) < radius {
                            raw[[frame, row, column]] += (1000.0 * random.f32()).floor();
                            labels[[frame, row, column]] = cell as i32 + 1;
                        }
                    }
                }
            }
        }
        Self { side, raw, labels }
    }

    fn save(&self, folder: &Path) -> std::io::Result<()> {
        let side = self.side;
        fs::write(
            folder.join(format!("movie_{side}.npy")),
            npy::write(&self.raw.view().into_dyn()),
        )?;
        fs::write(
            folder.join(format!("cells_{side}.npy")),
            npy::write(&self.labels.view().into_dyn()),
        )
    }
}

fn bench_features(criterion: &mut Criterion, scene: &Scene) {
    let fixed = CropOptions {
        side: 16,
        crop: CropMode::Fixed,
        norm: true,
    };
    for (name, appearance) in [
        ("features of a frame, resize 32", CropOptions::default()),
        ("features of a frame, fixed 16", fixed),
    ] {
        bench(criterion, name, scene.side, || {
            let mut labels = scene.labels.index_axis(Axis(0), 0).to_owned();
            let cells = number_cells(labels.view_mut()).expect("no label is negative");
            frame_features(
                scene.raw.index_axis(Axis(0), 0),
                labels.view(),
                &cells,
                &appearance,
            )
        });
    }
}

/// All of tracking but the models: in their place embeddings are zeros and probabilities fall with distance.
fn bench_movie(criterion: &mut Criterion, scene: &Scene) {
    let raw = scene.raw.clone().insert_axis(Axis(3)).into_dyn();
    let labels = scene.labels.clone().insert_axis(Axis(3)).into_dyn();
    bench(criterion, "tracking of 30 frames", scene.side, || {
        let movie = Movie::new(
            raw.clone(),
            labels.clone(),
            CropOptions::default(),
            EmptyFrames::Refuse,
        )
        .expect("a movie");
        black_box(movie.encoder_inputs(0..FRAMES, 50.0));
        let embeddings = Array3::zeros((FRAMES, movie.most_cells(), 64));
        let mut tracks = Tracks::begin(movie.cell_count(0));
        for frame in 1..FRAMES {
            let inputs = movie.inference_inputs(&tracks, embeddings.view(), frame, 8);
            let probabilities = probabilities(&inputs);
            let costs = tracks.costs(probabilities.view(), BirthDeathCost::default());
            let pairs = linear_sum_assignment(costs.view()).expect("costs are finite");
            let columns: Vec<usize> = pairs.into_iter().map(|[_, column]| column).collect();
            tracks.advance(frame, &columns, probabilities.view(), 0.9);
        }
        let lineage = Lineage::from(&tracks).to_json();
        (movie.painted(&tracks), lineage)
    });
}

fn probabilities(inputs: &InferenceInputs) -> Array3<f32> {
    let (current, future) = (&inputs.current_centroids, &inputs.future_centroids);
    let (tracks, cells) = (current.dim().2, future.dim().2);
    Array3::from_shape_fn((tracks, cells, 3), |(track, cell, class)| {
        let offset = [0, 1].map(|axis| current[[0, 7, track, axis]] - future[[0, 0, cell, axis]]);
        let same = 1.0 / (1.0 + 0.1 * (offset[0] * offset[0] + offset[1] * offset[1]));
        [same, 1.0 - same, 0.0][class]
    })
}

fn bench_assignment(criterion: &mut Criterion, side: usize) {
    let cost = Array2::from_shape_fn((side, side), |(i, j)| {
        ((i * 7919 + j * 104_729 + i * j * 31 + (i ^ j) * 17) % 100_003) as f64 / 100_003.0
    });
    bench(criterion, "linear_sum_assignment", side, || {
        linear_sum_assignment(cost.view()).expect("costs are finite")
    });
}

fn bench_spots(criterion: &mut Criterion, side: usize) {
    let mut random = fastrand::Rng::with_seed(side as u64);
    let image = Array4::from_shape_simple_fn((1, side, side, 1), || random.f32());
    let scores = image
        .index_axis(Axis(0), 0)
        .index_axis_move(Axis(2), 0)
        .to_owned();
    for (name, contrast) in [
        ("min_max_normalize", Contrast::Full),
        ("min_max_normalize, clipped", Contrast::Clipped),
    ] {
        bench(criterion, name, side, || {
            min_max_normalize(image.clone(), contrast)
        });
    }
    let heads = SpotHeads {
        scores: scores.view(),
        row_offsets: scores.view(),
        column_offsets: scores.view(),
    };
    bench(criterion, "spots", side, || {
        SpotPeaks::default().find(&heads)
    });
}
