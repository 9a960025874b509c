//! Names of entries: relative, and inside the folder that they are unpacked to.
//!
//! A name that is not UTF-8 is in the code page of the machine that packed it, which nobody tells. It is shown in code page
//! 437, byte by byte, so that it can be traced back.

use std::collections::{HashMap, HashSet};

/// The characters of code page 437 for the bytes from 0x80 on.
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// The longest part of the path of an image, in bytes: file systems take 255, and results add a few to it.
const PART_BYTES: usize = 200;

/// What of it may be the suffix.
const SUFFIX_BYTES: usize = 40;

/// The longest path of an image, in bytes: buckets take 1024 with the folder that it goes to.
const PATH_BYTES: usize = 800;

/// `path` as a relative one that stays where it is put: `/` between its parts, and no part empty, `.` or `..`, no drive
/// letter, no NUL character.
///
/// `\` parts a path as `/` does, except behind a character of code page 437: there it may be the second byte of one, as in
/// `表` of Japanese Windows (95 5C).
#[must_use]
pub fn clean_path(path: &str) -> String {
    let path = path.replace('\0', "");
    let parts = parts(without_drive(&path)).into_iter();
    let kept: Vec<&str> = parts
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    kept.join("/")
}

/// The folder of a path and the name of the file in it, parted as in [`clean_path`].
pub(crate) fn split_folder(path: &str) -> (&str, &str) {
    match separators(path).last() {
        Some(place) => (&path[..place], &path[place + 1..]),
        None => ("", path),
    }
}

/// The name without what follows its last dot; dots in front do not begin a suffix (`.hidden` has none).
pub(crate) fn without_last_suffix(name: &str) -> &str {
    match name.rfind('.') {
        Some(dot) if !name[..dot].trim_start_matches('.').is_empty() => &name[..dot],
        _ => name,
    }
}

/// The name of an entry as text, whatever its code page.
pub(crate) fn decoded(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => name.iter().map(|byte| in_code_page_437(*byte)).collect(),
    }
}

/// Whether the name of an entry is that of a folder.
pub(super) fn is_folder(name: &[u8]) -> bool {
    match name {
        [.., b'/'] => true,
        [.., b'\\'] => std::str::from_utf8(name).is_ok(),
        _ => false,
    }
}

/// The path of an image by the name of its entry: clean, fit for a key of a bucket, and with control characters as the
/// pictures that Unicode has for them.
pub(super) fn image_path(name: &[u8]) -> String {
    let name = match std::str::from_utf8(name) {
        // Of these characters the second byte is never a backslash.
        Ok(name) => name.replace('\\', "/"),
        Err(_) => decoded(name),
    };
    let visible: String = name.replace('\0', "").chars().map(visible).collect();
    shortened(&clean_path(&visible))
}

/// The paths of images so far. None is in use twice, nor as a folder of another: a folder in place of a bucket could not hold
/// both.
#[derive(Default)]
pub(super) struct UsedPaths {
    files: HashSet<String>,
    folders: HashSet<String>,
    numbers_of_files: Numbers,
    numbers_of_folders: Numbers,
}

impl UsedPaths {
    /// The path, with a number before the suffix of a part that is taken. It is in use from now on.
    pub(super) fn take(&mut self, path: &str) -> String {
        let (folders, file) = split_folder(path);
        let mut free = String::new();
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            free = self
                .numbers_of_folders
                .unused_name(&format!("{free}{folder}"), |name| self.files.contains(name));
            self.folders.insert(free.clone());
            free.push('/');
        }
        let free = self
            .numbers_of_files
            .unused_name(&format!("{free}{file}"), |name| {
                self.files.contains(name) || self.folders.contains(name)
            });
        self.files.insert(free.clone());
        free
    }
}

/// The numbers that names were given, so that none is tried again: names that are taken stay taken.
#[derive(Default)]
pub(super) struct Numbers(HashMap<String, u64>);

