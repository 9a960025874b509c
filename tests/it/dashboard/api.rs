//! The API of a Kiosk, as its clients call it.

use std::fs;

use serde_json::{Value, json};

use super::empty;
use crate::peers::browser::Dashboard;
use crate::peers::cluster::{Cluster, IMAGE, eventually};
use crate::peers::kiosk_client::{KioskClient, form};
use crate::peers::redis::{Redis, free_port};
use crate::peers::results::unzipped;

const TOKEN: &str = "0123456789-operator-token";
const VIEW: &str = "0123456789-viewers-token";

/// A dashboard with these settings, and a client of it.
fn client(cluster: &Cluster, settings: &[(&str, &str)]) -> (Dashboard, KioskClient) {
    let dashboard = Dashboard::start(cluster, settings);
    let client = KioskClient::new(dashboard.port);
    (dashboard, client)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// How many objects are below a folder of the bucket, hidden ones included.
fn objects(cluster: &Cluster, folder: &str) -> usize {
    let bucket = cluster.bucket_url();
    let folder = format!("{}/{folder}", bucket.trim_start_matches("file://"));
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// The fields that the batch client asks for when a job has ended, one by one.
const AT_THE_END: [&str; 13] = [
    "created_at",
    "finished_at",
    "reason",
    "output_url",
    "prediction_time",
    "predict_retries",
    "postprocess_time",
    "upload_time",
    "download_time",
    "children_upload_time",
    "cleanup_time",
    "total_jobs",
    "total_time",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_client_gets_its_result() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let _pod = cluster.pod("pod-1").start();
    let (_dashboard, client) = client(&cluster, &[]);
    let page = client.first_page();
    assert_eq!(page.status, 200, "{page:?}");
    let uploaded = client.upload("/data/a b.png", IMAGE);
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    let name = text(&uploaded.json()["uploadedName"]);
    assert!(name.starts_with("uploads/") && name.ends_with(".png"));
    let url = text(&uploaded.json()["imageURL"]);
    assert_eq!(url, format!("{}/{name}", cluster.bucket_url()));
    assert_eq!(cluster.object(&name), IMAGE);
    eventually("the job type is known", || {
        client.get("/api/jobtypes").json() == json!({ "jobTypes": ["segmentation"] })
    });
    let body = format!(
        "{{\"imageName\": \"/data/a b.png\", \"imageUrl\": \"\", \"jobType\": \"segmentation\", \"uploadedName\": \"{name}\", \
         \"dataRescale\": 1.0, \"dataLabel\": \"\", \"modelName\": \"\", \"modelVersion\": 6, \"preprocessFunction\": \"\", \
         \"postprocessFunction\": \"\", \"cuts\": 0, \"jobForm\": {{\"dimensionOrder\": \"XYC\", \"selectedChannels\": \"0,\"}}}}"
    );
    let predicted = client.post("/api/predict", &body);
    assert_eq!(predicted.status, 200, "{predicted:?}");
    let hash = text(&predicted.json()["hash"]);
    assert!(hash.starts_with("segmentation:/data/a b.png:"), "{hash}");
    eventually("the job is done", || {
        let status = client.look(&hash, &"status".into());
        assert_ne!(status, "failed", "{}", client.look(&hash, &"reason".into()));
        status == "done"
    });
    let found = AT_THE_END.map(|name| client.look(&hash, &name.into()));
    for (name, value) in AT_THE_END.iter().zip(&found).take(4) {
        assert_eq!(value.is_string(), *name != "reason", "{name}: {value}");
    }
    let stored = cluster.redis.hash(&hash);
    assert_eq!(
        (
            &*stored["scale"],
            &*stored["model_version"],
            &*stored["cuts"]
        ),
        ("1.0", "6", "0")
    );
    let result = text(&found[3]).replace(&format!("{}/", cluster.bucket_url()), "");
    assert!(!unzipped(cluster.object(&result)).is_empty());
    let expire = json!({ "hash": hash, "expireIn": 3600 }).to_string();
    let expired = client.post("/api/redis/expire", &expire);
    assert_eq!(
        (expired.status, expired.json()),
        (200, json!({ "value": 1 }))
    );
    let left: i64 = cluster.redis.ask(&["TTL", &hash]);
    assert!((3000..=3600).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_lists_gets_lists() {
    let cluster = empty().await;
    let (_dashboard, client) = client(&cluster, &[("JOB_TYPES", "segmentation, mesmer")]);
    let known = client.get("/api/jobtypes").json();
    assert_eq!(known, json!({ "jobTypes": ["segmentation", "mesmer"] }));
    let body = json!({
        "jobType": "mesmer", "imageName": "fovs_1.ZIP", "uploadedName": "uploads/fovs.zip", "imageUrl": "https://bucket/x",
        "dataRescale": "", "channels": "0,1", "unknown": {"a": 1},
    });
    let predicted = client.post("/api/predict", &body.to_string());
    let hash = text(&predicted.json()["hash"]);
    assert!(hash.starts_with("mesmer-zip:fovs_1.ZIP:"), "{hash}");
    let queued: Vec<String> = cluster.redis.ask(&["LRANGE", "mesmer-zip", "0", "-1"]);
    assert_eq!(queued, std::slice::from_ref(&hash));
    let stored = cluster.redis.hash(&hash);
    for (name, value) in [
        ("original_name", "fovs_1.ZIP"),
        ("input_file_name", "uploads/fovs.zip"),
        ("url", "https://bucket/x"),
        ("channels", "0,1"),
        ("scale", ""),
        ("cuts", "0"),
        ("status", "new"),
    ] {
        assert_eq!(stored[name], value, "{name}");
    }
    let asked = json!(["status", "progress", "output_url", "reason", "failures"]);
    let nothing = json!(["new", null, null, null, null]);
    assert_eq!(client.look(&hash, &asked), nothing);
    let expire = json!({ "hash": hash, "expireIn": 90 }).to_string();
    let refused = client.post("/api/redis/expire", &expire);
    assert_eq!((refused.status, &refused.json()["value"]), (409, &json!(0)));
    let _: u32 = cluster
        .redis
        .ask(&["HSET", &hash, "status", "done", "progress", "100"]);
    let ended = json!(["done", "100", null, null, ""]);
    assert_eq!(client.look(&hash, &asked), ended);
    let status = client.post("/api/status", &json!({ "hash": hash }).to_string());
    assert_eq!(status.json(), json!({ "status": "done" }));
    let _: u32 = cluster.redis.ask(&["HSET", &hash, "rc_batch", "night"]);
    let kept = client.post("/api/redis/expire", &expire);
    assert_eq!((kept.status, kept.json()), (200, json!({ "value": 1 })));
    assert_eq!(cluster.redis.ask::<i64>(&["TTL", &hash]), -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_job_or_not_for_clients_is_not_told() {
    let cluster = empty().await;
    let (_dashboard, client) = client(&cluster, &[]);
    let redis = &cluster.redis;
    let _: u32 = redis.ask(&[
        "HSET",
        "q:1",
        "status",
        "done",
        "rc_token",
        "t",
        "rc_quality",
        "{}",
    ]);
    let _: u32 = redis.ask(&["HSET", "rc:worker:q:pod", "version", "9"]);
    let _: u32 = redis.ask(&["LPUSH", "q", "q:1"]);
    for key in ["rc:worker:q:pod", "q", "none"] {
        assert_eq!(
            client.look(key, &json!(["version", "failures"])),
            json!([null, null])
        );
        let body = json!({ "hash": key }).to_string();
        let expired = client.post("/api/redis/expire", &body);
        assert_eq!(
            (expired.status, expired.json()),
            (404, json!({ "value": 0 }))
        );
        assert_eq!(
            client.post("/api/status", &body).json(),
            json!({ "status": null })
        );
    }
    assert_eq!(client.look("q:1", &"rc_quality".into()), "{}");
    for key in [json!("rc_token"), json!(["status", "rc_owner"])] {
        let body = json!({ "hash": "q:1", "key": key }).to_string();
        let (status, why) = client.post("/api/redis", &body).error();
        assert!(status == 400 && why.contains("rc_"), "{status} {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_answered_with_json() {
    let cluster = empty().await;
    cluster.put("models/Nuclear/6/model.onnx", b"x");
    cluster.put("models/Nuclear/notes.txt", b"x");
    let (_dashboard, client) = client(&cluster, &[("JOB_TYPES", "segmentation,tracking")]);
    let models = client.get("/api/models").json();
    assert_eq!(models, json!({ "models": { "Nuclear": ["6"] } }));
    let health = client.get("/api/health-check");
    assert_eq!(
        (health.status, health.json()),
        (200, json!({ "message": "success" }))
    );
    for (path, body, expected, word) in [
        ("/api/redis", "", 400, "JSON"),
        ("/api/redis", "[]", 400, "object"),
        ("/api/redis", "{\"hash\": \"a\"}", 400, "key"),
        ("/api/redis", "{\"hash\": \"a\", \"key\": [1]}", 400, "key"),
        ("/api/redis", "{\"key\": \"status\"}", 400, "hash"),
        ("/api/redis", "{\"hash\": \"\\ud800\"}", 400, "JSON"),
        (
            "/api/redis/expire",
            "{\"hash\": \"a\", \"expireIn\": -1}",
            400,
            "seconds",
        ),
        (
            "/api/redis/expire",
            "{\"hash\": \"a\", \"expireIn\": 1e30}",
            400,
            "seconds",
        ),
        (
            "/api/predict",
            "{\"jobType\": \"segmentation\"}",
            400,
            "imageName",
        ),
        (
            "/api/predict",
            "{\"jobType\": \"nope\", \"imageName\": \"a.tif\"}",
            400,
            "`nope` is not known; known are: segmentation, tracking",
        ),
        (
            "/api/predict",
            "{\"jobType\": \"segmentation\", \"imageName\": \"a.tif\", \"uploadedName\": \"../../etc/passwd\"}",
            400,
            "uploadedName",
        ),
        (
            "/api/predict",
            "{\"jobType\": \"segmentation\", \"imageName\": \"a.tif\", \"cuts\": {}}",
            400,
            "cuts",
        ),
        ("/api/upload", "{}", 400, "multipart/form-data"),
        ("/api/nothing", "{}", 404, "no such call"),
        ("/api", "{}", 404, "no such call"),
        ("/api/", "{}", 404, "no such call"),
        ("/api/jobtypes", "{}", 405, "method"),
        ("/api/health-check", "{}", 405, "method"),
    ] {
        let (status, why) = client.post(path, body).error();
        assert!(
            status == expected && why.contains(word),
            "{path} {body}: {status} {why}"
        );
    }
    assert_eq!(client.get("/api/upload").error().0, 405);
    assert_eq!(objects(&cluster, "uploads"), 0);
    assert!(cluster.redis.keys("segmentation*").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_or_too_large_leaves_nothing() {
    let cluster = empty().await;
    let (_dashboard, client) = client(&cluster, &[("MAX_UPLOAD_BYTES", "9Mi")]);
    let head = "Content-Disposition: form-data; name=\"file\"; filename=\"a.tif\"\r\n";
    // A part has gone its way before the end turns out to be missing.
    let large = vec![b'x'; 9 << 20];
    let whole = form(head, &large);
    let endless = format!("X-Long: {}\r\n", "y".repeat(1 << 20));
    for (what, body, expected, word) in [
        ("no end", &whole[..whole.len() - 8], 400, "broken"),
        ("no form", &b"hello"[..], 400, "broken"),
        (
            "no file",
            &form("Content-Disposition: form-data; name=\"other\"\r\n", b"x"),
            400,
            "`file`",
        ),
        ("an empty file", &form(head, b""), 400, "empty"),
        ("a head without end", &form(&endless, b"x"), 400, "head"),
        (
            "a byte more",
            &form(head, &[&large[..], b"x"].concat()),
            413,
            "9437184 bytes (MAX_UPLOAD_BYTES)",
        ),
        (
            "much more",
            &form(head, &vec![0; 12 << 20]),
            413,
            "MAX_UPLOAD_BYTES",
        ),
    ] {
        let (status, why) = client.upload_form(body).error();
        assert!(
            status == expected && why.contains(word),
            "{what}: {status} {why}"
        );
    }
    eventually("nothing is left", || objects(&cluster, "uploads") == 0);
    let uploaded = client.upload_form(&whole);
    let name = text(&uploaded.json()["uploadedName"]);
    assert_eq!(cluster.object(&name), large);
    let other = client.upload("no ending/../..", b"x");
    let name = text(&other.json()["uploadedName"]);
    assert!(
        name.starts_with("uploads/") && !name.contains('.'),
        "{name}"
    );
    // A client that goes away in the middle.
    let request = format!(
        "POST /api/upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=a7f7ac8d4e2e437c877bb7b8d7cc549c\r\n\r\n",
        whole.len()
    );
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", client.port)).expect("it listens");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("it reads");
    std::io::Write::write_all(&mut stream, &whole[..whole.len() - 100]).expect("it reads");
    eventually("a part is there", || objects(&cluster, "uploads") == 3);
    drop(stream);
    eventually("nothing is left", || objects(&cluster, "uploads") == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_unless_the_api_is_open_or_off() {
    let cluster = empty().await;
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", TOKEN),
        ("DASHBOARD_VIEW_TOKEN", VIEW),
        ("JOB_TYPES", "segmentation"),
    ];
    let with = |mode| [&settings[..], &[("DASHBOARD_API", mode)]].concat();
    let submit = json!({ "jobType": "segmentation", "imageName": "a.tif" }).to_string();
    let look = json!({ "hash": "a", "key": "status" }).to_string();

    let (dashboard, nobody) = client(&cluster, &settings);
    assert_eq!(
        nobody.first_page().status,
        200,
        "clients take it for the server"
    );
    assert_eq!(nobody.get("/api/health-check").status, 200);
    for (path, body) in [
        ("/api/predict", &submit),
        ("/api/redis", &look),
        ("/api/redis/expire", &look),
        ("/api/status", &look),
        ("/api/upload", &look),
        ("/api/nothing", &look),
    ] {
        let reply = nobody.post(path, body);
        assert!(
            reply.error().1.contains("DASHBOARD_API=open"),
            "{path}: {reply:?}"
        );
        assert_eq!(
            (reply.status, &*reply.headers["www-authenticate"]),
            (401, "Bearer")
        );
    }
    let log = dashboard.pod.log();
    assert_eq!(
        log.matches("kiosk-client cannot send one").count(),
        1,
        "{log}"
    );
    let viewer = nobody
        .clone()
        .with("authorization", &format!("Bearer {VIEW}"));
    assert_eq!(viewer.post("/api/redis", &look).status, 200);
    assert_eq!(viewer.post("/api/predict", &submit).error().0, 403);
    assert_eq!(viewer.upload("a.tif", b"x").error().0, 403);
    let operator = nobody.with("authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(operator.post("/api/predict", &submit).status, 200);
    drop(dashboard);

    let (dashboard, anybody) = client(&cluster, &with("open"));
    assert_eq!(anybody.post("/api/predict", &submit).status, 200);
    assert_eq!(anybody.get("/queues").status, 401, "pages ask all the same");
    let foreign = anybody.with("origin", "https://evil.example");
    assert_eq!(foreign.post("/api/predict", &submit).error().0, 403);
    drop(dashboard);

    let read_only = [with("open"), vec![("DASHBOARD_READ_ONLY", "true")]].concat();
    let (dashboard, anybody) = client(&cluster, &read_only);
    assert_eq!(anybody.post("/api/predict", &submit).error().0, 403);
    assert_eq!(anybody.upload("a.tif", b"x").error().0, 403);
    assert_eq!(anybody.post("/api/redis", &look).status, 200);
    drop(dashboard);

    let (_dashboard, anybody) = client(&cluster, &with("off"));
    for path in ["/api/redis", "/api/nothing"] {
        assert_eq!(anybody.post(path, &look).error().0, 404);
    }
    assert_eq!(objects(&cluster, "uploads"), 0);
    let queued: u32 = cluster.redis.ask(&["LLEN", "segmentation"]);
    assert_eq!(queued, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bucket_or_redis_it_says_so() {
    let cluster = empty().await;
    let (_dashboard, client) = client(&cluster, &[("STORAGE_BUCKET", ""), ("JOB_TYPES", "q")]);
    let (status, why) = client.upload("a.tif", b"x").error();
    assert!(
        status == 503 && why.contains("STORAGE_BUCKET"),
        "{status} {why}"
    );
    assert_eq!(client.get("/api/models").json(), json!({ "models": {} }));
    let body = json!({ "jobType": "q", "imageName": "a.tif" }).to_string();
    assert_eq!(client.post("/api/predict", &body).status, 200);
    let nowhere = free_port().to_string();
    let (_dashboard, client) = self::client(&cluster, &[("REDIS_PORT", &nowhere)]);
    for path in ["/api/health-check", "/api/jobtypes"] {
        let (status, why) = client.get(path).error();
        assert!(status == 503 && why.contains("Redis"), "{status} {why}");
    }
}
