//! The cells of a result, measured.

use std::io;
use std::ops::Range;

use anyhow::{Context as _, ensure};
use cell_analysis::regions::{
    CellColumns, CellRows, CellTable, CellTrack, Region, Regions, measure_regions,
};
use ndarray::{Array2, Array4, ArrayView2, Axis};

use super::labels::{LabelImage, LabelImages};
use super::sight::{Sight, with_frames};
use crate::untrusted;

/// Cells of one job.
const MOST_CELLS: usize = 1_000_000;

/// Channels in which the light is measured.
const CHANNELS: usize = 16;

/// Pixels for each run of one label in a row, at least: cells are no noise, which would take more memory than is reserved.
const PIXELS_OF_RUN: usize = 4;

/// Rows of a table that are written at once.
const CSV_ROWS: usize = 500;

/// Bytes that a cell takes, beside those of its channels.
const BYTES_OF_CELL: usize = size_of::<Region>();

/// All cells of a job, image by image.
pub(in super::super) struct Cells {
    images: Vec<Measured>,
    channels: usize,
    is_movie: bool,
    /// In square micrometers, if the input tells it.
    pixel_area: Option<f64>,
    /// By ascending labels.
    tracks: Vec<CellTrack>,
}

/// The cells of one label image.
#[derive(Debug)]
struct Measured {
    /// What it is called.
    name: String,
    feature: usize,
    frame: usize,
    regions: Regions,
}

/// One of them.
#[derive(Clone, Copy)]
pub(in super::super) struct Cell<'c> {
    /// What its label image is called.
    pub(in super::super) image: &'c str,
    /// Which kind of cell it is: whole ones, nuclei.
    pub(in super::super) feature: usize,
    pub(in super::super) frame: usize,
    pub(in super::super) region: &'c Region,
    /// What it is a part of, in a movie.
    pub(in super::super) track: Option<CellTrack>,
    regions: &'c Regions,
    at: usize,
}

impl Cell<'_> {
    /// The mean of a channel's light in it.
    pub(in super::super) fn mean(&self, channel: usize) -> f64 {
        self.regions.mean_intensity(self.at, channel)
    }
}

impl Cells {
    /// Measures them, on a thread that may be busy.
    pub(super) fn of(sight: Sight) -> anyhow::Result<Self> {
        let result = sight.result.context("the result is not there any more")?;
        let mut labels = LabelImages::open(result, sight.limits)?;
        let mut image = sight.image;
        let mut cells = Self {
            images: Vec::new(),
            channels: 0,
            is_movie: false,
            pixel_area: sight.pixel_area,
            tracks: Vec::new(),
        };
        while let Some(found) = labels.next()? {
            image = with_frames(image, found.frames);
            cells.is_movie |= found.frames > 1;
            cells.images.push(measured(&image, &found)?);
            let most = MOST_CELLS;
            ensure!(cells.count() <= most, "there are more than {most} cells");
        }
        ensure!(
            !cells.images.is_empty(),
            "the result has no images of labels"
        );
        cells.channels = image.dim().3.min(CHANNELS);
        cells.tracks = labels.take_tracks();
        Ok(cells)
    }

    pub(in super::super) fn count(&self) -> usize {
        let images = self.images.iter();
        images.map(|image| image.regions.regions.len()).sum()
    }

    /// Channels in which the light was measured.
    pub(in super::super) fn channels(&self) -> usize {
        self.channels
    }

    /// Whether it takes a name to tell of which image a cell is.
    pub(in super::super) fn has_several_images(&self) -> bool {
        let mut names = self.images.iter().map(|image| &image.name);
        let first = names.next();
        names.any(|name| Some(name) != first)
    }

    /// The area of a pixel in square micrometers, if the input tells it.
    pub(in super::super) fn pixel_area(&self) -> Option<f64> {
        self.pixel_area
    }

    /// Whether they have frames, and may have tracks.
    pub(in super::super) fn is_movie(&self) -> bool {
        self.is_movie
    }

