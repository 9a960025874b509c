//! Results of jobs, unpacked into folders.

mod folder;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

pub(crate) use self::folder::FolderName;
use self::folder::{MARK, PACKED};
use super::desk::{DeskArguments, Misuse, Refused, print_json, text_of};
use crate::compute;
use crate::exit_code;
use crate::job::JobSnapshot;
use crate::queue::JobKey;
use crate::storage::archive::{Unpacked, unpack_files};
use crate::storage::{Storage, StorageSettings};
use crate::untrusted;
use crate::wire::{RawFields, field};

#[derive(Args)]
pub(crate) struct FetchArguments {
    job: std::ffi::OsString,
    /// Where the folder of the result goes.
    #[arg(value_name = "FOLDER", default_value = ".")]
    to: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Fetches the result of one job.
pub(crate) async fn fetch(arguments: FetchArguments) -> anyhow::Result<ExitCode> {
    use std::os::unix::ffi::OsStringExt as _;
    let (desk, storage) = arguments.desk.open_with(StorageSettings::load)?;
    let storage = Storage::open(&storage)?;
    let key = JobKey(arguments.job.into_vec());
    let fields = desk.admin.job(&key).await?;
    let job = JobSnapshot(&fields);
    if fields.is_empty() {
        return Err(Misuse::no_job(&key).into());
    }
    if job.has_failed() {
        let text = format!("it has failed: {}", job.reason());
        writeln!(io::stderr(), "{}", untrusted::message(text))?;
        return Ok(ExitCode::from(exit_code::FOUND));
    }
    if !job.is_done() {
        let text = format!("the job has no result yet: it is {}", job.status());
        return Err(Refused(text).into());
    }
    let folder = unpack_result(&storage, &key, &fields, &arguments.to).await?;
    if arguments.json {
        let folder = folder.to_string_lossy();
        print_json(&json!({ "event": "fetched", "key": key.to_json(), "folder": folder }))?;
    } else {
        writeln!(io::stdout(), "{}", untrusted::message(folder.display()))?;
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

/// Unpacks the result of a job that is done into a folder below `to`, and gives its path. The folder is called like the input
/// without its suffix; if another job has that, it is called otherwise.
pub(crate) async fn unpack_result(
    storage: &Storage,
    key: &JobKey,
    fields: &RawFields,
    to: &Path,
) -> anyhow::Result<PathBuf> {
    let job = JobSnapshot(fields);
    let output = job
        .output_key()
        .filter(|output| !output.is_empty())
        .ok_or_else(|| anyhow::anyhow!("the job is done, but names no result"))?;
    let named = [field::ORIGINAL_NAME, field::INPUT_FILE_NAME]
        .map(|name| text_of(fields, name))
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default();
    let (to, key) = (to.to_owned(), key.clone());
    let name = FolderName::OfFile(named);
    let folder = compute::run(move || name.claim(&to, &key)).await?;
    let packed = folder.join(PACKED);
    let fetched = storage.download_to(&output, &packed).await;
    let unpacked = match fetched {
        Ok(()) => {
            let (packed, folder) = (packed.clone(), folder.clone());
            compute::run(move || unpack(&packed, &output, &folder)).await
        }
        Err(error) => Err(error),
    };
    let _ = fs::remove_file(&packed);
    unpacked.map(|()| folder)
}

/// Where the result of an item goes, and whose it is.
pub(crate) struct Wanted<'w> {
    pub(crate) job: &'w JobKey,
    /// Its key in the bucket.
    pub(crate) output: &'w str,
    pub(crate) name: &'w FolderName,
}

/// Unpacks a result into a folder below `to`, unless it is there. False if it is.
pub(crate) async fn unpack_missing(
    storage: &Storage,
    wanted: &Wanted<'_>,
    to: &Path,
) -> anyhow::Result<bool> {
    let (job, output) = (wanted.job.clone(), wanted.output.to_owned());
    let (name, to) = (wanted.name.clone(), to.to_owned());
    let part = to.join(format!(".{}.part", job.stable_id()));
    let is_there = {
        let (name, to, job) = (name.clone(), to.clone(), job.clone());
        compute::run(move || {
            let is_there = name.is_there(&to, &job);
            fs::create_dir_all(&to).map(|()| is_there)
        })
    };
    if is_there.await? {
        return Ok(false);
    }
    // Folders are only made for what is there.
    if let Err(error) = storage.download_to(&output, &part).await {
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    compute::run(move || {
        let folder = name.claim(&to, &job)?;
        let packed = folder.join(PACKED);
        fs::rename(&part, &packed)?;
        unpack(&packed, &output, &folder)?;
        match fs::remove_file(&packed) {
            // What is no archive was moved to its place.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(true),
        }
    })
    .await
}

/// Puts the files of a result into the folder of its job.
fn unpack(packed: &Path, key: &str, folder: &Path) -> anyhow::Result<()> {
    let all = Unpacked {
        bytes: u64::MAX,
        reserved: MARK,
    };
    unpack_files(packed, key, folder, all).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn no_entry_leaves_its_folder() {
        use zip::write::SimpleFileOptions;
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let packed = root.join("packed.zip");
        let mut writer = zip::ZipWriter::new(File::create(&packed).expect("a file"));
        for name in ["../../out.tif", "/abs.tif", "a/../b.tif", MARK, "a/ok.tif"] {
            writer
                .start_file(name, SimpleFileOptions::default())
                .expect("an entry");
            writer.write_all(name.as_bytes()).expect("its content");
        }
        writer.finish().expect("an archive");
        let name = FolderName::OfFile("x/y/in.tif".to_owned());
        let folder = name.claim(root, &JobKey(b"1".to_vec())).expect("a folder");
        for _ in 0..2 {
            unpack(&packed, "output/a.zip", &folder).expect("it can be unpacked");
        }
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
        assert_eq!(read("out.tif"), "../../out.tif");
        assert_eq!(read("abs.tif"), "/abs.tif");
        assert_eq!(
            (read("a/b.tif"), read("a/ok.tif")),
            ("a/../b.tif".to_owned(), "a/ok.tif".to_owned())
        );
        assert_eq!(read(MARK), "1");
        assert!(!root.join("out.tif").exists() && !root.join("x/out.tif").exists());
        fs::write(root.join("a.csv"), "1,2").expect("a file");
        unpack(&root.join("a.csv"), "output/spots.csv", &folder).expect("it is no archive");
        assert_eq!(read("spots.csv"), "1,2");
    }
}
