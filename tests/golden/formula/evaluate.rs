//! The value of an expression.

use std::collections::BTreeMap;

use serde_json::Value;

use super::parse::Expression;

/// A whole number, exact, or a float.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Whole(i128),
    Float(f64),
}

use Number::{Float, Whole};

impl Number {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Whole(value) => value as f64,
            Float(value) => value,
        }
    }

    fn of_truth(holds: bool) -> Self {
        Whole(i128::from(holds))
    }

    fn is_true(self) -> bool {
        self.as_f64() != 0.0
    }
}

/// What names stand for.
pub(super) struct Scope(BTreeMap<String, Number>);

impl Scope {
    /// The constants, and the numbers among these values.
    pub(super) fn of_numbers(values: &Value) -> Self {
        let constants = [
            ("pi", std::f64::consts::PI),
            ("e", std::f64::consts::E),
            ("inf", f64::INFINITY),
            ("nan", f64::NAN),
        ];
        let constants = constants.map(|(name, value)| (name.to_owned(), Float(value)));
        let truths = [("True", 1), ("False", 0)];
        let truths = truths.map(|(name, value)| (name.to_owned(), Whole(value)));
        let mut scope = Self(constants.into_iter().chain(truths).collect());
        scope.add_numbers(values);
        scope
    }

    pub(super) fn add_numbers(&mut self, values: &Value) {
        for (name, value) in values.as_object().into_iter().flatten() {
            let whole = value.as_i64().map(|value| Whole(value.into()));
            if let Some(number) = whole.or_else(|| value.as_f64().map(Float)) {
                self.0.insert(name.clone(), number);
            }
        }
    }

    pub(super) fn set(&mut self, name: char, number: Number) {
        self.0.insert(name.to_string(), number);
    }
}

pub(super) fn evaluate(expression: &Expression, scope: &Scope) -> Result<Number, String> {
    let value = |expression| evaluate(expression, scope);
    match expression {
        Expression::Whole(number) => Ok(Whole(*number)),
        Expression::Float(number) => Ok(Float(*number)),
        Expression::Name(name) => {
            let found = scope.0.get(name).copied();
            found.ok_or_else(|| format!("nothing is called `{name}`"))
        }
        Expression::Unary(sign, operand) => unary(sign, value(operand)?),
        Expression::Binary(sign, operands) => {
            binary(sign, value(&operands[0])?, value(&operands[1])?)
        }
        Expression::Choice(parts) => {
            let [yes, condition, no] = &**parts;
            value(if value(condition)?.is_true() { yes } else { no })
        }
        Expression::Call(name, arguments) => {
            let arguments = arguments.iter().map(value).collect::<Result<Vec<_>, _>>()?;
            call(name, &arguments)
        }
    }
}

fn unary(sign: &str, operand: Number) -> Result<Number, String> {
    Ok(match (sign, operand) {
        ("-", Whole(value)) => Whole(-value),
        ("-", Float(value)) => Float(-value),
        ("~", Whole(value)) => Whole(!value),
        ("~", Float(_)) => return Err("`~` takes whole numbers".to_owned()),
        ("not", value) => Number::of_truth(!value.is_true()),
        (_, value) => value,
    })
}

fn binary(sign: &str, left: Number, right: Number) -> Result<Number, String> {
    let (a, b) = (left.as_f64(), right.as_f64());
    let compared = match sign {
        "==" => Some(a == b),
        "!=" => Some(a != b),
        "<" => Some(a < b),
        "<=" => Some(a <= b),
        ">" => Some(a > b),
        ">=" => Some(a >= b),
        _ => None,
    };
    if let Some(holds) = compared {
        return Ok(Number::of_truth(holds));
    }
    let divides = matches!(sign, "/" | "//" | "%" | "mod");
    match (left, right) {
        _ if divides && b == 0.0 => Err("division by zero".to_owned()),
        (Whole(left), Whole(right)) if sign != "/" => of_whole(sign, left, right),
        _ => of_floats(sign, a, b),
    }
}

