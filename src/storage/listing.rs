//! What is in the bucket already: single objects by their content, many by what their keys begin with.

use std::fmt::Write as _;

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::list::PaginatedListOptions;
use object_store::path::{Path, PathPart};
use object_store::{Attribute, GetOptions, ObjectMeta};
use sha2::{Digest as _, Sha256};

use super::client::Storage;
use super::error::{Direction, Error, Failure};
use super::object::{Object, SHA256};
use super::provider::Bucket;

/// Objects of one page of a folder.
const PAGE: usize = 1000;

/// An object of a listing.
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size_bytes: u64,
}

/// The objects whose keys begin with a text, page by page.
pub(crate) struct Listing {
    storage: Storage,
    prefix: String,
    /// For messages.
    object: Object,
    rest: Rest,
}

enum Rest {
    /// The pages behind this one.
    Pages(Option<String>),
    Folder(BoxStream<'static, object_store::Result<ObjectMeta>>),
    Nothing,
}

impl Storage {
    /// The objects whose keys begin with `prefix`, which may end anywhere in a key. Makes no request.
    pub(crate) fn listing(&self, prefix: &str) -> Listing {
        let prefix = prefix.trim_start_matches('/').to_owned();
        let rest = match self.store.pages {
            Some(_) => Rest::Pages(None),
            None => {
                let folder = folder_of(&prefix);
                Rest::Folder(self.store.objects.list(folder.as_ref()))
            }
        };
        Listing {
            storage: self.clone(),
            object: self.object(Path::from(prefix.as_str()), Direction::Read),
            prefix,
            rest,
        }
    }

    /// Whether this very content is there, as far as that is known without fetching it from afar.
    pub(crate) async fn has(
        &self,
        key: &str,
        size_bytes: u64,
        sha256: &str,
    ) -> Result<bool, Error> {
        let object = self.object(self.urls.new_key(key)?, Direction::Read);
        let looked = self.retry.run(&object, async || {
            let head = GetOptions {
                head: true,
                ..GetOptions::default()
            };
            match self.get(&object, head).await {
                // What is not there is an answer, and none that counts as a failure.
                Err(Failure::Permanent(Error::NotFound { .. })) => Ok(None),
                found => found.map(Some),
            }
        });
        let Some(found) = looked.await? else {
            return Ok(false);
        };
        if found.meta.size != size_bytes {
            return Ok(false);
        }
        if let Bucket::Folder(_) = self.urls.bucket() {
            return Ok(self.digest(&object).await? == sha256);
        }
        let stored = found.attributes.get(&Attribute::Metadata(SHA256.into()));
        Ok(stored.is_some_and(|stored| stored.as_ref() == sha256))
    }

    async fn digest(&self, object: &Object) -> Result<String, Error> {
        self.retry
            .run(object, async || {
                let mut passage = self.passage(object).await?;
                let mut digest = Sha256::new();
                while let Some(chunk) = passage.next().await? {
                    digest.update(&chunk);
                }
                Ok(hexadecimal(&digest.finalize()))
            })
            .await
    }
}

impl Listing {
    /// The next objects, until there are no more. In the order of their keys within a cloud, in none within a folder.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Vec<Listed>>, Error> {
        let found = match &mut self.rest {
            Rest::Nothing => return Ok(None),
            Rest::Pages(token) => {
                let token = token.take();
                let (found, next) = self.page(token).await?;
                self.rest = next.map_or(Rest::Nothing, |token| Rest::Pages(Some(token)));
                found
            }
            Rest::Folder(objects) => {
                let page = next_of_folder(objects).await;
                let page = page.map_err(|error| self.object.permanent_failure(&error))?;
                if page.len() < PAGE {
                    self.rest = Rest::Nothing;
                }
                page
            }
        };
        let mut page: Vec<_> = found
            .into_iter()
            .map(|meta| Listed {
                key: meta.location.to_string(),
                size_bytes: meta.size,
            })
            .filter(|listed| listed.key.starts_with(&self.prefix))
            .collect();
        page.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Some(page))
    }

    async fn page(
        &mut self,
        token: Option<String>,
    ) -> Result<(Vec<ObjectMeta>, Option<String>), Error> {
        let Some(pages) = &self.storage.store.pages else {
            return Ok((Vec::new(), None));
        };
        self.storage
            .retry
            .run(&self.object, async || {
                let options = PaginatedListOptions {
                    page_token: token.clone(),
                    ..PaginatedListOptions::default()
                };
                let listed = pages.list_paginated(Some(&self.prefix), options).await;
                let listed = listed.map_err(|error| self.object.failure(&error))?;
                Ok((listed.result.objects, listed.page_token))
            })
            .await
    }
}

async fn next_of_folder(
    objects: &mut BoxStream<'static, object_store::Result<ObjectMeta>>,
) -> object_store::Result<Vec<ObjectMeta>> {
    let mut page = Vec::new();
    while page.len() < PAGE
        && let Some(meta) = objects.try_next().await?
    {
        page.push(meta);
    }
    Ok(page)
}

/// The folder in which all keys are that begin with this.
fn folder_of(prefix: &str) -> Option<Path> {
    let (folder, _) = prefix.rsplit_once('/')?;
    let parts = folder.split('/').filter(|part| !part.is_empty());
    parts
        .map(PathPart::parse)
        .try_fold(Path::ROOT, |path, part| Some(path.join(part.ok()?)))
}

/// Bytes as two digits each.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
