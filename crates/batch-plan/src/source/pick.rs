//! Files and objects of which some are items.

use std::collections::HashMap;

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
        let globs = |patterns: &[String]| -> Result<Vec<_>, String> {
            patterns.iter().map(|text| glob(text)).collect()
        };
        let compiled = |message: String| self.wrong("pick", message);
        let matches = globs(pick.matches.as_slice()).map_err(compiled)?;
        let except = globs(&pick.except).map_err(compiled)?;
        let capture = match &pick.capture {
            Some(text) => Some(pattern(text).map_err(compiled)?),
            None => None,
        };
        // Whether a stem that was named has been seen.
        let named = |stems: &Option<Vec<String>>| {
            let stems = stems.as_ref()?;
            Some(
                stems
                    .iter()
                    .map(|stem| (stem.clone(), false))
                    .collect::<HashMap<_, _>>(),
            )
        };
        let mut only = named(&pick.only_stems);
        let mut left_out = named(&pick.except_stems);
        let mut vars = Map::new();
        for entry in entries {
            let entry = entry.map_err(|source| self.unread(prefix, source))?;
            let rest = entry.name.strip_prefix(prefix).unwrap_or(&entry.name);
            // What ends so stands for a folder.
            if rest.is_empty()
                || rest.ends_with('/')
                || !(matches.is_empty() || matches.iter().any(|glob| glob.is_match(rest)))
                || except.iter().any(|glob| glob.is_match(rest))
            {
                continue;
            }
            let stem = key_part(rest, "stem").unwrap_or_default();
            // Both lists see all stems, so that a name that is in both is there for both.
            let is_left_out = saw(&mut left_out, stem).unwrap_or(false);
            if !saw(&mut only, stem).unwrap_or(true) || is_left_out {
                continue;
            }
            vars.clear();
            if let Some(capture) = &capture {
                let Some(found) = capture.captures(rest) else {
                    let message = "`capture` does not match; `match` and `except` can leave it out";
                    return Err(self.wrong(shown(&entry.name), message));
                };
                for name in capture.capture_names().flatten() {
                    let text = found.name(name).map_or("", |found| found.as_str());
                    vars.insert(name.to_owned(), text.into());
                }
            }
            vars.insert("size".to_owned(), entry.size.into());
            let place = || shown(&entry.name);
            vars.insert(variable.to_owned(), Value::from(entry.name.as_str()));
            self.push(&vars, place)?;
        }
        self.all_seen("only_stems", only)?;
        self.all_seen("except_stems", left_out)
    }

    fn all_seen(&self, list: &str, stems: Option<HashMap<String, bool>>) -> Result<(), ListError> {
        let mut names: Vec<_> = stems
            .into_iter()
            .flatten()
            .filter(|(_, seen)| !seen)
            .map(|(stem, _)| shown(&stem))
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable();
        Err(ListError::Names {
            stage: self.name(),
            list: list.to_owned(),
            names,
        })
    }
}

/// Whether a stem is named; nothing if none is.
fn saw(stems: &mut Option<HashMap<String, bool>>, stem: &str) -> Option<bool> {
    let stems = stems.as_mut()?;
    let seen = stems.get_mut(stem);
    Some(seen.is_some_and(|seen| {
        *seen = true;
        true
    }))
}
