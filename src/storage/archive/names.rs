//! Names of entries: relative, and inside the folder that they are unpacked to.

/// `path` as a relative one that stays where it is put: `/` between its parts, and no part empty, `.` or `..`, no drive
/// letter, no NUL character.
#[must_use]
pub fn clean_path(path: &str) -> String {
    let path = path.replace('\0', "");
    let parts = without_drive(&path).split(['/', '\\']);
    let kept: Vec<&str> = parts
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    kept.join("/")
}

/// The name without what follows its last dot; dots in front do not begin a suffix (`.hidden` has none).
pub(crate) fn without_last_suffix(name: &str) -> &str {
    match name.rfind('.') {
        Some(dot) if !name[..dot].trim_start_matches('.').is_empty() => &name[..dot],
        _ => name,
    }
}

fn without_drive(path: &str) -> &str {
    match path.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => without_drive(&path[2..]),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_of_the_folder_is_dropped() {
        assert_eq!(clean_path("C:D:/a//./b"), "a/b");
        assert_eq!(clean_path("../a\\..\\b\0"), "a/b");
    }
}
