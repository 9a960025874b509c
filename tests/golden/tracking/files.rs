//! Movies as they are uploaded, track files, and lineages.

use bioimage::time_lapse::{FrameLimits, movie, single_frame, stacked_labels};
use bioimage::trk::write_trk;
use bioimage::{Limits, TrackFile, encode_tiff};
use cell_analysis::tracking::Lineage;
use ndarray::{Array3, Axis};
use serde_json::{Value, json};

use super::shaped;
use crate::cases::Case;
use crate::outcome::{Failure, Outcome, exact, refused, same, same_bytes};

pub(super) fn load(case: &Case) -> Outcome {
    const LIMITS: FrameLimits = FrameLimits {
        batch: 64,
        movie: 60,
    };
    let image = bioimage::decode(&case.input_bytes("file")?, "movie.tif", &Limits::default())
        .map_err(refused)?;
    let movie = movie(image, &LIMITS).map_err(refused)?;
    if case.fails {
        return Ok(());
    }
    let (_, rows, columns) = movie.dim();
    let frames = case.input("labels")?.map(|label| label as f32);
    let frames = frames
        .outer_iter()
        .map(|frame| frame.to_owned().into_dyn())
        .collect::<Vec<_>>();
    let labels = stacked_labels(frames, [rows, columns]).map_err(refused)?;
    exact(
        "y",
        labels.insert_axis(Axis(3)).into_dyn().view(),
        &case.expected("y")?.values,
    )?;
    let first = single_frame(movie.index_axis(Axis(0), 0));
    same_bytes(
        &encode_tiff(first.view()),
        &case.expected_bytes("child_tif_0")?,
    )?;
    same(
        "children",
        &json!(movie.len_of(Axis(0))),
        &case.params["children"],
    )?;
    exact(
        "X",
        movie.insert_axis(Axis(3)).into_dyn().view(),
        &case.expected("X")?.values,
    )
}

pub(super) fn read_file(case: &Case, with_lineages: bool) -> Outcome {
    let file = TrackFile::read(&case.input_bytes("file")?, &Limits::default()).map_err(refused)?;
    if with_lineages {
        let lineages = file.lineages().map_err(refused)?;
        if case.fails {
            return Ok(());
        }
        same(
            "lineages",
            &json!(lineages),
            &case.expected_json("lineages")?,
        )?;
    }
    // Pixels are f32 from here on, whatever the file stores.
    let raw = case.expected("X")?.map(|value| f64::from(value as f32));
    exact("X", file.raw.view(), &raw)?;
    exact("y", file.labels.view(), &case.expected("y")?.values)
}

pub(super) fn write_file(case: &Case) -> Outcome {
    let lineage = String::from_utf8(case.input_bytes("lineage")?).map_err(refused)?;
    let text = Lineage::from_json(&lineage)
        .map_err(refused)?
        .to_indented_json();
    same_bytes(text.as_bytes(), &case.expected_bytes("lineage_text")?)?;
    let raw = case.input("raw")?.map(|value| value as u8);
    let tracked = case.input("tracked")?.map(|label| label as i32);
    let found = members(&write_trk(&text, &raw.view(), &tracked.view()).map_err(refused)?)?;
    let expected = members(&case.expected_bytes("file")?)?;
    if found == expected {
        Ok(())
    } else {
        Err("the members differ".to_owned().into())
    }
}

fn members(file: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut members = Vec::new();
    for entry in archive.entries().map_err(refused)? {
        let mut entry = entry.map_err(refused)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).map_err(refused)?;
        members.push((name, content));
    }
    Ok(members)
}

pub(super) fn relabel(case: &Case) -> Outcome {
    let (labels, lineage) = lineage(case)?
        .relabeled(movie_labels(case)?)
        .map_err(refused)?;
    let expected = case.expected("y")?.values.remove_axis(Axis(3));
    exact("y", labels.into_dyn().view(), &expected)?;
    let expected = case.expected_json("lineage")?;
    let mut found: Value = serde_json::from_str(&lineage.to_json()).map_err(refused)?;
    for entry in found
        .as_object_mut()
        .into_iter()
        .flat_map(|entries| entries.values_mut())
    {
        for key in ["capped", "frame_div"] {
            entry.as_object_mut().map(|fields| fields.remove(key));
        }
    }
    same("lineage", &found, &expected)
}

pub(super) fn is_valid(case: &Case) -> Outcome {
    let valid = lineage(case)?.is_valid(movie_labels(case)?.view());
    same("valid", &json!(valid), &case.expected_json("valid")?)
}

pub(super) fn isbi(case: &Case) -> Outcome {
    same(
        "rows",
        &json!(lineage(case)?.isbi_rows()),
        &case.expected_json("rows")?,
    )
}

fn lineage(case: &Case) -> Result<Lineage, Failure> {
    let text = String::from_utf8(case.input_bytes("lineage")?).map_err(refused)?;
    Lineage::from_json(&text).map_err(refused)
}

fn movie_labels(case: &Case) -> Result<Array3<i32>, Failure> {
    shaped(
        case.input("y")?
            .map(|label| label as i32)
            .remove_axis(Axis(3)),
    )
}
