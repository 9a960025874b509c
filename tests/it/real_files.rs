//! Real images and archives made by other people, each against what reference readers see in it.
//!
//! The `expected.json` of a folder alone says which files there are and how closely they must agree; none is known here by
//! name. A few lie in `tests/fixtures`, most in `DATA_DIR`, else `../shared/data` beside the project.

use std::collections::BTreeMap;
use std::io::Read;
use std::panic::catch_unwind;
use std::path::Path;

use bioimage::{Limits, npy};
use half::f16;
use ndarray::ArrayD;
use redis_consumer::storage::archive;
use serde_json::Value;
use sha2::Digest;

use crate::peers::real_data::folders;
use crate::peers::results::hex;

/// Memory that one file may ask for here: enough for the largest sound one, little enough to notice a lie.
const LIMITS: Limits = Limits {
    max_decoded_bytes: 512 << 20,
};

#[test]
fn real_files_are_read_as_reference_readers_read_them() {
    let mut classes: BTreeMap<String, Class> = BTreeMap::new();
    for_each_file(|name, expected, content| {
        if let Some(expectation) = expected["expectation"].as_str() {
            classes
                .entry(expectation.to_owned())
                .or_default()
                .note(name, verdict(name, content, expected));
        }
    });
    classes
        .iter()
        .for_each(|(expectation, class)| class.print(expectation));
    let passed: usize = classes.values().map(|class| class.passed).sum();
    assert!(passed > 0, "no real file was read");
    let failed: usize = classes.values().map(|class| class.failures.len()).sum();
    assert_eq!(failed, 0, "{failed} real files are read in another way");
}

#[test]
fn real_files_take_the_memory_that_their_headers_announce() {
    let mut images = 0;
    for_each_file(|name, _, content| {
        if let Ok(image) = bioimage::decode(content, name, &LIMITS) {
            images += 1;
            let bytes = (image.len() * size_of::<f32>()) as u64;
            let header = bioimage::header_of(content, name)
                .unwrap_or_else(|error| panic!("{name}: no header: {error}"));
            let announced = header.decoded_bytes();
            assert!(
                (bytes..=4 * bytes).contains(&announced),
                "{name}: {bytes} bytes, {announced} announced"
            );
        }
    });
    assert!(images > 0, "no image was read");
}

#[test]
fn damaged_real_files_are_refused_or_read_but_never_panic() {
    let limits = Limits {
        max_decoded_bytes: 8 << 20,
    };
    let mut random = fastrand::Rng::with_seed(1);
    for_each_file(|name, _, content| {
        for round in 0..4 {
            let damaged = damaged(content, round, &mut random);
            let _ = bioimage::decode(&damaged, name, &limits);
            let _ = bioimage::decode(&damaged, "by-content", &limits);
            let _ = archive::image_entries(&damaged);
            let _ = npy::read_f64(&damaged, &limits);
        }
    });
}

/// Shows every file of the folders with its name and what is expected of it.
fn for_each_file(mut show: impl FnMut(&str, &Value, &[u8])) {
    let mut shown = 0;
    for folder in folders(&["archives", "nuclei", "tissue"]) {
        for (name, expected, content) in folder.files() {
            show(name, expected, &content);
            shown += 1;
        }
    }
    assert!(shown > 0, "there are no real files");
}

/// The file cut off somewhere, or with some bytes changed, mostly in its first KiB where the headers are.
fn damaged(content: &[u8], round: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut damaged = content.to_vec();
    if round == 0 {
        damaged.truncate(random.usize(..content.len().max(1)));
        return damaged;
    }
    for _ in 0..round {
        let reach = if random.u8(..4) == 0 {
            content.len()
        } else {
            content.len().min(1024)
        };
        let at = random.usize(..reach.max(1));
        if let Some(byte) = damaged.get_mut(at) {
            *byte = random.u8(..);
        }
    }
    damaged
}

/// Files of one expectation.
#[derive(Default)]
struct Class {
    passed: usize,
    skipped: usize,
    failures: Vec<String>,
}

