//! Objects as everybody fetches them.

use super::empty;
use crate::peers::browser::Dashboard;
use crate::peers::cluster::Cluster;
use crate::peers::kiosk_client::{KioskClient, Reply};

const TOKEN: &str = "0123456789-operator-token";

/// A bucket with a result, an upload and what is nobody's business, and a dashboard that asks for a token.
async fn served(address: &str, base: &str) -> (Cluster, Dashboard, KioskClient) {
    let cluster = empty().await;
    for (key, body) in [
        ("output/a.zip", &b"0123456789"[..]),
        ("output/ü b.html", b"<script>alert(1)</script>"),
        ("output/empty.csv", b""),
        ("uploads/x/y.tif", b"II*\0"),
        ("plans/night/plan.json", b"{}"),
        ("outputs/z", b"secret"),
        ("models/m/1/model.onnx", b"secret"),
    ] {
        cluster.put(key, body);
    }
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", TOKEN),
        ("STORAGE_PUBLIC_URL", address),
        ("DASHBOARD_BASE_PATH", base),
    ];
    let dashboard = Dashboard::start(&cluster, &settings);
    let client = KioskClient::new(dashboard.port);
    (cluster, dashboard, client)
}

fn body(reply: &Reply) -> &[u8] {
    assert!(reply.status < 300, "{reply:?}");
    &reply.body
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_uploads_are_for_everybody_where_their_addresses_lead_here() {
    let (_cluster, _dashboard, client) = served("https://kiosk.example/files", "").await;
    let reply = client.get("/files/output/a.zip");
    assert_eq!(body(&reply), b"0123456789");
    for (name, value) in [
        ("content-type", "application/zip"),
        ("content-length", "10"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        (
            "content-disposition",
            "attachment; filename*=UTF-8''a%2Ezip",
        ),
        ("connection", "close"),
    ] {
        assert_eq!(
            reply.headers.get(name).map(String::as_str),
            Some(value),
            "{reply:?}"
        );
    }
    let page = client.get("/files/output/%C3%BC%20b.html");
    assert_eq!(page.headers["content-type"], "application/octet-stream");
    assert_eq!(body(&client.get("/files/uploads/x/y.tif")), b"II*\0");
    assert_eq!(body(&client.get("/files/output/empty.csv")), b"");
    let head = client.send("HEAD", "/files/output/a.zip", &[], b"");
    assert_eq!((head.status, &*head.headers["content-length"]), (200, "10"));
    assert_eq!(body(&head), b"");
    assert_eq!(
        client.send("POST", "/files/output/a.zip", &[], b"").status,
        405
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_sent_of_the_version_that_is_meant() {
    let (cluster, _dashboard, client) = served("http://127.0.0.1/kiosk/files/", "/kiosk").await;
    let get =
        |headers: &[(&str, &str)]| client.send("GET", "/kiosk/files/output/a.zip", headers, b"");
    let tag = get(&[]).headers["etag"].clone();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    for (range, status, text, told) in [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=4-", 206, "456789", "bytes 4-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=0-1,4-5", 200, "0123456789", ""),
    ] {
        let reply = get(&[("Range", range)]);
        let is_told = reply
            .headers
            .get("content-range")
            .map_or("", String::as_str);
        let found = (reply.status, &reply.body[..], is_told);
        assert_eq!(found, (status, text.as_bytes(), told), "{range}");
    }
    let part = ("Range", "bytes=0-3");
    assert_eq!(get(&[part, ("If-Range", &tag)]).status, 206);
    assert_eq!(get(&[part, ("If-Range", "\"other\"")]).status, 200);
    let known = get(&[("If-None-Match", &tag)]);
    assert_eq!((known.status, &known.body[..]), (304, &b""[..]));
    cluster.put("output/a.zip", b"another result");
    assert_eq!(get(&[part, ("If-Range", &tag)]).body, b"another result");
    assert_eq!(get(&[("If-None-Match", &tag)]).status, 200);
    // Larger than what is read at once.
    let large: Vec<u8> = (0..3_000_000_u32).map(|it| (it % 251) as u8).collect();
    cluster.put("output/large.npy", &large);
    let reply = client.get("/kiosk/files/output/large.npy");
    assert!(body(&reply) == large, "{} bytes", reply.body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_of_the_bucket_is_there() {
    let (_cluster, _dashboard, client) = served("https://kiosk.example/files", "").await;
    for key in [
        "plans/night/plan.json",
        "models/m/1/model.onnx",
        "outputs/z",
        "output",
        "output/",
        "output/none.zip",
        "output/../plans/night/plan.json",
        "output/%2e%2e/plans/night/plan.json",
        "output/%2E%2E%2Fplans/night/plan.json",
        "output/x/..%2f..%2fplans/night/plan.json",
        "output%2f..%2fplans%2fnight%2fplan.json",
        "/output/../../etc/passwd",
        "uploads//../../etc/passwd",
        "output/%00",
        "output/%ff",
        "file:///etc/passwd",
        "%2fetc%2fpasswd",
        "output/.rc-parts",
    ] {
        let reply = client.get(&format!("/files/{key}"));
        assert_eq!(reply.status, 404, "{key}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_nobodys_where_addresses_lead_elsewhere() {
    for (address, base) in [
        ("https://cdn.example/bucket", ""),
        ("https://kiosk.example/files/sub", ""),
        ("https://kiosk.example/files", "/kiosk"),
    ] {
        let (_cluster, _dashboard, client) = served(address, base).await;
        let reply = client.get(&format!("{base}/files/output/a.zip"));
        assert_eq!(reply.status, 404, "{address}");
    }
}
