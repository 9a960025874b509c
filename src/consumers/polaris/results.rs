//! What the jobs of the parts have found, put together.

use std::collections::HashMap;
use std::io::{Cursor, Read, Seek};

use anyhow::{anyhow, ensure};
use bytes::Bytes;
use ndarray::{Array2, Array4, ArrayView3, Axis, Ix2, Ix3, concatenate, stack};

use super::parts::{MESMER, SEGMENTATION, SPOT};
use crate::applications::spots::cells_of_spots;
use crate::consumers::output::ResultName;
use crate::consumers::recipe::Entries;
use crate::storage::archive::{ArchiveError, ArchiveLimits, ZipImages};
use bioimage::{encode_tiff, npy, spot_csv};

/// Bytes at the peak for each byte of the results' files: these, the images in them, the same put together twice, and the
/// files and the archive of the result.
const COPIES: u64 = 6;

/// Bytes that these archives, and what is made of their files, take.
pub(super) fn bytes_of_results(
    files: &[(String, Bytes)],
    limits: &bioimage::Limits,
) -> anyhow::Result<u64> {
    let mut bytes = 0_u64;
    for (_, file) in files {
        let unpacked = open(&mut Cursor::new(file), limits)?.unpacked();
        bytes = bytes
            .saturating_add(file.len() as u64)
            .saturating_add(unpacked.saturating_mul(COPIES));
    }
    Ok(bytes)
}

fn open(
    file: &mut (impl Read + Seek),
    limits: &bioimage::Limits,
) -> Result<ZipImages, ArchiveError> {
    let limits = ArchiveLimits {
        entries: usize::MAX,
        bytes: limits.max_decoded_bytes,
        ratio: u64::MAX,
    };
    ZipImages::open(file, limits)
}

pub(super) fn unpack_all(
    files: Vec<(String, Bytes)>,
    limits: &bioimage::Limits,
) -> anyhow::Result<Vec<(String, Entries)>> {
    let unpacked = files
        .into_iter()
        .map(|(queue, file)| anyhow::Ok((queue, unpack(&file, limits)?)));
    unpacked.collect()
}

fn unpack(file: &[u8], limits: &bioimage::Limits) -> anyhow::Result<Entries> {
    let mut file = Cursor::new(file);
    let mut images = open(&mut file, limits)?;
    let mut files = Vec::new();
    while let Some(image) = images.read_next(&mut file)? {
        files.push(image);
    }
    Ok(files)
}

/// For each batch item its labels, if there are any, and the table of its spots.
pub(super) fn entries(
    name: &ResultName,
    results: Vec<(String, Entries)>,
    limits: &bioimage::Limits,
) -> anyhow::Result<Entries> {
    let mut by_queue: HashMap<String, Vec<Entries>> = HashMap::new();
    for (queue, files) in results {
        by_queue.entry(queue).or_default().push(files);
    }
    let spots = by_queue.remove(SPOT).unwrap_or_default();
    let points: Vec<_> = spots
        .iter()
        .flatten()
        .filter(|(name, _)| name.ends_with(".npy"))
        .map(|(_, file)| points(file, limits))
        .collect::<anyhow::Result<_>>()?;
    let labels = labels(&mut by_queue, limits)?;
    if let Some(labels) = &labels {
        ensure!(
            points.len() <= labels.dim().0,
            "there are spots of {} images and cells of {}",
            points.len(),
            labels.dim().0
        );
    }
    let mut entries = Vec::new();
    for (item, points) in points.iter().enumerate() {
        let mut cells = Vec::new();
        if let Some(labels) = &labels {
            let labels: ArrayView3<'_, f32> = labels.index_axis(Axis(0), item);
            let planes = labels.axis_iter(Axis(2)).enumerate();
            let planes = planes.map(|(c, plane)| (name.batch_feature(item, c), plane));
            entries.extend(planes.map(|(name, plane)| (name, encode_tiff(plane.into_dyn()))));
            cells = cells_of_spots(points, labels)?;
        }
        let table = spot_csv(points, &cells).into_bytes();
        entries.push((name.batch(item, "csv"), table));
    }
    Ok(entries)
}

fn points(file: &[u8], limits: &bioimage::Limits) -> anyhow::Result<Vec<[f64; 2]>> {
    let points: Array2<f64> = npy::read_f64(file, limits)?.into_dimensionality::<Ix2>()?;
    ensure!(
        points.ncols() == 2 || points.is_empty(),
        "the spots are not a list of points"
    );
    Ok(points
        .rows()
        .into_iter()
        .map(|point| [point[0], point[1]])
        .collect())
}

/// Labels `[batch, row, column, kind]`, if cells were looked for.
fn labels(
    by_queue: &mut HashMap<String, Vec<Entries>>,
    limits: &bioimage::Limits,
) -> anyhow::Result<Option<Array4<f32>>> {
    let decode = |(name, file): &(String, Vec<u8>)| {
        anyhow::Ok(bioimage::squeeze(bioimage::decode(file, name, limits)?))
    };
    if let Some(files) = by_queue.remove(MESMER) {
        let planes: Vec<_> = files
            .iter()
            .flatten()
            .map(decode)
            .collect::<anyhow::Result<_>>()?;
        let views: Vec<_> = planes.iter().map(|plane| plane.view()).collect();
        let kinds = stack(Axis(2), &views)?.into_dimensionality::<Ix3>()?;
        return Ok(Some(kinds.insert_axis(Axis(0))));
    }
    let Some(results) = by_queue.remove(SEGMENTATION) else {
        return Ok(None);
    };
    let mut kinds = Vec::new();
    for files in &results {
        let planes: Vec<_> = files.iter().map(decode).collect::<anyhow::Result<_>>()?;
        let views: Vec<_> = planes.iter().map(|plane| plane.view()).collect();
        let items = stack(Axis(0), &views)?.into_dimensionality::<Ix3>();
        kinds.push(
            items
                .map_err(|_| anyhow!("cells of images of several sizes"))?
                .insert_axis(Axis(3)),
        );
    }
    let views: Vec<_> = kinds.iter().map(|kind| kind.view()).collect();
    Ok(Some(concatenate(Axis(3), &views)?))
}
