//! The client of model servers against a real one that misbehaves on demand.

/// What goes out, and how answers are read.
mod tensors;

/// What models say of themselves, and who remembers it.
mod metadata;

/// What is asked again, and what is given up.
mod failures;

/// Requests under way.
mod requests;

/// Without a server.
mod in_process;

/// Triton, KServe, MLServer: another protocol, and other limits.
mod open_inference;

use std::sync::Arc;

use ndarray::{Array4, ArrayD};
use redis_consumer::serving::{Client, Error, Input, Model, ModelId, ModelServer, ServingSettings};
use redis_consumer::settings::{Env, Loader};

/// A model with the input `image` `[-1, 2, 2, 1]` and two outputs: `b_same` is the image, `a_half` half of it.
fn halves(id: ModelId) -> Model {
    of_sides(id, 2)
}

/// The same for squares of this side.
fn of_sides(id: ModelId, sides: i64) -> Model {
    let shape = [-1, sides, sides, 1];
    Model {
        id,
        inputs: vec![Input::float("image", &shape)],
        outputs: vec![
            Input::float("a_half", &shape),
            Input::float("b_same", &shape),
        ],
        run: Arc::new(|inputs| {
            let image = &inputs[0].1;
            Ok(vec![
                ("b_same".to_owned(), image.clone()),
                ("a_half".to_owned(), image / 2.0),
            ])
        }),
    }
}

fn model() -> ModelId {
    ModelId::new("Halves", 3)
}

async fn server() -> ModelServer {
    ModelServer::start(0, vec![halves(model())])
        .await
        .expect("a free port")
}

fn settings(host: &str, port: u16, more: &[(&str, &str)]) -> ServingSettings {
    let port = port.to_string();
    let usual = [
        ("TF_HOST", host),
        ("TF_PORT", &port),
        ("GRPC_BACKOFF", "0.02"),
        ("GRPC_TIMEOUT", "10"),
    ];
    let env: Env = usual.iter().chain(more).copied().collect();
    let mut loader = Loader::new(&env);
    let settings = ServingSettings::load(&mut loader);
    loader.finish().expect("good settings");
    settings
}

fn client(server: &ModelServer, more: &[(&str, &str)]) -> Client {
    Client::new(settings("127.0.0.1", server.address().port(), more), None)
}

fn image() -> ArrayD<f32> {
    Array4::from_shape_vec((1, 2, 2, 1), vec![0.0, 2.0, 4.0, 4.0])
        .expect("four pixels")
        .into_dyn()
}

async fn predict(client: &Client) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
    client.predict(&model(), vec![("image", image())]).await
}

fn is_right(outputs: &[(String, ArrayD<f32>)]) {
    let names: Vec<_> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a_half", "b_same"]);
    assert_eq!(outputs[0].1, image() / 2.0);
    assert_eq!(outputs[1].1, image());
}
