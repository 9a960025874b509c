//! Descriptions as the library itself writes them: those of `scripts/make-bioimageio-packages`.

use bioimage_model::{Description, Dtype, Labeling, Operation, TilePlan, WeightsFormat};
use ndarray::Array3;

fn description(name: &str) -> Description {
    let path = format!("{}/tests/rdf/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    Description::parse(&std::fs::read(path).expect("a description")).expect("a good description")
}

#[test]
fn a_package_of_stars_is_read() {
    let stars = description("nuclei-stars");
    let [
        Operation::EnsureDtype(_),
        Operation::ScaleRange(range),
        Operation::EnsureDtype(_),
    ] = &stars.input.preprocessing[..]
    else {
        panic!("{:?}", stars.input.preprocessing)
    };
    assert_eq!(range.percentiles, [1.0, 99.8]);
    let output = &stars.outputs[0];
    let Some(Labeling::StarDist(star)) = &output.labeling else {
        panic!("{:?}", output.labeling)
    };
    assert_eq!((star.prob_threshold, star.nms_threshold), (0.45, 0.3));
    assert_eq!((output.dtype, output.channels()), (Dtype::Uint16, 33));
    // The heads are at half size, and the halo is told in pixels of the labels.
    let plan = TilePlan::smallest(&stars, [256, 320]).expect("a plan");
    assert_eq!(plan.input_shape(), [1, 160, 160, 1]);
    assert_eq!(plan.output_shape(0), Some(vec![1, 80, 80, 33]));
    let tile = plan.tile(0).expect("a tile");
    assert_eq!(tile.origin, [-48, -48]);
    assert_eq!(tile.parts[0].from, [24..56, 24..56]);
    assert_eq!(plan.described_shape(0), Some([256, 320]));
}

#[test]
fn a_package_of_two_maps_is_read() {
    let maps = description("nuclei-watershed");
    let outputs: Vec<_> = maps
        .outputs
        .iter()
        .map(|output| output.id.as_str())
        .collect();
    assert_eq!(outputs, ["inner", "outer"]);
    let weights = &maps.weights[0];
    assert_eq!(
        (weights.format, weights.opset_version),
        (WeightsFormat::Onnx, Some(18))
    );
    assert!(weights.file.sha256.is_some() && maps.outputs[1].test_tensor.is_some());
    assert_eq!(maps.tolerances.of(weights.format, "inner").relative, 1e-3);
}

#[test]
fn every_operation_is_done_around_a_network() {
    let all = description("operations");
    let image = Array3::from_shape_fn((50, 70, 2), |(row, column, channel)| {
        (row * column + channel) as f32
    });
    let image = all
        .input
        .tensor(image.view())
        .expect("an image of two channels");
    let prepared = all.preprocess(image).expect("an image");
    assert!(
        prepared
            .tensor
            .values()
            .iter()
            .all(|value| value.is_finite())
    );
    let plan = TilePlan::within(&all, [50, 70], 1 << 20).expect("a plan");
    // A crop of one pixel and a halo of two of the half size are six pixels of the image.
    assert_eq!((plan.tile_shape(), plan.count()), ([80, 88], 1));
    assert_eq!(plan.output_shape(0), Some(vec![1, 38, 42, 2]));
    for output in 0..2 {
        let canvas = plan.canvas(output).expect("an output");
        let found = all.postprocess(output, canvas, &prepared.reference);
        let found = found.expect("an output of zeros");
        assert!(found.values().iter().all(|value| value.is_finite()));
    }
    assert_eq!(all.outputs[1].channels(), 3);
}
