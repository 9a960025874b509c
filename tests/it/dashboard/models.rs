//! `GET /api/models`: from the bucket, else from where models run.

use serde_json::{Value, json};

use crate::peers::browser::Dashboard;
use crate::peers::cluster::Cluster;
use crate::peers::kiosk_client::KioskClient;
use crate::peers::redis::free_port;

/// A dashboard with these settings, and what it says.
fn models(cluster: &Cluster, settings: &[(&str, &str)]) -> (Dashboard, KioskClient, Value) {
    let dashboard = Dashboard::start(cluster, settings);
    let client = KioskClient::new(dashboard.port);
    let reply = client.get("/api/models");
    assert_eq!(reply.status, 200, "{reply:?}");
    let found = reply.json()["models"].take();
    (dashboard, client, found)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_bucket_has_none_the_server_is_asked_for_those_of_job_types() {
    let cluster = Cluster::open().await;
    let used_by_default = json!({
        "CytoplasmSegmentation": ["5"], "MultiplexSegmentation": ["9"], "NuclearSegmentation": ["0", "6"],
    });
    // With `auto` the server is asked first what it speaks.
    for kind in ["tfs", "auto"] {
        let (_dashboard, client, found) = models(&cluster, &[("MODEL_SERVER", kind)]);
        for (name, versions) in used_by_default.as_object().expect("models") {
            assert_eq!(found[name], *versions, "{kind}: {name} of {found}");
        }
        assert_eq!(
            found["TwoHeads"],
            Value::Null,
            "{kind}: nothing names it, so nobody asks"
        );
        cluster.put("models/New/1/saved_model.pb", b"x");
        let again = client.get("/api/models").json();
        assert_eq!(again["models"], found, "{kind}: it is known for a while");
        cluster.remove("models/New/1/saved_model.pb");
    }
    let named = [("NUCLEAR_MODEL", "TwoHeads:1")];
    let (_dashboard, _, found) = models(&cluster, &named);
    assert_eq!(found["TwoHeads"], json!(["1"]));
    cluster.put("models/Mine/3/saved_model.pb", b"x");
    let (_dashboard, _, found) = models(&cluster, &[]);
    assert_eq!(found, json!({ "Mine": ["3"] }), "the bucket goes before");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_list_their_models_and_folders_are_told_whole() {
    let cluster = Cluster::open().await;
    let server = [("MODEL_SERVER", "oip"), ("STORAGE_BUCKET", "")];
    let (_dashboard, _, found) = models(&cluster, &server);
    assert_eq!(
        (&found["TwoHeads"], &found["NuclearSegmentation"]),
        (&json!(["1"]), &json!(["0", "6"]))
    );
    let folder = tempfile::tempdir().expect("a folder");
    for version in ["1", "12"] {
        let place = folder.path().join("Nuclei").join(version);
        std::fs::create_dir_all(&place).expect("a folder");
        std::fs::write(place.join("model.onnx"), "").expect("a file");
    }
    let path = folder.path().to_str().expect("a path");
    let here = [("MODEL_SERVER", "onnx"), ("MODEL_DIR", path)];
    let (_dashboard, _, found) = models(&cluster, &here);
    assert_eq!(found, json!({ "Nuclei": ["1", "12"] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_or_named_wrongly_is_no_error() {
    let cluster = Cluster::open().await;
    let nowhere = free_port().to_string();
    let wrong = [("MODEL_SERVER", "onnx")];
    for settings in [&[("TF_PORT", nowhere.as_str())], &wrong] {
        let (_dashboard, _, found) = models(&cluster, settings);
        assert_eq!(found, json!({}), "{settings:?}");
    }
}
