//! Golden cases of processing operations of model descriptions: a network that gives back what it gets, between them.

use bioimage_model::{Description, Output, Tensor};
use ndarray::ArrayD;
use serde_json::{Value, json};

use crate::cases::{Case, Verdict};
use crate::outcome::{Failure, Outcome, judged, refused};

/// Runs a case of the area; operations that are not built are skipped, and none may be.
pub(crate) fn run(case: &Case) -> Result<Verdict, String> {
    match case.operation.as_str() {
        "bioimageio_processing" => judged(case, process(case)),
        _ => Ok(Verdict::Skipped),
    }
}

fn process(case: &Case) -> Outcome {
    let image = case.input("raw")?.map(|value| value as f32);
    let description = description(case, &image)?;
    let description = Description::parse(description.to_string().as_bytes()).map_err(refused)?;
    let ids = |output: &Output| output.axes.iter().map(|axis| axis.id.clone()).collect();
    let image = Tensor::new(ids(&description.outputs[0]), image).map_err(refused)?;
    let prepared = description.preprocess(image).map_err(refused)?;
    let found = description
        .postprocess(0, prepared.tensor, &prepared.reference)
        .map_err(refused)?;
    Ok(case.agrees("out", found.values())?)
}

/// A description with the operations of the case, and axes like those of the image.
fn description(case: &Case, image: &ArrayD<f32>) -> Result<Value, Failure> {
    let ids = case.params["axes"].as_array().ok_or("no axes")?;
    let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    let axes = |is_input: bool| -> Value {
        let axis = |(&id, &length): (&&str, &usize)| match id {
            "batch" => json!({"type": "batch"}),
            "channel" => {
                let names: Vec<_> = (0..length).map(|channel| channel.to_string()).collect();
                json!({"type": "channel", "channel_names": names})
            }
            id if is_input => json!({"type": "space", "id": id, "size": {"min": 1, "step": 1}}),
            id => {
                json!({"type": "space", "id": id, "size": {"tensor_id": "raw", "axis_id": id}})
            }
        };
        ids.iter().zip(image.shape()).map(axis).collect()
    };
    let (before, behind) = (
        &case.params["preprocessing"],
        &case.params["postprocessing"],
    );
    Ok(json!({
        "format_version": "0.5.12",
        "type": "model",
        "name": case.name,
        "inputs": [{"id": "raw", "axes": axes(true), "preprocessing": before}],
        "outputs": [{"id": "out", "axes": axes(false), "postprocessing": behind}],
        "weights": {"onnx": {"source": "identity.onnx", "opset_version": 17}},
    }))
}
