//! The form for editors.

/// The JSON schema of a plan, draft 2020-12: editors complete and check by it. What the form says beyond it, [`Plan::parse`] checks.
///
/// [`Plan::parse`]: crate::Plan::parse
pub fn schema() -> &'static str {
    include_str!("schema.json")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::Plan;

    /// Names that the reader knows where this text has the field `zzzzzzzzz`.
    fn known(yaml: &str) -> BTreeSet<String> {
        let error = Plan::parse(yaml.as_bytes()).unwrap_err();
        let found = error.problems.iter().find_map(|problem| {
            let names = problem.message.strip_prefix("unknown; known are ")?;
            Some(names.split(", ").map(str::to_owned).collect())
        });
        found.unwrap_or_else(|| panic!("{yaml}: {error}"))
    }

    /// Places of the schema, and a stage that has the unknown field there.
    const PLACES: [(&str, &str); 15] = [
        ("/$defs/stage/properties", "zzzzzzzzz: 1"),
        ("/$defs/items/properties", "items: {zzzzzzzzz: 1}"),
        (
            "/$defs/objects/properties",
            "items: {objects: {zzzzzzzzz: 1}}",
        ),
        ("/$defs/files/properties", "items: {files: {zzzzzzzzz: 1}}"),
        ("/$defs/yaml/properties", "items: {yaml: {zzzzzzzzz: 1}}"),
        ("/$defs/after/anyOf/1/properties", "after: {zzzzzzzzz: 1}"),
        (
            "/$defs/expect/anyOf/1/properties",
            "expect: [{zzzzzzzzz: 1}]",
        ),
        (
            "/$defs/expect/anyOf/2/properties",
            "expect: [{prefix: a, zzzzzzzzz: 1}]",
        ),
        (
            "/$defs/verify/anyOf/1/properties",
            "verify: [{zzzzzzzzz: 1}]",
        ),
        ("/$defs/size/properties", "verify: [{size: {zzzzzzzzz: 1}}]"),
        (
            "/$defs/image/properties",
            "verify: [{image: {zzzzzzzzz: 1}}]",
        ),
        ("/$defs/limit/properties", "limit: {zzzzzzzzz: 1}"),
        ("/$defs/ramp/properties", "limit: {ramp: {zzzzzzzzz: 1}}"),
        ("/$defs/stop_after/properties", "stop_after: {zzzzzzzzz: 1}"),
        ("/$defs/keep/properties", "keep: {zzzzzzzzz: 1}"),
    ];

    #[test]
    fn it_has_the_names_that_the_reader_has() {
        let schema: Value = serde_json::from_str(schema()).unwrap();
        let names = |pointer: &str| -> BTreeSet<String> {
            let properties = schema.pointer(pointer).and_then(Value::as_object);
            properties.expect(pointer).keys().cloned().collect()
        };
        assert_eq!(names("/properties"), known("zzzzzzzzz: 1"));
        for (pointer, inside) in PLACES {
            let yaml = format!("plan: 1\nname: a\nstages: [{{name: a, queue: a, {inside}}}]");
            assert_eq!(names(pointer), known(&yaml), "{pointer}");
        }
    }
}
