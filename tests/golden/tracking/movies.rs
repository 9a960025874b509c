//! Whole movies, with stand-in models over gRPC.

use std::ops::Range;

use bioimage::{Limits, TrackFile, encode_tiff};
use cell_analysis::tracking::{BirthDeathCost, EmptyFrames};
use ndarray::{ArrayD, Axis};
use redis_consumer::applications::{TensorModel, Tracked, Tracker, TrackingModels};
use redis_consumer::consumers::output::ResultName;
use redis_consumer::serving::{Client, Input, Method, Model, ModelId, ModelServer, Seen};
use redis_consumer::storage::archive;
use serde_json::{Value, json};

use super::{appearance, trace};
use crate::cases::Case;
use crate::outcome::{Failure, Outcome, exact, refused, same, same_archive, same_bytes};
use crate::peers::graph_models;

pub(super) async fn in_batches(case: &Case) -> Outcome {
    let id = ModelId::new("Wrapper", 1);
    let inputs = vec![Input::float("b", &[-1, 3]), Input::float("a", &[-1, 2])];
    let outputs = ["zeta", "alpha"]
        .map(|name| Input::float(name, &[-1, 3]))
        .to_vec();
    let run = |tensors: &[(String, ArrayD<f32>)]| {
        let b = &tensors
            .iter()
            .find(|(name, _)| name == "b")
            .ok_or("no input `b`")?
            .1;
        Ok(vec![
            ("zeta".to_owned(), b * 2.0),
            ("alpha".to_owned(), b + 1.0),
        ])
    };
    let model = Model {
        id: id.clone(),
        inputs,
        outputs,
        run: std::sync::Arc::new(run),
    };
    let (server, client) = serve(vec![model]).await?;
    let (a, b) = (
        case.input("a")?.map(|value| value as f32),
        case.input("b")?.map(|value| value as f32),
    );
    let rows = a.shape()[0];
    let cut = move |range: Range<usize>| {
        let part =
            |values: &ArrayD<f32>| values.slice_axis(Axis(0), range.clone().into()).to_owned();
        vec![("a", part(&a)), ("b", part(&b))]
    };
    let model = TensorModel::new(&client, &id);
    let outputs = model
        .predict_in_batches(rows, case.count("batch_size")?, cut)
        .await
        .map_err(refused)?;
    let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    same("names", &json!(names), &case.expected_json("names")?)?;
    for (index, (_, values)) in outputs.iter().enumerate() {
        let name = format!("output_{index}");
        exact(&name, values.view(), &case.expected(&name)?.values)?;
    }
    let calls = predictions(&server, "Wrapper").into_iter().map(|seen| {
        let shapes = seen
            .inputs
            .into_iter()
            .map(|input| (input.name, json!(input.shape)));
        Value::Object(shapes.collect())
    });
    same("calls", &calls.collect(), &case.expected_json("calls")?)
}

pub(super) async fn track(case: &Case) -> Outcome {
    let raw = case.input("X")?.map(|value| value as f32);
    let labels = case.input("y")?.map(|label| label as i32);
    let (tracked, _) = tracked(case, raw.clone(), labels.clone()).await?;
    if case.fails {
        return Ok(());
    }
    let expected = case.expected("y_tracked")?.values;
    exact(
        "y_tracked",
        tracked.labels.insert_axis(Axis(3)).into_dyn().view(),
        &expected,
    )?;
    let lineage = case.expected_bytes("lineage")?;
    same_bytes(tracked.lineage.to_json().as_bytes(), &lineage)?;
    let on_the_way = |name| !["y_tracked", "lineage"].contains(&name);
    if case.output_names().any(on_the_way) {
        trace::trace(case, &tracker(case)?, raw, labels)
    } else {
        Ok(())
    }
}

pub(super) async fn job(case: &Case) -> Outcome {
    let file = TrackFile::read(&case.input_bytes("file")?, &Limits::default()).map_err(refused)?;
    let (tracked, seen) = tracked(case, file.raw, file.labels).await?;
    let names = ResultName::new(case.text("original_name"));
    let picture = tracked.labels.mapv(|label| label as f32);
    let entries = vec![
        (names.feature(0), encode_tiff(picture.view().into_dyn())),
        (
            "lineage.json".to_owned(),
            tracked.lineage.to_json().into_bytes(),
        ),
    ];
    same_bytes(&entries[0].1, &case.expected_bytes("tif")?)?;
    same_bytes(&entries[1].1, &case.expected_bytes("lineage")?)?;
    same_archive(case, &archive::write_zip(entries).map_err(refused)?)?;

    let shape_of = |seen: &Seen| {
        let pictures = seen
            .inputs
            .iter()
            .find(|input| input.name == "encoder_app_input");
        pictures.map(|input| json!(input.shape))
    };
    let encoder_calls: Vec<Value> = seen.iter().filter_map(shape_of).collect();
    same(
        "encoder_calls",
        &json!(encoder_calls),
        &case.params["encoder_calls"],
    )?;
    same(
        "inference_calls",
        &json!(seen.len() - encoder_calls.len()),
        &case.params["inference_calls"],
    )
}

/// The tracked movie, and what the models were asked.
async fn tracked(
    case: &Case,
    raw: ArrayD<f32>,
    labels: ArrayD<i32>,
) -> Result<(Tracked, Vec<Seen>), Failure> {
    let (encoder, inference) = (ModelId::new("Encoder", 1), ModelId::new("Inference", 1));
    let parameters = &case.params["fake_model"];
    let models = vec![
        graph_models::encoder(&encoder),
        graph_models::inference(&inference, parameters),
    ];
    let (server, client) = serve(models).await?;
    let models = TrackingModels {
        encoder: TensorModel::new(&client, &encoder),
        inference: TensorModel::new(&client, &inference),
    };
    let tracked = tracker(case)?.track(&models, raw, labels).await;
    let tracked = tracked.map_err(|error| Failure::Refused(format!("{error:#}")))?;
    let mut seen = predictions(&server, "Encoder");
    seen.extend(predictions(&server, "Inference"));
    Ok((tracked, seen))
}

fn predictions(server: &ModelServer, model: &str) -> Vec<Seen> {
    let seen = server.faults().seen().into_iter();
    seen.filter(|seen| seen.method == Method::Predict && seen.model == model)
        .collect()
}

async fn serve(models: Vec<Model>) -> Result<(ModelServer, Client), Failure> {
    let server = ModelServer::start(0, models)
        .await
        .map_err(|error| error.to_string())?;
    let client = server.client();
    Ok((server, client))
}

fn tracker(case: &Case) -> Result<Tracker, Failure> {
    let options = &case.params["tracker"];
    let number = |name: &str| {
        options[name]
            .as_f64()
            .ok_or_else(|| format!("the tracker has no `{name}`"))
    };
    Ok(Tracker {
        appearance: appearance(options)?,
        max_distance: number("distance_threshold")?,
        track_length: number("track_length")? as usize,
        borders: BirthDeathCost {
            birth: number("birth")? as f32,
            death: number("death")? as f32,
        },
        division_threshold: number("division")?,
        empty_frames: EmptyFrames::Refuse,
    })
}
