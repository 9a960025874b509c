use ndarray::Array2;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::strategies;

/// The light that the recorded cases have: computed, not stored.
fn light(shape: [usize; 2]) -> [Array2<f32>; 2] {
    let first = Array2::from_shape_fn(shape, |(row, column)| {
        ((7 * row + 13 * column + row * column) % 101) as f32
    });
    let second = first.mapv(|value| value * value);
    [first, second]
}

fn numbers(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().expect("a list").iter();
    numbers
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

fn labels_of(case: &Value) -> Array2<u32> {
    let shape = numbers(&case["shape"]);
    let runs = case["runs"].as_array().expect("runs").iter().map(numbers);
    let pixels = runs.flat_map(|run| vec![run[0] as u32; run[1] as usize]);
    Array2::from_shape_vec((shape[0] as usize, shape[1] as usize), pixels.collect())
        .expect("all pixels")
}

#[test]
fn regions_are_those_of_scikit_image() {
    let text = include_str!("../../tests/fixtures/regions/cases.json");
    let recorded: Value = serde_json::from_str(text).expect("JSON");
    let cases = recorded["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 14);
    for case in cases {
        let labels = labels_of(case);
        let light = light([labels.nrows(), labels.ncols()]);
        let found = measure_regions(labels.view(), &[light[0].view(), light[1].view()]);
        let expected = case["regions"].as_array().expect("a list");
        assert_eq!(found.regions.len(), expected.len(), "{}", case["name"]);
        for (at, expected) in expected.iter().enumerate() {
            agree(&found, at, expected, &case["name"]);
        }
    }
}

fn agree(found: &Regions, at: usize, expected: &Value, name: &Value) {
    let region = &found.regions[at];
    let number = |field: &str| expected[field].as_f64().expect("a number");
    let near = |found: f64, expected: f64, what: &str| {
        let tolerance = 1e-9 * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= tolerance,
            "{name}, {region:?}: {what} {expected}"
        );
    };
    assert_eq!(f64::from(region.label), number("label"), "{name}");
    assert_eq!(region.area as f64, number("area"), "{name}");
    let corners = [
        region.rows.start,
        region.columns.start,
        region.rows.end,
        region.columns.end,
    ];
    assert_eq!(
        corners.map(|corner| corner as f64).to_vec(),
        numbers(&expected["bbox"]),
        "{name}"
    );
    assert_eq!(
        region.convex_area as f64,
        number("convex_area"),
        "{name}, {region:?}"
    );
    near(region.solidity(), number("solidity"), "solidity");
    near(region.perimeter, number("perimeter"), "perimeter");
    // A root near zero loses half of the digits.
    let squares = [region.eccentricity, number("eccentricity")].map(|value| value * value);
    near(squares[0], squares[1], "eccentricity");
    for (axis, expected) in numbers(&expected["centroid"]).into_iter().enumerate() {
        near(region.centroid[axis], expected, "centroid");
    }
    for (channel, expected) in numbers(&expected["mean"]).into_iter().enumerate() {
        near(found.mean_intensity(at, channel), expected, "mean");
    }
}

/// Pixels in the hull of a region, from the definition: those for which every line through two of the hull's points that has
/// all points on one side has the pixel there too.
fn slow_hull(labels: &Array2<u32>, label: u32) -> u64 {
    let mut points = Vec::new();
    for ((row, column), _) in labels.indexed_iter().filter(|(_, value)| **value == label) {
        let [row, column] = [2 * row as i64, 2 * column as i64];
        points.extend([
            [row - 1, column],
            [row + 1, column],
            [row, column - 1],
            [row, column + 1],
        ]);
    }
    points.sort_unstable();
    points.dedup();
    let side = |a: [i64; 2], b: [i64; 2], p: [i64; 2]| {
        (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
    };
    let mut edges = Vec::new();
    for &a in &points {
        for &b in points.iter().filter(|b| **b != a) {
            if points.iter().all(|&p| side(a, b, p) >= 0) {
                edges.push((a, b));
            }
        }
    }
    let inside = |(row, column): (usize, usize)| {
        let place = [2 * row as i64, 2 * column as i64];
        edges.iter().all(|&(a, b)| side(a, b, place) >= 0)
    };
    labels
        .indexed_iter()
        .filter(|(place, _)| inside(*place))
        .count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn hulls_have_the_pixels_of_their_definition(labels in strategies::labels(9)) {
        for region in measure_regions(labels.view(), &[]).regions {
            prop_assert_eq!(region.convex_area, slow_hull(&labels, region.label), "label {}", region.label);
            prop_assert!(region.solidity() > 0.0 && region.solidity() <= 1.0);
        }
    }

    #[test]
    fn sums_and_borders_are_those_of_the_pixels(labels in strategies::labels(14), spread in 1_u32..2_000_000_000) {
        let labels = labels.mapv(|label| if label == 3 { spread + 2 } else { label });
        let light = light([labels.nrows(), labels.ncols()]);
        let found = measure_regions(labels.view(), &[light[1].view(), light[0].view()]);
        let mut all: Vec<u32> = labels.iter().copied().filter(|label| *label != 0).collect();
        all.sort_unstable();
        all.dedup();
        let measured: Vec<u32> = found.regions.iter().map(|region| region.label).collect();
        prop_assert_eq!(measured, all);
        for (at, region) in found.regions.iter().enumerate() {
            let pixels: Vec<_> = labels.indexed_iter().filter(|(_, label)| **label == region.label).collect();
            let sum = |plane: &Array2<f32>| pixels.iter().map(|(place, _)| f64::from(plane[*place])).sum::<f64>();
            prop_assert_eq!(region.area, pixels.len());
            prop_assert_eq!([found.integrated[[at, 0]], found.integrated[[at, 1]]], [sum(&light[1]), sum(&light[0])]);
            let (rows, columns) = labels.dim();
            let touches = pixels.iter().any(|((row, column), _)| {
                *row == 0 || *column == 0 || *row + 1 == rows || *column + 1 == columns
            });
            prop_assert_eq!(region.touches_border, touches);
        }
    }
}

#[test]
fn any_layout_gives_the_same_and_nothing_gives_nothing() {
    let labels = Array2::from_shape_fn((9, 13), |(row, column)| (row / 3 * 5 + column / 4) as u32);
    let light = light([9, 13]);
    let found = measure_regions(labels.view(), &[light[0].view()]);
    let turned = labels.t().as_standard_layout().into_owned();
    let same = measure_regions(turned.t(), &[light[0].view()]);
    assert_eq!(found, same);
    for shape in [(0, 0), (0, 5), (5, 0), (3, 3)] {
        let none = measure_regions(Array2::zeros(shape).view(), &[Array2::zeros(shape).view()]);
        assert_eq!((none.regions.len(), none.integrated.dim()), (0, (0, 1)));
    }
}
