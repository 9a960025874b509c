//! Archives, the labels in them, and digests.

use std::io::Read as _;

use bioimage::Limits;
use ndarray::ArrayD;
use redis_consumer::storage::archive::write_zip;

/// An archive with these names and contents.
pub(crate) fn zipped(entries: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    write_zip(entries).expect("it fits in memory")
}

/// The names and contents of the entries of an archive, in their order.
pub(crate) fn unzipped(archive: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let archive = std::io::Cursor::new(archive);
    let mut archive = zip::ZipArchive::new(archive).expect("it is an archive");
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("an entry");
        let mut body = Vec::new();
        entry.read_to_end(&mut body).expect("its body");
        let name = entry.name().expect("a name in UTF-8").into_owned();
        entries.push((name, body));
    }
    entries
}

/// The labels of a result.
pub(crate) fn labels(tiff: &[u8]) -> ArrayD<f32> {
    bioimage::decode(tiff, "labels.tif", &Limits::default()).expect("the result is a TIFF")
}

/// How many cells a result has.
pub(crate) fn cell_count(tiff: &[u8]) -> usize {
    let labels = labels(tiff);
    labels.iter().fold(0.0_f32, |most, &label| most.max(label)) as usize
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