impl Numbers {
    /// The name, with a number before its suffix if it is taken.
    pub(super) fn unused_name(&mut self, name: &str, is_used: impl Fn(&str) -> bool) -> String {
        if !is_used(name) {
            return name.to_owned();
        }
        let base_at = name.rfind('/').map_or(0, |slash| slash + 1);
        let stem_end = base_at + without_last_suffix(&name[base_at..]).len();
        let (stem, suffix) = name.split_at(stem_end);
        let number = self.0.entry(name.to_owned()).or_insert(2);
        loop {
            let numbered = format!("{stem}_{number}{suffix}");
            if !is_used(&numbered) {
                return numbered;
            }
            *number += 1;
        }
    }
}

fn without_drive(path: &str) -> &str {
    match path.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => without_drive(&path[2..]),
        _ => path,
    }
}

fn parts(path: &str) -> Vec<&str> {
    let mut begin = 0;
    let mut parts = Vec::new();
    for place in separators(path) {
        parts.push(&path[begin..place]);
        begin = place + 1;
    }
    parts.push(&path[begin..]);
    parts
}

/// The places of the separators in a path.
fn separators(path: &str) -> impl Iterator<Item = usize> {
    let before = std::iter::once(None).chain(path.chars().map(Some));
    let letters = path.char_indices().zip(before);
    letters.filter_map(|((place, letter), before)| {
        let may_belong_to_it = || before.is_some_and(is_in_code_page_437);
        (letter == '/' || letter == '\\' && !may_belong_to_it()).then_some(place)
    })
}

fn in_code_page_437(byte: u8) -> char {
    let high = byte.checked_sub(0x80).map(usize::from);
    high.and_then(|place| CODE_PAGE_437.chars().nth(place))
        .unwrap_or(char::from(byte))
}

fn is_in_code_page_437(letter: char) -> bool {
    !letter.is_ascii() && CODE_PAGE_437.contains(letter)
}

/// A control character as its picture: buckets refuse the character, and terminals obey it.
fn visible(letter: char) -> char {
    let picture = match letter {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(letter)),
        '\x7f' => Some('␡'),
        _ => None,
    };
    picture.unwrap_or(letter)
}

/// The path with long parts cut, but not their suffixes, and without its first folders if it is long all the same.
fn shortened(path: &str) -> String {
    let parts: Vec<_> = path.split('/').map(shortened_part).collect();
    let path = parts.join("/");
    let mut rest = path.as_str();
    while rest.len() > PATH_BYTES
        && let Some((_, inner)) = rest.split_once('/')
    {
        rest = inner;
    }
    rest.to_owned()
}

