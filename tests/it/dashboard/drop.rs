//! Uploads by drag and drop, in a real browser, with somebody who works them.

use std::fs;
use std::path::Path;

use chromiumoxide::cdp::browser_protocol::input::{
    DispatchDragEventParams, DispatchDragEventType, DragData, DragDataItem,
};

use super::empty;
use crate::peers::browser::Dashboard;
use crate::peers::chromium::{Chromium, Tab};
use crate::peers::cluster::{Cluster, IMAGE, Pod, eventually};
use crate::peers::redis::Redis;

/// Drops a file or folder of this machine on the zone.
pub(super) async fn drop_on(tab: &Tab, files: &[&Path]) {
    let place = "(() => { const r = document.getElementById('drop').getBoundingClientRect(); \
        return [r.x + r.width / 2, r.y + r.height / 2] })()";
    let [x, y]: [f64; 2] = tab.value(place).await;
    let files = files.iter().map(|file| file.display().to_string());
    let data = DragData {
        // The browser wants some, and is not told of none.
        items: vec![DragDataItem::new("text/plain", "")],
        files: Some(files.collect()),
        drag_operations_mask: 1,
    };
    for kind in [
        DispatchDragEventType::DragEnter,
        DispatchDragEventType::DragOver,
        DispatchDragEventType::Drop,
    ] {
        let event = DispatchDragEventParams::new(kind, x, y, data.clone());
        tab.page.execute(event).await.expect("an event");
    }
}

/// Chooses files that a script makes, by the button.
pub(super) async fn choose(tab: &Tab, files: &str) {
    let script = format!(
        "(() => {{ const all = new DataTransfer(); {files}; \
         const input = document.getElementById('files'); input.files = all.files; \
         input.dispatchEvent(new Event('change')); return all.files.length }})()"
    );
    let _: u32 = tab.value(&script).await;
}

/// Whether the browser would ask before it leaves the page.
async fn asks(tab: &Tab) -> bool {
    let leave = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))";
    tab.value(leave).await
}

