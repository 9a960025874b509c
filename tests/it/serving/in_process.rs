//! Models that run in the process, against what ONNX Runtime answered.

use std::path::{Path, PathBuf};

use bioimage::{Limits, npy};
use ndarray::{ArrayD, Axis, concatenate};
use redis_consumer::serving::{Client, Error, ModelId, ServingSettings};
use redis_consumer::settings::{Env, Loader};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx")
}

fn settings(more: &[(&str, &str)]) -> ServingSettings {
    let models = fixtures().join("models");
    let models = models.to_str().expect("a plain path");
    let usual = [("MODEL_SERVER", "onnx"), ("MODEL_DIR", models)];
    let env: Env = usual.iter().chain(more).copied().collect();
    let mut loader = Loader::new(&env);
    let settings = ServingSettings::load(&mut loader);
    loader.finish().expect("good settings");
    settings
}

fn client(more: &[(&str, &str)]) -> Client {
    Client::new(settings(more), None)
}

fn recorded(name: &str) -> ArrayD<f32> {
    let bytes = std::fs::read(fixtures().join(name)).expect("a recorded array");
    npy::read_f32(&bytes, &Limits::default()).expect("numbers")
}

/// An array of images with the channels last.
fn channels_last(array: ArrayD<f32>) -> ArrayD<f32> {
    let turned = array.permuted_axes(ndarray::IxDyn(&[0, 2, 3, 1]));
    turned.as_standard_layout().into_owned()
}

fn assert_close(found: &ArrayD<f32>, expected: &ArrayD<f32>) {
    assert_eq!(found.shape(), expected.shape());
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, f32::max);
    assert!(worst < 1e-4, "they differ by {worst}");
}

#[tokio::test]
async fn a_network_with_channels_first_answers_as_in_onnx_runtime() {
    let client = client(&[]);
    let model = ModelId::new("ChannelsFirst", 1);
    let signature = client.signature(&model).await.expect("it is there");
    assert_eq!(
        signature.inputs[0].shape,
        [-1, 256, 256, 3],
        "tiles of the settings"
    );
    let image = channels_last(recorded("ChannelsFirst.input.npy"));
    let outputs = client.predict(&model, vec![("image", image.clone())]).await;
    let outputs = outputs.expect("an answer");
    let expected = channels_last(recorded("ChannelsFirst.probability.npy"));
    assert_eq!(outputs[0].0, "probability");
    assert_close(&outputs[0].1, &expected);
    // Many rows at once are as many answers, in order.
    let many = vec![image.view(); 20];
    let many = concatenate(Axis(0), &many).expect("they fit");
    let outputs = client.predict(&model, vec![("image", many)]).await;
    let expected = concatenate(Axis(0), &vec![expected.view(); 20]).expect("they fit");
    assert_close(&outputs.expect("an answer")[0].1, &expected);
}

#[tokio::test]
async fn a_network_of_fixed_batches_and_integers_answers_as_in_onnx_runtime() {
    let client = client(&[]);
    let model = ModelId::new("FixedBatch", 1);
    let signature = client.signature(&model).await.expect("it is there");
    assert_eq!(client.batch_size(&signature), 2);
    let image = recorded("FixedBatch.input.npy");
    let outputs = client.predict(&model, vec![("image", image.clone())]).await;
    let outputs = outputs.expect("an answer");
    let names: Vec<_> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["alpha", "zeta"]);
    assert_close(&outputs[0].1, &recorded("FixedBatch.alpha.npy"));
    assert_close(&outputs[1].1, &recorded("FixedBatch.zeta.npy"));
    // A single row is filled up, and only its answer comes back.
    let first = image.index_axis(Axis(0), 0).insert_axis(Axis(0)).to_owned();
    let outputs = client.predict(&model, vec![("image", first)]).await;
    let expected = recorded("FixedBatch.zeta.npy");
    let expected = expected
        .index_axis(Axis(0), 0)
        .insert_axis(Axis(0))
        .to_owned();
    assert_close(&outputs.expect("an answer")[1].1, &expected);
}

#[tokio::test]
async fn a_network_that_resizes_answers_as_in_onnx_runtime() {
    let model = ModelId::new("Resized", 1);
    let image = channels_last(recorded("Resized.input.npy"));
    let outputs = client(&[]).predict(&model, vec![("image", image)]).await;
    let expected = channels_last(recorded("Resized.classes.npy"));
    assert_close(&outputs.expect("an answer")[0].1, &expected);
}

#[tokio::test]
async fn what_cannot_be_run_is_named() {
    let client = client(&[]);
    let missing = client.signature(&ModelId::new("Missing", 1)).await;
    let error = missing.expect_err("an operator is missing");
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("Missing:1") && text.contains("Telepathy"),
        "{text}"
    );

    let absent = client.signature(&ModelId::new("Nowhere", 1)).await;
    let error = absent.expect_err("no such model");
    assert!(matches!(error, Error::ModelMissing { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("Resized:1"), "{text}");
    let outside = ModelId::new("../models/Resized", 1);
    let outside = client.signature(&outside).await;
    assert!(
        matches!(outside, Err(Error::ModelMissing { .. })),
        "{outside:?}"
    );

    let model = ModelId::new("Resized", 1);
    let odd = client
        .predict(&model, vec![("image", ArrayD::zeros(vec![1, 16, 17, 2]))])
        .await;
    let error = odd.expect_err("another size");
    let expected = "input `image` of model `Resized:1` takes [-1, 2, 16, 16] (-1 is any size), not [1, 2, 16, 17]";
    assert_eq!(error.to_string(), expected);
    let odd = client
        .predict(&model, vec![("picture", ArrayD::zeros(vec![1, 16, 16, 2]))])
        .await;
    assert!(matches!(odd, Err(Error::BadInputs { .. })), "{odd:?}");
}

#[tokio::test]
async fn models_that_nobody_uses_are_dropped_and_loaded_again() {
    let client = client(&[("MODEL_IDLE", "0.05")]);
    let model = ModelId::new("FixedBatch", 1);
    let image = recorded("FixedBatch.input.npy");
    for _ in 0..3 {
        let outputs = client.predict(&model, vec![("image", image.clone())]).await;
        assert_close(
            &outputs.expect("an answer")[1].1,
            &recorded("FixedBatch.zeta.npy"),
        );
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
}