impl Class {
    fn note(&mut self, name: &str, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Refused(reason) => {
                println!("refused {name}: {reason}");
                self.passed += 1;
            }
            Verdict::Skipped => self.skipped += 1,
            Verdict::Failed(reason) => self.failures.push(format!("{name}: {reason}")),
        }
    }

    fn print(&self, expectation: &str) {
        self.failures
            .iter()
            .for_each(|failure| println!("failed {failure}"));
        let (passed, failed, skipped) = (self.passed, self.failures.len(), self.skipped);
        println!("real-files {expectation}: {passed} passed, {failed} failed, {skipped} skipped");
    }
}

enum Verdict {
    Passed,
    /// An error where one is allowed.
    Refused(String),
    Skipped,
    Failed(String),
}

fn verdict(name: &str, content: &[u8], expected: &Value) -> Verdict {
    let read = || match expected["kind"].as_str() {
        Some("tiff" | "image") => image_agrees(name, content, expected),
        Some("npz") => arrays_agree(content, expected),
        Some("zip") => listing_agrees(content, expected),
        _ => Err(Mismatch::Unknown),
    };
    let Ok(outcome) = catch_unwind(read) else {
        return Verdict::Failed("panics".to_owned());
    };
    let may_fail = expected["expectation"]
        .as_str()
        .is_some_and(|text| text.contains("clean_error"));
    let may_be_anything = matches!(
        expected["expectation"].as_str(),
        Some("no_crash" | "decoders_disagree" | "refuse_or_contain")
    );
    match outcome {
        Ok(()) => Verdict::Passed,
        Err(Mismatch::Unknown) => Verdict::Skipped,
        Err(Mismatch::Refused(reason)) if may_fail || may_be_anything => Verdict::Refused(reason),
        Err(Mismatch::Differs(_)) if may_be_anything => Verdict::Passed,
        Err(Mismatch::Refused(reason) | Mismatch::Differs(reason) | Mismatch::Unsafe(reason)) => {
            Verdict::Failed(reason)
        }
    }
}

/// How a result is not what reference readers see.
enum Mismatch {
    /// There is no way here to read such a file.
    Unknown,
    /// The file was refused.
    Refused(String),
    /// It was read as something else.
    Differs(String),
    /// It was read as something dangerous.
    Unsafe(String),
}

fn refused(error: impl std::fmt::Display) -> Mismatch {
    Mismatch::Refused(error.to_string())
}

fn image_agrees(name: &str, content: &[u8], expected: &Value) -> Result<(), Mismatch> {
    let image = bioimage::decode(content, name, &LIMITS).map_err(refused)?;
    let seen = ["array", "pillow_raw"]
        .into_iter()
        .find_map(|key| expected.get(key));
    let seen = seen.ok_or_else(|| Mismatch::Differs("reference readers refuse it".to_owned()))?;
    let is_lossy = expected["expectation"]
        .as_str()
        .is_some_and(|text| text.contains("approx"));
    let mut shape = image.shape().to_vec();
    // Image libraries show gray without the channel axis that every image has here.
    if expected["kind"] == "image" && shape.last() == Some(&1) {
        shape.pop();
    }
    agrees(
        &image.mapv(f64::from),
        &shape,
        seen,
        if is_lossy { 1.0 } else { 0.0 },
    )
}

/// The arrays of an `.npz` archive.
fn arrays_agree(content: &[u8], expected: &Value) -> Result<(), Mismatch> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(content)).map_err(refused)?;
    for (name, seen) in expected["arrays"].as_object().into_iter().flatten() {
        let mut file = Vec::new();
        zip.by_name(&format!("{name}.npy"))
            .map_err(refused)?
            .read_to_end(&mut file)
            .map_err(refused)?;
        let array = npy::read_f64(&file, &LIMITS).map_err(refused)?;
        agrees(&array, array.shape(), seen, 0.0)?;
    }
    Ok(())
}

