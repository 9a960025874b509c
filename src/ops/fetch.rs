//! Results of jobs, unpacked into folders.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::desk::{DeskArguments, Misuse, Refused, print_json, text_of};
use crate::compute;
use crate::exit_code;
use crate::job::JobSnapshot;
use crate::queue::JobKey;
use crate::storage::archive::{
    Unpacked, clean_path, split_folder, unpack_files, without_last_suffix,
};
use crate::storage::{Storage, StorageSettings, hexadecimal};
use crate::untrusted;
use crate::wire::{RawFields, field};

/// In a folder with a result: the key of its job. Nothing of another job comes into that folder.
const MARK: &str = ".redis-consumer-job";

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
    let folder = compute::run(move || folder_of(&to, &named, &key)).await?;
    let packed = folder.join(".result.part");
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

/// The folder for the result of this job, which is this job's alone.
fn folder_of(to: &Path, name: &str, job: &JobKey) -> io::Result<PathBuf> {
    let name = clean_path(name);
    let (parents, file) = split_folder(&name);
    let stem = match without_last_suffix(file) {
        "" => "result",
        stem => stem,
    };
    let digest = hexadecimal(&Sha256::digest(&job.0)[..4]);
    let names = [stem.to_owned(), file.to_owned(), format!("{stem}-{digest}")];
    for name in names.iter().filter(|name| !name.is_empty()) {
        let folder = to.join(parents).join(name);
        if is_for(&folder, job)? {
            return Ok(folder);
        }
    }
    Err(io::Error::other(format!(
        "there is something else in {}",
        to.join(parents).join(&names[2]).display()
    )))
}

/// Whether a folder is this job's, be it that it was nobody's.
fn is_for(folder: &Path, job: &JobKey) -> io::Result<bool> {
    let mark = folder.join(MARK);
    match fs::read(&mark) {
        Ok(owner) => return Ok(owner == job.0),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(false),
        Err(_) => {}
    }
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        return Ok(false);
    }
    let mut mark = File::create_new(mark)?;
    mark.write_all(&job.0)?;
    Ok(true)
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
    use super::*;

    fn root(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("rc-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a folder");
        root
    }

    #[test]
    fn each_job_has_a_folder_of_its_own() {
        let root = root("folders");
        let of = |name: &str, job: &str| {
            let folder = folder_of(&root, name, &JobKey(job.as_bytes().to_vec()));
            let folder = folder.expect("a folder");
            folder
                .strip_prefix(&root)
                .expect("inside")
                .display()
                .to_string()
        };
        assert_eq!(of("a/t1.tif", "1"), "a/t1");
        assert_eq!(of("a/t1.tif", "1"), "a/t1");
        assert_eq!(of("a/t1.png", "2"), "a/t1.png");
        assert!(of("a/t1.png", "3").starts_with("a/t1-"));
        assert_eq!(of("../../up.tif", "4"), "up");
        assert_eq!(of("", "5"), "result");
        fs::create_dir(root.join("mine")).expect("a folder");
        fs::write(root.join("mine/notes"), "mine").expect("a file");
        assert_eq!(of("mine.tif", "6"), "mine.tif");
        fs::remove_dir_all(root).expect("it was made here");
    }

    #[test]
    fn no_entry_leaves_its_folder() {
        use zip::write::SimpleFileOptions;
        let root = root("entries");
        let packed = root.join("packed.zip");
        let mut writer = zip::ZipWriter::new(File::create(&packed).expect("a file"));
        for name in ["../../out.tif", "/abs.tif", "a/../b.tif", MARK, "a/ok.tif"] {
            writer
                .start_file(name, SimpleFileOptions::default())
                .expect("an entry");
            writer.write_all(name.as_bytes()).expect("its content");
        }
        writer.finish().expect("an archive");
        let folder = folder_of(&root, "x/y/in.tif", &JobKey(b"1".to_vec())).expect("a folder");
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
        fs::remove_dir_all(root).expect("it was made here");
    }
}
