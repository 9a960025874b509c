//! A real browser, which `scripts/need-chromium` brings, driven over its protocol for tools of developers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chromiumoxide::browser::{Browser, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::accessibility::{AxValue, GetFullAxTreeParams};
use chromiumoxide::cdp::browser_protocol::dom::ScrollIntoViewIfNeededParams;
use chromiumoxide::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams,
    SetScriptExecutionDisabledParams,
};
use chromiumoxide::cdp::browser_protocol::log::EventEntryAdded;
use chromiumoxide::cdp::browser_protocol::page::CaptureScreenshotFormat;
use chromiumoxide::cdp::js_protocol::runtime::EventExceptionThrown;
use chromiumoxide::page::ScreenshotParams;
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// What it may be called.
const NAMES: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

/// Where Debian has the program. What is on its `PATH` is a script, at whose end the browser stays behind and goes on.
const ITSELF: &str = "/usr/lib/chromium";

/// How long something may take to be seen.
const PATIENCE: Duration = Duration::from_secs(60);

/// True as soon as nothing on the page moves: what measures itself, such as the viewer of pictures, follows the window frames later.
const STILL: &str = "new Promise((done) => {
    let [last, times] = ['', 0];
    const look = () => {
        const boxes = [...document.querySelectorAll('*')].map((it) => it.getBoundingClientRect());
        const moving = document.getAnimations().filter((it) => it.playState === 'running');
        const now = JSON.stringify([innerWidth, boxes, moving.length]);
        times = now === last && !moving.length ? times + 1 : 0;
        last = now;
        if (times === 2) done(true);
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})";

/// A browser, which ends with the test.
pub(crate) struct Chromium {
    browser: Browser,
    _profile: TempDir,
}

/// One of its tabs.
pub(crate) struct Tab {
    pub(crate) page: chromiumoxide::Page,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let config = BrowserConfig::builder()
            .chrome_executable(program())
            // Tests may run as root, which has no sandbox.
            .no_sandbox()
            .user_data_dir(profile.path())
            .window_size(1280, 900)
            .viewport(None)
            .arg("--disable-dev-shm-usage")
            .build()
            .expect("a configuration");
        let (browser, mut handler) = Browser::launch(config).await.expect("it starts");
        tokio::spawn(async move { while handler.next().await.is_some() {} });
        Self {
            browser,
            _profile: profile,
        }
    }

    /// Opens an address. What the browser complains of from then on is kept.
    pub(crate) async fn open(&self, address: &str) -> Tab {
        let page = self.browser.new_page("about:blank").await.expect("a tab");
        let complaints = Arc::default();
        let mut entries = page
            .event_listener::<EventEntryAdded>()
            .await
            .expect("a log");
        let kept = Arc::clone(&complaints);
        tokio::spawn(async move {
            while let Some(event) = entries.next().await {
                keep(
                    &kept,
                    format!(
                        "{}: {}",
                        event.entry.text,
                        event.entry.url.as_deref().unwrap_or_default()
                    ),
                );
            }
        });
        let mut thrown = page
            .event_listener::<EventExceptionThrown>()
            .await
            .expect("a log");
        let kept = Arc::clone(&complaints);
        tokio::spawn(async move {
            while let Some(event) = thrown.next().await {
                let details = &event.exception_details;
                let exception = details
                    .exception
                    .as_ref()
                    .and_then(|it| it.description.clone());
                keep(&kept, exception.unwrap_or_else(|| details.text.clone()));
            }
        });
        let tab = Tab { page, complaints };
        tab.visit(address).await;
        tab
    }
}

impl Tab {
    /// Goes to another address, and waits until its scripts have begun.
    pub(crate) async fn visit(&self, address: &str) {
        let page = self.page.goto(address).await;
        page.unwrap_or_else(|error| panic!("{address}: {error}"));
        self.until("document.readyState === 'complete'").await;
    }

    /// Waits until nothing on the page moves.
    pub(crate) async fn rest(&self) {
        assert!(self.value::<bool>(STILL).await);
    }