fn shortened_part(part: &str) -> String {
    if part.len() <= PART_BYTES {
        return part.to_owned();
    }
    let (stem, suffix) = part.split_at(without_last_suffix(part).len());
    let suffix = &suffix[..suffix.floor_char_boundary(SUFFIX_BYTES)];
    let stem = &stem[..stem.floor_char_boundary(PART_BYTES - suffix.len())];
    format!("{stem}{suffix}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_leads_out_of_the_folder_is_dropped() {
        assert_eq!(clean_path("C:D:/a//./b"), "a/b");
        assert_eq!(clean_path("../a\\..\\b\0"), "a/b");
    }

    #[test]
    fn names_without_a_code_page_are_shown_as_python_shows_them() {
        // What zipfile.ZipFile(…).namelist() has for these bytes.
        for (name, shown) in [
            (&b"\x95\x5c.tif"[..], "ò\\.tif"),                    // 表, CP932
            (b"\x83\x5c\x83\x74\x83\x67_1.tif", "â\\âtâg_1.tif"), // ソフト, CP932
            (b"\x81\x5c/\x94\x5c.tif", "ü\\/ö\\.tif"),            // a folder of ―, 能
            (b"\xd5\x5c\xd6\x5c_A.tif", "╒\\╓\\_A.tif"),          // GBK
            (b"\xb3\x5c\xa5\x5c\xbb\x5c.tif", "│\\Ñ\\╗\\.tif"),   // 許功蓋, Big5
            (b"Gr\x94\xe1e_1.tif", "Größe_1.tif"),                // CP437
            (b"\xca\xd1\xbc\xbc.tif", "╩╤╝╝.tif"),                // EUC, CP949
            (b"\xcf\xf0\xe8.tif", "╧≡Φ.tif"),                     // CP1251
            (b"a\\\x95\x5c\\b\\c.tif", "a/ò\\/b/c.tif"),          // separators beside it
        ] {
            assert_eq!(image_path(name), shown, "{name:x?}");
        }
    }

    #[test]
    fn names_in_utf_8_are_parted_at_every_backslash() {
        assert_eq!(image_path("日本\\表.tif".as_bytes()), "日本/表.tif");
        assert_eq!(image_path("é\\a.tif".as_bytes()), "é/a.tif");
        assert!(is_folder("é\\".as_bytes()) && is_folder(b"a/") && !is_folder(b"a.\x95\x5c"));
    }

    #[test]
    fn results_keep_the_names_of_their_images() {
        assert_eq!(clean_path("ò\\_feature_0.tif"), "ò\\_feature_0.tif");
        assert_eq!(split_folder("a/ò\\.tif"), ("a", "ò\\.tif"));
        assert_eq!(split_folder("日本\\表.tif"), ("日本", "表.tif"));
        assert_eq!(split_folder("plain"), ("", "plain"));
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(image_path(b"nl\nname\x1b[2J\x7f.tif"), "nl␊name␛[2J␡.tif");
    }

    #[test]
    fn long_names_are_cut_before_their_suffix() {
        let path =
            image_path(format!("{}/{}.ome.tif", "f".repeat(300), "ü".repeat(300)).as_bytes());
        let (folder, file) = path.split_once('/').expect("a folder");
        assert_eq!((folder.len(), file.len()), (200, 200));
        assert!(file.ends_with("ü.tif"), "{file}");
        let suffix = image_path(format!("{}.{}", "a".repeat(300), "b".repeat(300)).as_bytes());
        assert!(suffix.len() == 200 && suffix.contains(".bbb"), "{suffix}");
        let deep = image_path(format!("{}x.tif", "folder/".repeat(1000)).as_bytes());
        assert!(
            deep.len() <= PATH_BYTES && deep.ends_with("/x.tif"),
            "{deep}"
        );
    }

    #[test]
    fn a_path_is_not_a_folder_of_another() {
        let mut used = UsedPaths::default();
        let mut take = |path| used.take(path);
        assert_eq!(take("a.tif/x.tif"), "a.tif/x.tif");
        assert_eq!(take("a.tif"), "a_2.tif");
        assert_eq!(take("b.tif"), "b.tif");
        assert_eq!(take("b.tif/x.tif"), "b_2.tif/x.tif");
        assert_eq!(take("b.tif/x.tif"), "b_2.tif/x_2.tif");
        assert_eq!(take("b.tif"), "b_3.tif");
    }

    #[test]
    fn as_many_names_alike_as_an_archive_may_have_are_told_apart_at_once() {
        // Trying every number again would take hours.
        let mut used = UsedPaths::default();
        let names = 300_000;
        let last = (0..names).map(|_| used.take("a/b.tif")).last();
        assert_eq!(last, Some(format!("a/b_{names}.tif")));
        assert_eq!(used.take("a/b.tif/c.tif"), "a/b_300001.tif/c.tif");
        assert_eq!(used.take("a/b.tif/c.tif"), "a/b_300001.tif/c_2.tif");
        assert_eq!(used.take("a/b.tif"), "a/b_300002.tif");
    }

    proptest! {
        #[test]
        fn every_byte_can_be_traced_back(name in prop::collection::vec(1_u8.., 0..40)) {
            prop_assume!(std::str::from_utf8(&name).is_err());
            let bytes: Option<Vec<u8>> = decoded(&name)
                .chars()
                .map(|letter| match letter {
                    '\0'..='\x7f' => u8::try_from(u32::from(letter)).ok(),
                    _ => CODE_PAGE_437.chars().position(|it| it == letter)
                        .and_then(|place| u8::try_from(place + 0x80).ok()),
                })
                .collect();
            prop_assert_eq!(bytes, Some(name));
        }

        #[test]
        fn no_name_leaves_its_folder_or_is_no_key(name in prop::collection::vec(any::<u8>(), 0..300)) {
            let path = image_path(&name);
            prop_assert!(path.len() <= PATH_BYTES.max(PART_BYTES));
            prop_assert!(!path.chars().any(|letter| letter.is_ascii_control()));
            let is_kept = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= PART_BYTES;
            let is_inside = path.is_empty() || path.split('/').all(is_kept);
            prop_assert!(is_inside, "{}", path);
        }
    }
}
