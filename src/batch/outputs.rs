//! What lies in the bucket, as far as a stage expects it: sixteen bytes an object.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};

use batch_plan::Expected;
use globset::GlobMatcher;

use crate::storage::Storage;
use crate::wire::JobKey;

/// Where jobs' own results are.
const RESULTS: &str = "output/";

/// Objects below some prefixes.
pub(crate) struct Outputs {
    hasher: RandomState,
    /// Hash of the key, size; sorted.
    objects: Vec<(u64, u64)>,
    /// The keys themselves, if they have to be counted by what they begin with.
    keys: BTreeSet<String>,
}

impl Outputs {
    /// Lists all objects whose keys begin with one of these.
    pub(crate) async fn list(
        storage: &Storage,
        prefixes: &[Option<String>],
        with_keys: bool,
    ) -> anyhow::Result<Self> {
        let mut all = Self {
            hasher: RandomState::new(),
            objects: Vec::new(),
            keys: BTreeSet::new(),
        };
        let prefixes: BTreeSet<_> = prefixes
            .iter()
            .map(|prefix| prefix.as_deref().unwrap_or(RESULTS))
            .collect();
        for prefix in &prefixes {
            // What is below another one is listed with that.
            let is_inside = |other: &&str| *other != *prefix && prefix.starts_with(other);
            if prefixes.iter().any(is_inside) {
                continue;
            }
            let mut listing = storage.listing(prefix);
            while let Some(page) = listing.next_page().await? {
                for found in page {
                    let hash = all.hasher.hash_one(found.key.as_str());
                    all.objects.push((hash, found.size_bytes));
                    if with_keys {
                        all.keys.insert(found.key);
                    }
                }
            }
        }
        all.objects.sort_unstable();
        Ok(all)
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> u64 {
        self.objects.len() as u64
    }

    /// Whether an output is there, whole: nothing if it is not, and not at all.
    pub(super) fn has(&self, expected: &Expected, job: &str, globs: &Globs) -> Part {
        match expected {
            Expected::Result => {
                let key = JobKey(job.as_bytes().to_vec()).usual_result();
                self.object(&key, 0)
            }
            Expected::Key { key, min_size } => self.object(key, *min_size),
            Expected::Prefix {
                prefix,
                count,
                matches,
            } => {
                let glob = matches.as_deref().and_then(|glob| globs.get(glob));
                let below = self.keys.range(prefix.clone()..);
                let below = below.take_while(|key| key.starts_with(prefix.as_str()));
                let found = below
                    .filter(|key| glob.is_none_or(|glob| glob.is_match(&key[prefix.len()..])))
                    .count() as u64;
                match found {
                    0 if *count > 0 => Part::Missing,
                    found if found < u64::from(*count) => Part::Broken(found),
                    found => Part::Whole(found),
                }
            }
        }
    }

    /// The bytes of an object; nothing if it is not there.
    pub(crate) fn size(&self, key: &str) -> Option<u64> {
        let hash = self.hasher.hash_one(key);
        let found = self.objects.binary_search_by_key(&hash, |(hash, _)| *hash);
        Some(self.objects[found.ok()?].1)
    }

    fn object(&self, key: &str, least: u64) -> Part {
        match self.size(key) {
            None => Part::Missing,
            Some(size) if size < least => Part::Broken(1),
            Some(_) => Part::Whole(1),
        }
    }
}

/// How much of an output is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, in so many objects.
    Whole(u64),
    /// Too few objects, or one that is too small.
    Broken(u64),
    Missing,
}

/// The patterns of a plan, compiled once.
#[derive(Default)]
pub(super) struct Globs(std::collections::HashMap<String, GlobMatcher>);

impl Globs {
    pub(super) fn of(plan: &batch_plan::Resolved) -> Self {
        let mut globs = std::collections::HashMap::new();
        for stage in plan.stages() {
            for expect in &stage.work.expect {
                if let batch_plan::work::Expect::Prefix(expect) = expect
                    && let Some(pattern) = &expect.matches
                    && let Ok(glob) = globset::Glob::new(pattern)
                {
                    globs.insert(pattern.clone(), glob.compile_matcher());
                }
            }
        }
        Self(globs)
    }

    fn get(&self, pattern: &str) -> Option<&GlobMatcher> {
        self.0.get(pattern)
    }
}