    /// What an expression gives; promises are waited for.
    pub(crate) async fn value<T: DeserializeOwned>(&self, expression: &str) -> T {
        let result = self.page.evaluate(expression).await;
        let result = result.unwrap_or_else(|error| panic!("{expression}: {error}"));
        result
            .into_value()
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is true. Pages that are being left in between count as not yet.
    pub(crate) async fn until(&self, expression: &str) {
        let wanted = format!("Boolean({expression})");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let result = self.page.evaluate(wanted.as_str()).await;
            if result.ok().and_then(|it| it.into_value().ok()) == Some(true) {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{expression} did not come true; the browser says {:?}",
                self.complaints()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses keys one after the other, as `g` or `Enter`.
    pub(crate) async fn press(&self, keys: &[&str]) {
        for key in keys {
            let body = self.page.find_element("body").await.expect("a body");
            body.press_key(key).await.expect("a key");
        }
    }

    /// Clicks on what a selector names.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.page.find_element(selector).await;
        let element = element.unwrap_or_else(|error| panic!("{selector}: {error}"));
        // The way of the library to show it needs a script, which a page may be denied.
        let show = ScrollIntoViewIfNeededParams::builder();
        let show = show.node_id(element.node_id).build();
        self.page.execute(show).await.expect("it can be seen");
        let point = element.clickable_point().await.expect("a point");
        self.page.click(point).await.expect("a click");
    }

    /// Shows the page at this width, in pixels, in the dark or light scheme.
    pub(crate) async fn look(&self, width: i64, scheme: &str) {
        self.look_by(width, scheme, "screen").await;
    }

    /// Shows the page as it is printed, at the width of an A4 sheet without its margins.
    pub(crate) async fn look_printed(&self) {
        self.look_by(718, "light", "print").await;
    }

    async fn look_by(&self, width: i64, scheme: &str, medium: &str) {
        let metrics = SetDeviceMetricsOverrideParams::new(width, 900, 1.0, false);
        self.page.execute(metrics).await.expect("a width");
        let scheme = MediaFeature::new("prefers-color-scheme", scheme);
        // Colors on their way from one to the other are none of ours.
        let motion = MediaFeature::new("prefers-reduced-motion", "reduce");
        let media = SetEmulatedMediaParams::builder()
            .media(medium)
            .features([scheme, motion])
            .build();
        self.page.execute(media).await.expect("a medium");
        let is_so = format!("innerWidth === {width} && matchMedia('{medium}').matches");
        self.until(&is_so).await;
        self.rest().await;
    }

    /// Roles and names of everything that is told to programs that read pages aloud.
    pub(crate) async fn spoken(&self) -> Vec<(String, String)> {
        let tree = self.page.execute(GetFullAxTreeParams::default()).await;
        let nodes = tree.expect("a tree").result.nodes.into_iter();
        let text = |value: Option<AxValue>| {
            let value = value.and_then(|it| it.value);
            let text = value.and_then(|it| it.as_str().map(str::to_owned));
            text.unwrap_or_default()
        };
        nodes
            .filter(|node| !node.ignored)
            .map(|node| (text(node.role), text(node.name)))
            .collect()
    }

    /// Whether scripts run on pages that are opened from now on.
    pub(crate) async fn run_scripts(&self, are_run: bool) {
        let params = SetScriptExecutionDisabledParams::new(!are_run);
        self.page.execute(params).await.expect("a setting");
    }

    /// The whole page as a PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        let params = ScreenshotParams::builder()
            .format(CaptureScreenshotFormat::Png)
            .full_page(true)
            .build();
        self.page.screenshot(params).await.expect("a picture")
    }

    /// What the browser has complained of: errors of scripts, what the policy forbids, files that are not there.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().expect("no panic").clone()
    }
}

fn keep(complaints: &Mutex<Vec<String>>, complaint: String) {
    complaints.lock().expect("no panic").push(complaint);
}

#[expect(clippy::disallowed_methods, reason = "a test looks for a program")]
fn program() -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [ITSELF.into()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let mut places =
        folders.flat_map(|folder: std::path::PathBuf| NAMES.map(|name| folder.join(name)));
    places
        .find(|place| place.exists())
        .expect("no Chromium: run scripts/need-chromium")
}
