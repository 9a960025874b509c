//! Pages in a real browser.

use super::{empty, furnish};
use crate::peers::browser::Dashboard;
use crate::peers::chromium::Chromium;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_shown_and_nothing_is_complained_of() {
    let cluster = empty().await;
    furnish(&cluster.redis);
    let dashboard = Dashboard::start(&cluster, &[]);
    let chromium = Chromium::start().await;
    let tab = chromium.open(&dashboard.address("/queues")).await;
    let heading: String = tab.value("document.querySelector('h1').textContent").await;
    assert_eq!(heading, "Queues");
    assert_eq!(tab.complaints(), [""; 0]);
}
