//! Golden cases of image input and output: files to arrays, arrays to files, result names, archives.

use bioimage::{Limits, TiffSample, npy};
use ndarray::{ArrayD, ArrayViewD};
use redis_consumer::consumers::output;
use redis_consumer::storage::archive;
use serde_json::Value;
use sha2::Digest;

use crate::cases::{Case, Verdict};
use crate::npy::in_its_type;
use crate::outcome::{Failure, Outcome, exact, judged, method, refused, same, same_bytes};
use crate::peers::results::hex;

/// Runs a case of the area; operations that are not built are skipped, and none may be.
pub(crate) fn run(case: &Case) -> Result<Verdict, String> {
    let operation: fn(&Case) -> Outcome = match case.operation.as_str() {
        "read_tiff" | "read_image" => read_image,
        "save_numpy_array" => save,
        "imsave" => imsave,
        "npy_read" => npy_read,
        "npy_write" => npy_write,
        "zip_files" => zip_files,
        "iter_image_archive" => archive_listing,
        _ => return Ok(Verdict::Skipped),
    };
    judged(case, operation(case))
}

fn read_image(case: &Case) -> Outcome {
    let path = case.input_path("file")?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let image =
        bioimage::decode(&case.input_bytes("file")?, &name, &Limits::default()).map_err(refused)?;
    if case.fails {
        return Ok(());
    }
    let expected =
        npy::read_f32(&case.expected_bytes("image")?, &Limits::default()).map_err(refused)?;
    if image == expected {
        return Ok(());
    }
    // Only lossy codecs come with a tolerance; anything else must have been equal.
    case.agrees("image", image.view())?;
    let differences = image
        .iter()
        .zip(&expected)
        .map(|(a, b)| f64::from((a - b).abs()));
    let mean = differences.sum::<f64>() / image.len() as f64;
    let allowed = case.agreements["image"]["mean_abs"].as_f64().unwrap_or(0.0);
    if mean <= allowed {
        Ok(())
    } else {
        Err(format!("differs by {mean:.3} on average, allowed {allowed}").into())
    }
}

fn save(case: &Case) -> Outcome {
    let input = array(case, "array")?;
    let (subdir, name) = (case.text("subdir"), case.text("name"));
    // The reference is given the two parts; a suffix makes them a file name again, which an empty name has not.
    let suffix = if name.is_empty() { "" } else { ".tif" };
    let names = output::ResultName::new(&format!("{subdir}/{name}{suffix}"));
    let features = bioimage::channels(&input).count();
    let paths: Vec<String> = (0..features)
        .map(|feature| names.feature(feature))
        .collect();
    same("paths", &Value::from(paths), &case.expected_json("paths")?)?;
    for (feature, image) in bioimage::channels(&input).enumerate() {
        same_bytes(
            &bioimage::encode_tiff(image),
            &case.expected_bytes(&format!("file_{feature}"))?,
        )?;
    }
    Ok(())
}

fn imsave(case: &Case) -> Outcome {
    let input = case.input("array")?;
    let file = in_its_type!(input, tiff tiff);
    let expected = case.expected_bytes("file")?;
    if !input.dtype.starts_with('>') {
        return same_bytes(&file, &expected);
    }
    // Only this machine's order of bytes is written here; what the reference wrote in the other one reads the same.
    let read = |file: &[u8]| bioimage::decode(file, "file.tif", &Limits::default());
    let (found, expected) = (
        read(&file).map_err(refused)?,
        read(&expected).map_err(refused)?,
    );
    exact("file", found.view(), &expected.mapv(f64::from))
}

fn tiff<T: TiffSample>(array: &ArrayViewD<'_, T>) -> Vec<u8> {
    bioimage::encode_tiff(array.view())
}

fn npy_read(case: &Case) -> Outcome {
    let values = npy::read_f64(&case.input_bytes("file")?, &Limits::default()).map_err(refused)?;
    if case.fails {
        return Ok(());
    }
    same("shape", &Value::from(values.shape()), &case.params["shape"])?;
    // The reference's values are noted flat, in C order.
    if values.iter().eq(&case.expected("values")?.values) {
        Ok(())
    } else {
        Err("the values differ".to_owned().into())
    }
}

fn npy_write(case: &Case) -> Outcome {
    let input = case.input("array")?;
    let file = in_its_type!(input, npy::write);
    let mut expected = case.expected_bytes("file")?;
    if input.dtype.starts_with('>') {
        // Only this machine's order of bytes is written here: what the reference wrote in the other one is turned.
        let stored = case.expected("file")?;
        expected = in_its_type!(stored, npy::write);
    }
    same_bytes(&file, &expected)
}

fn zip_files(case: &Case) -> Outcome {
    let names = case.params["files"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let mut entries = Vec::new();
    for (index, name) in names.enumerate() {
        entries.push((name.to_owned(), case.input_bytes(&format!("f{index}"))?));
    }
    let file = archive::write_zip(entries).map_err(refused)?;
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(file)).map_err(refused)?;
    let mut found = Vec::new();
    for index in 0..zip.len() {
        found.push(entry(&mut zip.by_index(index).map_err(refused)?)?);
    }
    same(
        "entries",
        &Value::from(found),
        &case.expected_json("entries")?,
    )
}

/// What the index notes of an archive's entry.
fn entry(entry: &mut zip::read::ZipFile<'_, std::io::Cursor<Vec<u8>>>) -> Result<Value, Failure> {
    let mut content = Vec::new();
    std::io::Read::read_to_end(entry, &mut content).map_err(refused)?;
    let sha256 = hex(&sha2::Sha256::digest(&content));
    let method = method(entry);
    let name = entry.name().map_err(refused)?.into_owned();
    Ok(serde_json::json!({"name": name, "method": method, "size": content.len(), "sha256": sha256}))
}

fn archive_listing(case: &Case) -> Outcome {
    let paths = archive::image_entries(&case.input_bytes("file")?).map_err(refused)?;
    if case.fails {
        return Ok(());
    }
    same("paths", &Value::from(paths), &case.expected_json("paths")?)
}

/// An input array as f32, rounded once.
fn array(case: &Case, name: &str) -> Result<ArrayD<f32>, Failure> {
    npy::read_f32(&case.input_bytes(name)?, &Limits::default()).map_err(refused)
}