/// Somebody who works what is submitted, once that is known.
fn start_consumer(cluster: &Cluster) -> Pod {
    let consumer = cluster.pod("pod-1").set("PREVIEWS", "true").start();
    eventually("somebody works", || {
        let known: u32 = cluster.redis.ask(&["EXISTS", "rc:workers:segmentation"]);
        known == 1
    });
    consumer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_dropped_submitted_and_worked() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let dashboard = Dashboard::start(&cluster, &[]);
    let _consumer = start_consumer(&cluster);
    let folder = tempfile::tempdir().expect("a folder");
    let field = folder.path().join("Field 1");
    fs::create_dir(&field).expect("a folder");
    for name in [
        "a.png",
        "it's b.png",
        "c #3.png",
        ".hidden.png",
        "notes.txt",
    ] {
        fs::write(field.join(name), IMAGE).expect("a file");
    }
    let chromium = Chromium::start().await;
    let tab = chromium.open(&dashboard.address("/")).await;
    assert!(!asks(&tab).await);
    drop_on(&tab, &[&field]).await;
    tab.until(
        "document.getElementById('upload-summary')?.textContent.startsWith('3 of 3 files there')",
    )
    .await;
    let summary: String = tab
        .value("document.getElementById('upload-summary').textContent")
        .await;
    assert!(summary.ends_with("2 left out"), "{summary}");
    assert!(asks(&tab).await);
    // Options come by themselves, with the channels of the image.
    tab.until("document.querySelector('#options .question')?.textContent.startsWith('3 files')")
        .await;
    tab.until("[...document.querySelectorAll('.channels img')].length === 4")
        .await;
    tab.until(
        "[...document.querySelectorAll('.channels img')].every((it) => it.naturalWidth > 10)",
    )
    .await;
    let name: String = tab.value("document.getElementById('name').value").await;
    assert!(
        name.starts_with("field-1-") && cluster.has(&format!("uploads/{name}/Field 1/it's b.png")),
        "{name}"
    );
    tab.until("document.querySelector('#upload-options[data-settled] button.main')")
        .await;
    tab.click("#options button.main").await;
    tab.until(
        "document.querySelector('.confirm')?.textContent.includes('nothing was found wrong')",
    )
    .await;
    tab.click("button.main").await;
    tab.until("document.getElementById('submitted')").await;
    tab.click("#submitted a").await;
    tab.until("location.pathname.startsWith('/batches/field')")
        .await;
    eventually("all are done", || {
        cluster
            .redis
            .hash(&format!("rc:batch:{name}"))
            .get("state")
            .map(String::as_str)
            == Some("finished")
    });
    let batch = format!("/batches/{name}");
    tab.visit(&dashboard.address(&batch)).await;
    let cells: Vec<String> = tab
        .value("[...document.querySelectorAll('.sheet li')].map((it) => it.textContent)")
        .await;
    assert!(
        cells.len() == 3 && cells.iter().all(|it| it.contains(" cells")),
        "{cells:?}"
    );
    // The browser remembers it, and nothing is sent when the same is dropped again.
    tab.visit(&dashboard.address("/")).await;
    tab.until("document.getElementById('mine-list').textContent.includes('3 of 3 done')")
        .await;
    drop_on(&tab, &[&field]).await;
    tab.until("[...document.querySelectorAll('.files .there')].length === 3")
        .await;
    assert_eq!(tab.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_is_chosen_and_becomes_a_job() {
    let cluster = Cluster::with_nuclei(Redis::start_in_memory()).await;
    let dashboard = Dashboard::start(&cluster, &[("DASHBOARD_BASE_PATH", "/kiosk")]);
    let _consumer = start_consumer(&cluster);
    let chromium = Chromium::start().await;
    let tab = chromium.open(&dashboard.address("/kiosk/")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cells.png");
    fs::write(&file, IMAGE).expect("a file");
    drop_on(&tab, &[&file]).await;
    tab.until("document.querySelectorAll('.channels img').length === 4")
        .await;
    let has_name: bool = tab.value("document.getElementById('name') !== null").await;
    assert!(!has_name, "one file is no batch");
    tab.until("document.querySelector('#upload-options[data-settled] button.main')")
        .await;
    tab.click("#options button.main").await;
    tab.until("document.querySelector('.confirm button.main')?.textContent === 'Submit'")
        .await;
    tab.click("button.main").await;
    tab.until("document.getElementById('submitted')").await;
    tab.click("#submitted a").await;
    tab.until("location.pathname.startsWith('/kiosk/jobs/')")
        .await;
    let keys = cluster.redis.keys("segmentation:cells.png:*");
    assert_eq!(keys.len(), 1, "{keys:?}");
    cluster.wait_done(&keys[0]);
    tab.page.reload().await.expect("the page");
    tab.until("document.body.textContent.match(/\\d+ cells/)")
        .await;
    assert_eq!(tab.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_are_listed_without_as_many_rows() {
    let cluster = empty().await;
    let dashboard = Dashboard::start(&cluster, &[("JOB_TYPES", "segmentation")]);
    let chromium = Chromium::start().await;
    let tab = chromium.open(&dashboard.address("/")).await;
    // What is no image is listed and not sent.
    choose(
        &tab,
        "for (let i = 0; i < 10000; i += 1) all.items.add(new File(['x'], `${i}.txt`))",
    )
    .await;
    tab.until("document.getElementById('upload-summary').textContent.endsWith('10000 left out')")
        .await;
    tab.until("document.querySelector('.files li')").await;
    let rows: usize = tab
        .value("document.querySelectorAll('.files li').length")
        .await;
    assert!(rows < 40, "{rows}");
    let _: u32 = tab
        .value("document.querySelector('.files').scrollTop = 1e9")
        .await;
    tab.until("document.querySelector('.files').textContent.includes('9999.txt')")
        .await;
    let last: String = tab
        .value("document.querySelector('.files li:last-child').getAttribute('aria-posinset')")
        .await;
    assert_eq!(last, "10000");
    assert_eq!(tab.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_why_and_can_be_tried_again() {
    let cluster = empty().await;
    let settings = [("JOB_TYPES", "segmentation"), ("MAX_UPLOAD_BYTES", "1000")];
    let dashboard = Dashboard::start(&cluster, &settings);
    let chromium = Chromium::start().await;
    let tab = chromium.open(&dashboard.address("/")).await;
    choose(
        &tab,
        "all.items.add(new File(['x'], 'fit\\u202etfil.png')); all.items.add(new File(['y'.repeat(2000)], 'large.png')); \
         all.items.add(new File(['z'], 'small.png'))",
    )
    .await;
    tab.until("document.querySelector('.files .failed')").await;
    tab.until(
        "document.getElementById('upload-summary').textContent.startsWith('1 of 2 files there')",
    )
    .await;
    let list: String = tab
        .value("document.querySelector('.files').textContent")
        .await;
    for text in [
        "give the file another name",
        "larger than 1.0 kB (MAX_UPLOAD_BYTES)",
    ] {
        assert!(list.contains(text), "{text} is missing in {list}");
    }
    let again: bool = tab
        .value("!document.querySelector('#uploads .actions button').hidden")
        .await;
    assert!(again);
    let spoken: String = tab
        .value("document.querySelector('#uploads [aria-live]').textContent")
        .await;
    assert!(spoken.contains("1 failed"), "{spoken}");
    // What is no image is told where its channels would be.
    tab.until("document.querySelector('#options .notice')?.textContent.includes('small.png cannot be read as an image')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_fits_a_narrow_screen_and_has_a_name() {
    let cluster = empty().await;
    let dashboard = Dashboard::start(&cluster, &[("JOB_TYPES", "segmentation,polaris")]);
    let chromium = Chromium::start().await;
    let tab = chromium.open(&dashboard.address("/")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let long = folder
        .path()
        .join(format!("{}.png", "very-long-name".repeat(10)));
    fs::write(&long, IMAGE).expect("a file");
    tab.look(320, "dark").await;
    drop_on(&tab, &[&long]).await;
    tab.until("document.querySelectorAll('.channels img').length === 4")
        .await;
    tab.rest().await;
    let overflow: i64 = tab
        .value("document.documentElement.scrollWidth - innerWidth")
        .await;
    assert!(overflow <= 0, "{overflow} pixels too wide");
    let unnamed: Vec<String> = tab
        .value(
            "[...document.querySelectorAll('main input:not([type=hidden]), main select, main button, main progress')] \
             .filter((it) => !it.labels?.length && !it.textContent.trim() && !it.getAttribute('aria-label') \
             && !it.getAttribute('aria-labelledby')).map((it) => it.outerHTML)",
        )
        .await;
    assert_eq!(unnamed, [""; 0]);
    let small: Vec<String> = tab
        .value(
            "[...document.querySelectorAll('main input:not([type=hidden]), main select, main button')] \
             .filter((it) => it.offsetParent && it.getBoundingClientRect().height < 24).map((it) => it.outerHTML)",
        )
        .await;
    assert_eq!(small, [""; 0]);
}
