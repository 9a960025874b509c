//! Star-convex polygons of any shape: suppression with its exact intersections, painting, and what other programs open.
#![no_main]

mod bound;

use cell_analysis::stardist::{StarPolygons, suppress_ranked};
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;

use bound::within;

/// A few hundred polygons of a few corners each.
const MEMORY: u64 = 64 << 20;

/// Polygons at most: each is held against every other.
const POLYGONS: usize = 200;

fuzz_target!(|bytes: &[u8]| within(MEMORY, bytes, || run(bytes)));

fn run(bytes: &[u8]) {
    let [rays, threshold, unit, rest @ ..] = bytes else { return };
    let rays = 3 + usize::from(*rays % 14);
    // Whole numbers meet in corners and edges, where intersections are hard.
    let unit = [1.0, 0.5, 0.3, f32::NAN, 1e9][usize::from(*unit % 5)];
    let polygons: Vec<_> = rest.chunks_exact(2 + rays).take(POLYGONS).collect();
    let points: Vec<[f32; 2]> = polygons.iter().map(|one| [f32::from(one[0] % 64), f32::from(one[1] % 64)]).collect();
    let distances = Array2::from_shape_fn((polygons.len(), rays), |(polygon, ray)| {
        f32::from(polygons[polygon][2 + ray]) / 8.0 * unit
    });
    let kept = suppress_ranked(&points, distances.view(), f64::from(*threshold) / 255.0);
    if let Ok(kept) = kept {
        assert_eq!(kept.len(), polygons.len());
        assert!(kept.first().is_none_or(|first| *first), "nothing comes before the first");
    }
    let scores = (0..polygons.len()).map(|place| 1.0 / (1.0 + place as f32));
    let polygons = StarPolygons {
        points: points.iter().map(|point| point.map(f64::from)).collect(),
        scores: scores.collect(),
        distances,
        scale: [1.0, 1.0],
    };
    let labels = polygons.labels([64, 64], f32::NEG_INFINITY);
    assert!(labels.iter().all(|label| *label as usize <= polygons.len()));
    for axes in polygons.vertices().outer_iter() {
        let corners: Vec<_> = axes.row(0).iter().zip(axes.row(1)).map(|(y, x)| [*y, *x]).collect();
        let _ = bioimage::imagej_roi::polygon(&corners);
        let _ = bioimage::geojson::write([(corners.as_slice(), 0.5)]);
    }
}
