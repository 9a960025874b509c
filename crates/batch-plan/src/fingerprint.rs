//! 128 bits by which many texts are told apart without being kept.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Equal for equal values, and practically never for others. Valid within one process only.
pub(crate) fn fingerprint(value: &(impl Hash + ?Sized)) -> (u64, u64) {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        hasher.finish()
    };
    (hash(0), hash(1))
}
