//! Text of a formula to its expression, by precedence climbing.

use std::iter::Peekable;
use std::str::CharIndices;

/// A formula, understood.
#[derive(Debug)]
pub(super) enum Expression {
    Whole(i128),
    Float(f64),
    Name(String),
    Call(String, Vec<Self>),
    Unary(String, Box<Self>),
    Binary(String, Box<[Self; 2]>),
    /// Value, condition, other value.
    Choice(Box<[Self; 3]>),
}

/// Signs and words between two operands, the weakest first. A word is as strong as the sign that it stands for.
const LEVELS: [&[&str]; 8] = [
    &["or"],
    &["and"],
    &["==", "!=", "<=", ">=", "<", ">"],
    &["|"],
    &["^", "xor"],
    &["&"],
    &["<<", ">>"],
    &["+", "-"],
];

/// Those above, which bind stronger than a sum.
const PRODUCTS: &[&str] = &["*", "/", "//", "%", "mod"];

/// Signs, the long ones first.
const SIGNS: [&str; 22] = [
    "**", "//", "<<", ">>", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "^", "&", "|", "~",
    "<", ">", "(", ")", ",",
];

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut tokens = Tokens {
        all: tokens(text)?,
        next: 0,
    };
    let expression = tokens.choice()?;
    match tokens.take() {
        None => Ok(expression),
        Some(token) => Err(format!("unexpected `{token}`")),
    }
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some(&(at, first)) = chars.peek() {
        let rest = &text[at..];
        let length = if first.is_whitespace() {
            chars.next();
            continue;
        } else if first.is_alphabetic() || first == '_' {
            length_while(rest, |c| c.is_alphanumeric() || matches!(c, '_' | '.'))
        } else if first.is_ascii_digit() || first == '.' {
            length_of_number(rest)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            sign.ok_or_else(|| format!("unexpected `{first}`"))?.len()
        };
        tokens.push(rest[..length].to_owned());
        skip(&mut chars, at + length);
    }
    Ok(tokens)
}

fn skip(chars: &mut Peekable<CharIndices<'_>>, to: usize) {
    while chars.next_if(|&(at, _)| at < to).is_some() {}
}

fn length_while(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// A number with its fraction and exponent, whose sign belongs to it.
fn length_of_number(text: &str) -> usize {
    let digits = length_while(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_')
    });
    let is_decimal = !text.starts_with("0x");
    let signed = text[digits..].starts_with(['+', '-']);
    if is_decimal && signed && text[..digits].ends_with(['e', 'E']) {
        digits + 1 + length_while(&text[digits + 1..], |c| c.is_ascii_digit())
    } else {
        digits
    }
}

struct Tokens {
    all: Vec<String>,
    next: usize,
}

impl Tokens {
    fn peek(&self) -> Option<&str> {
        self.all.get(self.next).map(String::as_str)
    }

    fn take(&mut self) -> Option<String> {
        let token = self.all.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn take_if(&mut self, wanted: &[&str]) -> Option<String> {
        let found = self.peek().is_some_and(|token| wanted.contains(&token));
        if found { self.take() } else { None }
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        self.take_if(&[wanted])
            .map(|_| ())
            .ok_or_else(|| format!("`{wanted}` is missing"))
    }

    /// `value if condition else other`.
    fn choice(&mut self) -> Result<Expression, String> {
        let value = self.binary(0)?;
        if self.take_if(&["if"]).is_none() {
            return Ok(value);
        }
        let condition = self.binary(0)?;
        self.expect("else")?;
        let other = self.choice()?;
        Ok(Expression::Choice(Box::new([value, condition, other])))
    }

    fn binary(&mut self, level: usize) -> Result<Expression, String> {
        let signs = LEVELS.get(level).copied().unwrap_or(PRODUCTS);
        let mut left = self.operand(level)?;
        while let Some(sign) = self.take_if(signs) {
            let right = self.operand(level)?;
            left = Expression::Binary(sign, Box::new([left, right]));
        }
        Ok(left)
    }

    fn operand(&mut self, level: usize) -> Result<Expression, String> {
        if level < LEVELS.len() {
            // `not` is weaker than comparisons.
            let negates = level == 1 && self.take_if(&["not"]).is_some();
            return if negates {
                let negated = self.operand(level)?;
                Ok(Expression::Unary("not".to_owned(), Box::new(negated)))
            } else {
                self.binary(level + 1)
            };
        }
        self.signed()
    }

    fn signed(&mut self) -> Result<Expression, String> {
        match self.take_if(&["-", "+", "~"]) {
            Some(sign) => Ok(Expression::Unary(sign, Box::new(self.signed()?))),
            None => self.power(),
        }
    }

    fn power(&mut self) -> Result<Expression, String> {
        let base = self.atom()?;
        if self.take_if(&["**"]).is_none() {
            return Ok(base);
        }
        // To the right, and a sign may follow: 2 ** -1.
        let exponent = self.signed()?;
        Ok(Expression::Binary(
            "**".to_owned(),
            Box::new([base, exponent]),
        ))
    }

    fn atom(&mut self) -> Result<Expression, String> {
        let token = self.take().ok_or("it ends too early")?;
        let first = token.chars().next().unwrap_or_default();
        if token == "(" {
            let inner = self.choice()?;
            self.expect(")")?;
            Ok(inner)
        } else if first.is_ascii_digit() || first == '.' {
            number(&token)
        } else if first.is_alphabetic() || first == '_' {
            self.name(&token)
        } else {
            Err(format!("unexpected `{token}`"))
        }
    }

    fn name(&mut self, token: &str) -> Result<Expression, String> {
        let known = ["numpy.", "np.", "math."]
            .iter()
            .find_map(|module| token.strip_prefix(module));
        let name = known.unwrap_or(token).to_owned();
        if self.take_if(&["("]).is_none() {
            return Ok(Expression::Name(name));
        }
        let mut arguments = vec![self.choice()?];
        while self.take_if(&[","]).is_some() {
            arguments.push(self.choice()?);
        }
        self.expect(")")?;
        Ok(Expression::Call(name, arguments))
    }
}

fn number(token: &str) -> Result<Expression, String> {
    let digits = token.replace('_', "");
    let whole = match digits.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    whole
        .map(Expression::Whole)
        .or_else(|_| digits.parse().map(Expression::Float))
        .map_err(|_| format!("`{token}` is no number"))
}
