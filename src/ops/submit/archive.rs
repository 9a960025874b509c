//! One job of many files: they are packed into an archive while it is uploaded.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::super::desk::LocalFile;
use super::content::Content;
use super::context::Context;
use super::enqueuer::Enqueuer;
use super::uploader::{Gauge, total_of};
use super::uploads::{UPLOADS, find_files};
use crate::compute;
use crate::storage::archive::ZipMerger;
use crate::storage::hexadecimal;
use crate::submission::Identity;

/// Packs files into an archive in the bucket, and queues its job.
pub(super) async fn submit(
    context: &Context,
    paths: &[PathBuf],
    enqueuer: &mut Enqueuer<'_>,
) -> anyhow::Result<()> {
    let files = find_files(context, paths).await?;
    if files.is_empty() {
        return Ok(());
    }
    let name = format!("{}.zip", name_of(paths));
    let digest = digest(&files).await?;
    let key = format!("{UPLOADS}/{}/{name}", &digest[..8]);
    let input = context.input(&key, &name, None);
    let is_known = context.identity != Identity::Random && enqueuer.knows(&input).await?;
    if is_known {
        enqueuer.count_transfer(None);
    } else if context.is_dry {
        enqueuer.count_transfer(Some(files.iter().map(|file| file.size_bytes).sum()));
    } else {
        let gauge = Gauge::begin(context.screen, total_of(&files))?;
        let sent = pack(context, &key, &files, &gauge).await?;
        gauge.end()?;
        enqueuer.count_transfer(Some(sent));
    }
    enqueuer.add(&input).await
}

/// What names and contents of the files have in common with those of no others.
async fn digest(files: &[LocalFile]) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    for file in files {
        let content = Content::read(file).await;
        let content = content.map_err(|error| named(file, error))?;
        digest.update((file.name.len() as u64).to_be_bytes());
        digest.update(&file.name);
        digest.update(&content.sha256);
    }
    Ok(hexadecimal(&digest.finalize()))
}

/// Stores the archive, and gives its size.
async fn pack(
    context: &Context,
    key: &str,
    files: &[LocalFile],
    gauge: &Gauge,
) -> anyhow::Result<u64> {
    let mut writer = context.storage.object_writer(key)?;
    let mut archive = ZipMerger::new();
    let mut size = 0;
    for file in files {
        let (path, name) = (file.path.clone(), file.name.clone());
        let (grown, packed) = compute::run(move || {
            let content = std::fs::read(path)?;
            let packed = archive.add_file(name, content);
            Ok::<_, std::io::Error>((archive, packed))
        })
        .await
        .map_err(|error| named(file, error))?;
        archive = grown;
        let packed = packed?;
        size += packed.len() as u64;
        writer.write(&packed).await?;
        gauge.add(file.size_bytes);
        gauge.add_file()?;
    }
    let rest = archive.finish()?;
    size += rest.len() as u64;
    writer.write(&rest).await?;
    writer.finish().await?;
    Ok(size)
}

fn named(file: &LocalFile, error: std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("{}: {error}", file.path.display())
}

/// What the archive is called: like the only folder or file, or the folder that has them.
fn name_of(paths: &[PathBuf]) -> String {
    let first = paths
        .first()
        .map(PathBuf::as_path)
        .unwrap_or(Path::new("."));
    let real = std::fs::canonicalize(first).unwrap_or_else(|_| first.to_owned());
    let named = if paths.len() > 1 {
        real.parent()
    } else {
        Some(real.as_path())
    };
    let name = named.and_then(|path| path.file_stem());
    name.map_or_else(
        || "images".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
