//! Templates and patterns that are only used later are compiled now, to find what is wrong with them.

use globset::GlobBuilder;
use regex::RegexBuilder;

use super::Maker;
use crate::form::{HowForm, ItemsForm, PickForm, StageForm};
use crate::names::{refuse_field, refuse_variable};
use crate::row::KEY_PARTS;
use crate::work::{Expect, Rerun, Work};

/// Bytes of a glob or pattern: compiling takes its time, and what is longer could be more than the matcher compiles.
const MAX_PATTERN: usize = 1000;

/// A glob as all of a plan's are: `*` stays within a folder, `**` does not.
pub(crate) fn glob(pattern: &str) -> Result<globset::GlobMatcher, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("a glob has at most {MAX_PATTERN} bytes"));
    }
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| error.kind().to_string())?;
    Ok(glob.compile_matcher())
}

/// A pattern whose size is bounded: it comes from a file.
pub(crate) fn pattern(pattern: &str) -> Result<regex::Regex, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("a pattern has at most {MAX_PATTERN} bytes"));
    }
    RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .dfa_size_limit(4 << 20)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
            // The last line says what is wrong; those before draw an arrow.
            error => error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim()
                .to_owned(),
        })
}

impl Maker<'_> {
    /// Looks at all texts of an entry.
    pub(super) fn texts(&mut self, form: &StageForm, path: &str) {
        self.work_texts(&form.work, path);
        for after in &form.after {
            if let HowForm::Text(text) = &after.how {
                self.text(text, &format!("{path}.after"));
            }
        }
        if form.work.crashes.is_some() && form.work.rerun == Rerun::Never {
            self.wrong(
                &format!("{path}.crashes"),
                "`rerun: never` allows one crash already",
            );
        }
        match &form.items {
            Some(ItemsForm::Objects { pick, .. }) => {
                self.pick_texts(pick, &format!("{path}.items.objects"));
            }
            Some(ItemsForm::Files { pick, .. }) => {
                self.pick_texts(pick, &format!("{path}.items.files"));
            }
            _ => {}
        }
    }

    fn work_texts(&mut self, work: &Work, path: &str) {
        for (what, text) in [
            ("id", &work.id),
            ("input", &work.input),
            ("timeout", &work.timeout),
            ("memory", &work.memory),
            ("attempts", &work.attempts),
            ("crashes", &work.crashes),
            ("sort", &work.sort),
        ] {
            if let Some(text) = text {
                self.text(text, &format!("{path}.{what}"));
            }
        }
        for (name, text) in &work.fields {
            let path = format!("{path}.fields.{name}");
            if let Some(why) = refuse_field(name) {
                self.wrong(&path, format!("a plan does not write this field: {why}"));
            }
            self.text(text, &path);
        }
        for (index, expect) in work.expect.iter().enumerate() {
            self.expect_texts(expect, &format!("{path}.expect[{index}]"));
        }
    }

    fn expect_texts(&mut self, expect: &Expect, path: &str) {
        match expect {
            Expect::Result(_) => {}
            Expect::Key(expect) => self.text(&expect.key, path),
            Expect::Prefix(expect) => {
                self.text(&expect.prefix, path);
                self.text(&expect.count, path);
                if let Some(matches) = &expect.matches {
                    self.glob(matches, path);
                }
            }
        }
    }

    fn pick_texts(&mut self, pick: &PickForm, path: &str) {
        if let Some(matches) = &pick.matches {
            self.glob(matches, &format!("{path}.match"));
        }
        for except in &pick.except {
            self.glob(except, &format!("{path}.except"));
        }
        let Some(capture) = &pick.capture else {
            return;
        };
        let path = format!("{path}.capture");
        match pattern(capture) {
            Ok(regex) => {
                let names: Vec<_> = regex.capture_names().flatten().collect();
                if names.is_empty() {
                    self.wrong(&path, "has no named group, such as (?P<movie>[^/]+)");
                }
                for name in names {
                    if let Some(why) = refuse_variable(name) {
                        self.wrong(&path, format!("`{name}` {why}"));
                    } else if KEY_PARTS.contains(&name) || ["key", "path", "size"].contains(&name) {
                        self.wrong(&path, format!("`{name}` is a variable of every object"));
                    }
                }
            }
            Err(message) => self.wrong(&path, message),
        }
    }

    fn glob(&mut self, text: &str, path: &str) {
        if let Err(message) = glob(text) {
            self.wrong(path, message);
        }
    }

    fn text(&mut self, source: &str, path: &str) {
        if let Err(message) = self.engine.compile(source) {
            self.wrong(path, message);
        }
    }
}
