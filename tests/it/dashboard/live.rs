//! What changes while somebody looks: on pages in a real browser, and as streams of events.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::pages::{pages, visitor};
use super::{empty, encoded, furnish};
use crate::exec::{cluster, shell, submit};
use crate::peers::browser::{Browser, Dashboard, unescaped};
use crate::peers::chromium::{Chromium, Tab};
use crate::peers::cluster::{Cluster, PATIENCE, eventually};
use crate::peers::redis::Redis;

const TOKEN: &str = "0123456789-operator-token";
const VIEW: &str = "0123456789-viewers-token";

/// Streams that there may be.
const STREAMS: usize = 500;

/// Waits of the page pass a hundred times as fast; what happens every second stays.
const HURRY: &str = "{
    const real = window.setTimeout;
    window.setTimeout = (what, ms, ...more) => real(what, ms / 100, ...more);
}";

/// A stream of events.
pub(super) struct Events {
    reader: BufReader<TcpStream>,
}

impl Events {
    /// Opens it, and leaves its head unread.
    pub(super) fn open(browser: &Browser, path: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", browser.port)).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit");
        let headers = browser.headers.iter();
        let headers: String = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!("GET {path} HTTP/1.1\r\n{headers}accept-encoding: gzip\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        Self {
            reader: BufReader::new(stream),
        }
    }

    /// Status line and headers, in small letters.
    pub(super) fn head(&mut self) -> String {
        let mut head = String::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return head.to_lowercase();
            }
            head += &format!("{line}\n");
        }
    }

    /// The next event with data, and what it is called.
    pub(super) fn next(&mut self) -> (String, String) {
        let mut name = String::new();
        loop {
            let line = self.line();
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            }
            if let Some(data) = line.strip_prefix("data:") {
                return (name, data.trim_start().to_owned());
            }
        }
    }

    /// The pieces of the next event.
    fn pieces(&mut self) -> Vec<String> {
        let (name, data) = self.next();
        assert_eq!(name, "", "{data}");
        serde_json::from_str(&data).expect("a list of pieces")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).expect("it goes on");
        assert!(read > 0, "the stream has ended");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// Everything until its end.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).expect("text");
        rest
    }
}

/// Where a page says that its changes are told.
fn stream_of(page: &str) -> Option<String> {
    let address = page.split_once("data-events=\"")?.1;
    Some(unescaped(address.split_once('"')?.0))
}

