//! Files that pages need, in the binary as `build.rs` has packed them. Their names have their content in them, so that browsers may
//! keep them for ever.

use std::io::Read as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file.
#[derive(Debug)]
pub(super) struct Asset {
    /// Where it lies below `assets`.
    file: &'static str,
    name: String,
    kind: &'static str,
    packed: &'static [u8],
}

macro_rules! asset {
    ($file:literal, $kind:expr) => {
        LazyLock::new(|| {
            Asset::new(
                $file,
                $kind,
                include_bytes!(concat!(env!("OUT_DIR"), "/assets/", $file, ".gz")),
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

/// Uploads by drag and drop.
pub(super) static DROP: LazyLock<Asset> = asset!("scripts/drop.js", SCRIPT);

/// What was submitted from this browser.
pub(super) static MINE: LazyLock<Asset> = asset!("scripts/mine.js", SCRIPT);

/// Keeps what changes on a page up to date.
pub(super) static LIVE: LazyLock<Asset> = asset!("scripts/live.js", SCRIPT);

/// Takes pictures of lists away that cannot be made.
pub(super) static PICTURES: LazyLock<Asset> = asset!("scripts/pictures.js", SCRIPT);

/// The API for scripts, told to programs.
pub(super) static DESCRIPTION: LazyLock<Asset> = asset!("openapi.json", "application/json");

/// Those that pages name.
static ALL: [&LazyLock<Asset>; 11] = [
    &STYLE,
    &ICON,
    &KEYS,
    &THEME,
    &OPENSEADRAGON,
    &VIEW_PANEL,
    &VIEWER,
    &DROP,
    &MINE,
    &LIVE,
    &PICTURES,
];

impl Asset {
    fn new(file: &'static str, kind: &'static str, packed: &'static [u8]) -> Self {
        let digest = Sha256::digest(packed);
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
            packed,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a script of ours, which is a module; those of others are not.
    pub(super) fn is_module(&self) -> bool {
        self.file.starts_with("scripts/")
    }

    /// The file, packed for those who take that.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let about = [
            (header::CONTENT_TYPE, self.kind),
            (header::VARY, "Accept-Encoding"),
        ];
        let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
        let mut accepted = accepted.filter_map(|value| value.to_str().ok());
        match accepted.any(|value| value.contains("gzip")) {
            true => {
                let encoding = [(header::CONTENT_ENCODING, "gzip")];
                (about, encoding, self.packed).into_response()
            }
            false => (about, unpacked(self.packed)).into_response(),
        }
    }
}

/// Never fails, as the build has packed it.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let read = GzDecoder::new(packed).read_to_end(&mut content);
    read.map(|_| content).unwrap_or_default()
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
    let forever = [(header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (forever, asset.answer(&headers)).into_response()
}
