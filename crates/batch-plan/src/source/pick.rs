//! Files and objects of which some are items.

use std::collections::HashMap;

use globset::GlobMatcher;
use regex::Regex;
use serde_json::{Map, Value};

use super::{Entries, ListError, Reading};
use crate::problem::shown;
use crate::resolve::texts::{glob, pattern};
use crate::resolved::Pick;
use crate::row::key_part;

impl Reading<'_> {
    /// Takes the entries that are wanted. Globs and the pattern see names without the prefix.
    pub(super) fn pick(
        &mut self,
        entries: Entries<'_>,
        prefix: &str,
        variable: &str,
        pick: &Pick,
    ) -> Result<(), ListError> {
        let picker = Picker::new(pick);
        let mut picker = picker.map_err(|message| self.wrong("pick", message))?;
        let mut vars = Map::new();
        for entry in entries {
            let entry = entry.map_err(|source| self.unread(prefix, source))?;
            let rest = entry.name.strip_prefix(prefix).unwrap_or(&entry.name);
            if !picker.wants(rest) {
                continue;
            }
            let place = || shown(&entry.name);
            vars.clear();
            picker
                .capture(rest, &mut vars)
                .map_err(|message| self.wrong(place(), message))?;
            vars.insert("size".to_owned(), entry.size.into());
            vars.insert(variable.to_owned(), Value::from(entry.name.as_str()));
            self.push(&vars, place)?;
        }
        self.unless_missing("only_stems", unseen(picker.only))?;
        self.unless_missing("except_stems", unseen(picker.left_out))
    }
}

/// Which entries are wanted, and which of the stems that were named have been seen.
struct Picker {
    matches: Option<GlobMatcher>,
    except: Vec<GlobMatcher>,
    capture: Option<Regex>,
    only: Option<Stems>,
    left_out: Option<Stems>,
}

/// Stems that were named, and whether they have been seen.
type Stems = HashMap<String, bool>;

impl Picker {
    fn new(pick: &Pick) -> Result<Self, String> {
        let matches = pick.matches.as_deref().map(glob).transpose()?;
        let except = pick.except.iter().map(|text| glob(text));
        let named = |stems: &Vec<String>| stems.iter().map(|stem| (stem.clone(), false)).collect();
        Ok(Self {
            matches,
            except: except.collect::<Result<_, _>>()?,
            capture: pick.capture.as_deref().map(pattern).transpose()?,
            only: pick.only_stems.as_ref().map(named),
            left_out: pick.except_stems.as_ref().map(named),
        })
    }

    fn wants(&mut self, name: &str) -> bool {
        // What ends so stands for a folder.
        if name.is_empty() || name.ends_with('/') {
            return false;
        }
        let is_match = self.matches.as_ref().is_none_or(|glob| glob.is_match(name));
        if !is_match || self.except.iter().any(|glob| glob.is_match(name)) {
            return false;
        }
        let stem = key_part(name, "stem").unwrap_or_default();
        // Both lists see all stems, so that a name that is in both is there for both.
        let is_left_out = saw(&mut self.left_out, stem).unwrap_or(false);
        saw(&mut self.only, stem).unwrap_or(true) && !is_left_out
    }

    /// Adds the named groups of the pattern.
    fn capture(&self, name: &str, vars: &mut Map<String, Value>) -> Result<(), &'static str> {
        let Some(capture) = &self.capture else {
            return Ok(());
        };
        let Some(found) = capture.captures(name) else {
            return Err("`capture` does not match; `match` and `except` can leave it out");
        };
        for group in capture.capture_names().flatten() {
            let text = found.name(group).map_or("", |found| found.as_str());
            vars.insert(group.to_owned(), text.into());
        }
        Ok(())
    }
}

/// Whether a stem is named; nothing if none is.
fn saw(stems: &mut Option<Stems>, stem: &str) -> Option<bool> {
    let stems = stems.as_mut()?;
    let seen = stems.get_mut(stem);
    Some(seen.is_some_and(|seen| {
        *seen = true;
        true
    }))
}

fn unseen(stems: Option<Stems>) -> Vec<String> {
    let stems = stems.into_iter().flatten();
    let unseen = stems.filter(|(_, seen)| !seen);
    unseen.map(|(stem, _)| shown(&stem)).collect()
}
