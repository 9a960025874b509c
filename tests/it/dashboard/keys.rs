//! Keys, themes and marks, in a browser.

use super::lab::{FAILED, Lab, RUNNING, job_path};
use crate::peers::chromium::{Chromium, Tab};

async fn start(lab: &Lab, path: &str) -> (Chromium, Tab) {
    let chromium = Chromium::start().await;
    let tab = chromium.open(&lab.address(path)).await;
    ready(&tab).await;
    (chromium, tab)
}

/// Scripts that wait for the page have run.
async fn ready(tab: &Tab) {
    tab.until("document.readyState === 'complete' && document.querySelector('.foot') && !document.querySelector('.foot').hidden")
        .await;
}

async fn path(tab: &Tab) -> String {
    tab.value("location.pathname").await
}

/// Goes on when this page is there.
async fn arrive(tab: &Tab, path: &str) {
    tab.until(&format!("location.pathname === '{path}'")).await;
    tab.until("document.readyState === 'complete'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_what_their_list_says() {
    let lab = Lab::open().await;
    let (_chromium, tab) = start(&lab, "/help").await;
    // Every key of the list is pressed in one of these tests.
    let mut listed: Vec<String> = tab
        .value(
            "[...new Set([...document.querySelectorAll('dialog kbd')].map(it => it.textContent))]",
        )
        .await;
    listed.sort();
    let mut known = [
        "?", "/", "j", "k", "x", "Enter", "r", "c", "[", "]", "g", "o", "q", "f", "b", "w", "s",
        "h", "+", "-", "0", "1", "9", "l", ",", ".", "←", "↑", "→", "↓",
    ];
    known.sort_unstable();
    assert_eq!(listed, known);
    let shown = "document.querySelector('main .keys').innerHTML === document.querySelector('dialog .keys').innerHTML";
    assert!(tab.value::<bool>(shown).await, "Help has the same list");

    for (key, page) in [
        ("q", "/queues"),
        ("f", "/failed"),
        ("b", "/batches"),
        ("w", "/workers"),
        ("s", "/system"),
        ("h", "/help"),
        ("o", "/"),
    ] {
        tab.press(&["g", key]).await;
        arrive(&tab, page).await;
    }
    tab.press(&["?"]).await;
    tab.until("document.querySelector('#keys').open").await;
    // What is behind it does nothing.
    tab.press(&["g", "q", "Escape"]).await;
    tab.until("!document.querySelector('#keys').open").await;
    assert_eq!(path(&tab).await, "/");
    tab.press(&["/", "o", "v", "e", "r", "v", "i", "e", "w", "Enter"])
        .await;
    arrive(&tab, "/search").await;
    assert_eq!(tab.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_through_rows_and_from_job_to_job() {
    let lab = Lab::open().await;
    let (_chromium, tab) = start(&lab, "/failed?queue=segmentation").await;
    let focused = "document.activeElement.closest('tr')?.innerText ?? ''";
    let causes: usize = tab
        .value("document.querySelector('table').tBodies[0].rows.length")
        .await;
    // Past the causes, to the second job.
    let presses = vec!["j"; causes + 3];
    tab.press(&presses).await;
    tab.press(&["k"]).await;
    let row: String = tab.value(focused).await;
    let jobs: Vec<String> = tab
        .value("[...document.querySelectorAll('td.key a:first-of-type')].filter(it => it.pathname.startsWith('/jobs/')).map(it => it.pathname)")
        .await;
    assert!(jobs.len() >= 9, "{jobs:?}");
    let marked = "[...document.querySelectorAll('td input:checked')].length";
    tab.press(&["x"]).await;
    assert_eq!(tab.value::<usize>(marked).await, 1, "{row}");
    tab.press(&["x"]).await;
    assert_eq!(tab.value::<usize>(marked).await, 0, "{row}");
    assert!(row.contains("segmentation:"), "{row}");

    tab.press(&["Enter"]).await;
    arrive(&tab, &jobs[1]).await;
    tab.until("!document.querySelector('.neighbors').hidden")
        .await;
    let words: String = tab
        .value("document.querySelector('.neighbors').innerText")
        .await;
    assert!(
        words.contains(&format!("2 of {} from Failed", jobs.len())),
        "{words}"
    );
    tab.press(&["]"]).await;
    arrive(&tab, &jobs[2]).await;
    tab.until("!document.querySelector('.neighbors').hidden")
        .await;
    tab.press(&["["]).await;
    arrive(&tab, &jobs[1]).await;
    tab.until("!document.querySelector('.neighbors').hidden")
        .await;
    tab.press(&["["]).await;
    arrive(&tab, &jobs[0]).await;
    // The first has none before it, and a job of no list has neither.
    tab.until("!document.querySelector('.neighbors').hidden")
        .await;
    tab.press(&["["]).await;
    assert_eq!(path(&tab).await, jobs[0]);
    tab.visit(&lab.address(&job_path(RUNNING))).await;
    ready(&tab).await;
    assert!(
        tab.value::<bool>("document.querySelector('.neighbors').hidden")
            .await
    );

    // A contact sheet is such a list, too.
    tab.visit(&lab.address("/batches/plate-0412")).await;
    ready(&tab).await;
    tab.press(&["j", "j"]).await;
    let at: String = tab
        .value("document.activeElement.closest('.sheet a, tr a').pathname")
        .await;
    tab.press(&["Enter"]).await;
    arrive(&tab, &at).await;
    assert_eq!(tab.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_act_ask_first() {
    let lab = Lab::open().await;
    let (_chromium, tab) = start(&lab, &job_path(FAILED)).await;
    let before = lab.cluster.redis.dump();
    tab.press(&["r"]).await;
    arrive(&tab, "/act/requeue").await;
    let text: String = tab.value("document.querySelector('main').innerText").await;
    assert!(text.contains("Have 1 job worked once more?"), "{text}");
    tab.visit(&lab.address(&job_path(RUNNING))).await;
    ready(&tab).await;
    // There is no button for it, so it does nothing.
    tab.press(&["r", "c"]).await;
    arrive(&tab, "/act/cancel").await;
    let text: String = tab.value("document.querySelector('main').innerText").await;
    assert!(text.contains("End 1 job?"), "{text}");
    // In a list, it is the row with the focus, or what is marked.
    tab.visit(&lab.address("/failed")).await;
    ready(&tab).await;
    tab.value::<bool>("document.querySelector('td.box input').focus(), true")
        .await;
    tab.press(&["r"]).await;
    arrive(&tab, "/act/requeue").await;
    let text: String = tab.value("document.querySelector('main').innerText").await;
    assert!(text.contains("Have 1 job worked once more?"), "{text}");
    tab.visit(&lab.address("/failed")).await;
    ready(&tab).await;
    tab.click(".all input").await;
    let [marked, all]: [usize; 2] = tab
        .value("[document.querySelectorAll('td.box input:checked').length, document.querySelectorAll('td.box input').length]")
        .await;
    assert!(marked == all && all > 5, "{marked} of {all}");
    tab.click("td.box input").await;
    let is_some = "document.querySelector('.all input').indeterminate";
    assert!(tab.value::<bool>(is_some).await);
    tab.press(&["r"]).await;
    arrive(&tab, "/act/requeue").await;
    let text: String = tab.value("document.querySelector('main').innerText").await;
    assert!(
        text.contains(&format!("Have {} jobs worked", all - 1)),
        "{text}"
    );
    assert_eq!(lab.cluster.redis.dump(), before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_nothing_in_fields_with_modifiers_or_turned_off() {
    let lab = Lab::open().await;
    let (_chromium, tab) = start(&lab, "/queues").await;
    tab.click("#q").await;
    tab.press(&["g", "f", "?", "j"]).await;
    assert_eq!(
        tab.value::<String>("document.querySelector('#q').value")
            .await,
        "gf?j"
    );
    assert!(
        !tab.value::<bool>("document.querySelector('#keys').open")
            .await
    );
    assert_eq!(path(&tab).await, "/queues");
    tab.value::<bool>("document.activeElement.blur(), true")
        .await;
    for modifier in ["ctrlKey", "altKey", "metaKey"] {
        let event = format!(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '?', {modifier}: true, bubbles: true, cancelable: true}}))"
        );
        assert!(tab.value::<bool>(&event).await, "{modifier} is left alone");
    }
    assert!(
        !tab.value::<bool>("document.querySelector('#keys').open")
            .await
    );

    tab.click("#show-keys").await;
    tab.click("#keys-on").await;
    tab.click("#keys button").await;
    for page in ["/queues", "/failed"] {
        tab.visit(&lab.address(page)).await;
        ready(&tab).await;
        tab.press(&["?", "g", "o", "j", "/"]).await;
        assert_eq!(path(&tab).await, page);
        let is_still =
            "document.activeElement === document.body && !document.querySelector('#keys').open";
        assert!(tab.value::<bool>(is_still).await, "{page}");
    }
    tab.click("#show-keys").await;
    assert!(
        !tab.value::<bool>("document.querySelector('#keys-on').checked")
            .await
    );
    tab.click("#keys-on").await;
    tab.click("#keys button").await;
    tab.press(&["g", "q"]).await;
    arrive(&tab, "/queues").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_theme_that_is_chosen_stays() {
    let lab = Lab::open().await;
    let (_chromium, tab) = start(&lab, "/queues").await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    let choose = |theme: &str| {
        format!(
            "(() => {{ const it = document.querySelector('#theme'); it.value = '{theme}'; it.dispatchEvent(new Event('change')); return {ground}; }})()"
        )
    };
    let (light, dark) = ("rgb(251, 251, 250)", "rgb(20, 23, 26)");
    for (system, own, other) in [("light", light, dark), ("dark", dark, light)] {
        tab.look(1280, system).await;
        let opposite = if system == "light" { "dark" } else { "light" };
        assert_eq!(tab.value::<String>(ground).await, own);
        assert_eq!(tab.value::<String>(&choose(opposite)).await, other);
        tab.visit(&lab.address("/failed")).await;
        ready(&tab).await;
        assert_eq!(tab.value::<String>(ground).await, other, "it stays");
        assert_eq!(
            tab.value::<String>("document.querySelector('#theme').value")
                .await,
            opposite
        );
        assert_eq!(tab.value::<String>(&choose("auto")).await, own);
    }
    assert_eq!(tab.complaints(), [""; 0]);
}
