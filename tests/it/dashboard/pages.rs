//! What the pages show.

use super::{empty, encoded, furnish};
use crate::peers::browser::{Browser, Dashboard};
use crate::peers::cluster::{Cluster, eventually};

/// Pages that are there whatever Redis has.
pub(super) const PAGES: [&str; 7] = [
    "/", "/queues", "/failed", "/batches", "/workers", "/system", "/help",
];

/// Pages of what [`furnish`] has written.
pub(super) fn pages() -> Vec<String> {
    let mut all: Vec<_> = PAGES.iter().map(|&page| page.to_owned()).collect();
    all.push("/login".to_owned());
    for tab in ["waiting", "running", "delayed", "parked", "failed"] {
        all.push(format!("/queues/segmentation?tab={tab}&hours=24"));
    }
    for key in ["wait:1", "bad:1", "late:1", "parent:1", "run:1"] {
        let key = format!("segmentation:{key}");
        all.push(format!("/jobs/{}", encoded(key.as_bytes())));
    }
    all.push("/failed?queue=segmentation&why=ValueError".to_owned());
    all.push("/search?q=uploads".to_owned());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_and_looking_changes_nothing() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let before = cluster.redis.dump();
    for page in pages() {
        let answer = browser.get(&page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.body);
        assert!(answer.body.contains("<h1>"), "{page}: {}", answer.body);
        assert_eq!(browser.send("HEAD", &page, "").status, 200, "{page}");
    }
    assert_eq!(cluster.redis.dump(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_what_is_there() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let shows = |page: &str, texts: &[&str]| {
        let body = browser.get(page).body;
        for text in texts {
            assert!(body.contains(text), "{page} lacks {text}:\n{body}");
        }
    };
    shows(
        "/queues",
        &[">segmentation</a>", ">tracking</a>", ">7</td>"],
    );
    shows(
        "/queues/segmentation",
        &["uploads/w1.tif", "(3)</span>", "pod-1", "9.9"],
    );
    shows("/queues/segmentation?tab=running", &["predicting", "40 %"]);
    shows("/workers", &["1 of 4", "Silent", "pod-0"]);
    shows(
        "/failed",
        &[
            "ValueError: the image has # channels",
            "StorageError: … is not there",
            ">4</td>",
        ],
    );
    let job = format!("/jobs/{}", encoded(b"segmentation:bad:2"));
    shows(
        &job,
        &[
            "Why it failed",
            "ValueError: the image has 3 channels",
            "The job or its file is wrong",
        ],
    );
    let parent = format!("/jobs/{}", encoded(b"segmentation:parent:1"));
    shows(
        &parent,
        &["2 in all", "segmentation:bad:1", "waits for its children"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_nothing_say_what_to_do() {
    let cluster = empty().await;
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    for (page, text) in [
        ("/", "redis-consumer submit"),
        ("/queues", "has served a queue here yet"),
        ("/failed", "Nothing has failed"),
        ("/batches", "redis-consumer submit --plan"),
        ("/workers", "redis-consumer consume"),
        ("/system", "Nobody has changed anything"),
    ] {
        let answer = browser.get(page);
        assert_eq!(answer.status, 200, "{page}");
        assert!(answer.body.contains(text), "{page}:\n{}", answer.body);
    }
    for page in [
        "/queues/none",
        "/batches/none",
        "/jobs/bm9uZQ",
        "/jobs/!",
        "/none",
    ] {
        let answer = browser.get(page);
        assert_eq!(answer.status, 404, "{page}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_shown_fifty_at_a_time() {
    let cluster = empty().await;
    let script = "
        redis.call('SADD', 'rc:queues', 'q')
        for i = 1, 1200 do
            local job = string.format('q:j%04d', i)
            redis.call('HSET', job, 'status', 'failed', 'reason', 'Error: no')
            redis.call('ZADD', 'rc:failed:q', 1700000000000 + i, job)
            redis.call('LPUSH', 'q', string.format('q:w%04d', i))
        end";
    let _: Option<String> = cluster.redis.ask(&["EVAL", script, "0"]);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let page = browser.get("/failed").body;
    assert!(page.contains("the last 1,000 of 1,200 failures"), "{page}");
    assert_eq!(jobs_of(&page), numbers('j', (1151..=1200).rev()));
    let page = browser.get("/failed?from=50").body;
    assert_eq!(jobs_of(&page), numbers('j', (1101..=1150).rev()));
    assert!(
        page.contains("rel=\"prev\"") && page.contains("rel=\"next\""),
        "{page}"
    );
    let page = browser.get("/queues/q?from=1150").body;
    assert_eq!(jobs_of(&page), numbers('w', 1151..=1200));
    assert!(!page.contains("rel=\"next\""), "{page}");
}

/// The names of the jobs that a page lists, in its order.
fn jobs_of(page: &str) -> Vec<String> {
    let cells = page.split("<td data-label=\"Job\" class=\"key\">").skip(1);
    let name = |cell: &str| {
        let name = cell.split_once('>').expect("a link").1;
        name.split_once('<').expect("its end").0.to_owned()
    };
    cells.map(name).collect()
}

fn numbers(letter: char, range: impl Iterator<Item = u32>) -> Vec<String> {
    range.map(|i| format!("q:{letter}{i:04}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_searched_is_found() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let _: u32 = cluster.redis.ask(&["ZADD", "rc:batches", "1", "night"]);
    let _: u32 = cluster
        .redis
        .ask(&["HSET", "rc:batch:night", "state", "running", "stages", "0"]);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    for (wanted, place) in [
        (
            "segmentation:bad:1",
            format!("/jobs/{}", encoded(b"segmentation:bad:1")),
        ),
        ("%20tracking%20", "/queues/tracking".to_owned()),
        ("night", "/batches/night".to_owned()),
    ] {
        let answer = browser.get(&format!("/search?q={wanted}"));
        assert_eq!(
            (answer.status, &answer.headers["location"]),
            (303, &place),
            "{wanted}"
        );
    }
    let page = browser.get("/search?q=uploads%2Fb").body;
    assert_eq!(jobs_of(&page).len(), 7, "{page}");
    let page = browser.get("/search?q=w2.tif").body;
    assert_eq!(jobs_of(&page), ["segmentation:wait:2"]);
    for (wanted, text) in [
        ("none", "Nothing here is called"),
        ("", "Give the key of a job"),
        ("%3Cimg%3E", "&#60;img&#62;"),
    ] {
        let answer = browser.get(&format!("/search?q={wanted}"));
        assert_eq!(answer.status, 200, "{wanted}");
        assert!(answer.body.contains(text), "{wanted}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_said_and_comes_back() {
    let mut cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    assert_eq!(browser.get("/queues").status, 200);
    cluster.redis.kill();
    let answer = browser.get("/queues");
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(
        answer.body.contains("Redis does not answer"),
        "{}",
        answer.body
    );
    cluster.redis.resume();
    eventually("the page is back", || browser.get("/queues").status == 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_it_is_told_to() {
    let cluster = empty().await;
    let mut dashboard = Dashboard::start(&cluster, &[]);
    assert_eq!(dashboard.browser().get("/help").status, 200);
    dashboard.pod.terminate();
    assert_eq!(dashboard.pod.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_stands_before_every_address() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[("DASHBOARD_BASE_PATH", "/kiosk/jobs/")]);
    let browser = dashboard.browser();
    for page in ["/kiosk/jobs", "/kiosk/jobs/", "/kiosk/jobs/queues"] {
        let answer = browser.get(page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.body);
        for link in links(&answer.body) {
            assert!(
                link.starts_with("/kiosk/jobs/") || link.starts_with('#'),
                "{link} on {page}"
            );
        }
    }
    assert_eq!(browser.get("/queues").status, 404);
    let style = links(&browser.get("/kiosk/jobs/").body);
    let style = style.iter().find(|link| link.ends_with(".css"));
    let answer = browser.get(style.expect("a style sheet"));
    assert_eq!(answer.status, 200);
    assert!(
        answer.headers["cache-control"].contains("immutable"),
        "{answer:?}"
    );
}

fn links(page: &str) -> Vec<String> {
    let starts = ["href=\"", "action=\"", "src=\""];
    let mut found = Vec::new();
    for start in starts {
        let links = page.split(start).skip(1);
        found.extend(links.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    assert!(found.len() > 5, "{page}");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_of_a_page_leads_to_a_page() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let mut seen = std::collections::BTreeSet::new();
    let mut next = vec!["/".to_owned()];
    while let Some(page) = next.pop() {
        if !seen.insert(page.clone()) || page.contains("#") {
            continue;
        }
        let answer = browser.get(&page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.body);
        let links = answer.body.split("<a ").skip(1);
        let links = links.filter_map(|rest| rest.split_once("href=\"/")?.1.split_once('"'));
        next.extend(links.map(|(link, _)| format!("/{}", link.replace("&#38;", "&"))));
    }
    assert!(seen.len() > 30, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_said_with_what_would_be_right() {
    let cluster = empty().await;
    for (settings, text) in [
        (
            &[("DASHBOARD_LISTEN", "0.0.0.0:0")][..],
            "set DASHBOARD_AUTH to token or proxy",
        ),
        (&[("DASHBOARD_AUTH", "token")], "20 characters or more"),
        (
            &[("DASHBOARD_AUTH", "token"), ("DASHBOARD_TOKEN", "short")],
            "DASHBOARD_TOKEN: a token needs 20 characters",
        ),
        (&[("DASHBOARD_AUTH", "proxy")], "X-Proxy-Secret"),
        (
            &[("DASHBOARD_AUTH", "oidc")],
            "expected none, token or proxy",
        ),
        (&[("DASHBOARD_BASE_PATH", "kiosk")], "expected a path"),
        (
            &[
                ("DASHBOARD_TOKEN_FILE", "/none"),
                ("DASHBOARD_AUTH", "token"),
            ],
            "DASHBOARD_TOKEN_FILE",
        ),
        (&[("STORAGE_BUCKET", "our-bucket")], "STORAGE_BUCKET: "),
        (
            &[("STORAGE_BUCKET", ""), ("AWS_S3_BUCKET", "ftp://box")],
            "ftp",
        ),
    ] {
        let output = cluster.run(&["dashboard"], settings);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{settings:?}: {said}");
        assert!(said.contains(text), "{settings:?}: {said}");
        assert!(!said.contains("short"), "a secret is shown: {said}");
        let mistakes = said.lines().filter(|line| line.starts_with("  "));
        assert_eq!(mistakes.count(), 1, "once each: {said}");
    }
}

/// Somebody at a page with everything in it.
pub(super) fn visitor(cluster: &Cluster, settings: &[(&str, &str)]) -> (Dashboard, Browser) {
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(cluster, settings);
    let browser = dashboard.browser();
    (dashboard, browser)
}

/// Pairs of colors of the style sheet: what stands on what, and the least contrast of the two.
const PAIRS: [(&str, &str, f64); 24] = [
    ("text", "ground", 4.5),
    ("text", "card", 4.5),
    ("text", "run-ground", 4.5),
    ("text", "warn-ground", 4.5),
    ("text", "bad-ground", 4.5),
    ("quiet", "ground", 4.5),
    ("quiet", "card", 4.5),
    ("link", "ground", 4.5),
    ("link", "card", 4.5),
    ("link", "bad-ground", 4.5),
    ("link", "warn-ground", 4.5),
    ("good", "good-ground", 4.5),
    ("bad", "bad-ground", 4.5),
    ("bad", "card", 4.5),
    ("warn", "warn-ground", 4.5),
    ("on-accent", "accent", 4.5),
    ("on-accent", "bad", 4.5),
    ("accent", "ground", 3.0),
    ("bar-done", "card", 3.0),
    ("bar-failed", "card", 3.0),
    ("bar-out", "card", 3.0),
    ("bar-start", "card", 3.0),
    ("bar-ready", "card", 3.0),
    ("bar-blocked", "card", 3.0),
];

#[test]
fn colors_stand_out_in_both_schemes() {
    let style = include_str!("../../../assets/dashboard.css");
    for (scheme, place) in [("light", 0), ("dark", 1)] {
        for (upon, ground, least) in PAIRS {
            let [one, other] = [upon, ground].map(|name| luminance((style, place), name));
            let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
            assert!(
                contrast >= least,
                "{scheme}: {upon} on {ground} has {contrast:.2}, {least} are wanted"
            );
        }
    }
}

/// The relative luminance of a color, as WCAG has it.
fn luminance((style, place): (&str, usize), name: &str) -> f64 {
    let both = style.split_once(&format!("--{name}: light-dark("));
    let both = both.unwrap_or_else(|| panic!("no colors {name}")).1;
    let value = both.split('#').nth(place + 1).expect("a color");
    let channel = |at: usize| {
        let byte = u8::from_str_radix(&value[at..at + 2], 16).expect("two digits");
        let share = f64::from(byte) / 255.0;
        match share <= 0.040_45 {
            true => share / 12.92,
            false => ((share + 0.055) / 1.055).powf(2.4),
        }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}
