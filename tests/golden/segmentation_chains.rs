//! Golden cases of whole predictions, and of the rules between a job's fields and a model.
//!
//! The stand-in models are served over gRPC, so that a case passes through the client, the tensors and the batching too.

use bioimage::{AxesError, ModelInput, detect_dimension_order, to_bxyc, validate_model_input};
use cell_analysis::segmentation::{DeepWatershed, PadMode};
use ndarray::{Array4, ArrayD};
use redis_consumer::applications::{Application, Compartment, Model, scale_and_type};
use redis_consumer::serving::{Client, Input, Method, ModelServer, ServingSettings, Signature};
use redis_consumer::settings::{Env, Loader};
use serde_json::{Value, json};

use crate::cases::{Case, Verdict};
use crate::peers::exact_models;
use crate::segmentation_kernels::parameters;

const MODEL: &str = "StandIn:0";

/// Runs a chain's case; other operations are skipped.
pub(crate) fn run(case: &Case, runtime: &tokio::runtime::Runtime) -> Result<Verdict, String> {
    match case.operation.as_str() {
        "predict_nuclear" => runtime.block_on(predict_cells(case, Application::nuclear()))?,
        "predict_mesmer" => {
            let compartment = case.params["compartment"]
                .as_str()
                .ok_or("the case names no compartment")?;
            let compartment: Compartment = compartment.parse()?;
            runtime.block_on(predict_cells(case, Application::mesmer(compartment)))?;
        }
        "predict_cytoplasm" => runtime.block_on(predict_cells(case, Application::cytoplasm()))?,
        "predict_scale" => runtime.block_on(predict_scale(case))?,
        "predict_label" => runtime.block_on(predict_label(case))?,
        "scale_rule" => case.agrees_json("rows", &rows(case, scale_rule)?)?,
        "batch_size" => case.agrees_json("rows", &rows(case, batch_size)?)?,
        "validate_model_input" => {
            case.agrees_json("rows", &rows(case, |row| validate(case, row))?)?
        }
        "image_dimensions_to_bxyc" => case.agrees_json("rows", &rows(case, dimensions)?)?,
        _ => return Ok(Verdict::Skipped),
    }
    Ok(Verdict::Passed)
}

async fn predict_cells(case: &Case, mut application: Application) -> Result<(), String> {
    application.model_mpp = case.number("model_mpp")?;
    application.pad = if case.params["pad_mode"] == "constant" {
        PadMode::Constant
    } else {
        PadMode::Reflect
    };
    set_parameters(&mut application, &case.params["postprocess_kwargs"]);
    let image_mpp = case.params["image_mpp"]
        .as_f64()
        .unwrap_or(application.model_mpp);
    let (server, model) = serve(case).await?;
    let image = image(case)?;
    let original = [image.dim().1, image.dim().2];

    let prepared = application
        .prepare(image, image_mpp)
        .map_err(|error| error.to_string())?;
    if case.has_output("preprocessed") {
        case.agrees("preprocessed", prepared.view().into_dyn())?;
    }
    let heads = application.predict(&model, prepared).await.map_err(text)?;
    for (compartment, heads) in COMPARTMENTS.iter().zip(heads.chunks(2)) {
        for (index, head) in heads.iter().enumerate() {
            for name in [
                format!("head_{index}"),
                format!("head_{compartment}_{index}"),
            ] {
                if case.has_output(&name) {
                    case.agrees(&name, head.view().into_dyn())?;
                }
            }
        }
    }
    let labels = application.label(heads, original).map_err(text)?;
    case.agrees("labels", labels.into_dyn().view())?;

    let calls: Vec<_> = server
        .faults()
        .seen()
        .into_iter()
        .filter(|seen| seen.method == Method::Predict)
        .collect();
    let mut shapes: Vec<_> = calls
        .into_iter()
        .map(|seen| seen.inputs[0].shape.clone())
        .collect();
    // Several requests are under way at once: their order of arrival is chance, the last one is the short one.
    shapes.sort_by(|a, b| b.cmp(a));
    called_as_wanted(case, &shapes)
}

