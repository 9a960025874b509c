//! Texts with `{{ … }}` in them.
//!
//! Most texts of a plan are literal, or names with literal text between them. Those are put together here; only what computes
//! goes through minijinja. Both give the same text, which a test holds them to: ten million items are rendered.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior, Value};

use crate::names::is_variable;
use crate::problem::hint;
use crate::scope::{Scope, Shared};

/// What one rendering may cost, in instructions and pieces of 64 bytes; a loop over 1,000 with a short body fits.
const FUEL: u64 = 10_000;
/// Bytes of a template.
const MAX_SOURCE: usize = 4096;
/// Operators of a template, and what looks like one.
const MAX_OPERATORS: usize = 500;
/// The longest loop that `range` gives.
const LONGEST_LOOP: i64 = 1000;

/// A compiled text.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Literal(String),
    /// Pieces, and the template for values that are neither texts nor whole numbers.
    Simple(Vec<Piece>, String),
    /// The name of a template in the engine.
    Full(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Literal(String),
    Variable(String),
}

/// Where templates are kept. They reach neither files nor other templates.
pub(crate) struct Engine {
    env: Environment<'static>,
    templates: usize,
}

impl Engine {
    pub(crate) fn new() -> Self {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(FUEL));
        env.set_syntax(
            SyntaxConfig::builder()
                .keep_trailing_newline(true)
                .build()
                .unwrap_or_default(),
        );
        env.add_function("range", range);
        Self { env, templates: 0 }
    }

    pub(crate) fn compile(&mut self, source: &str) -> Result<Text, String> {
        if !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)) {
            return Ok(Text::Literal(source.to_owned()));
        }
        refuse(source)?;
        let name = format!("t{}", self.templates);
        self.templates += 1;
        self.env
            .add_template_owned(name.clone(), source.to_owned())
            .map_err(|error| message(&error))?;
        Ok(match pieces(source) {
            Some(pieces) => Text::Simple(pieces, name),
            None => Text::Full(name),
        })
    }

    pub(crate) fn render(&self, text: &Text, scope: &Scope<'_>) -> Result<String, String> {
        let mut out = String::new();
        let name = match text {
            Text::Literal(text) => return Ok(text.clone()),
            Text::Simple(pieces, name) => {
                let plain = pieces.iter().all(|piece| match piece {
                    Piece::Literal(text) => {
                        out.push_str(text);
                        true
                    }
                    Piece::Variable(variable) => scope.write(variable, &mut out),
                });
                if plain {
                    return Ok(out);
                }
                name
            }
            Text::Full(name) => name,
        };
        let template = self
            .env
            .get_template(name)
            .map_err(|error| message(&error))?;
        template.render(scope.context()).map_err(|error| {
            if error.kind() != ErrorKind::UndefinedError {
                return message(&error);
            }
            let mut missing: Vec<_> = template
                .undeclared_variables(false)
                .into_iter()
                .filter(|name| !scope.has(name) && name != "range")
                .collect();
            missing.sort_unstable();
            undefined(&missing, scope).unwrap_or_else(|| message(&error))
        })
    }

    /// The variables that a text names.
    pub(crate) fn variables(&self, text: &Text) -> BTreeSet<String> {
        let (Text::Simple(_, name) | Text::Full(name)) = text else {
            return BTreeSet::new();
        };
        let template = self.env.get_template(name);
        template.map_or_else(
            |_| BTreeSet::new(),
            |template| template.undeclared_variables(false).into_iter().collect(),
        )
    }

    /// The text, rendered if it is the same for all items. What cannot be rendered stays, to fail with its item.
    pub(crate) fn constant(&self, text: Text, shared: &Scope<'_>) -> Text {
        let (Text::Simple(_, name) | Text::Full(name)) = &text else {
            return text;
        };
        let Ok(template) = self.env.get_template(name) else {
            return text;
        };
        let names = template.undeclared_variables(false);
        if !names.iter().all(|name| shared.has(name)) {
            return text;
        }
        self.render(&text, shared).map_or(text, Text::Literal)
    }

    /// What the text begins with for all items, and whether that is all.
    pub(crate) fn prefix(&self, text: &Text, shared: &Shared) -> (String, bool) {
        let mut prefix = String::new();
        match text {
            Text::Literal(text) => return (text.clone(), true),
            Text::Simple(pieces, _) => {
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => prefix.push_str(text),
                        Piece::Variable(name) => match shared.text(name) {
                            Some(text) => prefix.push_str(text),
                            None => break,
                        },
                    }
                }
            }
            Text::Full(name) => {
                let template = self.env.get_template(name);
                let source = template.as_ref().map_or("", |template| template.source());
                let end = ["{{", "{%", "{#"]
                    .iter()
                    .filter_map(|mark| source.find(mark))
                    .min()
                    .unwrap_or(0);
                let trims = source.as_bytes().get(end + 2) == Some(&b'-');
                let literal = &source[..end];
                prefix.push_str(if trims { literal.trim_end() } else { literal });
            }
        }
        (prefix, false)
    }

    /// Compiles what stands in a text that is one `{{ … }}` and nothing else, so that its value is kept; nothing for other texts.
    pub(crate) fn expression(
        &self,
        source: &str,
    ) -> Option<Result<Expression<'_, 'static>, String>> {
        let inner = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
        if let Err(message) = refuse(source) {
            return Some(Err(message));
        }
        if inner.contains("{{") || inner.contains("}}") {
            return None;
        }
        let inner = inner.trim_matches('-').to_owned();
        let compiled = self.env.compile_expression_owned(inner);
        Some(compiled.map_err(|error| message(&error)))
    }

    /// The value of a text that is one `{{ … }}`; of any other text, the text.
    pub(crate) fn value(&mut self, source: &str, scope: &Scope<'_>) -> Result<Value, String> {
        if let Some(expression) = self.expression(source) {
            let value = evaluate(&expression?, scope)?;
            return Ok(value);
        }
        let text = self.compile(source)?;
        self.render(&text, scope).map(Value::from)
    }
}

