//! Commands that do the same as a button, as a shell takes them.

use std::fmt::Write as _;

use crate::untrusted;

/// A command of this program: its words, quoted where a shell needs it.
pub(super) fn command<'w>(words: impl IntoIterator<Item = &'w [u8]>) -> String {
    let mut text = "redis-consumer".to_owned();
    for word in words {
        text.push(' ');
        text.push_str(&quoted(word));
    }
    text
}

/// One word. What would act on a terminal, or is no text, is written as `bash` and `zsh` read it.
fn quoted(word: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(word)
        && untrusted::is_harmless(text)
        && let Ok(quoted) = shlex::try_quote(text)
    {
        return quoted.into_owned();
    }
    let mut text = "$'".to_owned();
    for &byte in word {
        match byte {
            b'\'' | b'\\' => {
                text.push('\\');
                text.push(byte.into());
            }
            b' '..=b'~' => text.push(byte.into()),
            // Writing to a string cannot fail.
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_shells_read_them() {
        for (word, expected) in [
            (&b"segmentation"[..], "segmentation"),
            (b"it's here", "\"it's here\""),
            ("größe.tif".as_bytes(), "'größe.tif'"),
            (b"a\xff'\n", "$'a\\xff\\'\\x0a'"),
            ("gpj.\u{202e}tif".as_bytes(), "$'gpj.\\xe2\\x80\\xaetif'"),
            (b"", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
        assert_eq!(
            command([&b"queue"[..], b"purge", b"$(reboot)"]),
            "redis-consumer queue purge '$(reboot)'"
        );
    }

    #[test]
    fn bash_reads_them_as_they_were() {
        let words = [
            &b"a\xff'\\\n$x"[..],
            b"\"`ls` it's",
            "\u{202e}\u{e9}".as_bytes(),
        ];
        let text: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        let script = format!("printf '%s|' {}", text.join(" "));
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .output()
            .expect("bash runs");
        let expected = [words.join(&b'|'), b"|".to_vec()].concat();
        assert_eq!(output.stdout, expected);
    }
}
