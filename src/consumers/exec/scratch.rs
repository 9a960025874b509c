//! The folder of one job: its inputs, its results, room for the command. It goes with the value.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::storage::archive::split_folder;

/// What folders of all processes have in common, before the number of their user: nobody else may write there.
const ALL: &str = "rc-exec";

/// Held open and locked by the process whose folder it is in, for as long as that lives: its number may be another's in a
/// container that shares the folder.
const LOCK: &str = ".lock";

/// The parts of a job's folder that are there from the start.
const PARTS: [&str; 3] = ["input", "output", "tmp"];

/// The rights to a folder that only its user has.
const PRIVATE: u32 = 0o700;

/// Bytes of a name that are kept; file systems take 255, and a number may come before it.
const NAME: usize = 200;

/// The folder of all jobs of a process, below which every job has its own.
pub(super) fn folder_of(name: &str) -> PathBuf {
    let all = format!("{ALL}-{}", rustix::process::getuid().as_raw());
    let process = format!("{}-{}", clean(name), std::process::id());
    std::env::temp_dir().join(all).join(process)
}

/// The folder of this process while it works jobs.
#[derive(Debug)]
pub(super) struct Workplace {
    folder: PathBuf,
    /// Locked until this value goes.
    _lock: File,
    is_kept: bool,
    /// Folders of jobs that are over, empty again: making and removing them takes a file system longer than the rest of a
    /// short job.
    clean: Arc<Mutex<Vec<PathBuf>>>,
    folders: usize,
}

impl Workplace {
    /// Makes the folder of this process, and removes those of processes that are gone.
    pub(super) fn claim(folder: &Path) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
        };
        if let Some(all) = folder.parent() {
            clean_up(all);
        }
        // Whatever is there is of an earlier process of this number.
        remove(folder);
        private_folder(folder).map_err(named)?;
        let lock = File::create(folder.join(LOCK)).map_err(named)?;
        lock.lock().map_err(named)?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
            is_kept: false,
            clean: Arc::default(),
            folders: 0,
        })
    }

    /// The folder of one job.
    pub(super) fn scratch(&mut self) -> io::Result<Scratch> {
        let used = lock(&self.clean).pop();
        let folder = match used {
            Some(folder) => folder,
            None => {
                self.folders += 1;
                let folder = self.folder.join(self.folders.to_string());
                for part in PARTS {
                    private_folder(&folder.join(part))?;
                }
                folder
            }
        };
        Ok(Scratch {
            folder,
            names: HashSet::new(),
            is_kept: false,
            clean: Arc::clone(&self.clean),
        })
    }

    /// Something in it is to stay.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if !self.is_kept {
            remove(&self.folder);
        }
    }
}

fn clean_up(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let lock = File::open(entry.path().join(LOCK));
        // One without a lock is being made now.
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            remove(&entry.path());
        }
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(PRIVATE).create(folder)
}

/// The folder of one job.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    names: HashSet<String>,
    is_kept: bool,
    /// Where it goes when it is empty again.
    clean: Arc<Mutex<Vec<PathBuf>>>,
}

impl Scratch {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where an input goes: its base name, made fit for a file; a second one of the same name is called otherwise.
    pub(super) fn input(&mut self, key: &str) -> PathBuf {
        let name = self.unused(&clean(key));
        self.folder.join("input").join(name)
    }

    /// Where one of many goes, which keep their order.
    pub(super) fn numbered_input(&mut self, number: usize, key: &str) -> PathBuf {
        self.input(&format!("{number:06}-{}", clean(key)))
    }

    /// Where the results of other jobs go.
    pub(super) fn results(&self) -> PathBuf {
        self.folder.join("results")
    }

    /// Where those of the child of this name go.
    pub(super) fn results_of(&mut self, name: &str) -> PathBuf {
        let name = self.unused(&clean(name));
        self.results().join(name)
    }

    fn unused(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        for number in 2.. {
            if self.names.insert(unique.clone()) {
                break;
            }
            unique = format!("{number}-{name}");
        }
        unique
    }

    pub(super) fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The file with the job as JSON.
    pub(super) fn job(&self) -> PathBuf {
        self.folder.join("job.json")
    }

    /// It stays when the value goes.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (folder, clean) = (std::mem::take(&mut self.folder), Arc::clone(&self.clean));
        let empty = move || match empty(&folder) {
            Ok(()) => lock(&clean).push(folder),
            // A new one is made in its place.
            Err(_) => remove(&folder),
        };
        // There may be many files in it.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(empty)),
            Err(_) => empty(),
        }
    }
}

