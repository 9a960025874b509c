//! What tests of buckets share, whoever keeps the objects: keys, contents and clients.

use std::path::Path;

use bytes::Bytes;
use redis_consumer::settings::{Env, Loader};
use redis_consumer::storage::{Error, Storage, StorageSettings};

use super::scripted_http::ScriptedHttp;

/// Keys as users make them.
pub(crate) const KEYS: [&str; 7] = [
    "output/0123456789abcdef.zip",
    "uploads/my cells.tif",
    "uploads/100%25.tif",
    "uploads/50% off?.tif",
    "uploads/Zellkern-ü 細胞.tif",
    "output/a,b;c:d+e=f&g@h!'(i)*~[j].csv",
    "single",
];

/// A client with these variables.
pub(crate) fn open(pairs: &[(&str, &str)]) -> Storage {
    open_env(&pairs.iter().copied().collect())
}

/// A client of the server that `own` describes, with short pauses and these variables as well.
pub(crate) fn client(own: &[(String, String)], pairs: &[(&str, &str)]) -> Storage {
    let own = own.iter().map(|(name, value)| (&**name, &**value));
    let quick = [
        ("STORAGE_MAX_BACKOFF", "0.01"),
        ("STORAGE_RETRY_TIMEOUT", "30"),
    ];
    open_env(&own.chain(quick).chain(pairs.iter().copied()).collect())
}

/// A client of a folder.
pub(crate) fn folder(root: &Path) -> Storage {
    open(&[("STORAGE_BUCKET", &format!("file://{}", root.display()))])
}

/// A client of a stand-in for Google's store, with short pauses and these variables as well.
pub(crate) fn google(server: &ScriptedHttp, pairs: &[(&str, &str)]) -> Storage {
    let own = [
        ("STORAGE_BUCKET", "gs://b"),
        ("STORAGE_EMULATOR_HOST", &server.endpoint),
        ("STORAGE_MAX_BACKOFF", "0.01"),
    ];
    open(&[&own[..], pairs].concat())
}

fn open_env(env: &Env) -> Storage {
    let mut loader = Loader::new(env);
    let settings = StorageSettings::load(&mut loader);
    loader.finish().expect("usable settings");
    Storage::open(&settings).expect("a client")
}

/// Puts an object together from many pieces.
pub(crate) async fn write(storage: &Storage, key: &str, body: &[u8]) -> Result<String, Error> {
    let mut writer = storage.object_writer(key)?;
    for piece in body.chunks(700_001) {
        writer.write(piece).await?;
    }
    writer.finish().await
}

/// Content that does not repeat, nor get smaller when it is packed.
pub(crate) fn noise(length: usize) -> Bytes {
    noise_of(1, length).into()
}

/// Other content of the kind for each seed.
pub(crate) fn noise_of(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}
