//! Arrays that an index notes as a formula of their indices, such as `(i*13 + j*7 + (i xor j)) mod 11`.
//!
//! The language is that of arithmetic in Python: whole numbers are exact, `/` gives floats, `//` and `mod` (or `%`) round
//! down, `^` or `xor` is bitwise. `i` is the first index, `j` the second, and so on; other names are numbers beside the
//! formula, constants, or functions.

mod evaluate;
mod parse;

use ndarray::{ArrayD, Dimension as _, IxDyn};
use serde_json::Value;

use evaluate::{Number, Scope};

/// Names of the indices, axis by axis.
const INDICES: &str = "ijklmnop";

/// The array that `formula` (a text, or an object with `expr`) notes, rounded to its `dtype`.
///
/// Its shape is the `shape` of the case's parameters, else the formula's own `shape`, `n` (a square, or the lengths of all
/// axes) or `rows` and `cols`.
pub(crate) fn array(formula: &Value, params: &Value) -> Result<ArrayD<f64>, String> {
    let text = ["expr", "formula", "expression"]
        .iter()
        .find_map(|key| formula[key].as_str())
        .or(formula.as_str());
    let text = text.ok_or_else(|| format!("the formula {formula} has no `expr`"))?;
    let shape = shape(params).or_else(|| shape(formula));
    let shape = shape.ok_or_else(|| format!("the formula {formula} has no shape"))?;
    let round = rounding(formula["dtype"].as_str().unwrap_or("float64"))?;
    let expression = parse::parse(text).map_err(|error| format!("formula `{text}`: {error}"))?;
    let mut scope = Scope::of_numbers(params);
    scope.add_numbers(formula);
    let mut values = Vec::with_capacity(shape.iter().product());
    for place in ndarray::indices(IxDyn(&shape)) {
        for (name, index) in INDICES.chars().zip(place.slice()) {
            scope.set(name, Number::Whole(*index as i128));
        }
        let value = evaluate::evaluate(&expression, &scope)
            .map_err(|error| format!("formula `{text}` at {:?}: {error}", place.slice()))?;
        values.push(round(value.as_f64()));
    }
    ArrayD::from_shape_vec(shape, values).map_err(|error| error.to_string())
}

fn shape(noted: &Value) -> Option<Vec<usize>> {
    let length = |value: &Value| value.as_u64().map(|length| length as usize);
    let lengths =
        |value: &Value| -> Option<Vec<usize>> { value.as_array()?.iter().map(length).collect() };
    let square = |value: &Value| length(value).map(|n| vec![n, n]);
    let sides = |a: &str, b: &str| Some(vec![length(&noted[a])?, length(&noted[b])?]);
    lengths(&noted["shape"])
        .or_else(|| lengths(&noted["n"]))
        .or_else(|| sides("rows", "cols"))
        .or_else(|| sides("rows", "columns"))
        .or_else(|| square(&noted["n"]))
}

/// What storing a value as this type does to it.
fn rounding(dtype: &str) -> Result<fn(f64) -> f64, String> {
    Ok(match dtype.trim_start_matches(['<', '>', '=', '|']) {
        "float64" | "f8" | "double" => |value| value,
        "float32" | "f4" | "single" => |value| f64::from(value as f32),
        "float16" | "f2" | "half" => |value| half::f16::from_f64(value).to_f64(),
        "bool" | "b1" => |value| f64::from(u8::from(value != 0.0)),
        whole if is_whole(whole) => f64::trunc,
        other => return Err(format!("unknown type `{other}` of a formula")),
    })
}

fn is_whole(dtype: &str) -> bool {
    let digits = ["uint", "int", "u", "i"]
        .iter()
        .find_map(|prefix| dtype.strip_prefix(prefix));
    digits.is_some_and(|digits| matches!(digits, "" | "1" | "2" | "4" | "8" | "16" | "32" | "64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(expression: &str, i: usize, j: usize) -> Result<f64, String> {
        let formula = json!({"shape": [i + 1, j + 1], "expr": expression, "seed": 5, "w": 0.5});
        Ok(array(&formula, &Value::Null)?[[i, j]])
    }

    #[test]
    fn formulas_are_those_of_python() {
        for (expression, expected) in [
            (
                "((i*7919 + j*104729 + i*j*31 + (i xor j)*17) mod 100003) / 100003.0",
                47_954.0 / 100_003.0,
            ),
            ("(i*13 + j*7 + (i ^ j)) % 11", 3.0),
            ("(i - j*7) mod 5", 3.0),
            ("-7 // 2 + i", -1.0),
            ("-i ** 2 + 2 ** -1", -8.5),
            ("2 ** 3 ** 2", 512.0),
            ("i << 2 | j & 1", 13.0),
            ("abs(i - j) * w + seed", 6.0),
            ("max(i, j, 4) - min(i, j) + i / (j + 1)", 2.5),
            (
                "sqrt((i - 1)**2 + (j - 5)**2) + floor(2.7) + ceil(0.1)",
                5.0,
            ),
            ("1 if i < j else 0", 1.0),
            ("where(i == j, 0, i >= 3 and j != 2)", 1.0),
            ("not (i > j) or i == j", 1.0),
            ("int(7 / 2) + round(2.5) + float(1)", 6.0),
            ("(i*2654435761 + j*40503) mod 2**32 mod 1000", 502.0),
            ("1e3 + .5 + 0x10 - 1_000", 16.5),
            ("~i & 7", 4.0),
            ("np.abs(-i) + math.pi - pi", 3.0),
        ] {
            let found =
                at(expression, 3, 5).unwrap_or_else(|error| panic!("{expression}: {error}"));
            assert!(
                (found - expected).abs() < 1e-12,
                "{expression}: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn what_is_no_formula_is_refused_by_name() {
        for (expression, expected) in [
            ("(i + j", "`)` is missing"),
            ("i + q", "nothing is called `q`"),
            ("frob(i)", "no function is called `frob`"),
            ("i // (j - 5)", "division by zero"),
            ("i $ j", "`$`"),
            ("i j", "`j`"),
            ("", "ends too early"),
            ("1.5 xor i", "whole numbers"),
        ] {
            let error = at(expression, 3, 5).expect_err(expression);
            assert!(error.contains(expected), "{expression}: {error}");
        }
    }

    #[test]
    fn shapes_and_types_are_those_that_are_noted() {
        let array_of = |formula: Value, params: Value| array(&formula, &params);
        let wide = array_of(
            json!({"rows": 2, "cols": 3, "dtype": "float32", "expr": "i + j/10"}),
            Value::Null,
        );
        let wide = wide.expect("a formula");
        assert_eq!(wide.shape(), [2, 3]);
        assert_eq!(wide[[1, 2]], f64::from(1.2_f32));
        let by_params = array_of(json!("i*k + j"), json!({"shape": [2, 1, 4]})).expect("a formula");
        assert_eq!(by_params[[1, 0, 3]], 3.0);
        let whole = array_of(
            json!({"n": 2, "dtype": "int64", "expr": "(i + j) / 2"}),
            Value::Null,
        );
        assert_eq!(whole.expect("a formula")[[0, 1]], 0.0);
        assert!(array_of(json!("i"), Value::Null).is_err());
        assert!(array_of(json!({"n": 2, "dtype": "text", "expr": "i"}), Value::Null).is_err());
    }
}
