//! Keys of jobs.

use sha2::{Digest as _, Sha256};

use crate::digest::hex;

/// Bytes of an identity that its job's key shows.
const SHOWN: usize = 80;

/// The key of an item's job: `<queue>:<name>:<32 hexadecimal digits>`.
///
/// The digits are the first half of SHA-256 over `rc-item`, the batch, the stage and the identity, each after its length as eight
/// bytes, the least first; the name is for people, the last part of the identity.
pub fn job_key(queue: &str, batch: &str, stage: &str, id: &str) -> String {
    let mut digest = Sha256::new();
    for part in ["rc-item", batch, stage, id] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let name = id.rsplit('/').next().unwrap_or_default();
    let name = &name[..name.floor_char_boundary(SHOWN)];
    // Lists of keys are joined by commas.
    format!("{queue}:{}:{}", name.replace(',', "_"), hex(&digest[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_show_the_end_of_the_identity() {
        let key = job_key("segmentation", "b", "seg", "uploads/b/m,1/t,1.tif");
        let (name, digits) = key.rsplit_once(':').unwrap();
        assert_eq!(name, "segmentation:t_1.tif");
        assert_eq!(digits.len(), 32);
        let long = job_key("q", "b", "s", &"ü".repeat(100));
        assert_eq!(long.len(), "q:".len() + 80 + ":".len() + 32);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(job_key("q", "a", "bc", "d"), job_key("q", "ab", "c", "d"));
        assert_ne!(job_key("q", "a", "b", "x,y"), job_key("q", "a", "b", "x_y"));
    }

    #[test]
    fn a_key_never_changes() {
        // SHA-256 over the four length-prefixed parts, computed with Python's hashlib.
        assert_eq!(
            job_key("ingest-l2", "minnie-v3", "l2", "0_0_1"),
            "ingest-l2:0_0_1:1a4fece72562a8b637173731e7351948"
        );
    }
}
