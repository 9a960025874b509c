//! Names of strangers on every page: they are shown, and do nothing.

use super::{empty, encoded};
use crate::peers::browser::Dashboard;
use crate::peers::chromium::Chromium;
use crate::peers::redis::Redis;

/// What breaks out of text, attributes and lines, where it is not escaped.
const HOSTILE: &[u8] = b"\"'><img src=x onerror=alert(1)>\xe2\x80\xae\xff\r\n\x1b[2J&amp;";

/// The same where only text can be.
const TEXT: &str = "\"'><img src=x onerror=alert(1)>\u{202e}\r\n\u{1b}[2J&amp;";

/// Writes it wherever somebody else can write something.
fn furnish(redis: &Redis, long: &str) {
    let set = |command: &[&[u8]]| {
        let name = std::str::from_utf8(command[0]).expect("a command");
        let _: redis::Value = redis.ask_bytes(name, &command[1..]);
    };
    let job = [b"q:".as_slice(), HOSTILE].concat();
    let names: [&[u8]; 12] = [
        b"status",
        b"progress",
        b"input_file_name",
        b"reason",
        b"error_class",
        b"rc_log",
        b"rc_note",
        b"rc_last_error",
        b"output_file_name",
        b"output_url",
        b"rc_batch",
        b"parent",
    ];
    for (key, status) in [
        (&job, &b"failed"[..]),
        (&[b"q:".as_slice(), long.as_bytes()].concat(), HOSTILE),
    ] {
        for name in names {
            set(&[b"HSET", key, name, HOSTILE]);
        }
        set(&[b"HSET", key, HOSTILE, HOSTILE]);
        set(&[
            b"HSET",
            key,
            b"children",
            &[b"a,".as_slice(), &job].concat(),
        ]);
        set(&[b"HSET", key, b"status", status]);
    }
    for queue in [TEXT, long, "q"] {
        let queue = queue.as_bytes();
        let of = |what: &str| [b"rc:", what.as_bytes(), b":", queue].concat();
        set(&[b"SADD", b"rc:queues", queue]);
        set(&[b"LPUSH", queue, &job]);
        set(&[b"ZADD", &of("failed"), b"1700000000000", &job]);
        set(&[b"ZADD", &of("lease"), b"9999999999999", &job]);
        set(&[b"ZADD", &of("workers"), b"9999999999999", TEXT.as_bytes()]);
        let card = [&of("worker"), b":".as_slice(), TEXT.as_bytes()].concat();
        for name in [b"version".as_slice(), b"type", b"obstacle", b"started"] {
            set(&[b"HSET", &card, name, TEXT.as_bytes()]);
        }
        set(&[b"SET", &of("paused"), TEXT.as_bytes()]);
    }
    let audit = [
        b"XADD".as_slice(),
        b"rc:audit",
        b"*",
        b"at",
        HOSTILE,
        b"who",
        HOSTILE,
        b"verb",
        HOSTILE,
        b"about",
        HOSTILE,
        b"result",
        HOSTILE,
    ];
    set(&audit);
    set(&[b"ZADD", b"rc:batches", b"1", TEXT.as_bytes()]);
    let head = [b"rc:batch:".as_slice(), TEXT.as_bytes()].concat();
    for name in ["state", "created_by", "0:name", "0:held", "0:queue"] {
        set(&[b"HSET", &head, name.as_bytes(), TEXT.as_bytes()]);
    }
    set(&[b"HSET", &head, b"stages", b"1"]);
}

/// Pages on which they stand.
fn pages(long: &str) -> Vec<String> {
    let job = [b"q:".as_slice(), HOSTILE].concat();
    let mut pages = vec![
        "/".to_owned(),
        "/queues".to_owned(),
        "/failed".to_owned(),
        format!("/failed?queue={0}&why={0}", percent(TEXT)),
        "/batches".to_owned(),
        format!("/batches/{}", percent(TEXT)),
        "/workers".to_owned(),
        "/system".to_owned(),
        "/search?q=img".to_owned(),
        format!("/search?q=x{}", percent(TEXT)),
        format!("/jobs/{}", encoded(&job)),
        format!("/jobs/{}", encoded(format!("q:{long}").as_bytes())),
        format!("/none/{}", percent(TEXT)),
    ];
    for tab in ["waiting", "running", "failed"] {
        pages.extend([TEXT, long, "q"].map(|name| format!("{}?tab={tab}", queue(name))));
    }
    pages
}

