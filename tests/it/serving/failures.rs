//! What is asked again, and what is given up.

use std::sync::Arc;
use std::time::Duration;

use redis_consumer::serving::{Client, Error, Input, Method, Model, ModelId, ModelServer};
use tonic::Code;

use super::{client, halves, image, is_right, model, predict, server, settings};

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
async fn a_long_text_of_an_error_is_an_answer() {
    let id = ModelId::new("Talkative", 1);
    let inputs = vec![Input::float("image", &[-1])];
    let talkative = Model {
        id: id.clone(),
        outputs: inputs.clone(),
        inputs,
        run: Arc::new(|_| Err("why ".repeat(25_000))),
    };
    let server = ModelServer::start(0, vec![talkative])
        .await
        .expect("a free port");
    let image = ndarray::ArrayD::from_elem(vec![1], 0.5);
    let asked = client(&server, &[("TF_UNAVAILABLE_TIMEOUT", "2")])
        .predict(&id, vec![("image", image)])
        .await;
    let error = asked.expect_err("the model refuses");
    assert!(
        matches!(error, Error::Refused { .. }),
        "{:.300}",
        error.to_string()
    );
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
