//! Polygons as other programs open them: GeoJSON for QuPath, ROIs for ImageJ.

use crate::consumers::output::ResultName;
use crate::consumers::recipe::Entries;
use crate::storage::archive;
use cell_analysis::stardist::StarPolygons;

/// Which files of polygons a result has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exports {
    geojson: bool,
    imagej: bool,
}

impl Exports {
    /// Reads names of formats.
    ///
    /// # Errors
    ///
    /// What is expected instead of a name that is none.
    pub(super) fn parse(names: &[String]) -> Result<Self, String> {
        let mut exports = Self::default();
        for name in names.iter().map(|name| name.trim().to_lowercase()) {
            match name.as_str() {
                "geojson" => exports.geojson = true,
                "imagej" => exports.imagej = true,
                "" => {}
                _ => return Err(format!("`{name}` is not known; available: geojson, imagej")),
            }
        }
        Ok(exports)
    }

    /// The files of a batch item.
    ///
    /// # Errors
    ///
    /// If an archive of ROIs cannot be written.
    pub(super) fn of(
        self,
        name: &ResultName,
        item: usize,
        polygons: &StarPolygons,
    ) -> anyhow::Result<Entries> {
        let vertices = polygons.vertices();
        let corners: Vec<Vec<[f32; 2]>> = vertices
            .outer_iter()
            .map(|axes| {
                let (rows, columns) = (axes.row(0), axes.row(1));
                rows.iter().zip(columns).map(|(y, x)| [*y, *x]).collect()
            })
            .collect();
        let mut entries = Entries::new();
        if self.geojson {
            let scored = corners.iter().zip(&polygons.scores);
            let text = bioimage::geojson::write(
                scored.map(|(corners, score)| (corners.as_slice(), *score)),
            );
            entries.push((name.batch(item, "geojson"), text.into_bytes()));
        }
        if self.imagej {
            let digits = corners.len().to_string().len();
            let rois = (1..).zip(&corners).map(|(number, corners)| {
                let file = format!("{number:0digits$}.roi");
                (file, bioimage::imagej_roi::polygon(corners))
            });
            let zipped = archive::write_zip(rois.collect::<Vec<_>>())?;
            entries.push((name.batch(item, "rois.zip"), zipped));
        }
        Ok(entries)
    }
}
