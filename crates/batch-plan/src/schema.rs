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

    #[test]
    fn it_has_the_names_that_the_reader_has() {
        let schema: Value = serde_json::from_str(schema()).unwrap();
        let names = |pointer: &str| -> BTreeSet<String> {
            let properties = schema.pointer(pointer).and_then(Value::as_object);
            properties.expect(pointer).keys().cloned().collect()
        };
        let stage =
            |inside: &str| format!("plan: 1\nname: a\nstages: [{{name: a, queue: a, {inside}}}]");
        let z = "zzzzzzzzz: 1";
        for (pointer, yaml) in [
            ("/properties", z.to_owned()),
            ("/$defs/stage/properties", stage(z)),
            ("/$defs/items/properties", stage(&format!("items: {{{z}}}"))),
            (
                "/$defs/objects/properties",
                stage(&format!("items: {{objects: {{{z}}}}}")),
            ),
            (
                "/$defs/files/properties",
                stage(&format!("items: {{files: {{{z}}}}}")),
            ),
            (
                "/$defs/yaml/properties",
                stage(&format!("items: {{yaml: {{{z}}}}}")),
            ),
            (
                "/$defs/after/anyOf/1/properties",
                stage(&format!("after: {{{z}}}")),
            ),
            (
                "/$defs/expect/anyOf/1/properties",
                stage(&format!("expect: [{{{z}}}]")),
            ),
            (
                "/$defs/expect/anyOf/2/properties",
                stage(&format!("expect: [{{prefix: a, {z}}}]")),
            ),
            (
                "/$defs/verify/anyOf/1/properties",
                stage(&format!("verify: [{{{z}}}]")),
            ),
            (
                "/$defs/size/properties",
                stage(&format!("verify: [{{size: {{{z}}}}}]")),
            ),
            (
                "/$defs/image/properties",
                stage(&format!("verify: [{{image: {{{z}}}}}]")),
            ),
            ("/$defs/limit/properties", stage(&format!("limit: {{{z}}}"))),
            (
                "/$defs/ramp/properties",
                stage(&format!("limit: {{ramp: {{{z}}}}}")),
            ),
            (
                "/$defs/stop_after/properties",
                stage(&format!("stop_after: {{{z}}}")),
            ),
            ("/$defs/keep/properties", stage(&format!("keep: {{{z}}}"))),
        ] {
            assert_eq!(names(pointer), known(&yaml), "{pointer}");
        }
    }
}
