//! Who may do what.

use std::fs;
use std::path::Path;

use super::pages::{pages, visitor};
use super::{empty, encoded};
use crate::peers::browser::{Browser, Dashboard};

const TOKEN: &str = "0123456789-operator-token";
const VIEW: &str = "0123456789-viewers-token";
const SECRET: &str = "0123456789-proxy-secret";

/// Every address of the sources to which something is posted, filled in, but for those of the login.
fn actions() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/routes.rs");
    let routes = fs::read_to_string(file).expect("the routes");
    let found = routes.split(".route(").skip(1).filter_map(|route| {
        let (path, rest) = route.split_once('"')?.1.split_once('"')?;
        let rest = rest.split(".route(").next()?;
        let is_post = ["post(actions", "post(submitting"]
            .iter()
            .any(|it| rest.contains(it));
        is_post.then(|| {
            path.replace("{queue}", "segmentation")
                .replace("{batch}", "none")
        })
    });
    let found: Vec<_> = found.collect();
    assert!(found.len() >= 15, "{found:?}");
    found
}

/// What would do it, if it were allowed.
fn fields(job: &str) -> [(&str, &str); 7] {
    [
        ("confirmed", "yes"),
        ("name", "segmentation"),
        ("to", "tracking"),
        ("force", "yes"),
        ("job", job),
        ("stage", "one"),
        ("why", "Error"),
    ]
}

