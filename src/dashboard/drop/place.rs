//! Where a file goes: what is dropped together has a folder, in which each file has its path.

use percent_encoding::percent_decode_str;

use super::super::site::Site;
use crate::refusal::Misuse;
use crate::untrusted;

/// The longest path of a file, in bytes, and the longest part of one: what any bucket and any folder can keep.
const LONGEST_PATH: usize = 700;
const LONGEST_PART: usize = 200;

/// The longest name of what is dropped together: it is the name of a batch, too.
const LONGEST_UPLOAD: usize = 64;

/// The place of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    upload: String,
    path: String,
}

impl Place {
    /// The place of a file by its path, which has to be one.
    pub(super) fn new(upload: &str, path: &str) -> Result<Self, Misuse> {
        check_upload(upload)?;
        check_path(path)?;
        Ok(Self {
            upload: upload.to_owned(),
            path: path.to_owned(),
        })
    }

    /// The same from the end of an address: `<upload>/<path>`, of which each part is encoded for itself.
    pub(super) fn in_address(rest: &str) -> Result<Self, Misuse> {
        let mut parts = Vec::new();
        for part in rest.split('/') {
            let part = percent_decode_str(part).decode_utf8();
            let part = part.map_err(|_| Misuse("the path is not UTF-8".to_owned()))?;
            if part.contains('/') {
                return Err(wrong(&part, "a part of it has a slash in it"));
            }
            parts.push(part);
        }
        match parts.split_first() {
            Some((upload, path)) if !path.is_empty() => Self::new(upload, &path.join("/")),
            _ => Err(Misuse("the address needs /upload/<name>/<path>".to_owned())),
        }
    }

    /// Its key in the bucket.
    pub(super) fn key(&self, site: &Site) -> String {
        format!("{}{}", folder(site, &self.upload), self.path)
    }
}

/// What the keys of all files begin with that are dropped together.
pub(in super::super) fn folder(site: &Site, upload: &str) -> String {
    format!("{}/{upload}/", site.api.settings.prefix)
}

/// Whether something that is dropped together can be called so.
pub(in super::super) fn check_upload(name: &str) -> Result<(), Misuse> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = name.bytes().next().is_some_and(is_plain)
        && name.len() <= LONGEST_UPLOAD
        && name
            .bytes()
            .all(|byte| is_plain(byte) || b"._-".contains(&byte));
    match is_name && !name.contains("..") {
        true => Ok(()),
        false => Err(Misuse(format!(
            "`{}` is no name for an upload: up to {LONGEST_UPLOAD} of a–z, 0–9 and ._-, the first a letter or digit",
            untrusted::name(name)
        ))),
    }
}

fn check_path(path: &str) -> Result<(), Misuse> {
    if path.len() > LONGEST_PATH {
        let text = format!("the path of a file may have {LONGEST_PATH} bytes");
        return Err(wrong(path, &text));
    }
    if !untrusted::is_harmless(path) {
        return Err(wrong(
            path,
            "it has characters that cannot be seen or turn the direction of writing; give the file another name",
        ));
    }
    for part in path.split('/') {
        match part {
            "" | "." | ".." => return Err(wrong(path, "a part of it is empty, `.` or `..`")),
            long if long.len() > LONGEST_PART => {
                let text = format!("a part of it has more than {LONGEST_PART} bytes");
                return Err(wrong(path, &text));
            }
            _ => {}
        }
    }
    Ok(())
}

fn wrong(path: &str, why: &str) -> Misuse {
    Misuse(format!("`{}` cannot be kept: {why}", untrusted::name(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_folder() {
        let place = Place::in_address("hela-1/m1/t%201%23.tif").expect("a path");
        assert_eq!(place, Place::new("hela-1", "m1/t 1#.tif").expect("a path"));
        assert!(Place::in_address("a/%D7%A9%D7%9C%D7%95%D7%9D.tif").is_ok());
        let long = format!("a/{}", "x".repeat(4096));
        for hostile in [
            "a/../b",
            "a/%2e%2e/b",
            "a/b%2f..%2fc",
            "../b",
            "%2e%2e/b",
            "a/",
            "a",
            "",
            "a//b",
            "A/b",
            "a/%00",
            "a/b%0a",
            "a/%ff",
            "a/gpj.%E2%80%AEtif",
            "a b/c",
            "a..b/c",
            &long,
        ] {
            assert!(Place::in_address(hostile).is_err(), "{hostile}");
        }
    }
}
