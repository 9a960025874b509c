//! Secrets that are compared without telling how much of them was right, and marks that only we can make.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Whether two secrets are the same. It takes as long whatever they are.
pub(super) fn is_same(given: &[u8], known: &[u8]) -> bool {
    // Digests have one length, so the time does not tell that of the secret either.
    let (given, known) = (Sha256::digest(given), Sha256::digest(known));
    given.as_slice().ct_eq(known.as_slice()).into()
}

/// A key that makes marks.
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    /// A key of these secrets, each of which changes it.
    pub(super) fn of<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"redis-consumer dashboard");
        for secret in secrets {
            digest.update((secret.len() as u64).to_be_bytes());
            digest.update(secret);
        }
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..32].copy_from_slice(&digest.finalize());
        Self(Hmac::new(&block))
    }

    /// The mark of a text, in hexadecimal digits. Marks for one use are worth nothing for another.
    pub(super) fn mark(&self, usage: &str, text: &str) -> String {
        let bytes = self.keyed(usage, text).finalize().into_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a text has this mark.
    pub(super) fn is_mark(&self, usage: &str, text: &str, mark: &str) -> bool {
        is_same(mark.as_bytes(), self.mark(usage, text).as_bytes())
    }

    fn keyed(&self, usage: &str, text: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(usage.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_that_of_one_text_use_and_key() {
        let key = Key::of([&b"a"[..], b"bc"]);
        let mark = key.mark("session", "ana");
        assert!(key.is_mark("session", "ana", &mark));
        assert!(!key.is_mark("session", "bob", &mark));
        assert!(!key.is_mark("form", "ana", &mark));
        assert!(!key.is_mark("session", "ana", ""));
        assert!(!Key::of([&b"ab"[..], b"c"]).is_mark("session", "ana", &mark));
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(is_same(b"secret", b"secret"));
        for given in [&b""[..], b"secre", b"secret2", b"Secret"] {
            assert!(!is_same(given, b"secret"));
        }
    }
}