/// The words for the compartments of an application that has two.
const COMPARTMENTS: [&str; 2] = ["whole-cell", "nuclear"];

/// Parameters of cells in culture replace the defaults all together; those of tissue one by one.
fn set_parameters(application: &mut Application, kwargs: &Value) {
    if !kwargs.is_object() {
        return;
    }
    let in_tissue = application.outputs.is_some();
    for objects in &mut application.compartments {
        objects.watershed = if in_tissue {
            let name = if objects.maxima.output == 0 {
                "whole_cell_kwargs"
            } else {
                "nuclear_kwargs"
            };
            parameters(objects.watershed.clone(), &kwargs[name])
        } else {
            parameters(DeepWatershed::default(), kwargs)
        };
    }
}

/// Compares the model's calls, unless the reference made ones that no model of that tile size can answer: where an image
/// is smaller than a tile on one axis only, it pads the other axis too (segmentation.md 7.1).
fn called_as_wanted(case: &Case, shapes: &[Vec<i64>]) -> Result<(), String> {
    let wanted = &case.params["calls"];
    let tile = &case.params["tile"];
    let answerable = wanted
        .as_array()
        .into_iter()
        .flatten()
        .all(|call| call[1] == tile[0] && call[2] == tile[1]);
    if !answerable || json!(shapes) == *wanted {
        return Ok(());
    }
    Err(format!(
        "the model was called with {shapes:?}, not {wanted}"
    ))
}

async fn predict_scale(case: &Case) -> Result<(), String> {
    let (_server, model) = serve(case).await?;
    let scale = scale_and_type::scale(&model, image(case)?)
        .await
        .map_err(text)?;
    agrees_value(case, scale)
}

async fn predict_label(case: &Case) -> Result<(), String> {
    let (_server, model) = serve(case).await?;
    let label = scale_and_type::image_type(&model, image(case)?)
        .await
        .map_err(text)?;
    agrees_value(case, label as f64)
}

fn agrees_value(case: &Case, value: f64) -> Result<(), String> {
    case.agrees_json("value", &json!({ "value": value }))
}

/// A server of the case's stand-in, and a model that sends the case's number of tiles at once.
async fn serve(case: &Case) -> Result<(ModelServer, Model), String> {
    let kind = case.params["fake_model"]
        .as_str()
        .ok_or("the case names no model")?;
    let tile = case.counts::<2>("tile")?;
    let server = ModelServer::start(0, vec![exact_models::model(kind, MODEL, tile)])
        .await
        .map_err(|error| error.to_string())?;
    // The batch size falls with the number of channels (segmentation.md 2.3).
    let (address, batch_size) = (
        server.address(),
        case.count("batch_size")? * image(case)?.dim().3,
    );
    if tile[0] != tile[1] {
        return Err(format!(
            "this runner chooses the batch size through square tiles, not {tile:?}"
        ));
    }
    let env: Env = [
        ("TF_HOST", address.ip().to_string()),
        ("TF_PORT", address.port().to_string()),
        ("TF_MAX_BATCH_SIZE", batch_size.to_string()),
        ("TF_MIN_MODEL_SIZE", tile[0].to_string()),
    ]
    .into_iter()
    .collect();
    let client = Client::new(ServingSettings::load(&mut Loader::new(&env)), None);
    let model = Model::load(&client, &MODEL.parse().expect("it is a model's name"))
        .await
        .map_err(text)?;
    Ok((server, model))
}

fn image(case: &Case) -> Result<Array4<f32>, String> {
    case.ranked("image", |value| value as f32)
}

fn text(error: anyhow::Error) -> String {
    format!("{error:#}")
}

