use ndarray::{Array2, array};
use proptest::prelude::*;

use super::numbers::{rounded, share};
use super::*;
use crate::strategies;

fn quality(labels: &Array2<u32>, image: &Array2<f32>, most: Option<f32>) -> Quality {
    Quality::of(labels.view(), &ImageQuality::of(image.view(), most))
}

/// Disks of the light `inside` on a background of 100 ± 4.
fn scene(inside: f32) -> (Array2<u32>, Array2<f32>) {
    let labels = Array2::from_shape_fn((120, 160), |(row, column)| {
        let near = ((row % 40) as f64 - 20.0).hypot((column % 40) as f64 - 20.0) < 9.0;
        if near {
            (1 + row / 40 * 4 + column / 40) as u32
        } else {
            0
        }
    });
    let image = Array2::from_shape_fn(labels.dim(), |place| {
        let noise = ((place.0 * 31 + place.1 * 17) % 9) as f32 - 4.0;
        if labels[place] == 0 {
            100.0 + noise
        } else {
            inside + noise
        }
    });
    (labels, image)
}

#[test]
fn an_ordinary_image_has_no_flags() {
    let (labels, image) = scene(150.0);
    let quality = quality(&labels, &image, Some(255.0));
    assert_eq!(
        (quality.cells, quality.area, quality.border),
        (12, [249; 3], 0.0)
    );
    assert_eq!((quality.cover, quality.largest), (0.156, 0.013));
    assert_eq!(quality.contrast, Some(25.0), "50 over a deviation of 2");
    assert_eq!(quality.sat, Some(0.0));
    assert_eq!(quality.flags(&QualityThresholds::default(), None), []);
    let text = quality.to_json();
    assert!(
        text.starts_with(r#"{"cells":12,"area":[249,249,249],"cover":0.156,"#),
        "{text}"
    );
    assert_eq!(
        serde_json::from_str::<Quality>(&text).expect("our own"),
        quality
    );
}

#[test]
fn flags_name_the_numbers_that_raised_them() {
    let texts = |quality: &Quality, batch: Option<&BatchMedians>| -> Vec<String> {
        let flags = quality.flags(&QualityThresholds::default(), batch);
        flags.into_iter().map(|flag| flag.text).collect()
    };
    let (labels, dim) = scene(102.0);
    assert_eq!(
        texts(&quality(&labels, &dim, None), None),
        ["low contrast: 1"]
    );
    let (_, bright) = scene(300.0);
    let bright = quality(&labels, &bright, Some(255.0));
    assert_eq!(texts(&bright, None), ["saturated: 15.6 % of the pixels"]);
    let nothing = quality(&Array2::zeros(dim.dim()), &dim, None);
    assert_eq!(nothing.contrast, None);
    let usual = BatchMedians {
        cells: 40.0,
        cells_deviation: 3.0,
        focus: Some(1000.0),
    };
    let found = texts(&nothing, Some(&usual));
    assert_eq!(
        found[..2],
        ["no cells", "very few cells: 0, the batch's median is 40"]
    );
    assert!(
        found[2].starts_with("out of focus: ") && found.len() == 3,
        "{found:?}"
    );
    assert_eq!(usual.distance(&nothing), 40.0 / 3.0);

    let mut odd = Array2::zeros((10, 10));
    odd.rows_mut()
        .into_iter()
        .take(5)
        .for_each(|mut row| row.fill(1));
    [2, 3].iter().for_each(|&at| odd[[7, at as usize * 2]] = at);
    let odd = quality(&odd, &Array2::zeros((10, 10)), None);
    assert_eq!((odd.area, odd.huge, odd.largest), ([1, 1, 50], 1, 0.5));
    assert_eq!(texts(&odd, None), ["one huge region: 50 % of the image"]);
}

#[test]
fn fragments_cuts_and_crowds_are_flagged() {
    let quality = Quality {
        cells: 100,
        tiny: 21,
        border: 0.51,
        ..Quality::default()
    };
    let usual = BatchMedians {
        cells: 24.0,
        ..BatchMedians::default()
    };
    let flags = quality.flags(&QualityThresholds::default(), Some(&usual));
    let flags: Vec<_> = flags.iter().map(|flag| flag.flag).collect();
    assert_eq!(
        flags,
        [
            QualityFlag::ManyCells,
            QualityFlag::Fragments,
            QualityFlag::CutCells
        ]
    );
    let tolerant = "many=5, fragments=0.3,cut=0.9".parse().expect("thresholds");
    assert_eq!(quality.flags(&tolerant, Some(&usual)), []);
    for (wrong, why) in [
        ("cuts=1", "`cuts` is not known"),
        ("cut=x", "expected cut=NUMBER"),
        ("cut", "NUMBER"),
    ] {
        let error = wrong.parse::<QualityThresholds>().expect_err(wrong);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn medians_of_a_batch_are_those_of_its_results() {
    let of = |cells, focus| Quality {
        cells,
        focus,
        ..Quality::default()
    };
    let batch = [
        of(4, Some(0.5)),
        of(10, None),
        of(12, Some(0.7)),
        of(40, Some(0.1)),
        of(11, None),
    ];
    let usual = BatchMedians::of(&batch).expect("five results");
    assert_eq!(
        (usual.cells, usual.cells_deviation, usual.focus),
        (11.0, 1.0, Some(0.5))
    );
    assert_eq!(BatchMedians::of(&[]), None);
}

#[test]
fn blur_lowers_the_focus_and_odd_values_leave_it_out() {
    let sharp = Array2::from_shape_fn((64, 64), |(row, column)| {
        f32::from((row / 4 + column / 4) % 2 == 0)
    });
    let blurred = crate::segmentation::gaussian_filter(sharp.view(), 2.0);
    let focus = |image: &Array2<f32>| ImageQuality::of(image.view(), None).focus();
    let [sharp, blurred] = [&sharp, &blurred].map(|image| focus(image).expect("there is light"));
    assert!(blurred < 0.2 * sharp, "{blurred} {sharp}");
    assert_eq!(focus(&Array2::from_elem((64, 64), 7.0)), None);
    assert_eq!(focus(&Array2::from_elem((64, 64), f32::NAN)), None);
    assert_eq!(focus(&Array2::zeros((2, 9))), None);
}

#[test]
fn noise_has_the_focus_that_follows_from_its_independence() {
    let noise = Array2::from_shape_fn((1500, 1400), |(row, column)| {
        let mixed = ((row * 1400 + column) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        60_000.0 + ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as f32
    });
    let focus = ImageQuality::of(noise.view(), None)
        .focus()
        .expect("there is light");
    assert!(
        (focus - 20.0).abs() < 0.3,
        "four neighbors, and 4² for the pixel: {focus}"
    );
}

#[test]
fn the_largest_numbers_fit_into_300_bytes() {
    let most = Quality {
        cells: 1_000_000_000,
        area: [usize::MAX; 3],
        tiny: 1_000_000_000,
        huge: 1_000_000_000,
        cover: 1.23e-12,
        border: 1.23e-12,
        largest: 1.23e-12,
        contrast: Some(-1.23e-300),
        sat: Some(1.23e-12),
        focus: Some(-1.23e-300),
    };
    assert!(most.to_json().len() <= 300, "{}", most.to_json().len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn counts_are_those_of_the_regions(labels in strategies::labels(14), light in strategies::plane(14)) {
        let light = Array2::from_shape_fn(labels.dim(), |(row, column)| {
            light.get([row % light.nrows(), column % light.ncols()]).copied().unwrap_or(0.0)
        });
        let found = quality(&labels, &light, Some(0.5));
        let regions = crate::regions::measure_regions(labels.view(), &[]).regions;
        let touching = regions.iter().filter(|region| region.touches_border).count();
        prop_assert_eq!(found.cells, regions.len());
        prop_assert_eq!(found.border, share(touching as f64, regions.len() as f64));
        prop_assert_eq!(found.cover, share(regions.iter().map(|region| region.area).sum::<usize>() as f64, labels.len() as f64));
        let saturated = light.iter().filter(|value| **value >= 0.5).count();
        prop_assert_eq!(found.sat, Some(share(saturated as f64, labels.len() as f64)));
        prop_assert!(found.area.is_sorted() && found.to_json().len() <= 300);
        // All pixels of so small an image are in the sample.
        prop_assert_eq!(found.contrast, slow_contrast(&labels, &light).map(rounded));
    }
}

fn slow_contrast(labels: &Array2<u32>, light: &Array2<f32>) -> Option<f64> {
    let of = |inside: bool| -> Vec<f32> {
        let pixels = labels.iter().zip(light);
        pixels
            .filter(|(label, _)| (**label != 0) == inside)
            .map(|(_, value)| *value)
            .collect()
    };
    let median = |mut values: Vec<f32>| {
        values.sort_unstable_by(f32::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let (inside, outside) = (median(of(true))?, median(of(false))?);
    let deviation = f64::from(median(
        of(false)
            .iter()
            .map(|value| (value - outside).abs())
            .collect(),
    )?);
    let contrast = (f64::from(inside) - f64::from(outside)) / deviation;
    contrast.is_finite().then_some(contrast)
}

#[test]
fn no_pixels_are_no_cells() {
    let none = quality(&Array2::zeros((0, 3)), &Array2::zeros((0, 3)), Some(1.0));
    assert_eq!(none, Quality::default());
    let one = quality(&array![[4]], &array![[f32::NAN]], None);
    assert_eq!(
        (one.cells, one.cover, one.border, one.contrast),
        (1, 1.0, 1.0, None)
    );
}