/// Tries every action, and gives the answers' statuses.
fn try_all(browser: &Browser, token: &str) -> Vec<u16> {
    let job = encoded(b"segmentation:bad:1");
    let fields = [&fields(&job)[..], &[("rc_csrf", token)]].concat();
    let all = actions().into_iter();
    all.map(|path| browser.post_plain(&path, &fields).status)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_changes_nothing() {
    let cluster = empty().await;
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", TOKEN),
        ("DASHBOARD_VIEW_TOKEN", VIEW),
    ];
    let (dashboard, nobody) = visitor(&cluster, &settings);
    let operator = nobody.clone().log_in(TOKEN);
    let viewer = nobody.clone().log_in(VIEW);
    let token = operator.form_token();
    assert!(!token.is_empty() && viewer.form_token().is_empty());
    let before = cluster.redis.dump();
    let bearer = nobody
        .clone()
        .with("authorization", &format!("Bearer {VIEW}"));
    let wrong = nobody
        .clone()
        .with("cookie", "rc_session=YW5h.operator.9999999999.00");
    for (who, browser, token, status) in [
        ("nobody", &nobody, "", 401),
        ("a forged cookie", &wrong, &*token, 401),
        ("a viewer", &viewer, &*token, 403),
        ("a viewer's bearer", &bearer, "", 403),
        ("no form token", &operator, "", 403),
        ("a wrong form token", &operator, "00", 403),
        (
            "another site",
            &operator.clone().with("sec-fetch-site", "cross-site"),
            &*token,
            403,
        ),
        (
            "a site beside",
            &operator.clone().with("sec-fetch-site", "same-site"),
            &*token,
            403,
        ),
        (
            "a foreign origin",
            &operator
                .clone()
                .without("sec-fetch-site")
                .with("origin", "https://evil.example"),
            &*token,
            403,
        ),
        (
            "no origin",
            &operator.clone().without("sec-fetch-site"),
            &*token,
            403,
        ),
    ] {
        let answers = try_all(browser, token);
        let wrong: Vec<_> = actions().into_iter().zip(answers).collect();
        assert!(
            wrong.iter().all(|(_, it)| *it == status),
            "{who}: {wrong:?}"
        );
    }
    assert_eq!(cluster.redis.dump(), before);
    // All of them would have done something, or said why not.
    let answers = try_all(&operator, &token);
    assert!(
        answers.iter().all(|it| *it != 401 && *it != 403),
        "{answers:?}"
    );
    assert_ne!(cluster.redis.dump(), before);
    drop(dashboard);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_on_a_dashboard_that_is_read_only() {
    let cluster = empty().await;
    let (_dashboard, browser) = visitor(&cluster, &[("DASHBOARD_READ_ONLY", "true")]);
    let before = cluster.redis.dump();
    let page = browser.get("/queues/segmentation").body;
    assert!(
        !page.contains("Purge") && page.contains("read-only"),
        "{page}"
    );
    let answers = try_all(&browser, "");
    assert!(answers.iter().all(|it| *it == 403), "{answers:?}");
    assert_eq!(cluster.redis.dump(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_page_without_a_token() {
    let cluster = empty().await;
    let settings = [("DASHBOARD_AUTH", "token"), ("DASHBOARD_TOKEN", TOKEN)];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    for page in pages().iter().filter(|page| !page.starts_with("/login")) {
        let answer = nobody.get(page);
        // Clients of a Kiosk ask for the root first, and want an answer.
        let expected = if page == "/" { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{page}");
        assert!(
            answer.body.contains("<h1>Log in</h1>"),
            "{page}: {}",
            answer.body
        );
        assert!(!answer.body.contains("segmentation</a>"), "{page}");
    }
    let operator = nobody.clone().log_in(TOKEN);
    let bearer = nobody
        .clone()
        .with("authorization", &format!("bearer {TOKEN}"));
    for browser in [&operator, &bearer] {
        assert_eq!(browser.get("/queues").status, 200);
    }
    // Bearers are no browsers, and need no page of ours.
    let script = bearer.without("sec-fetch-site");
    let fields = [("confirmed", "yes"), ("name", "segmentation")];
    assert_eq!(
        script
            .post_plain("/queues/segmentation/purge", &fields)
            .status,
        200
    );
    assert_eq!(cluster.redis.ask::<u32>(&["LLEN", "segmentation"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_in_leads_back_and_nowhere_else() {
    let cluster = empty().await;
    let settings = [("DASHBOARD_AUTH", "token"), ("DASHBOARD_TOKEN", TOKEN)];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    let page = nobody.get("/failed?queue=q").body;
    assert!(
        page.contains("name=\"next\" value=\"/failed?queue=q\""),
        "{page}"
    );
    let place = |next: &str| {
        let answer = nobody.post_plain("/login", &[("token", TOKEN), ("next", next)]);
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = &answer.headers["set-cookie"];
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        answer.headers["location"].clone()
    };
    assert_eq!(place("/failed?queue=q"), "/failed?queue=q");
    for next in [
        "",
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/a\r\nx: y",
    ] {
        assert_eq!(place(next), "/", "{next}");
    }
    let foreign = nobody.clone().with("sec-fetch-site", "cross-site");
    assert_eq!(
        foreign.post_plain("/login", &[("token", TOKEN)]).status,
        403
    );
    let out = nobody.clone().log_in(TOKEN).post_plain("/logout", &[]);
    assert!(out.headers["set-cookie"].contains("Max-Age=0"), "{out:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_wrong_too_often_waits() {
    let cluster = empty().await;
    let settings = [("DASHBOARD_AUTH", "token"), ("DASHBOARD_TOKEN", TOKEN)];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    for _ in 0..5 {
        let answer = nobody.post_plain("/login", &[("token", "wrong")]);
        assert_eq!(answer.status, 401);
        let bearer = nobody.clone().with("authorization", "Bearer wrong");
        assert_eq!(bearer.get("/queues").status, 401);
    }
    let answer = nobody.post_plain("/login", &[("token", TOKEN)]);
    assert_eq!(answer.status, 429, "the right one has to wait, too");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn named_tokens_tell_who_has_acted() {
    let cluster = empty().await;
    let tokens = format!("ana:{TOKEN}\nbob:{VIEW}\n");
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", tokens.as_str()),
        ("DASHBOARD_OPERATORS", "ana"),
    ];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    let ana = nobody.clone().log_in(TOKEN);
    let bob = nobody.log_in(VIEW);
    assert!(bob.form_token().is_empty() && bob.get("/").body.contains("bob (may look)"));
    let fields = [("confirmed", "yes"), ("reason", "a new model")];
    assert_eq!(ana.post("/queues/segmentation/pause", &fields).status, 200);
    let audit: Vec<(String, Vec<String>)> = cluster.redis.ask(&["XRANGE", "rc:audit", "-", "+"]);
    let said = format!("{audit:?}");
    assert!(
        said.contains("\"ana\"") && said.contains("queue pause"),
        "{said}"
    );
    let page = bob.get("/queues").body;
    assert!(
        page.contains("Paused by ana") && page.contains("a new model"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_has_to_prove_itself() {
    let cluster = empty().await;
    let settings = [
        ("DASHBOARD_AUTH", "proxy"),
        ("DASHBOARD_PROXY_SECRET", SECRET),
        ("DASHBOARD_OPERATORS", "ana,group:lab"),
    ];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    let named = nobody.clone().with("x-forwarded-user", "ana");
    for (browser, status) in [
        (&nobody, 401),
        (&named, 401),
        (&named.clone().with("x-proxy-secret", "wrong"), 401),
        (&nobody.clone().with("x-proxy-secret", SECRET), 401),
        (&named.clone().with("x-proxy-secret", SECRET), 200),
    ] {
        assert_eq!(
            browser.get("/queues").status,
            status,
            "{:?}",
            browser.headers
        );
    }
    let through = nobody.with("x-proxy-secret", SECRET);
    for (user, groups, may_act) in [
        ("ana", "", true),
        ("bob", "staff, lab", true),
        ("bob", "labs", false),
        ("group:lab", "", false),
        ("Ana", "", false),
    ] {
        let browser = through.clone().with("x-forwarded-user", user);
        let browser = browser.with("x-forwarded-groups", groups);
        assert_eq!(!browser.form_token().is_empty(), may_act, "{user} {groups}");
    }
    let ana = through.with("x-forwarded-user", "ana");
    let answer = ana.post("/queues/segmentation/pause", &[("confirmed", "yes")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        cluster
            .redis
            .ask::<u32>(&["EXISTS", "rc:paused:segmentation"]),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_others_point_here_is_not_served() {
    let cluster = empty().await;
    let (_dashboard, browser) = visitor(&cluster, &[]);
    let rebound = browser.clone().with("host", "evil.example");
    assert_eq!(rebound.get("/queues").status, 403);
    let token = browser.form_token();
    let answers = try_all(&rebound, &token);
    assert!(answers.iter().all(|it| *it == 403), "{answers:?}");
    assert_eq!(
        browser.with("host", "localhost:1").get("/queues").status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_run_nothing_and_keep_nothing() {
    let cluster = empty().await;
    let settings = [("DASHBOARD_AUTH", "token"), ("DASHBOARD_TOKEN", TOKEN)];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    let operator = nobody.clone().log_in(TOKEN);
    let all = pages()
        .into_iter()
        .chain(["/none".to_owned(), "/queues/none".to_owned()]);
    let all: Vec<_> = all.collect();
    // Scripts are files of ours, with nothing in their elements.
    let script =
        regex::Regex::new("<script ((type=\"module\"|defer) )?src=\"/assets/[^\"]+\"></script>")
            .expect("a pattern");
    for (browser, page) in [&nobody, &operator]
        .iter()
        .flat_map(|b| all.iter().map(move |p| (b, p)))
    {
        let answer = browser.get(page);
        let policy = &answer.headers["content-security-policy"];
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store", "{page}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{page}"
        );
        assert_eq!(answer.headers["referrer-policy"], "same-origin", "{page}");
        assert!(
            !answer.headers.contains_key("access-control-allow-origin"),
            "{page}"
        );
        let body = script.replace_all(&answer.body, "");
        for inline in [
            "<script",
            "<style",
            " style=",
            " onclick",
            " onload",
            "javascript:",
        ] {
            assert!(!body.contains(inline), "{inline} on {page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_too_large_is_not_read() {
    let cluster = empty().await;
    let (_dashboard, browser) = visitor(&cluster, &[]);
    let large = "x".repeat(2 << 20);
    let answer = browser.post("/act/requeue", &[("why", &large)]);
    assert_eq!(answer.status, 413);
}

/// What no test above starts: a page on an address of others, which somebody wants open.
#[tokio::test(flavor = "multi_thread")]
async fn anyone_is_served_where_that_is_wanted() {
    let cluster = empty().await;
    let settings = [("DASHBOARD_ALLOW_ANYONE", "true")];
    let dashboard = Dashboard::start(&cluster, &settings);
    let browser = dashboard.browser().with("host", "kiosk.example");
    assert_eq!(browser.get("/queues").status, 200);
}