/// The expected rows with everything recomputed that a rule gives.
fn rows(case: &Case, rule: impl Fn(&Value) -> Value) -> Result<Value, String> {
    let expected = case.expected_json("rows")?;
    let rows = expected.as_array().ok_or("the table is no list")?;
    if rows.is_empty() {
        return Err("the table is empty".to_owned());
    }
    let recomputed = rows.iter().map(|row| {
        let mut recomputed = row.clone();
        if let (Value::Object(fields), Value::Object(new)) = (&mut recomputed, rule(row)) {
            fields.extend(new);
        }
        recomputed
    });
    Ok(recomputed.collect())
}

fn scale_rule(row: &Value) -> Value {
    let outputs: Vec<f64> = numbers(&row["model_outputs"]);
    let mean = outputs
        .iter()
        .map(|&value| f64::from(value as f32))
        .sum::<f64>()
        / outputs.len() as f64;
    json!({ "mean": mean, "scale": scale_and_type::round_scale(mean) })
}

fn batch_size(row: &Value) -> Value {
    let shape: Vec<i64> = numbers(&row["input_shape"])
        .into_iter()
        .map(|n| n as i64)
        .collect();
    let setting = |name: &str| row[name].as_u64().expect("a count") as usize;
    let signature = Signature::new(vec![Input::float("image", &shape)]);
    let batch = signature.batch_size(setting("tf_max_batch_size"), setting("tf_min_model_size"));
    // The reference arrives at 0 for models that are too large, and crashes; the successor sends one tile at a time.
    let crashes = row["batch_size"] == 0 && batch == 1;
    let batch = if crashes { 0 } else { batch };
    json!({ "batch_size": batch, "segmentation_batch_size": batch.min(32) })
}

fn validate(case: &Case, row: &Value) -> Value {
    let channels: Option<Vec<usize>> = row["channels"]
        .as_array()
        .map(|_| indices(&row["channels"]));
    let shape: Vec<i64> = numbers(&row["model_shape"])
        .into_iter()
        .map(|n| n as i64)
        .collect();
    let limit = |name: &str| case.count(name).expect("a limit");
    let model = ModelInput {
        shape: &shape,
        channels: channels.as_deref(),
        max_width: limit("max_image_width"),
        max_height: limit("max_image_height"),
    };
    let image_shape = indices(&row["image_shape"]);
    let order = detect_dimension_order(&image_shape, shape.len());
    let mut new = match validate_model_input(counting(&image_shape), &model) {
        Ok(result) => probed(row, &result),
        Err(_) => json!({ "ok": false }),
    };
    if !row["dimension_order"].is_null() {
        new["dimension_order"] = json!([order]);
    }
    new
}

fn dimensions(row: &Value) -> Value {
    let order = row["dimension_order"].as_str().unwrap_or_default();
    let image = to_bxyc(counting(&indices(&row["image_shape"])), order);
    match image.map(ndarray::Array::into_dyn) {
        Ok(result) if row["flat"].is_array() => {
            let flat: Vec<u64> = result.iter().map(|&value| value as u64).collect();
            json!({ "ok": true, "result_shape": result.shape(), "flat": flat })
        }
        Ok(result) => probed(row, &result),
        Err(AxesError::Rank { .. } | AxesError::Order { .. }) => json!({ "ok": false }),
        Err(other) => json!({ "ok": other.to_string() }),
    }
}

fn probed(row: &Value, result: &ArrayD<f32>) -> Value {
    let flat: Vec<f32> = result.iter().copied().collect();
    let probes: Vec<u64> = indices(&row["probe_index"])
        .iter()
        .map(|&i| flat.get(i).map_or(0, |&value| value as u64))
        .collect();
    json!({ "ok": true, "result_shape": result.shape(), "probe_value": probes })
}

fn counting(shape: &[usize]) -> ArrayD<f32> {
    let count: usize = shape.iter().product();
    ArrayD::from_shape_vec(shape, (0..count).map(|n| n as f32).collect())
        .expect("as many values as places")
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

fn indices(list: &Value) -> Vec<usize> {
    numbers(list).into_iter().map(|n| n as usize).collect()
}
