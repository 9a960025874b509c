//! Reads single operations and their arguments.

use crate::axis::{Axis, AxisKind, Size, axis_id};
use crate::dtype::Dtype;
use crate::operation::{Bound, Clip, Factors, Operation, ScaleMeanVariance, ScaleRange};
use crate::problem::shown;
use crate::reader::{Reader, Spot, or};

/// What the arguments of an operation are held against.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) is_preprocessing: bool,
    /// The tensor's axes.
    pub(crate) axes: &'a [Axis],
    /// The input's name.
    pub(crate) input: &'a str,
    /// The input's axes.
    pub(crate) input_axes: &'a [Axis],
}

/// Every operation, whether it is done or not.
const KNOWN: &str = "binarize, cellpose_flow_dynamics, clip, ensure_dtype, fixed_zero_mean_unit_variance, scale_linear, scale_mean_variance, scale_range, sigmoid, softmax, stardist_postprocessing, zero_mean_unit_variance";

/// Reads an operation that keeps the tensor's shape.
pub(crate) fn read_operation(
    reader: &mut Reader,
    spot: &Spot<'_>,
    name: &str,
    around: Around<'_>,
) -> Option<Operation> {
    let kwargs = &spot.get_or_nothing("kwargs");
    match name {
        "ensure_dtype" => {
            let dtype = reader.need(kwargs, "dtype")?;
            reader.word(&dtype, &Dtype::WORDS).map(Operation::EnsureDtype)
        }
        "clip" => read_clip(reader, kwargs, around).map(Operation::Clip),
        "scale_linear" => read_linear(reader, kwargs, around),
        "sigmoid" => Some(Operation::Sigmoid),
        "softmax" => read_softmax(reader, spot, around),
        "binarize" => need_factors(reader, kwargs, "threshold", around)
            .map(|threshold| Operation::Binarize { threshold }),
        "zero_mean_unit_variance" => read_eps(reader, kwargs)
            .and(read_joint_axes(reader, kwargs, around))
            .map(|axes| Operation::ZeroMeanUnitVariance { axes }),
        "fixed_zero_mean_unit_variance" => read_fixed(reader, kwargs, around),
        "scale_range" => read_scale_range(reader, kwargs, around).map(Operation::ScaleRange),
        "scale_mean_variance" if !around.is_preprocessing => {
            read_scale_mean_variance(reader, kwargs, around).map(Operation::ScaleMeanVariance)
        }
        "scale_mean_variance" => reader.refuse(spot, "`scale_mean_variance` is no preprocessing"),
        "custom" => reader.refuse(
            spot,
            "`custom` runs Python code of the package, which is not supported: take a package whose processing is made of named operations",
        ),
        _ => {
            let name = shown(name);
            reader.refuse(spot, format!("no operation `{name}` is known; known are {KNOWN}"))
        }
    }
}

fn read_linear(reader: &mut Reader, kwargs: &Spot<'_>, around: Around<'_>) -> Option<Operation> {
    let gain = read_factors(reader, kwargs, "gain", around);
    let offset = read_factors(reader, kwargs, "offset", around);
    Some(Operation::ScaleLinear {
        gain: gain?.unwrap_or(Factors::One(1.0)),
        offset: offset?.unwrap_or(Factors::One(0.0)),
    })
}

fn read_softmax(reader: &mut Reader, spot: &Spot<'_>, around: Around<'_>) -> Option<Operation> {
    let named = spot.get("kwargs").and_then(|kwargs| kwargs.get("axis"));
    let at = named.clone().unwrap_or_else(|| spot.clone());
    let axis = or(named, "channel".to_owned(), |axis| axis_id(reader, axis))?;
    along(reader, &at, &axis, around)?;
    Some(Operation::Softmax { axis })
}

