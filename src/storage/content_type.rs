//! What objects are, by the names of their keys.

/// The content type that follows from the extension of a key.
pub(crate) fn content_type(key: &str) -> &'static str {
    let name = key.rsplit('/').next().unwrap_or(key);
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("zip") => "application/zip",
        Some("tif" | "tiff") => "image/tiff",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        // npy, trk and trks among them: no registered type.
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_follows_from_the_extension_in_any_case() {
        for (key, expected) in [
            ("output/a.zip", "application/zip"),
            ("a.TIF", "image/tiff"),
            ("a.b.tiff", "image/tiff"),
            ("a.PNG", "image/png"),
            ("spots.csv", "text/csv"),
            ("lineage.json", "application/json"),
            ("a.npy", "application/octet-stream"),
            ("folder.zip/a", "application/octet-stream"),
        ] {
            assert_eq!(content_type(key), expected, "{key}");
        }
    }
}