    pub(in super::super) fn all(&self) -> impl Iterator<Item = Cell<'_>> {
        self.images.iter().flat_map(|image| {
            let count = image.regions.regions.len();
            (0..count).filter_map(|at| self.cell(image, at))
        })
    }

    /// The cell with this label, of a kind in a frame.
    pub(in super::super) fn find(
        &self,
        feature: usize,
        frame: usize,
        label: u32,
    ) -> Option<Cell<'_>> {
        let mut images = self.images.iter();
        let image = images.find(|image| (image.feature, image.frame) == (feature, frame))?;
        let cells = &image.regions.regions;
        let at = cells.binary_search_by_key(&label, |cell| cell.label);
        self.cell(image, at.ok()?)
    }

    fn cell<'c>(&'c self, image: &'c Measured, at: usize) -> Option<Cell<'c>> {
        let region = image.regions.regions.get(at)?;
        let tracks = &self.tracks;
        let track = tracks.binary_search_by_key(&region.label, |track| track.track);
        Some(Cell {
            image: &image.name,
            feature: image.feature,
            frame: image.frame,
            region,
            track: track.ok().and_then(|at| tracks.get(at).copied()),
            regions: &image.regions,
            at,
        })
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        let of_cell = BYTES_OF_CELL + self.channels * size_of::<f64>();
        let names: usize = self.images.iter().map(|image| image.name.len()).sum();
        names + self.count() * of_cell + self.tracks.len() * size_of::<CellTrack>()
    }

    /// The parts of a table of all of them: which image, and which of its cells. There is at least one.
    pub(in super::super) fn csv_parts(&self) -> Vec<CsvPart> {
        let of_image = |(image, measured): (usize, &Measured)| {
            let count = measured.regions.regions.len();
            // One that has no cells is a part, too: the names of the columns are in the first one.
            let starts = (0..count.max(1)).step_by(CSV_ROWS);
            starts.map(move |start| CsvPart {
                image,
                cells: start..count.min(start + CSV_ROWS),
            })
        };
        self.images.iter().enumerate().flat_map(of_image).collect()
    }

    /// A part as comma-separated text; the image comes first if there are several.
    pub(in super::super) fn csv(&self, part: &CsvPart, with_names: bool) -> io::Result<Vec<u8>> {
        let columns = CellColumns {
            item: self.has_several_images(),
            ..self.columns()
        };
        let mut text = match with_names {
            true => CellTable::begin(Vec::new(), columns.clone())?.into_inner(),
            false => Vec::new(),
        };
        text.extend(self.rows(part, columns, &str::to_owned)?);
        Ok(text)
    }

    /// What there is to tell of them, but for the item.
    pub(super) fn columns(&self) -> CellColumns {
        CellColumns {
            item: false,
            tracks: self.is_movie,
            area_um2: self.pixel_area.is_some(),
            channels: channel_names(self.channels),
        }
    }

    /// A part as rows of these columns, with a name for each image.
    pub(super) fn rows(
        &self,
        part: &CsvPart,
        columns: CellColumns,
        name: &dyn Fn(&str) -> String,
    ) -> io::Result<Vec<u8>> {
        let image = &self.images[part.image];
        let (all, cells) = (&image.regions, part.cells.clone());
        let regions = Regions {
            regions: all.regions[cells.clone()].to_vec(),
            integrated: all.integrated.slice_axis(Axis(0), cells.into()).to_owned(),
        };
        let mut table = CellTable::begin(Vec::new(), columns.clone())?;
        table.add(&CellRows {
            item: &inert(&name(&image.name)),
            frame: image.frame,
            tracks: &self.tracks,
            pixel_area_um2: self.pixel_area,
            regions: &regions,
        })?;
        let names = CellTable::begin(Vec::new(), columns)?.into_inner();
        Ok(table.into_inner().split_off(names.len()))
    }
}

/// A part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct CsvPart {
    image: usize,
    cells: Range<usize>,
}

