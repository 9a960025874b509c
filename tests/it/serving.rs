//! The client of model servers against a real one that misbehaves on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ndarray::{Array4, ArrayD};
use redis_consumer::applications;
use redis_consumer::serving::wire::encode;
use redis_consumer::serving::wire::tensorflow::serving::prediction_service_client::PredictionServiceClient;
use redis_consumer::serving::wire::tensorflow::serving::{ModelSpec, PredictRequest};
use redis_consumer::serving::{
    Client, DataType, Encoding, Error, Input, Method, Model, ModelId, ModelServer, SeenInput,
    ServingSettings, Signature,
};
use redis_consumer::settings::{Env, Loader};
use redis_consumer::shared_cache::SharedCache;
use tonic::Code;

/// A model with the input `image` `[-1, 2, 2, 1]` and two outputs: `b_same` is the image, `a_half` half of it.
fn halves(id: ModelId) -> Model {
    of_sides(id, 2)
}

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

async fn until(what: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(20), async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it happens in time");
}

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
async fn late_and_overloaded_attempts_are_counted_exactly() {
    for (code, is_expected) in [
        (
            Code::DeadlineExceeded,
            (|error| matches!(error, Error::Deadline { attempts: 3, .. })) as fn(&Error) -> bool,
        ),
        (Code::ResourceExhausted, |error| {
            matches!(error, Error::Exhausted { attempts: 3, .. })
        }),
    ] {
        let server = server().await;
        let client = client(&server, &[("MAX_RETRY", "2")]);
        server.faults().fail(Method::Predict, code, 2);
        is_right(&predict(&client).await.expect("the third attempt"));
        server.faults().fail(Method::Predict, code, 3);
        let error = predict(&client).await.expect_err("no fourth attempt");
        assert!(is_expected(&error), "{error:?}");
        assert_eq!(server.faults().calls(Method::Predict), 6);
    }
}

#[tokio::test]
async fn an_unavailable_server_is_asked_again_without_counting() {
    let server = server().await;
    server.faults().fail(Method::Predict, Code::Unavailable, 8);
    is_right(
        &predict(&client(&server, &[("MAX_RETRY", "1")]))
            .await
            .expect("the ninth attempt"),
    );
    assert_eq!(server.faults().calls(Method::Predict), 9);
}

#[tokio::test]
async fn metadata_are_asked_for_as_patiently() {
    let server = server().await;
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
    ] {
        server.faults().fail(Method::Metadata, code, 1);
    }
    let signature = client(&server, &[])
        .signature(&model())
        .await
        .expect("the fourth attempt");
    assert_eq!(signature.inputs, [Input::float("image", &[-1, 2, 2, 1])]);
    assert_eq!(server.faults().calls(Method::Metadata), 4);
}

#[tokio::test]
async fn every_other_verdict_is_final() {
    let server = server().await;
    let client = client(&server, &[]);
    for code in [
        Code::InvalidArgument,
        Code::FailedPrecondition,
        Code::Internal,
        Code::Unknown,
        Code::PermissionDenied,
    ] {
        server.faults().fail(Method::Predict, code, 1);
        let error = predict(&client).await.expect_err("a final verdict");
        assert!(
            matches!(&error, Error::Refused { code: found, .. } if *found == code),
            "{error:?}"
        );
    }
    server.faults().fail(Method::Predict, Code::NotFound, 1);
    assert!(matches!(
        predict(&client).await,
        Err(Error::ModelMissing { .. })
    ));
    assert_eq!(server.faults().calls(Method::Predict), 6);
}

