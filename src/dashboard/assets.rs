//! Files that pages need, in the binary. Their names have their content in them, so that browsers may keep them for ever.

use std::io::Write as _;
use std::sync::{LazyLock, OnceLock};

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file.
#[derive(Debug)]
pub(super) struct Asset {
    /// Where it lies below `assets`.
    file: &'static str,
    name: String,
    kind: &'static str,
    content: &'static [u8],
    /// The same compressed, made when it is first wanted.
    compressed: OnceLock<Vec<u8>>,
}

macro_rules! asset {
    ($file:literal, $kind:expr) => {
        LazyLock::new(|| {
            Asset::new(
                $file,
                $kind,
                include_bytes!(concat!("../../assets/", $file)),
            )
        })
    };
}

static STYLE: LazyLock<Asset> = asset!("dashboard.css", "text/css; charset=utf-8");
static ICON: LazyLock<Asset> = asset!("icon.svg", "image/svg+xml");

/// Keys, marks, and the list that a job was opened from.
pub(super) static KEYS: LazyLock<Asset> = asset!("scripts/keys.js", SCRIPT);

/// Light or dark, as it was chosen. It has to run before anything is drawn, so it is no module.
static THEME: LazyLock<Asset> = asset!("scripts/theme.js", SCRIPT);

/// The viewer of pictures: pan, zoom, touch, layers.
pub(super) static OPENSEADRAGON: LazyLock<Asset> = asset!("vendor/openseadragon.min.js", SCRIPT);

/// What is chosen of the picture of a job, and the picture.
pub(super) static VIEW_PANEL: LazyLock<Asset> = asset!("scripts/view-panel.js", SCRIPT);
pub(super) static VIEWER: LazyLock<Asset> = asset!("scripts/viewer.js", SCRIPT);

/// Uploads by drag and drop, and what was submitted from this browser.
pub(super) static DROP: LazyLock<Asset> = asset!("scripts/drop.js", SCRIPT);

/// Keeps what changes on a page up to date.
pub(super) static LIVE: LazyLock<Asset> = asset!("scripts/live.js", SCRIPT);

/// Takes pictures of lists away that cannot be made.
pub(super) static PICTURES: LazyLock<Asset> = asset!("scripts/pictures.js", SCRIPT);

/// All of them.
static ALL: [&LazyLock<Asset>; 10] = [
    &STYLE,
    &ICON,
    &KEYS,
    &THEME,
    &OPENSEADRAGON,
    &VIEW_PANEL,
    &VIEWER,
    &DROP,
    &LIVE,
    &PICTURES,
];

impl Asset {
    fn new(file: &'static str, kind: &'static str, content: &'static [u8]) -> Self {
        let digest = Sha256::digest(content);
        let hash: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let name = file.rsplit('/').next().unwrap_or(file);
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        Self {
            file,
            name: format!("{stem}-{hash}.{ending}"),
            kind,
            content,
            compressed: OnceLock::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a script of ours, which is a module; those of others are not.
    pub(super) fn is_module(&self) -> bool {
        self.file.starts_with("scripts/")
    }

    fn compressed(&self) -> &[u8] {
        self.compressed.get_or_init(|| compressed(self.content))
    }
}

/// Never fails, as memory takes what is written to it.
fn compressed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(content);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

/// The name of the style sheet.
pub(super) fn style() -> &'static str {
    &STYLE.name
}

/// The name of the icon.
pub(super) fn icon() -> &'static str {
    &ICON.name
}

/// The name of the script that shows the theme.
pub(super) fn theme() -> &'static str {
    &THEME.name
}

/// A file by its name.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let asset = ALL.into_iter().find(|asset| asset.name == name);
    let Some(asset) = asset else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let about = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "Accept-Encoding"),
    ];
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    match accepted.any(|value| value.contains("gzip")) {
        true => {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            (about, encoding, asset.compressed()).into_response()
        }
        false => (about, asset.content).into_response(),
    }
}
