//! Names of result files: where a result goes, derived from the name the user gave the image.
//!
//! Names only; archives and buckets are `storage`.

use crate::storage::archive::{clean_path, split_folder, without_last_suffix};

/// Folder and base name that results are called after.
///
/// Made from the name the user gave a file: its folders, and its last part without the **last** suffix
/// (`plate 1/field 1.ome.tif` → `plate 1`, `field 1.ome`). What could leave a folder is dropped: empty, `.` and `..` parts,
/// drive letters, NUL characters; backslashes part names as slashes do, but for those that may be half a character ([`clean_path`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultName {
    folder: String,
    base: String,
}

impl ResultName {
    /// The names of results of the file `original_name`.
    #[must_use]
    pub fn new(original_name: &str) -> Self {
        let (folder, file) = split_folder(original_name);
        Self {
            folder: clean_path(folder),
            base: clean_path(without_last_suffix(file)),
        }
    }

    /// Entry of one feature: `<folder>/<base>_feature_<feature>.tif`, `feature_<feature>.tif` for an empty base.
    #[must_use]
    pub fn feature(&self, feature: usize) -> String {
        self.entry(&format!("feature_{feature}.tif"))
    }

    /// Entry of one feature of one batch item: `<folder>/<base>_batch_<batch>_feature_<feature>.tif`.
    #[must_use]
    pub fn batch_feature(&self, batch: usize, feature: usize) -> String {
        self.entry(&format!("batch_{batch}_feature_{feature}.tif"))
    }

    /// Entry of one batch item of another kind: `<folder>/<base>_<batch>.<suffix>`.
    #[must_use]
    pub fn batch(&self, batch: usize, suffix: &str) -> String {
        self.entry(&format!("{batch}.{suffix}"))
    }

    fn entry(&self, ending: &str) -> String {
        let separator = if self.base.is_empty() { "" } else { "_" };
        let slash = if self.folder.is_empty() { "" } else { "/" };
        format!("{}{slash}{}{separator}{ending}", self.folder, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_last_suffix_goes() {
        assert_eq!(
            ResultName::new("field 1.ome.tif").feature(0),
            "field 1.ome_feature_0.tif"
        );
        assert_eq!(
            ResultName::new("plate/a.png").batch_feature(2, 1),
            "plate/a_batch_2_feature_1.tif"
        );
        assert_eq!(ResultName::new("a/b/c.tif").batch(0, "npy"), "a/b/c_0.npy");
        assert_eq!(
            ResultName::new(".hidden").feature(0),
            ".hidden_feature_0.tif"
        );
    }

    #[test]
    fn an_empty_name_leaves_no_underscore() {
        assert_eq!(ResultName::new("").feature(0), "feature_0.tif");
        assert_eq!(ResultName::new("dir/").feature(3), "dir/feature_3.tif");
    }

    #[test]
    fn parts_that_lead_out_of_the_folder_are_dropped() {
        assert_eq!(
            ResultName::new("../../etc/passwd.tif").feature(0),
            "etc/passwd_feature_0.tif"
        );
        assert_eq!(
            ResultName::new("C:\\data\\..\\x\0.tif").feature(0),
            "data/x_feature_0.tif"
        );
        assert_eq!(ResultName::new("..").feature(0), "feature_0.tif");
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_folder(name in "[a./\\\\:\0]{0,16}") {
            let entry = ResultName::new(&name).feature(0);
            prop_assert!(!entry.starts_with('/'));
            prop_assert!(entry.split('/').all(|part| !matches!(part, "" | "." | "..")));
            prop_assert!(!entry.contains(['\0', '\\']));
        }
    }
}