#[tokio::test]
async fn a_missing_model_is_named_in_the_error() {
    let server = server().await;
    let error = client(&server, &[])
        .signature(&ModelId::new("Nowhere", 1))
        .await
        .expect_err("no such model");
    assert!(matches!(error, Error::ModelMissing { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("model `Nowhere:1` is not on the server"),
        "{error}"
    );
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

/// A cache that keeps one text and notes what it is asked to keep.
#[derive(Default)]
struct Shared {
    kept: Option<String>,
    put: Mutex<Vec<(String, String, Duration)>>,
}

#[async_trait]
impl SharedCache for Shared {
    async fn get(&self, _: &str) -> Option<String> {
        self.kept.clone()
    }

    async fn put(&self, key: &str, text: &str, lifetime: Duration) {
        self.put
            .lock()
            .expect("no panic")
            .push((key.to_owned(), text.to_owned(), lifetime));
    }
}

#[tokio::test]
async fn shared_metadata_are_trusted_without_asking_the_server() {
    let server = server().await;
    let kept = Some(Signature::new(vec![Input::float("image", &[-1, 2, 2, 1])]).to_json());
    let cache = Arc::new(Shared {
        kept,
        ..Shared::default()
    });
    let client = Client::new(
        settings("127.0.0.1", server.address().port(), &[]),
        Some(cache.clone()),
    );
    is_right(&predict(&client).await.expect("a prediction"));
    assert_eq!(server.faults().calls(Method::Metadata), 0);
    assert!(cache.put.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn metadata_of_the_server_are_shared_and_a_spoilt_cache_is_passed_over() {
    let server = server().await;
    for kept in [None, Some("{".to_owned())] {
        let cache = Arc::new(Shared {
            kept,
            ..Shared::default()
        });
        let settings = settings(
            "127.0.0.1",
            server.address().port(),
            &[("METADATA_EXPIRE_TIME", "7")],
        );
        Client::new(settings, Some(cache.clone()))
            .signature(&model())
            .await
            .expect("the server's");
        let json = Signature::new(vec![Input::float("image", &[-1, 2, 2, 1])]).to_json();
        assert_eq!(
            *cache.put.lock().expect("no panic"),
            [("Halves:3".to_owned(), json, Duration::from_secs(7))]
        );
    }
}

#[tokio::test]
async fn metadata_are_remembered_until_they_expire() {
    let server = server().await;
    let (long, short) = (
        client(&server, &[]),
        client(&server, &[("METADATA_EXPIRE_TIME", "0")]),
    );
    for _ in 0..3 {
        predict(&long.clone()).await.expect("a prediction");
    }
    assert_eq!(server.faults().calls(Method::Metadata), 1);
    for _ in 0..3 {
        predict(&short).await.expect("a prediction");
    }
    assert_eq!(server.faults().calls(Method::Metadata), 4);
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

#[tokio::test]
async fn a_name_is_as_good_as_an_address() {
    let server = server().await;
    let client = Client::new(settings("localhost", server.address().port(), &[]), None);
    is_right(&predict(&client).await.expect("a prediction"));
}

#[tokio::test]
async fn a_server_that_comes_up_late_is_waited_for() {
    let first = server().await;
    let port = first.address().port();
    first.stop().await;
    let client = Client::new(settings("127.0.0.1", port, &[("MAX_RETRY", "1")]), None);
    let waiting = tokio::spawn(async move { predict(&client).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    let _second = ModelServer::start(port, vec![halves(model())])
        .await
        .expect("the port is free again");
    is_right(&waiting.await.expect("no panic").expect("a prediction"));
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again() {
    let first = server().await;
    let port = first.address().port();
    let client = client(&first, &[]);
    is_right(&predict(&client).await.expect("a prediction"));
    first.stop().await;
    let _second = ModelServer::start(port, vec![halves(model())])
        .await
        .expect("the port is free again");
    is_right(&predict(&client).await.expect("a prediction"));
}

#[tokio::test]
async fn waiting_for_an_absent_server_ends() {
    let gone = server().await;
    let port = gone.address().port();
    gone.stop().await;
    for host in ["127.0.0.1", "no-such-host.invalid"] {
        let client = Client::new(
            settings(
                host,
                port,
                &[("TF_UNAVAILABLE_TIMEOUT", "0.2"), ("MAX_RETRY", "1")],
            ),
            None,
        );
        let error = predict(&client).await.expect_err("nobody is there");
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_line_that_breaks_counts_as_an_absent_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let hangs_up = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let client = Client::new(
        settings("127.0.0.1", port, &[("TF_UNAVAILABLE_TIMEOUT", "0.1")]),
        None,
    );
    let error = predict(&client).await.expect_err("it always hangs up");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    hangs_up.abort();
}

#[tokio::test]
async fn a_server_that_never_answers_misses_the_deadline() {
    let server = server().await;
    let client = client(&server, &[("GRPC_TIMEOUT", "0.2"), ("MAX_RETRY", "1")]);
    server.faults().hang(Method::Predict, 2);
    let error = predict(&client)
        .await
        .expect_err("two attempts without an answer");
    assert!(
        matches!(error, Error::Deadline { attempts: 2, .. }),
        "{error:?}"
    );
    is_right(&predict(&client).await.expect("it answers again"));
}

#[tokio::test]
async fn a_slow_answer_before_the_deadline_is_fine() {
    let server = server().await;
    server.faults().delay(Duration::from_millis(300));
    is_right(
        &predict(&client(&server, &[]))
            .await
            .expect("a slow prediction"),
    );
    assert_eq!(server.faults().calls(Method::Predict), 1);
}

#[tokio::test]
async fn requests_under_way_are_bounded() {
    let server = server().await;
    let client = client(&server, &[("TF_MAX_IN_FLIGHT", "2")]);
    client.signature(&model()).await.expect("metadata");
    server.faults().hang(Method::Predict, 3);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { predict(&client).await })
        })
        .collect();
    until(|| server.faults().under_way() == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.faults().calls(Method::Predict), 2);
    calls[0].abort();
    calls[1].abort();
    until(|| server.faults().calls(Method::Predict) == 3).await;
    calls[2].abort();
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_on_the_server() {
    let server = server().await;
    let client = client(&server, &[]);
    server.faults().hang(Method::Predict, 1);
    let call = tokio::spawn({
        let client = client.clone();
        async move { predict(&client).await }
    });
    until(|| server.faults().calls(Method::Predict) == 1).await;
    call.abort();
    until(|| server.faults().under_way() == 0).await;
    is_right(&predict(&client).await.expect("the next call"));
}

#[tokio::test]
async fn nothing_runs_on_once_the_last_client_is_dropped() {
    let server = server().await;
    let runtime = tokio::runtime::Handle::current();
    let before = runtime.metrics().num_alive_tasks();
    let client = client(&server, &[]);
    let other = client.clone();
    predict(&client).await.expect("a prediction");
    drop(client);
    predict(&other).await.expect("a prediction");
    assert!(runtime.metrics().num_alive_tasks() > before);
    drop(other);
    until(|| runtime.metrics().num_alive_tasks() <= before).await;
}

#[tokio::test]
async fn a_model_that_complains_or_panics_is_an_error_and_no_more() {
    let complains = Model {
        run: Arc::new(|_| Err("too dark".to_owned())),
        ..halves(ModelId::new("Complains", 1))
    };
    let panics = Model {
        run: Arc::new(|_| panic!("a bug")),
        ..halves(ModelId::new("Panics", 1))
    };
    let server = ModelServer::start(0, vec![complains, panics, halves(model())])
        .await
        .expect("a free port");
    let client = client(&server, &[]);
    for (name, expected) in [
        ("Complains", Code::InvalidArgument),
        ("Panics", Code::Internal),
    ] {
        let error = client
            .predict(&ModelId::new(name, 1), vec![("image", image())])
            .await
            .expect_err("it fails");
        assert!(
            matches!(&error, Error::Refused { code, .. } if *code == expected),
            "{error:?}"
        );
    }
    is_right(&predict(&client).await.expect("the others go on"));
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
