//! What was uploaded together.

use super::super::drop::folder;
use super::super::looks::is_image;
use super::super::site::Site;
use crate::refusal::{Misuse, Refused};
use crate::storage::{Listed, Storage};

/// Objects that are counted.
const MOST: u64 = 100_000;

/// What was uploaded together.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) images: u64,
    pub(super) archives: u64,
    /// The key of the first one, and of the first image.
    pub(super) first: String,
    pub(super) first_image: Option<String>,
    /// What all keys begin with.
    pub(super) folder: String,
}

impl Files {
    /// Those of an upload, of which there has to be one.
    pub(super) async fn of(site: &Site, upload: &str) -> anyhow::Result<Self> {
        let storage = bucket(site)?;
        let mut files = Self {
            folder: folder(site, upload),
            ..Self::default()
        };
        let mut listing = storage.listing(&files.folder);
        while files.count < MOST
            && let Some(page) = listing.next_page().await?
        {
            page.iter().for_each(|listed| files.add(listed));
        }
        match files.count {
            0 => Err(Misuse(NO_FILES.to_owned()).into()),
            _ => Ok(files),
        }
    }

    fn add(&mut self, listed: &Listed) {
        if listed.size_bytes == 0 {
            return;
        }
        self.count += 1;
        self.bytes += listed.size_bytes;
        // Folders are listed in no order.
        if self.first.is_empty() || listed.key < self.first {
            self.first.clone_from(&listed.key);
        }
        if is_image(&listed.key) {
            self.images += 1;
            let first = self.first_image.as_ref();
            if first.is_none_or(|first| listed.key < *first) {
                self.first_image = Some(listed.key.clone());
            }
        }
        self.archives += u64::from(is_archive(&listed.key));
    }

    /// The path of a file as it was uploaded.
    pub(super) fn name<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(&self.folder).unwrap_or(key)
    }

    /// Whether all are archives, or none is.
    pub(super) fn check(&self) -> Result<(), Misuse> {
        match self.archives == 0 || self.archives == self.count {
            true => Ok(()),
            false => Err(Misuse(MIXED.to_owned())),
        }
    }
}

/// The bucket that the settings name.
pub(super) fn bucket(site: &Site) -> Result<&Storage, Refused> {
    let storage = site.storage.as_ref();
    storage.ok_or_else(|| Refused(super::super::api::NO_BUCKET.to_owned()))
}

fn is_archive(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with(".zip")
}

const NO_FILES: &str = "nothing of this upload is in the bucket; it was cut off, or its files were removed: upload them again";
const MIXED: &str =
    "archives and other files go to different queues: upload the archives by themselves";