/// The value of an expression; one that is not defined is an error.
pub(crate) fn evaluate(
    expression: &Expression<'_, '_>,
    scope: &Scope<'_>,
) -> Result<Value, String> {
    let missing = || {
        let mut names: Vec<_> = expression
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| !scope.has(name) && name != "range")
            .collect();
        names.sort_unstable();
        undefined(&names, scope)
    };
    match expression.eval(scope.context()) {
        Ok(value) if value.is_undefined() => {
            Err(missing().unwrap_or_else(|| "the value is not defined".to_owned()))
        }
        Ok(value) => Ok(value),
        Err(error) if error.kind() == ErrorKind::UndefinedError => {
            Err(missing().unwrap_or_else(|| message(&error)))
        }
        Err(error) => Err(message(&error)),
    }
}

fn undefined(missing: &[String], scope: &Scope<'_>) -> Option<String> {
    let name = missing.first()?;
    let known = scope.names();
    let near = hint(name, known.iter().map(String::as_str));
    Some(format!("`{name}` is not defined{near}"))
}

fn message(error: &minijinja::Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return "the template works too long; loops go over 1,000 values at most".to_owned();
    }
    let mut text = error.kind().to_string();
    if let Some(detail) = error.detail() {
        let _ = write!(text, ": {detail}");
    }
    text
}

/// Refuses what the compiler would follow deeper than its stack goes: it counts brackets, but not each sign before a number and each
/// of a row of operators. Literal text is counted, too, since where it begins only the compiler knows.
fn refuse(source: &str) -> Result<(), String> {
    const OPERATORS: [&str; 7] = ["not", "and", "or", "is", "in", "if", "else"];
    if source.len() > MAX_SOURCE {
        return Err(format!("a template has at most {MAX_SOURCE} bytes"));
    }
    let signs = source.matches(|c: char| "-+*/%~|.[(<>=!".contains(c));
    let words = source
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| OPERATORS.contains(word));
    if signs.count() + words.count() > MAX_OPERATORS {
        return Err(format!("a template has at most {MAX_OPERATORS} operators"));
    }
    Ok(())
}

/// The pieces of a text that only names variables.
fn pieces(source: &str) -> Option<Vec<Piece>> {
    if source.contains("{%") || source.contains("{#") {
        return None;
    }
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find("{{") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        let end = after.find("}}")?;
        let name = after[..end].trim();
        if !is_variable(name) {
            return None;
        }
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.to_owned()));
        }
        pieces.push(Piece::Variable(name.to_owned()));
        rest = &after[end + 2..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Some(pieces)
}

