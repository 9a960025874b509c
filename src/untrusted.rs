//! Text that users and peers have written, as logs, reasons and terminals show it: on one line, without a character that acts
//! on a terminal, and short.
//!
//! Whoever stores or compares such text takes it as it is.

use std::fmt::{self, Display, Write};

/// Characters that are shown of a name.
const NAME: usize = 200;

/// Characters that are shown of a whole message, which may quote several names.
const MESSAGE: usize = 2000;

/// Characters that are shown of a text that has a place of its own.
const LONG: usize = 20_000;

/// A text that is fit to be shown.
pub(crate) struct Shown<T> {
    text: T,
    longest: usize,
}

/// A key, a file name or the value of a field.
pub(crate) fn name<T: Display>(text: T) -> Shown<T> {
    Shown {
        text,
        longest: NAME,
    }
}

/// What a peer has said, or an error that quotes users.
pub(crate) fn message<T: Display>(text: T) -> Shown<T> {
    Shown {
        text,
        longest: MESSAGE,
    }
}

/// A text that has a place of its own on a page, such as a whole field.
pub(crate) fn long<T: Display>(text: T) -> Shown<T> {
    Shown {
        text,
        longest: LONG,
    }
}

/// A text that need not be UTF-8: bytes that are not appear as `\xff`.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaper = Escaper {
            out: f,
            longest: self.longest,
            count: 0,
        };
        write!(escaper, "{}", self.text)?;
        let count = escaper.count;
        if count > self.longest {
            write!(f, "… ({count} characters)")?;
        }
        Ok(())
    }
}

/// Hands on the beginning of a text, and counts all of it: nothing of the rest is kept.
struct Escaper<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    longest: usize,
    count: usize,
}

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.count < self.longest {
                write_shown(self.out, c)?;
            }
            self.count += 1;
        }
        Ok(())
    }
}

fn write_shown(out: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        _ if c.is_ascii_control() => write!(out, "\\x{:02x}", c as u32),
        _ if acts_on_terminals(c) => write!(out, "\\u{{{:x}}}", c as u32),
        _ => out.write_char(c),
    }
}

/// Whether a text is shown as it is, but for its length.
pub(crate) fn is_harmless(text: &str) -> bool {
    !text.chars().any(acts_on_terminals)
}

/// Whether a character beyond ASCII breaks a line, turns the direction of what follows, or hides.
fn acts_on_terminals(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_instead_of_sent() {
        for (text, shown) in [
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
            ("\u{9b}2J\x7f\0", "\\u{9b}2J\\x7f\\x00"),
            ("gpj.\u{202e}tif", "gpj.\\u{202e}tif"),
            ("a\u{2028}b\u{85}c", "a\\u{2028}b\\u{85}c"),
        ] {
            assert_eq!(name(text).to_string(), shown);
        }
    }

    #[test]
    fn names_of_people_stay_as_they_are() {
        for text in [
            "plate 1\\Größe_Cafe\u{301}.tif",
            "細胞_誠.tif",
            "می\u{200c}خواهم",
            "🧬\"'",
        ] {
            assert_eq!(name(text).to_string(), text);
        }
    }

    #[test]
    fn long_texts_are_cut_and_tell_how_long_they_were() {
        let exact = "k".repeat(NAME);
        assert_eq!(name(&exact).to_string(), exact);
        let long = "ö".repeat(200_000);
        let shown = name(&long).to_string();
        assert_eq!(shown, format!("{}… (200000 characters)", "ö".repeat(NAME)));
        assert!(message(&long).to_string().chars().count() < MESSAGE + 30);
    }

    #[test]
    fn bytes_that_are_no_text_are_told_apart() {
        assert_eq!(name(Bytes(b"a\xff\xfe\n")).to_string(), "a\\xff\\xfe\\n");
    }

    proptest! {
        #[test]
        fn whatever_is_shown_is_one_short_line(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let shown = message(Bytes(&bytes)).to_string();
            prop_assert!(shown.chars().all(|c| !c.is_control() && !acts_on_terminals(c)));
            prop_assert_eq!(shown.lines().count(), usize::from(!bytes.is_empty()));
            prop_assert!(shown.len() < 4 * 8 * MESSAGE);
        }
    }
}
