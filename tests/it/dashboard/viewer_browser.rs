//! The picture of a job in a real browser: looked into, chosen from, clicked, and gone through by keyboard.

use std::path::Path;

use chromiumoxide::layout::Point;
use serde_json::Value;

use crate::peers::browser::Dashboard;
use crate::peers::chromium::{Chromium, Tab};
use crate::peers::cluster::{Cluster, FIELDS, NUCLEI};
use crate::peers::redis::Redis;
use crate::peers::results::labels;

/// Rows and columns of the image.
const SIDE: usize = 360;

/// How many colors the canvas shows, and a number that is another one when something changes.
const SEEN: &str = "(() => {
    const canvas = document.querySelector('.view-stage canvas');
    if (!canvas) return [0, 0];
    const copy = document.createElement('canvas');
    copy.width = canvas.width;
    copy.height = canvas.height;
    const pen = copy.getContext('2d', {willReadFrequently: true});
    pen.drawImage(canvas, 0, 0);
    const { data } = pen.getImageData(0, 0, copy.width, copy.height);
    const colors = new Set();
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) {
        const color = data[at] * 65536 + data[at + 1] * 256 + data[at + 2];
        colors.add(color);
        sum = (sum * 31 + color) % 1000003;
    }
    return [colors.size, sum];
})()";

/// Addresses and statuses of the tiles that were fetched.
const TILES: &str = "performance.getEntriesByType('resource').filter(it => /\\/(tile|labels)\\//.test(it.name))\
    .map(it => [it.name, String(it.responseStatus)])";

async fn seen(tab: &Tab) -> (u64, u64) {
    tab.value(SEEN).await
}

/// Waits until the canvas shows something else.
async fn changes(tab: &Tab, before: (u64, u64)) -> (u64, u64) {
    tab.until(&format!("{SEEN}[1] !== {}", before.1)).await;
    settled(tab).await
}

/// What the canvas shows when it changes no more.
async fn settled(tab: &Tab) -> (u64, u64) {
    let mut before = seen(tab).await;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        // However slow the machine is, something was drawn meanwhile.
        tab.rest().await;
        let now = seen(tab).await;
        if now == before {
            return now;
        }
        before = now;
    }
}

async fn focus(tab: &Tab) {
    let _: bool = tab
        .value("(document.querySelector('.view-stage [role=application]').focus(), true)")
        .await;
}

