//! The Open Inference Protocol, and what its servers do that TensorFlow Serving does not.

use std::sync::Arc;

use ndarray::{Array4, ArrayD, Axis};
use redis_consumer::serving::{
    Client, DataType, Encoding, Error, Input, Method, Model, ModelId, ModelServer, ServerLimit,
};
use tonic::{Code, Status};

use super::{client, halves, is_right, model, predict, server};

async fn open_inference(models: Vec<Model>) -> ModelServer {
    let server = ModelServer::start_open_inference(0, models).await;
    server.expect("a free port")
}

fn oip(server: &ModelServer, more: &[(&str, &str)]) -> Client {
    let more: Vec<_> = [("MODEL_SERVER", "oip")]
        .iter()
        .chain(more)
        .copied()
        .collect();
    client(server, &more)
}

/// So many different tiles of 2 × 2 pixels.
fn tiles(count: usize) -> ArrayD<f32> {
    let tile =
        |(tile, row, column, _): (usize, usize, usize, usize)| (tile * 4 + row * 2 + column) as f32;
    Array4::from_shape_fn((count, 2, 2, 1), tile).into_dyn()
}

/// Rows of the batches that the server was sent.
fn rows(server: &ModelServer) -> Vec<i64> {
    let seen = server.faults().seen().into_iter();
    seen.filter(|seen| seen.method == Method::Predict)
        .map(|seen| seen.inputs[0].shape[0])
        .collect()
}

#[tokio::test]
async fn a_model_is_asked_and_run_as_over_tensorflow_serving() {
    let server = open_inference(vec![halves(model())]).await;
    let client = oip(&server, &[]);
    let signature = client.signature(&model()).await.expect("it is there");
    assert_eq!(signature.inputs[0].shape, [-1, 2, 2, 1]);
    assert_eq!(signature.inputs[0].dtype, DataType::F32);
    is_right(&predict(&client).await.expect("an answer"));
    let versions: Vec<_> = server
        .faults()
        .seen()
        .iter()
        .map(|seen| seen.version)
        .collect();
    assert_eq!(versions, [Some(3), Some(3)]);
    let absent = client.signature(&ModelId::new("Nowhere", 1)).await;
    assert!(
        matches!(absent, Err(Error::ModelMissing { .. })),
        "{absent:?}"
    );
}

#[tokio::test]
async fn version_0_asks_for_the_newest() {
    let models = [1, 3].map(|version| halves(ModelId::new("Halves", version)));
    let server = open_inference(models.to_vec()).await;
    let client = oip(&server, &[]);
    let newest = ModelId::new("Halves", 0);
    let outputs = client
        .predict(&newest, vec![("image", super::image())])
        .await;
    is_right(&outputs.expect("the newest"));
    assert!(
        server
            .faults()
            .seen()
            .iter()
            .all(|seen| seen.version.is_none())
    );
}

#[tokio::test]
async fn outputs_are_read_however_they_are_put() {
    let server = open_inference(vec![halves(model())]).await;
    let client = oip(&server, &[]);
    for dtype in [DataType::F32, DataType::F64] {
        server.faults().answer_as(Encoding::Listed(dtype));
        is_right(&predict(&client).await.expect("numbers"));
    }
}