fn read_fixed(reader: &mut Reader, kwargs: &Spot<'_>, around: Around<'_>) -> Option<Operation> {
    let mean = need_factors(reader, kwargs, "mean", around);
    let std = need_factors(reader, kwargs, "std", around);
    let (mean, std) = (mean?, std?);
    let is_small = match &std {
        Factors::One(std) => *std < 1e-6,
        Factors::Along { values, .. } => values.iter().any(|std| *std < 1e-6),
    };
    if is_small {
        return reader.refuse(&kwargs.get_or_nothing("std"), "expected at least 1e-6");
    }
    Some(Operation::FixedZeroMeanUnitVariance { mean, std })
}

fn read_clip(reader: &mut Reader, kwargs: &Spot<'_>, around: Around<'_>) -> Option<Clip> {
    let low = read_bound(reader, kwargs, ["min", "min_percentile"]);
    let high = read_bound(reader, kwargs, ["max", "max_percentile"]);
    let axes = read_joint_axes(reader, kwargs, around);
    let clip = Clip {
        low: low?,
        high: high?,
        axes: axes?,
    };
    let is_turned = match (clip.low, clip.high) {
        (None, None) => {
            return reader.refuse(
                kwargs,
                "expected `min`, `max`, `min_percentile` or `max_percentile`",
            );
        }
        (Some(Bound::Value(low)), Some(Bound::Value(high)))
        | (Some(Bound::Percentile(low)), Some(Bound::Percentile(high))) => low >= high,
        _ => false,
    };
    if is_turned {
        return reader.refuse(kwargs, "the lower bound is not below the upper one");
    }
    Some(clip)
}

fn read_bound(
    reader: &mut Reader,
    kwargs: &Spot<'_>,
    [value, percentile]: [&str; 2],
) -> Option<Option<Bound>> {
    match (kwargs.get(value), kwargs.get(percentile)) {
        (Some(_), Some(_)) => reader.refuse(
            kwargs,
            format!("`{value}` and `{percentile}` are both there"),
        ),
        (Some(spot), None) => reader
            .number(&spot)
            .map(|number| Some(Bound::Value(number))),
        (None, Some(spot)) => {
            read_percentile(reader, &spot).map(|number| Some(Bound::Percentile(number)))
        }
        (None, None) => Some(None),
    }
}

fn read_percentile(reader: &mut Reader, spot: &Spot<'_>) -> Option<f64> {
    let number = reader.number(spot)?;
    if (0.0..=100.0).contains(&number) {
        return Some(number);
    }
    reader.refuse(spot, format!("expected 0 to 100, found {number}"))
}

fn read_scale_range(
    reader: &mut Reader,
    kwargs: &Spot<'_>,
    around: Around<'_>,
) -> Option<ScaleRange> {
    read_eps(reader, kwargs)?;
    let low = or(kwargs.get("min_percentile"), 0.0, |spot| {
        read_percentile(reader, spot)
    });
    let high = or(kwargs.get("max_percentile"), 100.0, |spot| {
        read_percentile(reader, spot)
    });
    let axes = read_joint_axes(reader, kwargs, around);
    let reference_tensor = or(kwargs.get("reference_tensor"), None, |spot| {
        read_reference(reader, spot, around).map(Some)
    });
    let percentiles = [low?, high?];
    let (axes, reference_tensor) = (axes?, reference_tensor?);
    if percentiles[0] >= percentiles[1] {
        return reader.refuse(kwargs, "`min_percentile` is not below `max_percentile`");
    }
    if reference_tensor.is_some() {
        fits_reference(reader, kwargs, axes.as_deref(), around)?;
    }
    Some(ScaleRange {
        axes,
        percentiles,
        reference_tensor,
    })
}

fn read_scale_mean_variance(
    reader: &mut Reader,
    kwargs: &Spot<'_>,
    around: Around<'_>,
) -> Option<ScaleMeanVariance> {
    let eps = read_eps(reader, kwargs);
    let axes = read_joint_axes(reader, kwargs, around);
    let reference_tensor = reader
        .need(kwargs, "reference_tensor")
        .and_then(|spot| read_reference(reader, &spot, around));
    let axes = axes?;
    fits_reference(reader, kwargs, axes.as_deref(), around)?;
    Some(ScaleMeanVariance {
        axes,
        eps: eps?,
        reference_tensor: reference_tensor?,
    })
}