/// How often Redis was asked for the time, which every look at it does once; and all commands.
fn looks(redis: &Redis) -> (u64, u64) {
    let stats: String = redis.ask(&["INFO", "all"]);
    let number = |begin: &str| {
        let rest = stats.split_once(begin).map_or("0", |(_, rest)| rest);
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    (
        number("cmdstat_time:calls="),
        number("total_commands_processed:"),
    )
}

/// Waits until nobody asks Redis any more: in two seconds a poller asks at least once.
fn until_unasked(redis: &Redis) {
    eventually("nobody asks Redis", || {
        let before = looks(redis).0;
        std::thread::sleep(Duration::from_secs(2));
        looks(redis).0 == before
    });
}

/// Opens a page that stays: it would be noticed if it was loaded again.
async fn open(chromium: &Chromium, dashboard: &Dashboard, path: &str) -> Tab {
    let tab = chromium.open(&dashboard.address(path)).await;
    let _: bool = tab.value("window.isTheSame = true").await;
    tab
}

/// The queues, on a page whose waits pass fast.
async fn open_hurried(chromium: &Chromium, dashboard: &Dashboard) -> Tab {
    let tab = chromium.open("about:blank").await;
    let hurry = tab.page.evaluate_on_new_document(HURRY);
    hurry.await.expect("a script");
    tab.visit(&dashboard.address("/queues")).await;
    tab
}

/// A job that goes on to its end when there is a file.
const GATE: &str = r#"
    echo "weights are loaded ::progress $RC_ID 40 loading"
    while [ ! -e "$HOME/go" ]; do sleep 0.05; done
    rm "$HOME/go"
    echo x > "$RC_OUTPUT/x.csv"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_without_loading_the_page_again() {
    let cluster = cluster().await;
    let home = tempfile::tempdir().expect("a folder");
    let _pod = shell(&cluster, GATE)
        .set("HOME", home.path().to_str().expect("a path"))
        .start();
    let go = || std::fs::write(home.path().join("go"), "").expect("a file");
    // There is a chart from the begin.
    let before = submit(&cluster, "");
    go();
    cluster.wait_done(&before);
    let first = submit(&cluster, "");
    eventually("the first job is at its gate", || {
        let hash = cluster.redis.hash(&first);
        hash.get("progress").is_some_and(|it| it == "40")
    });
    let key = submit(&cluster, "");
    let _more = [submit(&cluster, ""), submit(&cluster, "")];
    let dashboard = Dashboard::start(&cluster, &[]);
    let chromium = Chromium::start().await;
    let id = encoded(key.as_bytes());
    let list = open(&chromium, &dashboard, "/queues/segmentation").await;
    let job = open(&chromium, &dashboard, &format!("/jobs/{id}")).await;
    let all = open(&chromium, &dashboard, "/queues").await;
    let start = open(&chromium, &dashboard, "/").await;
    let workers = open(&chromium, &dashboard, "/workers").await;
    // What somebody has reached or opened stays so.
    let _: bool = all
        .value("(document.querySelector('tbody a').focus(), window.reached = document.activeElement, true)")
        .await;
    let _: bool = job
        .value("document.querySelector('#fields ~ details').open = true")
        .await;
    let row = format!("document.getElementById('row-{id}').textContent");
    let status = "document.querySelector('#facts .status').textContent";
    let cancel = "document.querySelector('form[action$=\"act/cancel\"]')";
    assert_eq!(list.value::<String>(&row).await, "new");
    assert_eq!(job.value::<String>(status).await, "new");

    go();
    cluster.wait_done(&first);
    list.until(&format!("{row} === 'predicting 40 %'")).await;
    list.until("document.querySelector('#figures').dataset.say.startsWith('2 waiting, 1 running')")
        .await;
    list.until("document.querySelector('#count-waiting').textContent === '(2)'")
        .await;
    list.until("[...document.querySelectorAll('.chart rect.done')].some((it) => it.getAttribute('height') > 0)")
        .await;
    job.until(&format!("{status} === 'predicting'")).await;
    job.until("document.querySelector('#log-now')?.textContent.includes('weights are loaded')")
        .await;
    let waiting = "document.querySelector('tbody [data-label=Waiting]').textContent";
    all.until(&format!("{waiting} === '2'")).await;
    all.until("document.querySelector('tbody .spark')").await;
    start
        .until("document.querySelector('#tiles').dataset.say.startsWith('2 waiting, 1 running, 2 done today')")
        .await;
    let at_work = format!("document.querySelector('[id^=worker-] a[href$=\"{id}\"]')");
    workers.until(&at_work).await;
    job.until(cancel).await;

    go();
    cluster.wait_done(&key);
    list.until(&format!("{row} === 'done'")).await;
    job.until(&format!("{status} === 'done'")).await;
    // Sections and buttons follow: there are files now, and nothing to cancel.
    job.until(&format!("document.querySelector('#files') && !{cancel}"))
        .await;
    all.until(&format!("{waiting} === '1'")).await;
    for tab in [&list, &job, &all, &start, &workers] {
        let is_the_same: bool = tab.value("window.isTheSame === true").await;
        assert!(is_the_same, "a page was loaded again");
        assert_eq!(tab.complaints(), [""; 0]);
    }
    let is_reached: bool = all.value("window.reached === document.activeElement").await;
    assert!(is_reached, "the focus was lost");
    let is_open: bool = job
        .value("document.querySelector('#fields ~ details').open")
        .await;
    assert!(is_open, "what was opened was closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_followed_without_loading_the_page_again() {
    let cluster = empty().await;
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("plan.yaml");
    let text = "plan: 1\nname: night\nstages:\n  - name: first\n    queue: ingest\n    items: {range: {x: 30}}\n    fields: {x: \"{{ x }}\"}\n    limit: {queue: 10}\n";
    std::fs::write(&plan, text).expect("a file");
    let plan = plan.to_str().expect("a path");
    crate::operators::run(&cluster, 0, &["submit", "--plan", plan]);
    let dashboard = Dashboard::start(&cluster, &[]);
    let chromium = Chromium::start().await;
    let all = open(&chromium, &dashboard, "/batches").await;
    let one = open(&chromium, &dashboard, "/batches/night").await;
    let out = "[...document.querySelectorAll('#stage-0 li')].find((it) => it.textContent.startsWith('out')).textContent";
    one.until(&format!("{out} === 'out 10'")).await;
    let counters = ["HSET", "rc:batch:night", "0:out", "7", "0:done", "3"];
    let _: i64 = cluster.redis.ask(&counters);
    one.until(&format!("{out} === 'out 7'")).await;
    all.until("document.querySelector('tbody [data-label=Done]').textContent === '3'")
        .await;
    // Another state has other buttons.
    crate::operators::run(&cluster, 0, &["batch", "pause", "night"]);
    one.until("document.querySelector('#facts .status').textContent === 'paused'")
        .await;
    one.until("document.querySelector('form[action$=\"night/resume\"]')")
        .await;
    for tab in [&all, &one] {
        let is_the_same: bool = tab.value("window.isTheSame === true").await;
        assert!(is_the_same);
        assert_eq!(tab.complaints(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_redis_is_away_numbers_are_marked_as_old() {
    let mut cluster = Cluster::with(Redis::start(), Vec::new()).await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let chromium = Chromium::start().await;
    let tab = open(&chromium, &dashboard, "/queues").await;
    let waiting = "document.querySelector('tbody [data-label=Waiting]')";
    let color = format!("getComputedStyle({waiting}).color");
    let fresh: String = tab.value(&color).await;
    tab.until("document.querySelector('.live-banner').hidden")
        .await;
    cluster.redis.pause();
    tab.until("document.querySelector('.live-banner').innerText.startsWith('Redis does not answer. Numbers are')")
        .await;
    let old: String = tab.value(&color).await;
    assert_ne!(old, fresh, "old numbers look like new ones");
    let kept: String = tab.value(&format!("{waiting}.textContent")).await;
    assert_eq!(kept, "3");
    cluster.redis.resume();
    let _: i64 = cluster
        .redis
        .ask(&["LPUSH", "segmentation", "segmentation:new:1"]);
    tab.until("document.querySelector('.live-banner').hidden")
        .await;
    tab.until(&format!("{waiting}.textContent === '4'")).await;
    let again: String = tab.value(&color).await;
    assert_eq!(again, fresh);
    let is_the_same: bool = tab.value("window.isTheSame === true").await;
    assert!(is_the_same);
    assert_eq!(tab.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_stream_is_cut_the_page_says_so_and_comes_back() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let mut dashboard = Dashboard::start(&cluster, &[]);
    let chromium = Chromium::start().await;
    let tab = open(&chromium, &dashboard, "/queues").await;
    dashboard.pod.kill();
    tab.until("document.querySelector('.live-banner').innerText.startsWith('The connection to the dashboard is cut. Numbers are')")
        .await;
    let listen = format!("127.0.0.1:{}", dashboard.port);
    let pod = cluster.pod("dashboard").set("DASHBOARD_LISTEN", &listen);
    dashboard.pod = pod.start_with(&["dashboard"]);
    let _: i64 = cluster
        .redis
        .ask(&["LPUSH", "segmentation", "segmentation:new:1"]);
    tab.until("document.querySelector('tbody [data-label=Waiting]').textContent === '4'")
        .await;
    tab.until("document.querySelector('.live-banner').hidden")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_tab_asks_nothing_and_catches_up() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let chromium = Chromium::start().await;
    let tab = open_hurried(&chromium, &dashboard).await;
    let before = looks(&cluster.redis).0;
    eventually("the page is followed", || {
        looks(&cluster.redis).0 > before + 1
    });
    let show = |is_hidden: bool| {
        format!(
            "(Object.defineProperty(document, 'hidden', {{value: {is_hidden}, configurable: true}}),
            document.dispatchEvent(new Event('visibilitychange')))"
        )
    };
    let _: bool = tab.value(&show(true)).await;
    until_unasked(&cluster.redis);
    let _: i64 = cluster
        .redis
        .ask(&["LPUSH", "segmentation", "segmentation:new:1"]);
    let waiting = "document.querySelector('tbody [data-label=Waiting]').textContent";
    let kept: String = tab.value(waiting).await;
    assert_eq!(kept, "3");
    let _: bool = tab.value(&show(false)).await;
    tab.until(&format!("{waiting} === '4'")).await;
    assert_eq!(tab.complaints(), [""; 0]);
    // A page that is left is followed no more.
    tab.visit("about:blank").await;
    until_unasked(&cluster.redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_are_one_look_a_second_and_none_is_none() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let path = "/events?t=queues&t=queue%3Asegmentation&t=workers";
    until_unasked(&cluster.redis);
    let started = Instant::now();
    let (before, commands) = looks(&cluster.redis);
    let mut all: Vec<_> = (0..50).map(|_| Events::open(&browser, path)).collect();
    for events in &mut all {
        assert!(!events.pieces().is_empty());
    }
    eventually("ten looks", || {
        std::thread::sleep(Duration::from_millis(500));
        looks(&cluster.redis).0 >= before + 10
    });
    let (after, all_commands) = looks(&cluster.redis);
    let (count, seconds) = (after - before, started.elapsed().as_secs());
    assert!(count <= seconds + 2, "{count} looks in {seconds} s");
    let each = (all_commands - commands) / count;
    println!("{count} looks in {seconds} s, {each} commands each, those of the test among them");
    // Two queues with two workers and a job, and their last day now and then.
    assert!(each <= 60, "{each} commands");
    drop(all);
    until_unasked(&cluster.redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_too_many_is_told_so_and_the_page_refreshes_itself() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let open = || Events::open(&browser, "/events?t=queues");
    let mut all: Vec<_> = (0..STREAMS).map(|_| open()).collect();
    for events in &mut all {
        assert!(events.pieces()[0].contains("id=\"shape\""));
    }
    let mut more = open();
    assert_eq!(more.next(), ("full".to_owned(), "{}".to_owned()));
    assert!(more.rest().ends_with("0\r\n\r\n"), "it has not ended");
    // Scripts have no others.
    let script = browser.get("/api/v1/events?t=queues");
    assert!(
        script.status == 503 && script.body.contains("{\"error\":\"500 pages"),
        "{script:?}"
    );
    // There is room for everything else.
    for page in pages() {
        assert_eq!(browser.get(&page).status, 200, "{page}");
    }
    let chromium = Chromium::start().await;
    let tab = open_hurried(&chromium, &dashboard).await;
    tab.until("document.querySelector('.live-banner').innerText.startsWith('Many pages are open')")
        .await;
    let _: i64 = cluster
        .redis
        .ask(&["LPUSH", "segmentation", "segmentation:new:1"]);
    tab.until("document.querySelector('tbody [data-label=Waiting]').textContent === '4'")
        .await;
    // When others leave, it follows again.
    drop(all);
    tab.until("document.querySelector('.live-banner').hidden")
        .await;
    assert_eq!(tab.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_what_the_pages_have_and_no_forms() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    for (name, value) in [("state", "running"), ("stages", "1"), ("0:name", "first")] {
        let _: i64 = cluster.redis.ask(&["HSET", "rc:batch:night", name, value]);
    }
    let _: i64 = cluster.redis.ask(&["ZADD", "rc:batches", "1", "night"]);
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", TOKEN),
        ("DASHBOARD_VIEW_TOKEN", VIEW),
    ];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    let viewer = nobody.clone().log_in(VIEW);
    let operator = nobody.clone().log_in(TOKEN);
    let before = cluster.redis.dump();
    let mut followed = BTreeMap::new();
    let all = pages().into_iter();
    for path in all.chain(["/batches/night".to_owned()]) {
        let page = viewer.get(&path).body;
        let Some(address) = stream_of(&page) else {
            continue;
        };
        assert_eq!(nobody.get(&address).status, 401, "{path}");
        let sent = Events::open(&viewer, &address).pieces();
        for piece in &sent {
            for form in ["<form", "<button", "<input", "rc_csrf"] {
                assert!(!piece.contains(form), "{path}: {piece}");
            }
            // A bar needs its SVG; what Redis uses of its memory changes all the time.
            let bare = piece.trim_start_matches("<svg>").trim_end_matches("</svg>");
            let is_there = page.contains(bare.trim()) || piece.contains("id=\"tiles\"");
            let has_id = piece
                .split("id=\"")
                .nth(1)
                .and_then(|it| it.split('"').next());
            let is_none = has_id.is_some_and(|id| !page.contains(&format!("id=\"{id}\"")));
            assert!(is_there || is_none, "{path} has not\n{piece}\nbut\n{page}");
        }
        // Those who may act are sent the same.
        let mut theirs = Events::open(&operator, &address).pieces();
        let mut ours = sent;
        for pieces in [&mut ours, &mut theirs] {
            pieces.retain(|piece| !piece.contains("id=\"tiles\""));
        }
        assert_eq!(ours.len(), theirs.len(), "{path}");
        followed.insert(path, ours.len());
    }
    println!("{followed:?}");
    for path in ["/", "/queues", "/workers", "/batches", "/batches/night"] {
        assert!(followed[path] > 1, "{path}: {followed:?}");
    }
    assert!(followed.len() > 12, "{followed:?}");
    assert_eq!(cluster.redis.dump(), before, "to follow changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_for_proxies_and_refuses_what_is_no_topic() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let mut events = Events::open(&browser, "/events?t=overview");
    let head = events.head();
    for header in [
        "http/1.1 200",
        "content-type: text/event-stream",
        "cache-control: no-store",
        "x-accel-buffering: no",
    ] {
        assert!(head.contains(header), "{head}");
    }
    assert!(!head.contains("content-encoding"), "{head}");
    let mut lines = (0..8).map(|_| events.line());
    assert!(lines.any(|line| line == "retry: 3000"));
    let many: Vec<_> = (0..65).map(|at| format!("t=queue%3Aq{at}")).collect();
    for wrong in [
        "",
        "t=",
        "t=other",
        "t=queues&t=chart%3A3%3Aq",
        &many.join("&"),
    ] {
        let answer = browser.get(&format!("/events?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body.contains("topics"), "{}", answer.body);
    }
    // A name that is that of something else spoils nothing for others.
    let odd = "/events?t=queue%3Arc%3Aqueues&t=batch%3Aqueues&t=row%3AcmM6cXVldWVz&t=workers";
    let mut odd = Events::open(&browser, odd);
    assert!(odd.pieces().iter().any(|it| it.contains("worker-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_streams_at_once() {
    let cluster = empty().await;
    let mut dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let mut events = Events::open(&browser, "/events?t=overview");
    events.pieces();
    dashboard.pod.terminate();
    // One that was cut off when the time was up would have no end.
    assert!(events.rest().ends_with("0\r\n\r\n"));
    assert!(dashboard.pod.wait().success());
}
