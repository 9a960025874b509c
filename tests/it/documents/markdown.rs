//! What tests want of a Markdown page: its tables, blocks of code, links and headings.

use std::fs;
use std::path::{Path, PathBuf};

/// A document.
pub(super) struct Page {
    pub(super) path: PathBuf,
    /// Its path within the project.
    pub(super) name: String,
    text: String,
}

/// A line outside or inside a block of code.
struct Line<'t> {
    number: usize,
    text: &'t str,
    /// The language of the block that it stands in.
    code: Option<&'t str>,
}

impl Page {
    pub(super) fn read(project: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(project).unwrap_or(path);
        let text = fs::read_to_string(path);
        Self {
            path: path.to_owned(),
            name: name.display().to_string(),
            text: text.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        }
    }

    /// Where a relative link leads, without detours.
    pub(super) fn beside(&self, link: &str) -> PathBuf {
        let mut target = self.path.parent().unwrap_or(Path::new("")).to_owned();
        for part in link.split('/') {
            match part {
                "." | "" => {}
                ".." => {
                    target.pop();
                }
                part => target.push(part),
            }
        }
        target
    }

    /// Quoted messages, with their lines.
    pub(super) fn messages(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut column = None;
        for line in self.lines() {
            if line.code == Some("log") && !line.text.is_empty() {
                found.push((line.number, line.text.to_owned()));
            }
            let Some(cells) = cells(&line) else {
                column = None;
                continue;
            };
            match column {
                None => {
                    let titled = cells.iter().position(|cell| cell.starts_with("message"));
                    column = Some(titled);
                }
                Some(titled) => {
                    let cell = titled.and_then(|at| cells.get(at));
                    let quoted = cell.map(|cell| spans(cell)).unwrap_or_default();
                    found.extend(quoted.into_iter().map(|text| (line.number, text)));
                }
            }
        }
        found
    }

    /// Targets of links and pictures, with their lines.
    pub(super) fn links(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for line in self.lines().into_iter().filter(|line| line.code.is_none()) {
            for rest in line.text.split("](").skip(1) {
                let target = rest.split([')', ' ']).next().unwrap_or_default();
                found.push((line.number, target.to_owned()));
            }
        }
        found
    }

    /// The anchors of the headings, as GitHub makes them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let lines = self.lines().into_iter().filter(|line| line.code.is_none());
        let headings = lines.filter(|line| line.text.starts_with('#'));
        let anchor = |heading: &str| {
            let kept = heading.trim_start_matches('#').trim().chars();
            let kept = kept.filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        };
        headings.map(|line| anchor(line.text)).collect()
    }

    /// Lines outside code, with their numbers.
    pub(super) fn prose(&self) -> Vec<(usize, String)> {
        let lines = self.lines().into_iter().filter(|line| line.code.is_none());
        let without_code = |text: &str| text.split('`').step_by(2).collect::<Vec<_>>().join("`");
        lines
            .map(|line| (line.number, without_code(line.text)))
            .collect()
    }

    /// Texts set as code within lines, and lines of blocks for a shell, with their numbers.
    pub(super) fn code(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for line in self.lines() {
            match line.code {
                None => found.extend(spans(line.text).into_iter().map(|text| (line.number, text))),
                Some("sh") => found.push((line.number, line.text.trim().to_owned())),
                Some(_) => {}
            }
        }
        found
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let mut code = None;
        let mut lines = Vec::new();
        for (text, number) in self.text.lines().zip(1..) {
            match (text.trim_start().strip_prefix("```"), code) {
                (Some(language), None) => code = Some(language),
                (Some(_), Some(_)) => code = None,
                (None, code) => lines.push(Line { number, text, code }),
            }
        }
        lines
    }
}

/// The cells of a row of a table.
fn cells<'t>(line: &Line<'t>) -> Option<Vec<&'t str>> {
    let inside = line.text.strip_prefix('|')?.strip_suffix('|')?;
    line.code
        .is_none()
        .then(|| inside.split('|').map(str::trim).collect())
}

/// Texts set as code.
fn spans(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}
