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
    prefixes: BTreeSet<String>,
    /// Hash of the key, size; sorted.
    objects: Vec<(u64, u64)>,
    /// Which of them some item expects.
    is_expected: Vec<bool>,
    /// The keys themselves, if they have to be counted by what they begin with.
    keys: BTreeSet<String>,
}

/// What is to be listed for the outputs of stages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    prefixes: BTreeSet<String>,
    /// Whether the keys have to be known.
    with_keys: bool,
}

impl Wanted {
    /// A prefix of nothing stands for jobs' own results.
    pub(crate) fn new(prefixes: impl IntoIterator<Item = Option<String>>, with_keys: bool) -> Self {
        let prefixes = prefixes.into_iter();
        Self {
            prefixes: prefixes
                .map(|prefix| prefix.unwrap_or_else(|| RESULTS.to_owned()))
                .collect(),
            with_keys,
        }
    }

    /// Whether some object is listed for both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let mut pairs = self.prefixes.iter().flat_map(|a| {
            let others = other.prefixes.iter();
            others.map(move |b| (a.as_str(), b.as_str()))
        });
        pairs.any(|(a, b)| a.starts_with(b) || b.starts_with(a))
    }

    /// What is to be listed for both.
    pub(super) fn join(&mut self, other: Self) {
        self.prefixes.extend(other.prefixes);
        self.with_keys |= other.with_keys;
    }
}

impl Outputs {
    /// Lists all objects whose keys begin with one of these prefixes.
    pub(crate) async fn list(storage: &Storage, wanted: Wanted) -> anyhow::Result<Self> {
        let mut all = Self {
            hasher: RandomState::new(),
            prefixes: wanted.prefixes,
            objects: Vec::new(),
            is_expected: Vec::new(),
            keys: BTreeSet::new(),
        };
        for prefix in all.outermost() {
            let mut listing = storage.listing(&prefix);
            while let Some(page) = listing.next_page().await? {
                for found in page {
                    let hash = all.hasher.hash_one(found.key.as_str());
                    all.objects.push((hash, found.size_bytes));
                    if wanted.with_keys {
                        all.keys.insert(found.key);
                    }
                }
            }
        }
        all.objects.sort_unstable();
        all.is_expected = vec![false; all.objects.len()];
        Ok(all)
    }

    /// The prefixes without those that are below another one.
    fn outermost(&self) -> Vec<String> {
        let is_inside = |prefix: &&String| {
            let mut others = self.prefixes.iter();
            others.any(|other| other != *prefix && prefix.starts_with(other))
        };
        let all = self.prefixes.iter();
        all.filter(|prefix| !is_inside(prefix)).cloned().collect()
    }

    /// How many objects no item expects. Results of other jobs lie where those of items do, and are not among them.
    pub(super) fn orphans(&self) -> u64 {
        match self.prefixes.contains(RESULTS) {
            true => 0,
            false => self.is_expected.iter().filter(|is| !**is).count() as u64,
        }
    }

    /// The keys of objects that no item expects.
    pub(super) async fn orphan_keys(&self, storage: &Storage) -> anyhow::Result<Vec<String>> {
        let mut keys = Vec::new();
        if self.orphans() == 0 {
            return Ok(keys);
        }
        // They are listed once more, so that only those of orphans are kept.
        for prefix in self.outermost() {
            let mut listing = storage.listing(&prefix);
            while let Some(page) = listing.next_page().await? {
                let page = page.into_iter().map(|found| found.key);
                keys.extend(page.filter(|key| {
                    let at = self.place_of(key);
                    at.is_some_and(|at| !self.is_expected[at])
                }));
            }
        }
        Ok(keys)
    }

    fn place_of(&self, key: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let found = self.objects.binary_search_by_key(&hash, |(hash, _)| *hash);
        found.ok()
    }

    /// Whether an output is there, whole: nothing if it is not, and not at all. It is expected from now on.
    pub(super) fn take(&mut self, expected: &Expected, job: &str, globs: &Globs) -> Part {
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
                let found = self.below(prefix, glob);
                match found {
                    0 if *count > 0 => Part::Missing,
                    found if found < u64::from(*count) => Part::Broken,
                    _ => Part::Whole,
                }
            }
        }
    }

    /// How many objects there are whose keys begin so and go on as the pattern says.
    fn below(&mut self, prefix: &str, glob: Option<&GlobMatcher>) -> u64 {
        let below = self.keys.range(prefix.to_owned()..);
        let below = below.take_while(|key| key.starts_with(prefix));
        let is_meant = |key: &&String| glob.is_none_or(|glob| glob.is_match(&key[prefix.len()..]));
        let places = below.filter(is_meant).filter_map(|key| self.place_of(key));
        let places: Vec<_> = places.collect();
        for at in &places {
            self.is_expected[*at] = true;
        }
        places.len() as u64
    }

    fn object(&mut self, key: &str, least: u64) -> Part {
        let Some(at) = self.place_of(key) else {
            return Part::Missing;
        };
        self.is_expected[at] = true;
        match self.objects[at].1 < least {
            true => Part::Broken,
            false => Part::Whole,
        }
    }

    /// The bytes of an object; nothing if it is not there.
    pub(crate) fn size(&self, key: &str) -> Option<u64> {
        Some(self.objects[self.place_of(key)?].1)
    }
}

/// How much of an output is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// Too few objects, or one that is too small.
    Broken,
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