fn of_whole(sign: &str, a: i128, b: i128) -> Result<Number, String> {
    let shift = || u32::try_from(b).ok();
    let result = match sign {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "//" => Some(a.div_euclid(b) - i128::from(b < 0 && a.rem_euclid(b) != 0)),
        "%" | "mod" => Some(((a % b) + b) % b),
        "**" if b < 0 => return Ok(Float((a as f64).powf(b as f64))),
        "**" => u32::try_from(b).ok().and_then(|power| a.checked_pow(power)),
        "^" | "xor" => Some(a ^ b),
        "&" => Some(a & b),
        "|" => Some(a | b),
        "<<" => shift().and_then(|by| 1_i128.checked_shl(by)?.checked_mul(a)),
        ">>" => shift().and_then(|by| a.checked_shr(by)),
        // Of truths, which are 0 and 1, the same as Python's.
        "and" => Some(if a == 0 { a } else { b }),
        "or" => Some(if a == 0 { b } else { a }),
        other => return Err(format!("no operator is called `{other}`")),
    };
    let result = result.ok_or_else(|| format!("`{a} {sign} {b}` is beyond 128 bits"))?;
    Ok(Whole(result))
}

fn of_floats(sign: &str, a: f64, b: f64) -> Result<Number, String> {
    Ok(Float(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" | "mod" => a - b * (a / b).floor(),
        "**" => a.powf(b),
        "and" => {
            if a == 0.0 {
                a
            } else {
                b
            }
        }
        "or" => {
            if a == 0.0 {
                b
            } else {
                a
            }
        }
        other => return Err(format!("`{other}` takes whole numbers")),
    }))
}

fn call(name: &str, arguments: &[Number]) -> Result<Number, String> {
    let better = |isless: bool| {
        move |best: Number, next: &Number| {
            let is_better =
                (next.as_f64() < best.as_f64()) == isless && next.as_f64() != best.as_f64();
            if is_better { *next } else { best }
        }
    };
    Ok(match (name, arguments) {
        ("min" | "minimum", [first, rest @ ..]) => rest.iter().fold(*first, better(true)),
        ("max" | "maximum", [first, rest @ ..]) => rest.iter().fold(*first, better(false)),
        ("abs" | "fabs" | "absolute", [Whole(value)]) => Whole(value.abs()),
        ("floor" | "ceil" | "trunc" | "round" | "rint" | "int", [Whole(value)]) => Whole(*value),
        ("float" | "float64", [value]) => Float(value.as_f64()),
        ("floor", [value]) => Whole(value.as_f64().floor() as i128),
        ("ceil", [value]) => Whole(value.as_f64().ceil() as i128),
        ("trunc" | "int", [value]) => Whole(value.as_f64().trunc() as i128),
        ("round" | "rint", [value]) => Whole(value.as_f64().round_ties_even() as i128),
        ("where", [condition, yes, no]) => {
            if condition.is_true() {
                *yes
            } else {
                *no
            }
        }
        ("mod" | "pow" | "xor", [left, right]) => {
            binary(if name == "pow" { "**" } else { name }, *left, *right)?
        }
        (_, [value]) => Float(of_one(name, value.as_f64())?),
        ("hypot", [a, b]) => Float(a.as_f64().hypot(b.as_f64())),
        ("atan2" | "arctan2", [a, b]) => Float(a.as_f64().atan2(b.as_f64())),
        _ => return Err(no_function(name, arguments.len())),
    })
}

fn of_one(name: &str, value: f64) -> Result<f64, String> {
    Ok(match name {
        "abs" | "fabs" | "absolute" => value.abs(),
        "sqrt" => value.sqrt(),
        "exp" => value.exp(),
        "log" | "ln" => value.ln(),
        "log2" => value.log2(),
        "log10" => value.log10(),
        "sin" => value.sin(),
        "cos" => value.cos(),
        "tan" => value.tan(),
        "tanh" => value.tanh(),
        "sign" => {
            if value == 0.0 {
                0.0
            } else {
                value.signum()
            }
        }
        "float32" => f64::from(value as f32),
        other => return Err(no_function(other, 1)),
    })
}

fn no_function(name: &str, count: usize) -> String {
    format!("no function is called `{name}` that takes {count} arguments")
}
