//! Other programs that show the same, and peers that workers need.

use super::pages::visitor;
use super::{empty, encoded};
use crate::peers::browser::Browser;
use crate::peers::cluster::Cluster;

/// A job with an image and a result.
fn done(cluster: &Cluster) -> String {
    let key = "segmentation:done:1";
    let fields = [
        "status",
        "done",
        "input_file_name",
        "uploads/a b.tif",
        "output_file_name",
        "output/r.zip",
        "dim_order",
        "YXC",
        "rc_trace",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "output_url",
        "javascript:alert(1)",
    ];
    let _: i64 = cluster.redis.ask(&[&["HSET", key][..], &fields].concat());
    format!("/jobs/{}", encoded(key.as_bytes()))
}

fn policy(browser: &Browser) -> String {
    browser.get("/system").headers["content-security-policy"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_to_other_programs_where_they_are_set() {
    let cluster = empty().await;
    let settings = [
        (
            "GRAFANA_URL",
            "https://grafana.example/d/1?var-queue={queue}",
        ),
        ("TRACES_URL", "https://traces.example/{trace}?q={queue}"),
        ("LABEL_URL", "https://label.example:8443/project"),
        ("STORAGE_PUBLIC_URL", "https://bucket.example"),
    ];
    let (_dashboard, browser) = visitor(&cluster, &settings);
    let path = done(&cluster);
    let page = browser.get(&path).body;
    for part in [
        "href=\"https://traces.example/4bf92f3577b34da6a3ce929d0e0e4736?q=segmentation\"",
        "<form method=\"post\" action=\"https://label.example:8443/project\" target=\"_blank\">",
        "name=\"images\" value=\"https://bucket.example/uploads/a%20b.tif\"",
        "name=\"labels\" value=\"https://bucket.example/output/r.zip\"",
        "name=\"axes\" value=\"YXC\"",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    let label = page.split("https://label.example").nth(1).expect("a form");
    let label = label.split("</form>").next().expect("its end");
    assert!(!label.contains("rc_csrf"), "{label}");
    let page = browser.get("/queues/segmentation").body;
    assert!(
        page.contains("https://grafana.example/d/1?var-queue=segmentation\""),
        "{page}"
    );
    assert!(policy(&browser).contains("form-action 'self' https://label.example:8443;"));
    assert!(policy(&browser).contains("script-src 'self';"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_elsewhere_where_nothing_is_set() {
    let cluster = empty().await;
    let (_dashboard, browser) = visitor(&cluster, &[("GRAFANA_URL", "https://grafana.example/")]);
    let page = browser.get(&done(&cluster)).body;
    assert!(
        !page.contains("DeepCell Label") && !page.contains("Its trace"),
        "{page}"
    );
    assert!(policy(&browser).contains("form-action 'self';"));
    let page = browser.get("/system").body;
    assert!(page.contains("href=\"https://grafana.example/\""), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_need_is_checked_when_that_is_wanted() {
    let cluster = Cluster::with_nuclei(crate::peers::redis::Redis::start()).await;
    let (_dashboard, browser) = visitor(&cluster, &[]);
    let asked = browser.post("/system/check", &[]);
    assert_eq!(asked.status, 200, "{}", asked.body);
    assert_eq!(asked.command(), "redis-consumer check");
    assert!(
        !cluster.has("output/rc-check.txt"),
        "nobody has confirmed it"
    );
    let found = browser.post("/system/check", &[("confirmed", "yes")]).body;
    for part in [
        "<th scope=\"row\">redis</th>",
        "<th scope=\"row\">bucket</th>",
        "wrote `output/rc-check.txt`",
    ] {
        assert!(found.contains(part), "{part} is missing in\n{found}");
    }
    assert!(cluster.has("output/rc-check.txt"));
}
