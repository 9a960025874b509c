//! What goes out, and how answers are read.

use std::sync::Arc;

use ndarray::ArrayD;
use redis_consumer::applications;
use redis_consumer::serving::wire::encode;
use redis_consumer::serving::wire::tensorflow::serving::prediction_service_client::PredictionServiceClient;
use redis_consumer::serving::wire::tensorflow::serving::{ModelSpec, PredictRequest};
use redis_consumer::serving::{
    DataType, Encoding, Error, Input, Method, ModelId, ModelServer, SeenInput,
};
use tonic::Code;

use super::{client, halves, image, is_right, model, of_sides, predict, server};

#[tokio::test]
async fn a_model_runs_and_its_outputs_are_sorted_by_name() {
    let server = server().await;
    is_right(&predict(&client(&server, &[])).await.expect("a prediction"));
    let seen = server.faults().seen();
    let methods: Vec<_> = seen.iter().map(|seen| seen.method).collect();
    assert_eq!(methods, [Method::Metadata, Method::Predict]);
    assert_eq!(
        seen[1].inputs,
        [SeenInput {
            name: "image".to_owned(),
            dtype: DataType::F32,
            shape: vec![1, 2, 2, 1],
        }]
    );
    assert_eq!(seen[1].signature, "");
}

#[tokio::test]
async fn version_0_is_sent_and_is_not_the_latest() {
    let mut twice = halves(ModelId::new("Halves", 7));
    twice.run = Arc::new(|_| Err("the latest version was taken".to_owned()));
    let oldest = ModelId::new("Halves", 0);
    let server = ModelServer::start(0, vec![halves(oldest.clone()), twice])
        .await
        .expect("a free port");
    let outputs = client(&server, &[])
        .predict(&oldest, vec![("image", image())])
        .await
        .expect("version 0");
    is_right(&outputs);
    assert!(
        server
            .faults()
            .seen()
            .iter()
            .all(|seen| seen.version == Some(0))
    );
}

#[tokio::test]
async fn a_request_without_version_gets_the_latest() {
    let ids = [1, 3, 2].map(|version| ModelId::new("Halves", version));
    let server = ModelServer::start(0, ids.map(halves).into())
        .await
        .expect("a free port");
    let mut stub = PredictionServiceClient::connect(format!("http://{}", server.address()))
        .await
        .expect("it listens");
    let model_spec = Some(ModelSpec {
        name: "Halves".to_owned(),
        ..ModelSpec::default()
    });
    let tensor = encode(image(), DataType::F32).expect("numeric");
    let request = PredictRequest {
        model_spec,
        inputs: [("image".to_owned(), tensor)].into(),
        output_filter: Vec::new(),
    };
    let used = stub
        .predict(request)
        .await
        .expect("a prediction")
        .into_inner()
        .model_spec
        .expect("the model used");
    assert_eq!(format!("{:?}", used.version_choice), "Some(Version(3))");
}

#[tokio::test]
async fn answers_are_read_in_every_encoding() {
    let server = server().await;
    let client = client(&server, &[]);
    for dtype in [
        DataType::F32,
        DataType::F64,
        DataType::F16,
        DataType::Bf16,
        DataType::I8,
        DataType::I16,
        DataType::I32,
        DataType::I64,
        DataType::U8,
        DataType::U16,
        DataType::U32,
        DataType::U64,
    ] {
        for encoding in [
            Encoding::Content(dtype),
            Encoding::Listed(dtype),
            Encoding::Shortened(dtype),
        ] {
            server.faults().answer_as(encoding);
            is_right(
                &predict(&client)
                    .await
                    .unwrap_or_else(|error| panic!("{encoding:?}: {error}")),
            );
        }
    }
}

#[tokio::test]
async fn one_value_may_stand_for_a_whole_tensor() {
    let server = server().await;
    server
        .faults()
        .answer_as(Encoding::Shortened(DataType::F32));
    let flat = ArrayD::from_elem(vec![3, 2, 2, 1], 0.5);
    let outputs = client(&server, &[])
        .predict(&model(), vec![("image", flat.clone())])
        .await
        .expect("a prediction");
    assert_eq!(outputs[1].1, flat);
}

