//! What templates see.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::Object;
use serde_json::Value as Json;

use crate::range::Range;
use crate::row::{KEY_PARTS, Row, key_part};
use crate::value::to_template;

/// Values that all items of a stage share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    values: BTreeMap<String, Value>,
    /// Those that are texts or whole numbers, as texts.
    texts: BTreeMap<String, String>,
}

impl Shared {
    pub(crate) fn insert(&mut self, name: &str, value: &Json) {
        self.values.insert(name.to_owned(), to_template(value));
        self.texts.remove(name);
        match value {
            Json::String(text) => _ = self.texts.insert(name.to_owned(), text.clone()),
            Json::Number(number) if !number.is_f64() => {
                self.texts.insert(name.to_owned(), number.to_string());
            }
            _ => {}
        }
    }
}

impl Shared {
    /// A value that is a text or a whole number.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }
}

/// The item that is rendered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    None,
    Point(&'a Range, &'a [u64]),
    /// A row, and what goes before `path` to make the key of a file.
    Row(&'a Row, Option<&'a str>),
}

/// What one rendering sees: variables of the item, then those of its stage.
pub(crate) struct Scope<'a> {
    shared: &'a Arc<Shared>,
    item: Item<'a>,
    context: OnceCell<Value>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, item: Item<'a>) -> Self {
        Self {
            shared,
            item,
            context: OnceCell::new(),
        }
    }

    pub(crate) fn shared(shared: &'a Arc<Shared>) -> Self {
        Self::new(shared, Item::None)
    }

    /// Appends a variable that is a text or a whole number. False for any other.
    pub(crate) fn write(&self, name: &str, out: &mut String) -> bool {
        match self.item {
            Item::Point(range, point) => {
                if let Some(at) = range.axis(name).and_then(|axis| point.get(axis)) {
                    let _ = write!(out, "{at}");
                    return true;
                }
            }
            Item::Row(row, to) => match row.vars.get(name) {
                Some(Json::String(text)) => {
                    out.push_str(text);
                    return true;
                }
                Some(Json::Number(number)) if !number.is_f64() => {
                    let _ = write!(out, "{number}");
                    return true;
                }
                Some(_) => return false,
                None => {
                    if let Some(text) = derived(row, to, name) {
                        out.push_str(&text);
                        return true;
                    }
                }
            },
            Item::None => {}
        }
        match self.shared.texts.get(name) {
            Some(text) => {
                out.push_str(text);
                true
            }
            None => false,
        }
    }

    /// All variables, for templates that compute.
    pub(crate) fn context(&self) -> Value {
        self.context
            .get_or_init(|| {
                let mut own = Vec::new();
                match self.item {
                    Item::None => {}
                    Item::Point(range, point) => {
                        for (axis, &at) in range.axes.iter().zip(point) {
                            own.push((axis.name.clone(), Value::from(at)));
                        }
                    }
                    Item::Row(row, to) => {
                        for (name, value) in &row.vars {
                            own.push((name.clone(), to_template(value)));
                        }
                        for name in KEY_PARTS.into_iter().chain(["key"]) {
                            if row.vars.contains_key(name) {
                                continue;
                            }
                            if let Some(text) = derived(row, to, name) {
                                own.push((name.to_owned(), Value::from(text)));
                            }
                        }
                    }
                }
                Value::from_object(Context {
                    shared: Arc::clone(self.shared),
                    own,
                })
            })
            .clone()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self
            .context()
            .get_attr(name)
            .is_ok_and(|value| value.is_undefined())
    }

    /// What can be named, for messages.
    pub(crate) fn names(&self) -> Vec<String> {
        let context = self.context();
        let own: Vec<String> = context
            .downcast_object_ref::<Context>()
            .map(|context| context.own.iter().map(|(name, _)| name.clone()).collect())
            .unwrap_or_default();
        own.into_iter()
            .chain(self.shared.values.keys().cloned())
            .collect()
    }
}

/// What a row says without holding it: the key of a file that is to be uploaded, and the parts of a key.
fn derived(row: &Row, to: Option<&str>, name: &str) -> Option<String> {
    if name != "key" && !KEY_PARTS.contains(&name) {
        return None;
    }
    let key = match (row.vars.get("key").and_then(Json::as_str), to) {
        (Some(key), _) => key.to_owned(),
        (None, Some(to)) => row.upload_key(to)?,
        (None, None) => return None,
    };
    match name {
        "key" => Some(key),
        part => key_part(&key, part).map(str::to_owned),
    }
}

#[derive(Debug)]
struct Context {
    shared: Arc<Shared>,
    own: Vec<(String, Value)>,
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.own
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
            .or_else(|| self.shared.values.get(key))
            .cloned()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn scope_of(values: &Json) -> Arc<Shared> {
        let mut shared = Shared::default();
        for (name, value) in values.as_object().unwrap() {
            shared.insert(name, value);
        }
        Arc::new(shared)
    }

    #[test]
    fn variables_of_the_item_go_first() {
        let shared = scope_of(&serde_json::json!({"key": "shared", "other": 1}));
        let row = Row {
            vars: serde_json::from_str(r#"{"path":"m01/t1.tif"}"#).unwrap(),
            ..Row::default()
        };
        let scope = Scope::new(&shared, Item::Row(&row, Some("uploads/b/")));
        let read = |name| {
            let mut out = String::new();
            assert!(scope.write(name, &mut out), "{name}");
            let value = scope.context().get_attr(name).unwrap();
            assert_eq!(value.to_string(), out, "{name}");
            out
        };
        assert_eq!(read("key"), "uploads/b/m01/t1.tif");
        assert_eq!(read("stem"), "t1");
        assert_eq!(read("dir"), "uploads/b/m01");
        assert_eq!(read("other"), "1");
        assert!(!scope.has("nothing") && scope.has("ext"));
    }
}