fn read_eps(reader: &mut Reader, kwargs: &Spot<'_>) -> Option<f64> {
    or(kwargs.get("eps"), 1e-6, |spot| reader.positive(spot))
}

fn read_reference(reader: &mut Reader, spot: &Spot<'_>, around: Around<'_>) -> Option<String> {
    let id = reader.text(spot)?;
    if id == around.input {
        return Some(id);
    }
    let (id, input) = (shown(&id), shown(around.input));
    reader.refuse(
        spot,
        format!("no input `{id}`: the input is called `{input}`"),
    )
}

/// What a reference is measured apart for has to be in the tensor, too.
fn fits_reference(
    reader: &mut Reader,
    kwargs: &Spot<'_>,
    axes: Option<&[String]>,
    around: Around<'_>,
) -> Option<()> {
    let Some(axes) = axes else { return Some(()) };
    let find = |axes: &'_ [Axis], id: &str| axes.iter().find(|axis| axis.id == id).cloned();
    for id in axes {
        if find(around.input_axes, id).is_none() {
            let (id, input) = (shown(id), shown(around.input));
            return reader.refuse(
                kwargs,
                format!("the reference `{input}` has no axis `{id}`"),
            );
        }
    }
    for axis in around
        .input_axes
        .iter()
        .filter(|axis| !axes.contains(&axis.id))
    {
        let own = find(around.axes, &axis.id);
        let is_same = |own: Axis| axis.kind != AxisKind::Channel || own.size == axis.size;
        if !own.is_some_and(is_same) {
            let id = shown(&axis.id);
            let message = format!(
                "the reference is measured apart along `{id}`, which the tensor does not have in the same length: add it to `axes`"
            );
            return reader.refuse(kwargs, message);
        }
    }
    Some(())
}

/// `axes`: those whose values are measured together; nothing stands for all.
fn read_joint_axes(
    reader: &mut Reader,
    kwargs: &Spot<'_>,
    around: Around<'_>,
) -> Option<Option<Vec<String>>> {
    let Some(spot) = kwargs.get("axes") else {
        return Some(None);
    };
    let axes = reader.each(&spot, |reader, item| {
        let id = axis_id(reader, item)?;
        has_axis(reader, item, &id, around)?;
        Some(id)
    })?;
    if axes.is_empty() {
        return reader.refuse(&spot, "expected at least one axis");
    }
    if (1..axes.len()).any(|index| axes[..index].contains(&axes[index])) {
        return reader.refuse(&spot, "an axis is there twice");
    }
    Some(Some(axes))
}

fn has_axis<'a>(
    reader: &mut Reader,
    spot: &Spot<'_>,
    id: &str,
    around: Around<'a>,
) -> Option<&'a Axis> {
    let axis = around.axes.iter().find(|axis| axis.id == id);
    if axis.is_none() {
        let ids: Vec<_> = around.axes.iter().map(|axis| shown(&axis.id)).collect();
        let (id, ids) = (shown(id), ids.join(", "));
        return reader.refuse(spot, format!("no axis `{id}`: the tensor has {ids}"));
    }
    axis
}

/// An axis along which values may differ.
fn along<'a>(
    reader: &mut Reader,
    spot: &Spot<'_>,
    id: &str,
    around: Around<'a>,
) -> Option<&'a Axis> {
    let axis = has_axis(reader, spot, id, around)?;
    if axis.kind == AxisKind::Batch {
        return reader.refuse(spot, "the batch axis cannot be used here");
    }
    Some(axis)
}

fn need_factors(
    reader: &mut Reader,
    kwargs: &Spot<'_>,
    name: &str,
    around: Around<'_>,
) -> Option<Factors> {
    reader.need(kwargs, name)?;
    read_factors(reader, kwargs, name, around)?
}

