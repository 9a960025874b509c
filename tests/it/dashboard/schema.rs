//! Whether an answer is as `assets/openapi.json` says. It uses a handful of words of JSON Schema; a library for all of them would be
//! larger than this program's own parser of everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The description of the API.
pub(super) struct Description(pub(super) Value);

impl Description {
    pub(super) fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/openapi.json");
        let text = fs::read_to_string(file).expect("the description");
        Self(serde_json::from_str(&text).expect("JSON"))
    }

    /// Methods and paths that it has.
    pub(super) fn calls(&self) -> BTreeSet<(String, String)> {
        let paths = self.0["paths"].as_object().expect("paths");
        let each = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        });
        each.collect()
    }

    /// The schema of the answer of a call that went well.
    pub(super) fn answer(&self, method: &str, path: &str) -> &Value {
        let call = &self.0["paths"][path][method.to_lowercase()];
        &call["responses"]["200"]["content"]["application/json"]["schema"]
    }

    /// The schema of this name.
    pub(super) fn schema(&self, name: &str) -> &Value {
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "there is no schema {name}");
        schema
    }

    /// What is wrong with a value.
    pub(super) fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        for word in schema.as_object().expect("a schema").keys() {
            assert!(WORDS.contains(&word.as_str()), "{at}: what is `{word}`?");
        }
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or_default();
            return self.check(self.schema(name), value, at);
        }
        if let Some(all) = schema["anyOf"].as_array() {
            let found: Result<Vec<()>, Vec<String>> = match all
                .iter()
                .map(|it| self.check(it, value, at))
                .partition::<Vec<_>, _>(Result::is_ok)
            {
                (fits, _) if !fits.is_empty() => Ok(Vec::new()),
                (_, faults) => Err(faults.into_iter().filter_map(Result::err).collect()),
            };
            return found.map(drop).map_err(|faults| faults.join(" or "));
        }
        self.check_type(schema, value, at)?;
        if let Some(all) = schema["enum"].as_array()
            && !all.contains(value)
        {
            return Err(format!("{at}: {value} is none of {all:?}"));
        }
        match value {
            Value::Object(_) => self.check_members(schema, value, at),
            Value::Array(all) => {
                let mut each = all.iter().enumerate();
                each.try_for_each(|(number, it)| {
                    self.check(&schema["items"], it, &format!("{at}[{number}]"))
                })
            }
            _ => Ok(()),
        }
    }

    fn check_type(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let wanted: Vec<_> = match &schema["type"] {
            Value::String(one) => vec![one.as_str()],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => return Ok(()),
        };
        let is = |kind: &&str| match *kind {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            kind => panic!("{at}: what is a {kind}?"),
        };
        match wanted.iter().any(is) {
            true => Ok(()),
            false => Err(format!("{at}: {value} is no {wanted:?}")),
        }
    }

    fn check_members(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let members = value.as_object().expect("an object");
        let required = schema["required"].as_array();
        let mut required = required.into_iter().flatten().filter_map(Value::as_str);
        if let Some(name) = required.find(|name| !members.contains_key(*name)) {
            return Err(format!("{at} has no `{name}`"));
        }
        for (name, member) in members {
            let at = format!("{at}.{name}");
            let own = &schema["properties"][name];
            match (own, &schema["additionalProperties"]) {
                (Value::Object(_), _) => self.check(own, member, &at)?,
                (_, Value::Bool(false)) => return Err(format!("{at} is not described")),
                (_, others @ Value::Object(_)) => self.check(others, member, &at)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The words that are understood here, and those that say nothing of values.
const WORDS: [&str; 12] = [
    "$ref",
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maximum",
    "properties",
    "required",
    "type",
];
