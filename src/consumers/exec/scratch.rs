//! The folder of one job: its inputs, its results, room for the command. It goes with the value.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::storage::archive::split_folder;

/// What folders of all processes have in common.
const ALL: &str = "rc-exec";

/// Bytes of a name that are kept; file systems take 255, and a number may come before it.
const NAME: usize = 200;

/// The folder of all jobs of a process, below which every job has its own.
pub(super) fn folder_of(name: &str) -> PathBuf {
    let process = format!("{}-{}", clean(name), std::process::id());
    std::env::temp_dir().join(ALL).join(process)
}

/// Removes what earlier processes have left: one of this number, and those that are gone.
pub(super) fn clean_up(own: &Path) {
    remove(own);
    let entries = fs::read_dir(std::env::temp_dir().join(ALL));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.rsplit_once('-')?.1.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&entry.path());
        }
    }
}

/// The folder of one job.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    names: HashSet<String>,
    is_kept: bool,
}

impl Scratch {
    /// Makes the folder of a job below that of all jobs.
    pub(super) fn create(all: &Path, id: &str) -> io::Result<Self> {
        let folder = all.join(id);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&folder)?;
        for part in ["input", "output", "tmp"] {
            builder.create(folder.join(part))?;
        }
        Ok(Self {
            folder,
            names: HashSet::new(),
            is_kept: false,
        })
    }

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
        let folder = std::mem::take(&mut self.folder);
        // There may be many files in it.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove(&folder))),
            Err(_) => remove(&folder),
        }
    }
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
    fn inputs_have_fit_names_and_the_folder_goes_with_everything() {
        let all = tempfile::tempdir().expect("a folder");
        let mut scratch = Scratch::create(all.path(), "0-ab").expect("a folder");
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
        let folder = scratch.folder().to_owned();
        drop(scratch);
        assert!(!folder.exists());
    }
}
