//! What is done with an image before the network sees it, and with the network's outputs.

use crate::apply::{Numbers, measured, push};
use crate::description::Description;
use crate::error::TensorError;
use crate::layout::fits;
use crate::operation::Operation;
use crate::pipeline::Pipeline;
use crate::statistics::Measured;
use crate::tensor::Tensor;

/// An image as the network takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The image, which may still be larger than the network's input.
    pub tensor: Tensor,
    /// What outputs are held against.
    pub reference: Reference,
}

/// What postprocessing has to know of the unprocessed image: the numbers behind `reference_tensor`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// For each output, for each of its operations.
    measured: Vec<Vec<Option<Measured>>>,
}

impl Description {
    /// Does the preprocessing of a whole image, in the network's order of axes (see [`Input::tensor`]).
    ///
    /// All percentiles, means and deviations are those of the image as it is given, before the first operation, as the
    /// reference has it.
    ///
    /// [`Input::tensor`]: crate::Input::tensor
    ///
    /// # Errors
    ///
    /// [`TensorError::Axes`] or [`TensorError::Length`] if it is not such an image, or lists along y or x do not fit it.
    pub fn preprocess(&self, image: Tensor) -> Result<Prepared, TensorError> {
        let input = &self.input;
        fits(&input.axes, input.channels(), &image)?;
        let operations = &input.preprocessing;
        let own: Vec<_> = operations
            .iter()
            .map(|operation| measured(operation, &image))
            .collect();
        let reference = self.reference(&image);
        let mut pipeline = Pipeline::new(image);
        for (operation, own) in operations.iter().zip(&own) {
            let own = own.as_ref();
            // Its reference can only be this image.
            push(
                &mut pipeline,
                operation,
                Numbers {
                    own,
                    reference: own,
                },
            )?;
        }
        Ok(Prepared {
            tensor: pipeline.finish(),
            reference,
        })
    }

    fn reference(&self, image: &Tensor) -> Reference {
        let of = |operation: &Operation| match operation {
            Operation::ScaleRange(range) if range.reference_tensor.is_none() => None,
            Operation::ScaleRange(_) | Operation::ScaleMeanVariance(_) => {
                measured(operation, image)
            }
            _ => None,
        };
        let outputs = self.outputs.iter();
        Reference {
            measured: outputs
                .map(|output| output.postprocessing.iter().map(of).collect())
                .collect(),
        }
    }

    /// Does the postprocessing of a whole output, up to [`Output::labeling`], which is the caller's.
    ///
    /// Percentiles, means and deviations are those of the tensor as the operation gets it, or of the unprocessed image where
    /// `reference_tensor` says so.
    ///
    /// [`Output::labeling`]: crate::Output::labeling
    ///
    /// # Errors
    ///
    /// [`TensorError::NoOutput`]; [`TensorError::Axes`] or [`TensorError::Length`] if the tensor is not such an output, or does
    /// not go together with the image.
    pub fn postprocess(
        &self,
        output: usize,
        tensor: Tensor,
        reference: &Reference,
    ) -> Result<Tensor, TensorError> {
        let described = self
            .outputs
            .get(output)
            .ok_or(TensorError::NoOutput(output))?;
        fits(&described.axes, described.channels(), &tensor)?;
        let references = reference
            .measured
            .get(output)
            .map_or(&[][..], Vec::as_slice);
        let mut pipeline = Pipeline::new(tensor);
        for (index, operation) in described.postprocessing.iter().enumerate() {
            let reference = references.get(index).and_then(Option::as_ref);
            let own = match operation {
                Operation::ScaleRange(_) if reference.is_some() => None,
                _ => measured(operation, pipeline.so_far()),
            };
            let own = own.as_ref();
            push(&mut pipeline, operation, Numbers { own, reference })?;
        }
        Ok(pipeline.finish())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, arr1};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::sample::good;

    fn tensor(shape: [usize; 4], values: &[f32]) -> Tensor {
        let ids = ["batch", "channel", "y", "x"].map(str::to_owned);
        Tensor::new(
            ids.to_vec(),
            ArrayD::from_shape_vec(shape.to_vec(), values.to_vec()).unwrap(),
        )
        .unwrap()
    }

    /// What operations make of four values in two channels.
    fn before(operations: Value, values: [f32; 4]) -> Vec<f32> {
        let description = good(&[("/inputs/0/preprocessing", operations)]);
        let prepared = description
            .preprocess(tensor([1, 2, 1, 2], &values))
            .unwrap();
        prepared.tensor.values().iter().copied().collect()
    }

    /// What operations make of an output of four values in two channels, for an image of others.
    fn behind(operations: Value, output: [f32; 4], image: [f32; 4]) -> Vec<f32> {
        let description = good(&[("/outputs/0/postprocessing", operations)]);
        let prepared = description
            .preprocess(tensor([1, 2, 1, 2], &image))
            .unwrap();
        let output = tensor([1, 2, 1, 2], &output);
        let found = description
            .postprocess(0, output, &prepared.reference)
            .unwrap();
        found.values().iter().copied().collect()
    }