/// Shape, and every value by the digest of the stored type; lossy images by their statistics, within `counts`. So are types
/// that f32 does not hold, within its rounding.
fn agrees(image: &ArrayD<f64>, shape: &[usize], seen: &Value, counts: f64) -> Result<(), Mismatch> {
    if Value::from(shape) != seen["shape"] {
        return Err(Mismatch::Differs(format!(
            "shape {shape:?} instead of {}",
            seen["shape"]
        )));
    }
    let dtype = seen["dtype"].as_str().unwrap_or_default();
    // Image libraries keep 1-bit images as bytes of 0 and 255, and their digest was taken of those.
    let candidates = if dtype == "bool" {
        vec![image.clone(), image * 255.0]
    } else {
        vec![image.clone()]
    };
    if candidates
        .iter()
        .any(|image| digest(image, dtype).as_deref() == seen["sha256_le"].as_str())
    {
        return Ok(());
    }
    let is_wide = matches!(dtype, "uint32" | "int32" | "uint64" | "int64" | "float64");
    if counts == 0.0 && !is_wide {
        return Err(Mismatch::Differs("other values".to_owned()));
    }
    let (mut least, mut most, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    image
        .iter()
        .for_each(|&value| (least, most, sum) = (least.min(value), most.max(value), sum + value));
    let found = [
        ("min", least),
        ("max", most),
        ("mean", sum / image.len() as f64),
    ];
    for (what, found) in found {
        let wanted = seen[what].as_f64().unwrap_or(f64::NAN);
        let allowed = if what == "mean" { counts } else { counts * 8.0 } + wanted.abs() * 1e-6;
        if (found - wanted)
            .abs()
            .partial_cmp(&allowed)
            .is_none_or(std::cmp::Ordering::is_gt)
        {
            return Err(Mismatch::Differs(format!(
                "{what} {found} instead of {wanted}"
            )));
        }
    }
    Ok(())
}

/// Digest of the values as the stored type, little-endian in C order.
fn digest(image: &ArrayD<f64>, dtype: &str) -> Option<String> {
    fn all<const N: usize>(image: &ArrayD<f64>, bytes: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
        image.iter().flat_map(|&value| bytes(value)).collect()
    }
    let bytes = match dtype {
        "bool" | "uint8" => all(image, |value| [value as u8]),
        "int8" => all(image, |value| (value as i8).to_le_bytes()),
        "uint16" => all(image, |value| (value as u16).to_le_bytes()),
        "int16" => all(image, |value| (value as i16).to_le_bytes()),
        "uint32" => all(image, |value| (value as u32).to_le_bytes()),
        "int32" => all(image, |value| (value as i32).to_le_bytes()),
        "uint64" => all(image, |value| (value as u64).to_le_bytes()),
        "int64" => all(image, |value| (value as i64).to_le_bytes()),
        "float16" => all(image, |value| f16::from_f32(value as f32).to_le_bytes()),
        "float32" => all(image, |value| (value as f32).to_le_bytes()),
        "float64" => all(image, f64::to_le_bytes),
        _ => return None,
    };
    Some(hex(&sha2::Sha256::digest(bytes)))
}

/// The images among the entries that a reference reader lists.
fn listing_agrees(content: &[u8], expected: &Value) -> Result<(), Mismatch> {
    let found = archive::image_entries(content).map_err(refused)?;
    if let Some(path) = found
        .iter()
        .find(|path| Path::new(path).is_absolute() || path.split('/').any(|it| it == ".."))
    {
        return Err(Mismatch::Unsafe(format!("`{path}` leaves the folder")));
    }
    let entries = expected["entries"].as_array().into_iter().flatten();
    let files = entries.filter(|entry| entry["is_dir"] != true);
    let names =
        files.filter_map(|entry| Some((entry["name"].as_str()?, entry["utf8_flag"] == true)));
    let images = names
        .filter(|(name, _)| Path::new(name).extension().is_some() && !name.contains("__MACOSX"));
    let wanted: Vec<(&str, bool)> = images.collect();
    // Readers do not agree on names that are neither ASCII nor marked as UTF-8.
    let agrees = |(found, (wanted, is_utf8)): (&String, &(&str, bool))| {
        found == wanted || (!is_utf8 && !wanted.is_ascii())
    };
    if found.len() == wanted.len() && found.iter().zip(&wanted).all(agrees) {
        Ok(())
    } else {
        Err(Mismatch::Differs(format!(
            "{found:?} instead of {wanted:?}"
        )))
    }
}