/// A number, or a list along `axis`.
fn read_factors(
    reader: &mut Reader,
    kwargs: &Spot<'_>,
    name: &str,
    around: Around<'_>,
) -> Option<Option<Factors>> {
    let Some(spot) = kwargs.get(name) else {
        return Some(None);
    };
    if !spot.is_list() {
        return reader
            .number(&spot)
            .map(|number| Some(Factors::One(number)));
    }
    let values = reader.each(&spot, Reader::number)?;
    let Some(at) = kwargs.get("axis") else {
        return reader.refuse(&spot, "a list needs an `axis` beside it");
    };
    let id = axis_id(reader, &at)?;
    let axis = along(reader, &at, &id, around)?;
    let found = values.len();
    match axis.size {
        Size::Fixed(size) if size != found => {
            let id = shown(&id);
            reader.refuse(
                &spot,
                format!("{found} values for {size} places along `{id}`"),
            )
        }
        _ if found == 0 => reader.refuse(&spot, "expected at least one number"),
        _ => Some(Some(Factors::Along { axis: id, values })),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::operation::{Bound, Clip, Factors, Operation};
    use crate::sample::{good, refused};

    fn one(operation: Value) -> Operation {
        let description = good(&[("/outputs/0/postprocessing", json!([operation]))]);
        description.outputs[0].postprocessing[0].clone()
    }

    #[test]
    fn arguments_have_the_names_and_the_defaults_of_the_format() {
        let axes = Some(vec!["y".to_owned(), "x".to_owned()]);
        let clip = one(
            json!({"id": "clip", "kwargs": {"min": 3, "max_percentile": 99.8, "axes": ["y", "x"]}}),
        );
        let expected = Clip {
            low: Some(Bound::Value(3.0)),
            high: Some(Bound::Percentile(99.8)),
            axes,
        };
        assert_eq!(clip, Operation::Clip(expected));
        assert_eq!(one(json!({"id": "sigmoid"})), Operation::Sigmoid);
        let softmax = Operation::Softmax {
            axis: "channel".to_owned(),
        };
        assert_eq!(one(json!({"id": "softmax"})), softmax);
        assert_eq!(
            one(json!({"id": "softmax", "kwargs": {"axis": "c"}})),
            softmax
        );
        let linear =
            one(json!({"id": "scale_linear", "kwargs": {"axis": "channel", "gain": [1, 2]}}));
        let gain = Factors::Along {
            axis: "channel".to_owned(),
            values: vec![1.0, 2.0],
        };
        assert_eq!(
            linear,
            Operation::ScaleLinear {
                gain,
                offset: Factors::One(0.0)
            }
        );
        let range = one(json!({"id": "scale_range"}));
        assert!(
            matches!(range, Operation::ScaleRange(range) if range.percentiles == [0.0, 100.0] && range.axes.is_none())
        );
        let zero = one(json!({"id": "zero_mean_unit_variance"}));
        assert_eq!(zero, Operation::ZeroMeanUnitVariance { axes: None });
    }

    #[test]
    fn operations_that_cannot_be_done_are_refused_with_their_place() {
        let cases: Vec<(&str, Value, &str)> = vec![
            (
                "",
                json!({"id": "custom", "callable": "f", "source": "f.py"}),
                "Python code",
            ),
            (
                "",
                json!({"id": "blur"}),
                "no operation `blur` is known; known are binarize",
            ),
            (".id", json!({"kwargs": {}}), "missing"),
            (".kwargs.dtype", json!({"id": "ensure_dtype"}), "missing"),
            (
                ".kwargs.dtype",
                json!({"id": "ensure_dtype", "kwargs": {"dtype": "half"}}),
                "`half` is none of float32",
            ),
            (".kwargs", json!({"id": "clip"}), "expected `min`, `max`"),
            (
                ".kwargs",
                json!({"id": "clip", "kwargs": {"min": 1, "min_percentile": 1}}),
                "are both there",
            ),
            (
                ".kwargs",
                json!({"id": "clip", "kwargs": {"min": 1, "max": 1}}),
                "not below the upper",
            ),
            (
                ".kwargs.max_percentile",
                json!({"id": "clip", "kwargs": {"max_percentile": 101}}),
                "expected 0 to 100",
            ),
            (
                ".kwargs.axis",
                json!({"id": "softmax", "kwargs": {"axis": "z"}}),
                "no axis `z`: the tensor has batch, channel, y, x",
            ),
            (
                ".kwargs.axis",
                json!({"id": "softmax", "kwargs": {"axis": "batch"}}),
                "batch axis",
            ),
            (
                ".kwargs.gain",
                json!({"id": "scale_linear", "kwargs": {"gain": [1, 2]}}),
                "needs an `axis`",
            ),
            (
                ".kwargs.gain",
                json!({"id": "scale_linear", "kwargs": {"axis": "c", "gain": [1, 2, 3]}}),
                "3 values for 2 places",
            ),
            (
                ".kwargs.gain",
                json!({"id": "scale_linear", "kwargs": {"gain": "big"}}),
                "expected a number, found a text",
            ),
            (".kwargs.threshold", json!({"id": "binarize"}), "missing"),
            (
                ".kwargs.std",
                json!({"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 1, "std": 0}}),
                "at least 1e-6",
            ),
            (
                ".kwargs",
                json!({"id": "scale_range", "kwargs": {"min_percentile": 60, "max_percentile": 50}}),
                "is not below",
            ),
            (
                ".kwargs.reference_tensor",
                json!({"id": "scale_range", "kwargs": {"reference_tensor": "out"}}),
                "the input is called `raw`",
            ),
            (
                ".kwargs.reference_tensor",
                json!({"id": "scale_mean_variance"}),
                "missing",
            ),
            (
                ".kwargs.axes",
                json!({"id": "zero_mean_unit_variance", "kwargs": {"axes": []}}),
                "at least one axis",
            ),
            (
                ".kwargs.axes",
                json!({"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "y"]}}),
                "twice",
            ),
            (
                ".kwargs.axes[0]",
                json!({"id": "zero_mean_unit_variance", "kwargs": {"axes": ["z"]}}),
                "no axis `z`",
            ),
            (
                ".kwargs.eps",
                json!({"id": "zero_mean_unit_variance", "kwargs": {"eps": 0}}),
                "above 0",
            ),
        ];
        for (behind, operation, message) in cases {
            let told = refused(&[(
                "/outputs/0/postprocessing",
                json!([{"id": "sigmoid"}, operation]),
            )]);
            let place = format!("outputs[0].postprocessing[1]{behind}: ");
            let is_told = told
                .strip_prefix(&place)
                .is_some_and(|rest| rest.contains(message));
            assert!(
                is_told,
                "{operation}: expected {place}…{message}…, found\n{told}"
            );
        }
    }

    #[test]
    fn what_belongs_behind_the_network_is_refused_before_it() {
        for id in [
            "scale_mean_variance",
            "stardist_postprocessing",
            "cellpose_flow_dynamics",
        ] {
            let told = refused(&[("/inputs/0/preprocessing", json!([{"id": id}]))]);
            assert_eq!(
                told,
                format!("inputs[0].preprocessing[0]: `{id}` is no preprocessing")
            );
        }
    }

    #[test]
    fn a_reference_that_is_measured_apart_has_to_go_together_with_the_output() {
        let three = json!({"type": "channel", "channel_names": ["a", "b", "c"]});
        let range = |axes: Value| json!([{"id": "scale_range", "kwargs": {"reference_tensor": "raw", "axes": axes}}]);
        let told = refused(&[
            ("/outputs/0/axes/1", three.clone()),
            ("/outputs/0/postprocessing", range(json!(["y", "x"]))),
        ]);
        assert!(told.contains("apart along `channel`"), "{told}");
        good(&[
            ("/outputs/0/axes/1", three),
            (
                "/outputs/0/postprocessing",
                range(json!(["channel", "y", "x"])),
            ),
        ]);
    }
}