    fn close(found: &[f32], expected: [f32; 4]) {
        let largest = (arr1(found) - arr1(&expected))
            .iter()
            .fold(0.0, |most: f32, value| most.max(value.abs()));
        assert!(largest < 1e-5, "{found:?} is not {expected:?}");
    }

    #[test]
    fn each_operation_does_what_its_formula_says() {
        let values = [1.0, 3.0, -2.0, 6.0];
        let one = |id: &str, kwargs: Value| before(json!([{"id": id, "kwargs": kwargs}]), values);
        assert_eq!(
            one("clip", json!({"min": 0, "max": 4})),
            [1.0, 3.0, 0.0, 4.0]
        );
        assert_eq!(
            one(
                "clip",
                json!({"max_percentile": 75, "axes": ["channel", "y", "x"]})
            ),
            [1.0, 3.0, -2.0, 3.0]
        );
        assert_eq!(
            one("clip", json!({"max_percentile": 75})),
            [1.0, 3.0, -2.0, 3.75]
        );
        assert_eq!(
            one("scale_linear", json!({"gain": 2, "offset": 1})),
            [3.0, 7.0, -3.0, 13.0]
        );
        assert_eq!(
            one(
                "scale_linear",
                json!({"axis": "channel", "gain": [1, 2], "offset": 1})
            ),
            [2.0, 4.0, -3.0, 13.0]
        );
        assert_eq!(
            one("binarize", json!({"threshold": 1})),
            [0.0, 1.0, 0.0, 1.0]
        );
        assert_eq!(
            one("binarize", json!({"threshold": [0, 6], "axis": "channel"})),
            [1.0, 1.0, 0.0, 0.0]
        );
        close(
            &one("sigmoid", json!({})),
            [0.731_058_6, 0.952_574_1, 0.119_202_92, 0.997_527_4],
        );
        close(
            &one("softmax", json!({"axis": "x"})),
            [0.119_202_92, 0.880_797_1, 0.000_335_350_13, 0.999_664_6],
        );
        close(
            &one("zero_mean_unit_variance", json!({"axes": ["y", "x"]})),
            [-1.0, 1.0, -1.0, 1.0],
        );
        close(
            &one(
                "fixed_zero_mean_unit_variance",
                json!({"mean": 1, "std": 2}),
            ),
            [0.0, 1.0, -1.5, 2.5],
        );
        close(
            &one("scale_range", json!({"axes": ["x"]})),
            [0.0, 1.0, 0.0, 1.0],
        );
        close(&one("scale_range", json!({})), [0.375, 0.625, 0.0, 1.0]);
    }

    #[test]
    fn the_smallness_of_the_description_is_passed_over_as_the_reference_does_it() {
        let scaled = before(
            json!([{"id": "scale_range", "kwargs": {"eps": 0.1}}]),
            [0.0, 1.0, 0.0, 1.0],
        );
        close(&scaled, [0.0, 1.0, 0.0, 1.0]);
        let constant = before(
            json!([{"id": "zero_mean_unit_variance", "kwargs": {"eps": 0.1}}]),
            [5.0; 4],
        );
        assert_eq!(constant, [0.0; 4]);
    }

    #[test]
    fn statistics_of_an_image_are_those_before_its_first_operation() {
        let halved =
            json!([{"id": "scale_linear", "kwargs": {"gain": 0.5}}, {"id": "scale_range"}]);
        close(
            &before(halved, [0.0, 2.0, 4.0, 8.0]),
            [0.0, 0.125, 0.25, 0.5],
        );
    }

    #[test]
    fn statistics_of_an_output_are_those_before_the_operation() {
        let halved =
            json!([{"id": "scale_linear", "kwargs": {"gain": 0.5}}, {"id": "scale_range"}]);
        close(
            &behind(halved, [0.0, 2.0, 4.0, 8.0], [1.0; 4]),
            [0.0, 0.25, 0.5, 1.0],
        );
    }

    #[test]
    fn outputs_are_held_against_the_unprocessed_image() {
        let output = [1.0, 3.0, 10.0, 30.0];
        let image = [0.0, 4.0, 100.0, 300.0];
        let reference = json!({"reference_tensor": "raw", "axes": ["y", "x"]});
        let scaled = behind(
            json!([{"id": "scale_range", "kwargs": reference}]),
            output,
            image,
        );
        close(&scaled, [0.25, 0.75, -0.45, -0.35]);
        let matched = behind(
            json!([{"id": "scale_mean_variance", "kwargs": reference}]),
            output,
            image,
        );
        close(
            &matched
                .iter()
                .map(|value| value / 100.0)
                .collect::<Vec<_>>(),
            [0.0, 0.04, 1.0, 3.0],
        );
        // Also where the network gets something else.
        let description = good(&[
            (
                "/inputs/0/preprocessing",
                json!([{"id": "scale_linear", "kwargs": {"gain": 0}}]),
            ),
            (
                "/outputs/0/postprocessing",
                json!([{"id": "scale_range", "kwargs": reference}]),
            ),
        ]);
        let prepared = description
            .preprocess(tensor([1, 2, 1, 2], &image))
            .unwrap();
        assert!(prepared.tensor.values().iter().all(|value| *value == 0.0));
        let found = description
            .postprocess(0, tensor([1, 2, 1, 2], &output), &prepared.reference)
            .unwrap();
        close(
            &found.values().iter().copied().collect::<Vec<_>>(),
            [0.25, 0.75, -0.45, -0.35],
        );
    }

