//! Pages by keyboard, for eyes and for programs that read them aloud: WCAG 2.2, as far as it can be measured.

use serde::Deserialize;

use super::lab::{DONE, FAILED, Lab, drawn, job_path};
use crate::peers::chromium::{Chromium, Tab};

/// What is wrong with what is seen.
const LOOK: &str = include_str!("access.js");

/// What programs that read aloud call a control, or a picture.
const NAMED: [&str; 13] = [
    "button",
    "link",
    "textbox",
    "searchbox",
    "checkbox",
    "combobox",
    "slider",
    "img",
    "image",
    "dialog",
    "navigation",
    "table",
    "heading",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_seen_and_heard_in_both_schemes() {
    let lab = Lab::open().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(&lab.address("/help")).await;
    let mut wrong = Vec::new();
    for scene in lab.scenes() {
        tab.look(1280, "light").await;
        scene.enter(&tab).await;
        for (role, name) in tab.spoken().await {
            if NAMED.contains(&role.as_str()) && name.trim().is_empty() {
                wrong.push(format!("{}: a {role} without a name", scene.name));
            }
        }
        if let Some(missing) = missing_landmark(&tab, scene.name).await {
            wrong.push(format!("{}: no {missing}", scene.name));
        }
        for scheme in ["light", "dark"] {
            for width in [1280, 390, 320] {
                tab.look(width, scheme).await;
                let found: Vec<String> = tab.value(LOOK).await;
                let found = found.into_iter();
                wrong.extend(found.map(|it| format!("{}, {scheme}, {width}: {it}", scene.name)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A landmark that a page lacks. An open dialog hides all of them.
async fn missing_landmark(tab: &Tab, name: &str) -> Option<&'static str> {
    let spoken = tab.spoken().await;
    let mut wanted = vec!["main", "banner", "contentinfo"];
    match name {
        "keys" => wanted = vec!["dialog"],
        "login" => {}
        _ => wanted.extend(["navigation", "search"]),
    }
    wanted
        .into_iter()
        .find(|role| spoken.iter().all(|(it, _)| it != role))
}

/// Where the focus is, and how it is shown.
#[derive(Clone, Debug, Deserialize)]
struct Focus {
    what: String,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    /// The width of its outline, in pixels, and how far that is told from what is around it.
    outline: f64,
    is_first: bool,
}

const FOCUS: &str = "(() => {
    const it = document.activeElement;
    if (it === document.body) return [];
    const box = it.getBoundingClientRect();
    const style = getComputedStyle(it);
    const is_first = window.first === it;
    window.first ??= it;
    return [{
        what: `${it.tagName} ${(it.textContent || it.name || it.id).trim().slice(0, 40)}`,
        left: box.left + scrollX, top: box.top + scrollY, right: box.right + scrollX, bottom: box.bottom + scrollY,
        outline: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
        is_first,
    }];
})()";

#[tokio::test(flavor = "multi_thread")]
async fn tab_goes_through_a_page_as_it_is_seen() {
    let lab = Lab::open().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(&lab.address("/help")).await;
    tab.look(1280, "light").await;
    let mut wrong = Vec::new();
    for scene in lab.scenes() {
        scene.enter(&tab).await;
        let controls: usize = tab
            .value("[...document.querySelectorAll(document.querySelector('dialog[open]') ? 'dialog button, dialog input' : 'a[href], button, select, summary, input:not([type=hidden])')].filter(it => it.checkVisibility()).length")
            .await;
        let mut before: Option<Focus> = None;
        let mut count = 0;
        for _ in 0..controls + 2 {
            tab.press(&["Tab"]).await;
            let focus: Vec<Focus> = tab.value(FOCUS).await;
            let Some(focus) = focus.into_iter().next() else {
                continue;
            };
            if focus.is_first {
                break;
            }
            count += 1;
            if focus.outline < 2.0 {
                wrong.push(format!("{}: {} shows no focus", scene.name, focus.what));
            }
            // After the last one comes the first, and a dialog begins in its middle.
            let is_round = scene.name == "keys" || focus.what.contains("Skip to");
            if let Some(before) = before.filter(|it| !is_round && is_backwards(it, &focus)) {
                wrong.push(format!(
                    "{}: {} after {}",
                    scene.name, focus.what, before.what
                ));
            }
            before = Some(focus);
        }
        if count < controls {
            wrong.push(format!("{}: {count} of {controls} are reached", scene.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether somebody who reads would have to look back: up and not to the right, or left in the same line.
fn is_backwards(before: &Focus, after: &Focus) -> bool {
    let is_above = after.bottom <= before.top;
    let is_beside = after.top < before.bottom && !is_above;
    let is_left = after.left < before.left;
    (is_above && after.left < before.right) || (is_beside && is_left && after.top <= before.top)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_whole_and_act_without_scripts() {
    let lab = Lab::open().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(&lab.address("/help")).await;
    tab.run_scripts(false).await;
    for scene in lab.scenes() {
        if ["keys", "outcome"].contains(&scene.name) {
            continue;
        }
        scene.enter_without_scripts(&tab).await;
        let text: String = tab.value("document.querySelector('main').innerText").await;
        assert!(text.len() > 60, "{}: {text}", scene.name);
        let useless = "[...document.querySelectorAll('.foot, .all, .neighbors, dialog')].filter(it => it.checkVisibility()).length";
        assert_eq!(tab.value::<usize>(useless).await, 0, "{}", scene.name);
    }
    // An action, by plain forms.
    tab.visit(&lab.address(&job_path(FAILED))).await;
    tab.click("[data-key=r]").await;
    tab.until("location.pathname === '/act/requeue'").await;
    tab.click("button.main").await;
    tab.until("document.body.innerText.includes('1 requeued')")
        .await;
    let status = lab.cluster.redis.hash(FAILED)["status"].clone();
    assert_eq!(status, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_and_a_job_can_be_read_on_paper() {
    let lab = Lab::open().await;
    let chromium = Chromium::start().await;
    let tab = chromium.open(&lab.address("/help")).await;
    for (page, texts) in [
        ("/batches/plate-0412".to_owned(), ["Stages", "Results"]),
        (job_path(DONE), ["Quality", "What took how long"]),
        (
            "/failed".to_owned(),
            ["Causes", "Failed jobs, the last ones first"],
        ),
        ("/queues".to_owned(), ["Queues", "Waiting"]),
    ] {
        tab.look(1280, "dark").await;
        tab.visit(&lab.address(&page)).await;
        drawn(&tab).await;
        tab.value::<bool>("document.documentElement.dataset.theme = 'dark', true")
            .await;
        tab.look_printed().await;
        let text: String = tab.value("document.body.innerText").await;
        for wanted in texts {
            assert!(text.contains(wanted), "{page}: {text}");
        }
        for gone in ["Log out", "Search", "Requeue", "Older", "Theme"] {
            assert!(!text.contains(gone), "{page} has {gone}: {text}");
        }
        let wide: Vec<String> = tab
            .value("[...document.querySelectorAll('main *')].filter(it => it.getBoundingClientRect().right > innerWidth + 1).map(it => it.outerHTML.slice(0, 120))")
            .await;
        assert_eq!(wide, [""; 0], "{page}");
        let (ink, rows): (String, bool) = tab
            .value("[getComputedStyle(document.querySelector('h1')).color, [...document.querySelectorAll('tbody tr')].every(it => getComputedStyle(it).display === 'table-row')]")
            .await;
        assert_eq!(ink, "rgb(28, 32, 36)", "{page}: dark on white");
        assert!(rows, "{page}: tables stay tables");
    }
}