/// Keeps what is seen, for people to look at.
async fn keep(tab: &Tab, name: &str) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("viewer-{name}.png"));
    std::fs::write(file, tab.screenshot().await).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_looked_into() {
    let cluster = Cluster::with_nuclei(Redis::start()).await;
    let _pod = cluster.pod("pod-1").start();
    let key = cluster.submit(NUCLEI, &FIELDS);
    let hash = cluster.wait_done(&key);
    let found = labels(&cluster.result(&hash)[0].1);
    let found = bioimage::squeeze(found);
    assert_eq!(found.shape(), [SIDE, SIDE]);
    let dashboard = Dashboard::start(&cluster, &[]);
    let chromium = Chromium::start().await;
    let page = super::lab::job_path(&key);
    let tab = chromium.open(&dashboard.address(&page)).await;

    tab.until(&format!("{SEEN}[0] > 20")).await;
    tab.until("document.querySelector('.viewer > .preview').hidden")
        .await;
    let mut before = settled(&tab).await;
    let tiles: Vec<(String, String)> = tab.value(TILES).await;
    assert!(
        tiles
            .iter()
            .any(|(name, _)| name.contains("/tile/0/0/0_0.png?c=")),
        "{tiles:?}"
    );
    assert!(
        tiles
            .iter()
            .any(|(name, _)| name.contains("/labels/0/0/0/0_0.png")),
        "{tiles:?}"
    );
    assert!(tiles.iter().all(|(_, status)| status == "200"), "{tiles:?}");
    keep(&tab, "light").await;

    // Labels go and come back, as areas too; all by keys, without the focus on anything.
    tab.press(&["l"]).await;
    let without = changes(&tab, before).await;
    tab.press(&["l"]).await;
    assert_eq!(changes(&tab, without).await, before);
    tab.press(&["o"]).await;
    before = changes(&tab, before).await;

    // A slider asks for other tiles, when it rests.
    let slide = "(() => { const it = document.querySelector('[data-set=\"low 0\"]'); it.value = 300; \
        it.dispatchEvent(new Event('input', {bubbles: true})); return true; })()";
    let _: bool = tab.value(slide).await;
    before = changes(&tab, before).await;
    let later: Vec<(String, String)> = tab.value(TILES).await;
    let differs = |name: &&(String, String)| name.0.contains("/tile/") && !tiles.contains(name);
    assert_eq!(later.iter().filter(differs).count(), 1, "{later:?}");
    tab.click("[data-do=reset]").await;
    before = changes(&tab, before).await;

    // With the focus on the picture it is zoomed and moved.
    focus(&tab).await;
    tab.press(&["+", "ArrowLeft"]).await;
    before = changes(&tab, before).await;
    tab.press(&["0"]).await;
    changes(&tab, before).await;

    let (row, column) = somewhere(&found);
    let label = found[[row, column]];
    click_at(&tab, row, column).await;
    tab.until(&format!(
        "document.querySelector('.view-said').textContent === 'Cell {label}'"
    ))
    .await;
    tab.until("document.querySelector('.view-mark')").await;
    let facts: String = tab
        .value("document.querySelector('.view-cell').textContent")
        .await;
    let area = found.iter().filter(|it| **it == label).count();
    assert!(
        facts.contains(&format!("Label{label}Area (px){area}Row")),
        "{facts}"
    );
    keep(&tab, "cell").await;

    tab.look(390, "dark").await;
    settled(&tab).await;
    let fits: bool = tab
        .value("document.documentElement.scrollWidth <= innerWidth")
        .await;
    assert!(fits, "no scrolling sideways at 390 px");
    keep(&tab, "narrow-dark").await;
    assert_eq!(tab.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_is_found_from_its_row_and_its_address() {
    let cluster = super::empty().await;
    let page = super::viewer::furnish(&cluster);
    let dashboard = Dashboard::start(&cluster, &[]);
    let chromium = Chromium::start().await;
    let page = dashboard.address(&page);
    let tab = chromium.open(&format!("{page}/cells")).await;
    tab.until(&format!("{SEEN}[0] > 20")).await;
    tab.click("tbody tr:nth-child(3) a").await;
    tab.until("document.querySelector('tbody tr:nth-child(3).here')")
        .await;
    tab.until("document.querySelector('.view-mark')").await;
    keep(&tab, "table").await;
    tab.look(390, "light").await;
    let fits: bool = tab
        .value("document.documentElement.scrollWidth <= innerWidth")
        .await;
    assert!(fits, "no scrolling sideways at 390 px");
    assert_eq!(tab.complaints(), [""; 0]);

    // What is chosen for all jobs is chosen on the next page; keys are off where somebody wants it so.
    let choose = "(() => { localStorage.setItem('rc.keys', 'off'); const it = document.querySelector('[data-set=same]'); it.click(); \
        const mode = document.querySelector('[data-set=mode]'); mode.value = 'fill'; \
        mode.dispatchEvent(new Event('input', {bubbles: true})); return true; })()";
    let _: bool = tab.value(choose).await;
    tab.until("localStorage.getItem('rc_view')?.includes('\"fill\"')")
        .await;
    let other = chromium.open(&format!("{page}?cell=1#picture")).await;
    other
        .until("document.querySelector('.view-said')?.textContent === 'Cell 1'")
        .await;
    other.until("document.querySelector('.view-mark')").await;
    let mode: String = other
        .value("document.querySelector('[data-set=mode]').value")
        .await;
    assert_eq!(mode, "fill");
    other.press(&["o"]).await;
    let mode: String = other
        .value("document.querySelector('[data-set=mode]').value")
        .await;
    assert_eq!(mode, "fill", "keys are off");
    other.look(1280, "dark").await;
    keep(&other, "dark").await;
    assert_eq!(other.complaints(), [""; 0]);
}

/// A pixel well within a cell.
fn somewhere(labels: &ndarray::ArrayD<f32>) -> (usize, usize) {
    let is_inside = |row: usize, column: usize| {
        let label = labels[[row, column]];
        label > 0.0
            && (0..5).all(|d| {
                [
                    (row + d, column),
                    (row - d, column),
                    (row, column + d),
                    (row, column - d),
                ]
                .iter()
                .all(|(row, column)| labels[[*row, *column]] == label)
            })
    };
    let rows = 40..SIDE - 40;
    let mut all = rows.flat_map(|row| (40..SIDE - 40).map(move |column| (row, column)));
    all.find(|(row, column)| is_inside(*row, *column))
        .expect("a cell")
}

/// Clicks on a pixel of the picture, which is shown whole.
async fn click_at(tab: &Tab, row: usize, column: usize) {
    let stage: Value = tab
        .value("(() => { const stage = document.querySelector('.view-stage'); stage.scrollIntoView({block: 'center'}); \
            const box = stage.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; })()")
        .await;
    let [left, top, width, height] = [0, 1, 2, 3].map(|at| stage[at].as_f64().expect("a number"));
    let scale = (width / SIDE as f64).min(height / SIDE as f64);
    let at = |start: f64, length: f64, place: usize| {
        start + length / 2.0 + (place as f64 + 0.5 - SIDE as f64 / 2.0) * scale
    };
    let point = Point::new(at(left, width, column), at(top, height, row));
    tab.page.click(point).await.expect("a click");
}
