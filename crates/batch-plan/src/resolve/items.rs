//! Sources of items, with their values.

use std::sync::Arc;

use serde_json::Value;

use super::Maker;
use crate::form::{ItemsForm, ListForm, PickForm};
use crate::problem::shown;
use crate::range::{Axis, Range};
use crate::resolved::{Items, Pick};
use crate::scope::{Scope, Shared};
use crate::value;

impl Maker<'_> {
    pub(super) fn items(
        &mut self,
        form: &ItemsForm,
        shared: &Arc<Shared>,
        path: &str,
    ) -> Option<Items> {
        let at = |what: &str| format!("{path}.{what}");
        Some(match form {
            ItemsForm::Range(axes) => Items::Range(self.range(axes, shared, &at("range"))?),
            ItemsForm::Objects { prefix, pick } => Items::Objects {
                prefix: self.render(prefix, shared, &at("objects.prefix"))?,
                pick: self.pick(pick, shared, &at("objects"))?,
            },
            ItemsForm::Files {
                path: folder,
                to,
                pick,
            } => Items::Files {
                path: self.render(folder, shared, &at("files.path"))?,
                to: self.render(to, shared, &at("files.to"))?,
                pick: self.pick(pick, shared, &at("files"))?,
            },
            ItemsForm::Csv(file) => Items::Csv(self.render(file, shared, &at("csv"))?),
            ItemsForm::Jsonl(file) => Items::Jsonl(self.render(file, shared, &at("jsonl"))?),
            ItemsForm::List(list) => Items::List(self.list(list, shared, &at("list"))?),
            ItemsForm::Yaml {
                path: files,
                each,
                except,
            } => Items::Yaml {
                path: self.render(files, shared, &at("yaml.path"))?,
                each: each.clone(),
                except: except.clone(),
            },
            ItemsForm::Command(words) => {
                Items::Command(self.words(words, shared, &at("command"))?)
            }
        })
    }

    /// A grid. What is wrong is told of all its axes.
    fn range(
        &mut self,
        axes: &[(String, String, String)],
        shared: &Arc<Shared>,
        path: &str,
    ) -> Option<Range> {
        let axes: Vec<_> = axes
            .iter()
            .map(|(name, from, to)| {
                let path = format!("{path}.{name}");
                Some(Axis {
                    name: name.clone(),
                    from: self.bound(from, shared, &path)?,
                    to: self.bound(to, shared, &path)?,
                })
            })
            .collect();
        let axes: Option<Vec<_>> = axes.into_iter().collect();
        Some(Range { axes: axes? })
    }

    /// The words of a command. What is wrong is told of all of them.
    fn words(&mut self, words: &[String], shared: &Arc<Shared>, path: &str) -> Option<Vec<String>> {
        let words: Vec<_> = words
            .iter()
            .map(|word| self.render(word, shared, path))
            .collect();
        words.into_iter().collect()
    }

    fn bound(&mut self, source: &str, shared: &Arc<Shared>, path: &str) -> Option<u64> {
        let text = self.render(source, shared, path)?;
        let number = text.trim().parse();
        number
            .map_err(|_| {
                let message = format!("`{}` is no whole number of 0 or more", shown(&text));
                self.wrong(path, message);
            })
            .ok()
    }

    fn pick(&mut self, form: &PickForm, shared: &Arc<Shared>, path: &str) -> Option<Pick> {
        Some(Pick {
            matches: form.matches.clone(),
            except: form.except.clone(),
            capture: form.capture.clone(),
            only_stems: self.stems(
                form.only_stems.as_ref(),
                shared,
                &format!("{path}.only_stems"),
            )?,
            except_stems: self.stems(
                form.except_stems.as_ref(),
                shared,
                &format!("{path}.except_stems"),
            )?,
        })
    }

    /// Nothing within nothing is a problem; `Some(None)` is no list.
    fn stems(
        &mut self,
        form: Option<&ListForm>,
        shared: &Arc<Shared>,
        path: &str,
    ) -> Option<Option<Vec<String>>> {
        let Some(form) = form else {
            return Some(None);
        };
        let values = self.list(form, shared, path)?;
        let names = values.into_iter().map(|value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        let names: Option<Vec<_>> = names.collect();
        if names.is_none() {
            self.wrong(path, "expected texts");
        }
        names.map(Some)
    }

    /// The values of a list. Texts in it are rendered.
    fn list(&mut self, form: &ListForm, shared: &Arc<Shared>, path: &str) -> Option<Vec<Value>> {
        match form {
            ListForm::Values(values) => values
                .iter()
                .map(|value| match value {
                    Value::String(text) => self.render(text, shared, path).map(Value::from),
                    other => Some(other.clone()),
                })
                .collect(),
            ListForm::Template(source) => match self.engine.value(source, &Scope::shared(shared)) {
                Ok(found) => match value::to_json(&found) {
                    Some(Value::Array(values)) => Some(values),
                    _ => {
                        self.wrong(path, "the template gives no list");
                        None
                    }
                },
                Err(message) => {
                    self.wrong(path, message);
                    None
                }
            },
        }
    }
}