/// The usual `range`, of no more values than a loop may have.
fn range(lower: i64, upper: Option<i64>, step: Option<i64>) -> Result<Value, minijinja::Error> {
    let refused = |text: &'static str| minijinja::Error::new(ErrorKind::InvalidOperation, text);
    let (lower, upper) = upper.map_or((0, lower), |upper| (lower, upper));
    let step = step.unwrap_or(1);
    if step < 1 {
        return Err(refused("a range goes up"));
    }
    if upper.saturating_sub(lower) / step > LONGEST_LOOP {
        return Err(refused("a range of more than 1,000 numbers"));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((lower..upper).step_by(step).map(Value::from).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scope::tests::scope_of;

    fn render(source: &str) -> Result<String, String> {
        let mut engine = Engine::new();
        let text = engine.compile(source)?;
        let shared = scope_of(&serde_json::json!({
            "graph": "minnie", "layer": 3, "sample": false, "share": 0.5, "none_at_all": null,
            "models": {"detect": "v4"}, "many": (0..5000).collect::<Vec<_>>(),
        }));
        engine.render(&text, &Scope::shared(&shared))
    }

    #[test]
    fn both_ways_give_the_same_text() {
        for (source, expected) in [
            ("{{ graph }}/{{layer}}.zst\n", "minnie/3.zst\n"),
            ("{{ graph ~ '' }}/{{ layer + 0 }}.zst\n", "minnie/3.zst\n"),
            ("{{ graph }}{{ '_sample' if sample else '' }}", "minnie"),
            ("{{ layer * layer }}m", "9m"),
            ("{{ models.detect }}", "v4"),
            ("{{ share }} {{ layer }}", "0.5 3"),
            ("no {braces} at all", "no {braces} at all"),
        ] {
            assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
        }
    }

    proptest! {
        /// What is put together here is what minijinja makes of it.
        #[test]
        fn simple_texts_are_those_of_minijinja(source in "([-a-z/ \n{}%#]{0,4}|\\{\\{ ?(graph|layer|sample|share|models|nothing) ?\\}\\}){0,6}") {
            let mut engine = Engine::new();
            let shared = scope_of(&serde_json::json!({
                "graph": "a{{ layer }}\n", "layer": 3, "sample": true, "share": 0.5, "models": {"a": [1]},
            }));
            let scope = Scope::shared(&shared);
            if let Ok(text) = engine.compile(&source) {
                let plain = engine.env.render_str(&source, scope.context());
                let rendered = engine.render(&text, &scope);
                prop_assert_eq!(rendered.ok(), plain.ok());
            }
        }
    }

    #[test]
    fn truth_values_are_the_same_both_ways() {
        assert_eq!(render("{{ sample }}"), render("{{ sample or false }}"));
    }

    #[test]
    fn undefined_names_come_with_a_near_one() {
        let error = render("{{ grahp }}").unwrap_err();
        assert_eq!(error, "`grahp` is not defined; did you mean `graph`?");
        assert!(render("{{ models.segment }}").is_err());
        assert!(render("{% if nothing %}x{% endif %}").is_err());
    }

    #[test]
    fn loops_are_bounded() {
        let short = render("{% for i in range(1000) %}{{ i }},{% endfor %}");
        assert!(short.is_ok_and(|text| text.ends_with("999,")));
        assert!(render("{% for i in range(1002) %}.{% endfor %}").is_err());
        let nested = "{% for i in range(900) %}{% for j in range(900) %}.{% endfor %}{% endfor %}";
        assert!(render(nested).unwrap_err().contains("too long"));
        assert!(render("{% for i in many %}{{ i }},{% endfor %}").is_err());
        assert!(render("{{ 'x' * 100000000 }}").is_err());
    }

    #[test]
    fn deep_ones_are_refused() {
        for unit in ["-", "not ", "1~", "1+", "("] {
            let source = format!("{{{{ {} 1 }}}}", unit.repeat(4000 / unit.len()));
            assert!(render(&source).is_err(), "{unit}");
            let hidden = format!("{{{{ '}}}}' ~ {} 1 }}}}", unit.repeat(2000 / unit.len()));
            assert!(render(&hidden).is_err(), "{unit}");
            // What is allowed has to fit on the stack of a thread.
            let _ = render(&format!("{{{{ {} 1 }}}}", unit.repeat(450)));
        }
        assert!(render(&"{% if 1 %}".repeat(400)).is_err());
        let nested = "{% set ns = namespace(x=1) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}";
        let _ = render(nested);
        assert!(render(&"{{ layer }}-".repeat(300)).is_ok());
    }

    #[test]
    fn files_and_other_templates_are_out_of_reach() {
        for source in [
            "{% include 'x' %}",
            "{% import 'x' as y %}",
            "{% extends 'x' %}",
            "{% macro x() %}{% endmacro %}",
        ] {
            assert!(render(source).is_err(), "{source}");
        }
    }
}