#[tokio::test]
async fn a_protocol_can_be_found_out() {
    let tf_serving = server().await;
    let open = open_inference(vec![halves(model())]).await;
    for server in [&tf_serving, &open] {
        let client = client(server, &[("MODEL_SERVER", "auto")]);
        is_right(&predict(&client).await.expect("an answer"));
        is_right(&predict(&client).await.expect("another"));
    }
    let missing = client(&tf_serving, &[("MODEL_SERVER", "auto")]);
    let error = missing.signature(&ModelId::new("Nowhere", 1)).await;
    assert!(
        matches!(error, Err(Error::ModelMissing { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn no_batch_is_larger_than_the_configuration_says() {
    let server = open_inference(vec![halves(model())]).await;
    server.faults().limit(ServerLimit::TritonRows(4));
    let client = oip(&server, &[]);
    let signature = client.signature(&model()).await.expect("it is there");
    assert_eq!(client.batch_size(&signature), 4);
}

#[tokio::test]
async fn what_is_too_much_at_once_is_sent_in_parts_from_then_on() {
    let bytes = 4096 + 5 * 16;
    for (limit, opens, expected) in [
        (ServerLimit::UntoldRows(4), true, vec![11, 4, 4, 3, 4, 1]),
        (
            ServerLimit::TfServingRows(4),
            false,
            vec![11, 4, 4, 3, 4, 1],
        ),
        (ServerLimit::Bytes(bytes), true, Vec::new()),
        (ServerLimit::Bytes(bytes), false, Vec::new()),
    ] {
        let (server, client) = if opens {
            let server = open_inference(vec![halves(model())]).await;
            let client = oip(&server, &[]);
            (server, client)
        } else {
            let server = server().await;
            let client = client(&server, &[]);
            (server, client)
        };
        server.faults().limit(limit);
        let is_by_bytes = expected.is_empty();
        let count = if is_by_bytes { 1000 } else { 11 };
        let outputs = client
            .predict(&model(), vec![("image", tiles(count))])
            .await;
        let outputs = outputs.expect("in parts");
        assert_eq!(outputs[1].1, tiles(count));
        let after = rows(&server).len();
        let outputs = client.predict(&model(), vec![("image", tiles(5))]).await;
        assert_eq!(outputs.expect("in parts")[0].1, tiles(5) / 2.0);
        if is_by_bytes {
            let (refused, sent) = (rows(&server)[0], &rows(&server)[1..after]);
            assert_eq!((refused, sent.iter().sum::<i64>()), (1000, 1000));
        } else {
            assert_eq!(rows(&server), expected);
        }
    }
}

#[tokio::test]
async fn messages_are_kept_below_what_the_settings_say() {
    let server = open_inference(vec![halves(model())]).await;
    let limit = 4096 + 6 * 16;
    let client = oip(&server, &[("MODEL_MAX_MESSAGE", &limit.to_string())]);
    let outputs = client.predict(&model(), vec![("image", tiles(13))]).await;
    assert_eq!(outputs.expect("in parts")[1].1, tiles(13));
    assert_eq!(rows(&server), [6, 6, 1]);
}

#[tokio::test]
async fn a_single_tile_that_is_too_large_is_final_and_names_the_settings() {
    let server = open_inference(vec![halves(model())]).await;
    server.faults().limit(ServerLimit::Bytes(40));
    let error = predict(&oip(&server, &[])).await.expect_err("too large");
    assert!(matches!(error, Error::TooMuch { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("grpc_max_message_length"), "{text}");
    assert_eq!(rows(&server), [1]);
}

#[tokio::test]
async fn a_full_queue_is_overload_and_not_absence() {
    let server = open_inference(vec![halves(model())]).await;
    let client = oip(&server, &[("MAX_RETRY", "2")]);
    let full = Status::unavailable("[request id: job 1] Exceeds maximum queue size");
    server.faults().fail_in_these_words(full);
    server.faults().fail(Method::Predict, Code::Unavailable, 2);
    is_right(&predict(&client).await.expect("the third attempt"));
    server.faults().fail(Method::Predict, Code::Unavailable, 3);
    let error = predict(&client).await.expect_err("still full");
    assert!(
        matches!(error, Error::Exhausted { attempts: 3, .. }),
        "{error:?}"
    );
    assert!(!client.is_down());
}

#[tokio::test]
async fn channels_may_come_first() {
    let id = ModelId::new("Torch", 1);
    let shape = [-1, 3, -1, -1];
    let model = Model {
        id: id.clone(),
        inputs: vec![Input::float("image", &shape)],
        outputs: vec![Input::float("second", &[-1, 1, -1, -1])],
        run: Arc::new(|inputs| {
            let second = inputs[0].1.index_axis(Axis(1), 1).insert_axis(Axis(1));
            Ok(vec![("second".to_owned(), second.to_owned())])
        }),
    };
    let server = open_inference(vec![model]).await;
    let client = oip(&server, &[]);
    let signature = client.signature(&id).await.expect("it is there");
    assert_eq!(signature.inputs[0].shape, [-1, -1, -1, 3]);
    let image = Array4::from_shape_fn((2, 5, 7, 3), |(n, y, x, c)| {
        (n * 1000 + y * 100 + x * 10 + c) as f32
    });
    let given = vec![("image", image.clone().into_dyn())];
    let outputs = client.predict(&id, given).await.expect("an answer");
    let expected = image.index_axis(Axis(3), 1).insert_axis(Axis(3));
    assert_eq!(outputs[0].1, expected.into_dyn());
    assert_eq!(server.faults().seen()[1].inputs[0].shape, [2, 3, 5, 7]);
}

#[tokio::test]
async fn a_model_of_fixed_batches_gets_them() {
    let id = ModelId::new("Fours", 1);
    let shape = [4, 2, 2, 1];
    let fours = Model {
        inputs: vec![Input::float("image", &shape)],
        ..halves(id.clone())
    };
    let server = open_inference(vec![fours]).await;
    let client = oip(&server, &[]);
    let outputs = client.predict(&id, vec![("image", tiles(6))]).await;
    assert_eq!(outputs.expect("filled up")[1].1, tiles(6));
    assert_eq!(rows(&server), [4, 4]);
}