    #[test]
    fn nothing_is_rounded_between_operations_but_where_the_reference_rounds() {
        // (x - 0) / (range + 1e-6) is a little less than 1, which f32 does not hold.
        let chain = json!([
            {"id": "scale_range"},
            {"id": "scale_linear", "kwargs": {"gain": 255}},
            {"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}},
        ]);
        assert_eq!(
            before(chain, [0.0, 100.0, 50.0, 200.0]),
            [0.0, 127.0, 63.0, 254.0]
        );
        // With numbers of the description alone, the reference works in f32: 0.7 · 10 is 7 there.
        let chain = json!([
            {"id": "scale_linear", "kwargs": {"gain": 10}},
            {"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}},
        ]);
        assert_eq!(before(chain, [0.7, 0.1, 0.0, 1.0]), [7.0, 1.0, 0.0, 10.0]);
    }

    #[test]
    fn batches_are_measured_apart_unless_they_are_named() {
        let image = tensor([2, 2, 1, 1], &[0.0, 1.0, 0.0, 4.0]);
        let with = |axes: Value| {
            let range = json!([{"id": "scale_range", "kwargs": {"axes": axes}}]);
            let prepared = good(&[("/inputs/0/preprocessing", range)])
                .preprocess(image.clone())
                .unwrap();
            prepared.tensor.values().iter().copied().collect::<Vec<_>>()
        };
        close(&with(json!(["channel", "y", "x"])), [0.0, 1.0, 0.0, 1.0]);
        close(
            &with(json!(["batch", "channel", "y", "x"])),
            [0.0, 0.25, 0.0, 1.0],
        );
    }

    #[test]
    fn tensors_that_do_not_fit_are_errors() {
        let description = good(&[(
            "/inputs/0/preprocessing",
            json!([{"id": "scale_linear", "kwargs": {"axis": "x", "gain": [1, 2, 3]}}]),
        )]);
        let error = description
            .preprocess(tensor([1, 2, 1, 2], &[0.0; 4]))
            .unwrap_err();
        assert_eq!(
            error,
            TensorError::Length {
                axis: "x".to_owned(),
                found: 3,
                expected: 2
            }
        );
        let error = description
            .preprocess(tensor([1, 1, 1, 4], &[0.0; 4]))
            .unwrap_err();
        assert_eq!(
            error,
            TensorError::Length {
                axis: "channel".to_owned(),
                found: 1,
                expected: 2
            }
        );
        let description = good(&[]);
        let reference = description
            .preprocess(tensor([1, 2, 1, 2], &[0.0; 4]))
            .unwrap()
            .reference;
        let error = description
            .postprocess(1, tensor([1, 2, 1, 2], &[0.0; 4]), &reference)
            .unwrap_err();
        assert_eq!(error, TensorError::NoOutput(1));
    }

    #[test]
    fn a_reference_of_another_model_is_an_error() {
        let reference = good(&[])
            .preprocess(tensor([1, 2, 1, 2], &[0.0; 4]))
            .unwrap()
            .reference;
        let kwargs = json!({"reference_tensor": "raw"});
        let description = good(&[(
            "/outputs/0/postprocessing",
            json!([{"id": "scale_mean_variance", "kwargs": kwargs}]),
        )]);
        let error = description
            .postprocess(0, tensor([1, 2, 1, 2], &[0.0; 4]), &reference)
            .unwrap_err();
        assert_eq!(error, TensorError::NotMeasured);
    }

    proptest! {
        #[test]
        fn no_value_makes_a_panic(
            values in prop::collection::vec(prop_oneof![any::<f32>(), Just(f32::NAN), Just(f32::INFINITY), Just(0.0)], 4),
            empty in any::<bool>(),
        ) {
            let chain = json!([
                {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}},
                {"id": "scale_range"},
                {"id": "clip", "kwargs": {"min_percentile": 1, "max_percentile": 99}},
                {"id": "softmax"},
                {"id": "sigmoid"},
                {"id": "ensure_dtype", "kwargs": {"dtype": "int32"}},
            ]);
            let description = good(&[("/inputs/0/preprocessing", chain)]);
            let image = if empty { tensor([1, 2, 0, 2], &[]) } else { tensor([1, 2, 1, 2], &values) };
            prop_assert!(description.preprocess(image).is_ok());
        }
    }
}
