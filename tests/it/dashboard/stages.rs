//! How long the stages of a queue's last jobs took, from what consumers leave in Redis.

use super::empty;
use crate::exec::{cluster, shell, submit};
use crate::peers::browser::Dashboard;
use crate::peers::cluster::eventually;

/// The section of the page, without what is around it.
fn section(page: &str) -> &str {
    let begin = page.find("id=\"stages\"").expect("a section");
    let rest = &page[begin..];
    &rest[..rest.find("</section>").expect("its end")]
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_a_consumer_has_done_are_remembered_and_their_stages_shown() {
    let cluster = cluster().await;
    let _pod = shell(&cluster, "echo x > \"$RC_OUTPUT/x.csv\"").start();
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let jobs = [submit(&cluster, ""), submit(&cluster, "")];
    jobs.iter().for_each(|job| drop(cluster.wait_done(job)));
    // A heartbeat tells Redis of them.
    let page = || browser.get("/queues/segmentation").body;
    eventually("they are shown", || {
        page().contains("Of the last 2 jobs that are done")
    });
    let shown = page();
    for text in ["waiting", "predicting", "saving-results"] {
        let row = format!("<th scope=\"row\">{text}</th>");
        assert!(section(&shown).contains(&row), "{text}: {shown}");
    }
    let known: Vec<String> = cluster
        .redis
        .ask(&["ZRANGE", "rc:recent:segmentation", "0", "-1"]);
    assert_eq!(known, jobs);
    let left: i64 = cluster.redis.ask(&["TTL", "rc:recent:segmentation"]);
    assert!(left > 0, "it is forgotten some day");
    // What has expired is not counted.
    let _: u32 = cluster.redis.ask(&["DEL", &jobs[0]]);
    assert!(page().contains("Of the last job that is done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_jobs_and_nine_of_ten_are_told_and_strangers_are_left_out() {
    let cluster = empty().await;
    let redis = &cluster.redis;
    let _: u32 = redis.ask(&["SADD", "rc:queues", "q"]);
    for number in 1..=10 {
        let (key, score) = (format!("q:{number}"), number.to_string());
        let time = score.as_str();
        let _: u32 = redis.ask(&["HSET", &key, "status", "done", "prediction_time", time]);
        let _: u32 = redis.ask(&["ZADD", "rc:recent:q", &score, &key]);
    }
    for (key, status) in [("q:again", "new"), ("q:bad", "failed")] {
        let _: u32 = redis.ask(&["HSET", key, "status", status, "prediction_time", "900"]);
        let _: u32 = redis.ask(&["ZADD", "rc:recent:q", "99", key]);
    }
    let dashboard = Dashboard::start(&cluster, &[]);
    let page = dashboard.browser().get("/queues/q").body;
    let section = section(&page);
    for text in [
        "Of the last 10 jobs that are done",
        ">predicting<",
        ">5.00 s<",
        ">9.00 s<",
    ] {
        assert!(section.contains(text), "{text} is missing in {section}");
    }
    assert!(!section.contains(">waiting<"), "{section}");
    assert!(section.contains("width=\"555\""), "{section}");
    let _: u32 = redis.ask(&["DEL", "rc:recent:q"]);
    let page = dashboard.browser().get("/queues/q").body;
    assert!(
        !page.contains("id=\"stages\""),
        "nothing is said of nothing"
    );
}
