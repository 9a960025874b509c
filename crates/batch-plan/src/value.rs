//! Values between JSON and templates.

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::{Map, Number, Value as Json};

/// A value for templates.
pub(crate) fn to_template(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::from(number),
            (_, Some(number)) => Value::from(number),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(to_template).collect(),
        Json::Object(members) => Value::from_pairs(
            members
                .iter()
                .map(|(name, value)| (name.as_str(), to_template(value))),
        ),
    }
}

/// A value of a template as JSON; nothing for what JSON does not have.
pub(crate) fn to_json(value: &Value) -> Option<Json> {
    Some(match value.kind() {
        ValueKind::None => Json::Null,
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => {
            if let Ok(number) = u64::try_from(value.clone())
                && value.is_integer()
            {
                number.into()
            } else if let Some(number) = value.as_i64().filter(|_| value.is_integer()) {
                number.into()
            } else {
                Json::Number(Number::from_f64(f64::try_from(value.clone()).ok()?)?)
            }
        }
        ValueKind::String => value.as_str()?.into(),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().ok()?;
            items
                .map(|item| to_json(&item))
                .collect::<Option<Vec<_>>>()?
                .into()
        }
        ValueKind::Map => {
            let mut members = Map::new();
            for key in value.try_iter().ok()? {
                let member = to_json(&value.get_item(&key).ok()?)?;
                members.insert(key.as_str()?.to_owned(), member);
            }
            members.into()
        }
        _ => return None,
    })
}

/// One text for one value: members are ordered by their names, whatever other crates make of JSON's maps.
pub(crate) fn canonical(json: &Json) -> String {
    sorted(json).to_string()
}

/// The value with the members of all maps in the order of their names.
fn sorted(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(sorted).collect(),
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|&(name, _)| name);
            members
                .into_iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        let json = serde_json::json!({
            "a": [1, -2, 0.5, true, null, "text", u64::MAX, 1.0], "b": {"c": {}}, "d": [],
        });
        assert_eq!(to_json(&to_template(&json)), Some(json));
    }

    #[test]
    fn the_canonical_text_is_ordered() {
        let json: Json = serde_json::from_str(r#"{"b":[{"z":1,"a":2}],"a":null}"#).unwrap();
        assert_eq!(canonical(&json), r#"{"a":null,"b":[{"a":2,"z":1}]}"#);
    }
}