/// The page of a queue.
fn queue(name: &str) -> String {
    format!("/queues/{}", percent(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_strangers_are_escaped_everywhere() {
    let cluster = empty().await;
    let long = format!("{TEXT}{}", "k".repeat(4000));
    furnish(&cluster.redis, &long);
    let dashboard = Dashboard::start(&cluster, &[]);
    let browser = dashboard.browser();
    let job = [b"q:".as_slice(), HOSTILE].concat();
    let pages = pages(&long);
    let mut shown = 0;
    for page in &pages {
        let answer = browser.get(page);
        assert!(
            [200, 404].contains(&answer.status),
            "{page}: {}",
            answer.body
        );
        assert_harmless(page, &answer.body);
        shown += usize::from(answer.body.contains("&#60;img src=x onerror=alert(1)&#62;"));
    }
    assert!(shown > 15, "only {shown} pages showed it");
    // What asks shows it, too.
    let token = browser.form_token_of("/queues/q");
    let fields = [
        ("rc_csrf", token.as_str()),
        ("job", &encoded(&job)),
        ("why", TEXT),
        ("x\"><img", TEXT),
    ];
    for action in ["/act/requeue", "/act/cancel", "/act/forget", "/act/bump"] {
        let answer = browser.post_plain(action, &fields);
        assert_eq!(answer.status, 200, "{action}: {}", answer.body);
        assert_harmless(action, &answer.body);
    }
    for action in ["pause", "resume", "purge", "untrash", "move"] {
        let path = format!("{}/{action}", queue(TEXT));
        let answer = browser.post_plain(&path, &fields);
        assert_eq!(answer.status, 200, "{action}: {}", answer.body);
        assert_harmless(&path, &answer.body);
    }
}

fn assert_harmless(page: &str, body: &str) {
    assert!(!body.contains("<img"), "{page}:\n{body}");
    // What forms send back is what it was; nobody sees it.
    let hidden = regex::Regex::new("<input type=\"hidden\"[^>]*>").expect("a pattern");
    let seen = hidden.replace_all(body, "");
    for acting in ['\u{202e}', '\u{1b}', '\r'] {
        assert!(!seen.contains(acting), "{acting:?} on {page}");
    }
    // Every quotation mark of an attribute has its partner.
    for tag in body.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let parts: Vec<_> = tag.split('"').collect();
        assert!(parts.len() % 2 == 1, "{tag} on {page}");
        // What stands between two of them is a value.
        let outside: String = parts.into_iter().step_by(2).collect();
        assert!(!outside.contains("onerror"), "{tag} on {page}");
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What a strange name calls, if it is run.
const TRAP: &str = "window.alert = () => { window.struck = true; }";

/// What lies outside of the window, and what lies upon something else.
const TORN: &str = concat!(
    include_str!("access.js"),
    ".filter(it => /^(outside|overlap|the page)/.test(it))"
);

#[tokio::test(flavor = "multi_thread")]
async fn names_of_strangers_do_nothing_in_a_browser() {
    let cluster = empty().await;
    let long = format!("{TEXT}{}", "k".repeat(4000));
    furnish(&cluster.redis, &long);
    let dashboard = Dashboard::start(&cluster, &[]);
    let at = |path: &str| dashboard.address(path);
    let chromium = Chromium::start().await;
    let tab = chromium.open(&at("/help")).await;
    let trap = tab.page.evaluate_on_new_document(TRAP);
    trap.await.expect("a trap");
    tab.look(390, "light").await;
    tab.visit(&at("/help")).await;
    let is_set = "alert(1), window.struck === true";
    assert!(tab.value::<bool>(is_set).await, "the trap is set");
    let mut torn = Vec::new();
    for page in pages(&long) {
        tab.visit(&at(&page)).await;
        tab.rest().await;
        assert!(
            tab.value::<bool>("window.struck === undefined").await,
            "{page}"
        );
        let images: usize = tab
            .value("document.querySelectorAll('[onerror]').length")
            .await;
        assert_eq!(images, 0, "{page}");
        let found: Vec<String> = tab.value(TORN).await;
        torn.extend(found.into_iter().map(|it| format!("{page}: {it}")));
    }
    assert!(torn.is_empty(), "{}", torn.join("\n"));
    // A page that is not there is told of as such.
    let complaints = tab.complaints().into_iter();
    let complaints: Vec<_> = complaints
        .filter(|it| !it.starts_with("Failed to load resource"))
        .collect();
    assert_eq!(complaints, [""; 0]);
}