fn measured(image: &Array4<f32>, found: &LabelImage) -> anyhow::Result<Measured> {
    let LabelImage {
        path, item, labels, ..
    } = found;
    let (items, rows, columns, channels) = image.dim();
    let shape = labels.dim();
    ensure!(
        *item < items && shape == (rows, columns),
        "`{path}` has {shape:?} rows and columns of image {item}, the input has {items} images of {:?}",
        (rows, columns)
    );
    let runs = runs(labels);
    ensure!(
        runs <= labels.len() / PIXELS_OF_RUN + columns,
        "`{path}` is too ragged to be measured: {runs} runs of labels"
    );
    let image = image.index_axis(Axis(0), *item);
    let planes = image.axis_iter(Axis(2)).take(channels.min(CHANNELS));
    let planes: Vec<ArrayView2<'_, f32>> = planes.collect();
    Ok(Measured {
        name: shown(path),
        feature: found.feature,
        frame: *item,
        regions: measure_regions(labels.view(), &planes),
    })
}

/// Runs of the same label in the rows.
fn runs(labels: &Array2<u32>) -> usize {
    let of_row = |row: ndarray::ArrayView1<'_, u32>| {
        let mut last = 0;
        row.iter()
            .filter(|&&label| std::mem::replace(&mut last, label) != label && label != 0)
            .count()
    };
    labels.rows().into_iter().map(of_row).sum()
}

/// The name of an image as it is shown.
fn shown(path: &str) -> String {
    untrusted::name(path).to_string()
}

/// What the channels of an image are called in tables.
pub(super) fn channel_names(count: usize) -> Vec<String> {
    (0..count).map(|it| format!("channel_{it}")).collect()
}

/// A name that no spreadsheet takes for a formula.
pub(super) fn inert(name: &str) -> String {
    match name.starts_with(['=', '+', '-', '@']) {
        true => format!("'{name}"),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn noise_is_no_cells() {
        assert_eq!(runs(&array![[0, 7, 7, 0], [7, 7, 2, 2]]), 3);
        let noise = Array2::from_shape_fn((64, 64), |(row, column)| (row * 64 + column) as u32);
        let found = |labels: Array2<u32>| LabelImage {
            path: "x_feature_0.tif".to_owned(),
            feature: 0,
            item: 0,
            frames: 1,
            labels,
        };
        let image = Array4::zeros((1, 64, 64, 20));
        let error = measured(&image, &found(noise)).expect_err("it is noise");
        assert!(error.to_string().contains("too ragged"), "{error}");
        let one = measured(&image, &found(Array2::ones((64, 64)))).expect("a cell");
        assert_eq!(one.regions.integrated.dim(), (1, CHANNELS));
        let error = measured(&image, &found(Array2::ones((64, 63)))).expect_err("another shape");
        assert!(error.to_string().contains("(64, 63)"), "{error}");
    }

    #[test]
    fn parts_of_a_table_are_the_whole() {
        let cells = |side: usize| {
            let labels = Array2::from_shape_fn((4 * side, 4 * side), |(row, column)| {
                (row / 4 * side + column / 4) as u32
            });
            measure_regions(labels.view(), &[])
        };
        let image = |name: &str, side| Measured {
            name: name.to_owned(),
            feature: 0,
            frame: 0,
            regions: cells(side),
        };
        let cells = Cells {
            images: vec![image("a", 40), image("none", 1), image("b", 3)],
            channels: 0,
            is_movie: false,
            pixel_area: None,
            tracks: Vec::new(),
        };
        let parts = cells.csv_parts();
        assert_eq!(parts.len(), 6, "{parts:?}");
        let texts = parts.iter().enumerate();
        let texts = texts.map(|(at, part)| cells.csv(part, at == 0).expect("memory takes all"));
        let text = String::from_utf8(texts.flatten().collect()).expect("text");
        assert_eq!(text.lines().count(), 1 + cells.count());
        assert_eq!(text.matches("item,label").count(), 1);
        assert!(text.contains("\r\nb,8,16,"), "{text}");
    }

    #[test]
    fn names_are_no_formulas() {
        assert_eq!(inert("=1+1_feature_0.tif"), "'=1+1_feature_0.tif");
        assert_eq!(inert("a=b.tif"), "a=b.tif");
    }
}