/// Makes the folder of a job as it was. What a command has put in the place of a part goes, and is not followed.
fn empty(folder: &Path) -> io::Result<()> {
    let mut parts = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let found = entry.metadata()?;
        let is_part = PARTS.iter().any(|part| name == *part)
            && found.is_dir()
            && found.mode() & 0o777 == PRIVATE;
        if !is_part {
            remove_entry(&path, found.is_dir())?;
            continue;
        }
        parts += 1;
        for inside in fs::read_dir(&path)? {
            let inside = inside?;
            remove_entry(&inside.path(), inside.file_type()?.is_dir())?;
        }
    }
    if parts == PARTS.len() {
        return Ok(());
    }
    for part in PARTS {
        private_folder(&folder.join(part))?;
    }
    Ok(())
}

fn remove_entry(path: &Path, is_folder: bool) -> io::Result<()> {
    match is_folder {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

fn lock(folders: &Mutex<Vec<PathBuf>>) -> MutexGuard<'_, Vec<PathBuf>> {
    folders.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a folder, also what a command has taken the right to write from.
pub(super) fn remove(folder: &Path) {
    let removed = fs::remove_dir_all(folder).or_else(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            make_writable(folder);
            fs::remove_dir_all(folder)
        }
        _ => Err(error),
    });
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(error = %error, "could not remove the folder of a job");
    }
}

/// The bytes that a folder takes on its disk. What goes while it is looked at does not count.
pub(super) fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// The last part of a key as the name of a file.
pub(super) fn clean(key: &str) -> String {
    let (_, name) = split_folder(key.trim_end_matches('/'));
    let name: String = name
        .chars()
        .map(|c| if c.is_control() { '_' } else { c })
        .collect();
    // The end has the suffix.
    let surplus = name.len().saturating_sub(NAME);
    let name = &name[name.ceil_char_boundary(surplus)..];
    match name {
        "" | "." | ".." => "input".to_owned(),
        _ if name.starts_with(['.', '-']) => format!("_{name}"),
        _ => name.to_owned(),
    }
}

fn make_writable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
            make_writable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_a_living_process_is_left_alone_whatever_its_number() {
        let all = tempfile::tempdir().expect("a folder");
        let of = |name: &str| all.path().join(name);
        let mut first = Workplace::claim(&of("a-1")).expect("a folder");
        first.scratch().expect("a folder").keep();
        let second = Workplace::claim(&of("b-2")).expect("a folder");
        assert!(of("a-1/1/output").exists());
        // As with a process that was killed.
        let Workplace { folder, _lock, .. } = &first;
        _lock.unlock().expect("it was locked");
        assert_eq!(folder, &of("a-1"));
        let third = Workplace::claim(&of("c-3")).expect("a folder");
        assert!(!of("a-1").exists() && of("b-2").exists());
        drop((second, third));
        assert_eq!(fs::read_dir(all.path()).expect("a folder").count(), 0);
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn inputs_have_fit_names_and_the_folder_goes_with_everything() {
        let all = tempfile::tempdir().expect("a folder");
        let mut workplace = Workplace::claim(&all.path().join("a-1")).expect("a folder");
        let mut scratch = workplace.scratch().expect("a folder");
        let mut name = |key: &str| {
            let path = scratch.input(key);
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        };
        assert_eq!(name("uploads/a b.tif"), "a b.tif");
        assert_eq!(name("other/a b.tif"), "2-a b.tif");
        assert_eq!(name("-rf"), "_-rf");
        assert_eq!(name(".."), "input");
        assert_eq!(name("a\nb;c"), "a_b;c");
        assert_eq!(name(&format!("{}.tif", "x".repeat(300))).len(), NAME);
        let long = name(&format!("{}.tif", "細".repeat(100)));
        assert!(long.len() <= NAME && long.ends_with("細.tif"), "{long}");
        fs::write(scratch.output().join("x"), [0; 10_000]).expect("a file");
        assert!(size(scratch.folder()) >= 10_000);
        drop(scratch);
        // A command does as it likes, and the next one finds an empty folder all the same.
        let elsewhere = tempfile::tempdir().expect("a folder");
        fs::write(elsewhere.path().join("mine"), "").expect("a file");
        for _ in 0..2 {
            let mut scratch = workplace.scratch().expect("a folder");
            assert_eq!(scratch.folder(), all.path().join("a-1/1"));
            let entries = names_in(scratch.folder());
            assert_eq!(entries, ["input", "output", "tmp"]);
            assert_eq!(names_in(&scratch.output()), [""; 0]);
            fs::remove_dir(scratch.output()).expect("it is empty");
            std::os::unix::fs::symlink(elsewhere.path(), scratch.output()).expect("a link");
            fs::create_dir(scratch.tmp().join("deep")).expect("a folder");
            fs::write(scratch.folder().join("other"), "").expect("a file");
            fs::write(scratch.input("x"), "").expect("a file");
        }
        assert!(elsewhere.path().join("mine").exists());
        drop(workplace);
        assert!(!all.path().join("a-1").exists());
    }
}
