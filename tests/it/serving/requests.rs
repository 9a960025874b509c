//! Requests under way: how many there are, and when they end.

use std::time::Duration;

use redis_consumer::serving::Method;

use super::{client, is_right, model, predict, server};

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

async fn until(what: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(20), async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it happens in time");
}