#[tokio::test]
async fn an_answer_that_holds_no_numbers_is_an_error_that_names_the_tensor() {
    let server = server().await;
    server
        .faults()
        .answer_as(Encoding::Listed(DataType::Other("DT_STRING")));
    let error = predict(&client(&server, &[]))
        .await
        .expect_err("text is no picture");
    assert!(
        matches!(&error, Error::BadTensor { tensor, .. } if tensor.ends_with('e') || tensor.ends_with('f')),
        "{error:?}"
    );
}

#[tokio::test]
async fn inputs_that_the_model_does_not_have_are_never_sent() {
    let server = server().await;
    let client = client(&server, &[]);
    for inputs in [
        vec![],
        vec![("picture", image())],
        vec![("image", image()), ("image", image())],
    ] {
        let error = client
            .predict(&model(), inputs)
            .await
            .expect_err("not what the model takes");
        assert!(matches!(error, Error::BadInputs { .. }), "{error:?}");
    }
    assert_eq!(server.faults().calls(Method::Predict), 0);
}

#[tokio::test]
async fn inputs_go_out_in_the_type_that_the_model_wants() {
    let mut half = halves(model());
    half.inputs[0].dtype = DataType::F16;
    let server = ModelServer::start(0, vec![half])
        .await
        .expect("a free port");
    is_right(&predict(&client(&server, &[])).await.expect("a prediction"));
    assert_eq!(server.faults().seen()[1].inputs[0].dtype, DataType::F16);
}

#[tokio::test]
async fn an_image_of_the_wrong_size_is_refused_by_the_server() {
    let server = server().await;
    let wrong: ArrayD<f32> = ArrayD::zeros(vec![1, 3, 2, 1]);
    let error = client(&server, &[])
        .predict(&model(), vec![("image", wrong)])
        .await
        .expect_err("three rows");
    assert!(
        matches!(
            error,
            Error::Refused {
                code: Code::InvalidArgument,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn of_several_inputs_the_one_of_the_settings_takes_the_image() {
    let mut two = halves(model());
    two.inputs.push(Input::float("mask", &[-1, 4, 4, 2]));
    let server = ModelServer::start(0, vec![two]).await.expect("a free port");
    let refused = applications::Model::load(&client(&server, &[]), &model())
        .await
        .err()
        .expect("which one?");
    assert_eq!(
        refused.to_string(),
        "model `Halves:3` takes 2 inputs; name the one that takes the image in TF_TENSOR_NAME"
    );
    let named =
        applications::Model::load(&client(&server, &[("TF_TENSOR_NAME", "mask")]), &model()).await;
    assert_eq!(
        named.expect("it has this input").input_shape(),
        [-1, 4, 4, 2]
    );
    let other =
        applications::Model::load(&client(&server, &[("TF_TENSOR_NAME", "image0")]), &model())
            .await;
    assert!(other.is_err(), "there is no input of that name");
}

#[tokio::test]
async fn messages_may_be_larger_than_4_mib_both_ways() {
    let large = of_sides(model(), 256);
    let server = ModelServer::start(0, vec![large])
        .await
        .expect("a free port");
    let tiles = ArrayD::from_shape_fn(vec![20, 256, 256, 1], |at| (at[0] + at[1] + at[2]) as f32);
    for encoding in [
        Encoding::Content(DataType::F32),
        Encoding::Listed(DataType::F32),
    ] {
        server.faults().answer_as(encoding);
        let outputs = client(&server, &[])
            .predict(&model(), vec![("image", tiles.clone())])
            .await
            .expect("a prediction");
        assert!(outputs[1].1 == tiles, "{encoding:?}");
    }
}

#[tokio::test]
async fn requests_are_compressed_only_on_demand() {
    let server = server().await;
    is_right(
        &predict(&client(&server, &[("TF_GZIP", "true")]))
            .await
            .expect("a prediction"),
    );
    is_right(&predict(&client(&server, &[])).await.expect("a prediction"));
    let seen: Vec<_> = server
        .faults()
        .seen()
        .into_iter()
        .map(|seen| seen.compression)
        .collect();
    let gzip = Some("gzip".to_owned());
    assert_eq!(seen, [gzip.clone(), gzip, None, None]);
}
