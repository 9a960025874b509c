//! Words for numbers that are out of the ordinary.

use std::str::FromStr;

use super::numbers::Quality;

/// Something that is out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QualityFlag {
    /// Nothing was found.
    NoCells,
    /// Far fewer cells than in the median of the batch.
    FewCells,
    /// Far more cells than in the median of the batch.
    ManyCells,
    /// One cell is a large part of the image.
    HugeRegion,
    /// Many cells are tiny.
    Fragments,
    /// Cells are hardly brighter than what surrounds them.
    LowContrast,
    /// Many pixels are as bright as they can be.
    Saturated,
    /// Far less fine detail than in the median of the batch.
    OutOfFocus,
    /// Many cells touch the border of the image.
    CutCells,
}

/// Every flag, its name in settings, and the threshold that raises it: counts below or above so many times the median of the
/// batch, shares above, contrast below, focus below so many times the median.
const FLAGS: [(QualityFlag, &str, f64); 9] = [
    (QualityFlag::NoCells, "none", 1.0),
    (QualityFlag::FewCells, "few", 0.25),
    (QualityFlag::ManyCells, "many", 4.0),
    (QualityFlag::HugeRegion, "region", 0.25),
    (QualityFlag::Fragments, "fragments", 0.2),
    (QualityFlag::LowContrast, "contrast", 1.5),
    (QualityFlag::Saturated, "saturated", 0.01),
    (QualityFlag::OutOfFocus, "focus", 0.2),
    (QualityFlag::CutCells, "cut", 0.5),
];

impl QualityFlag {
    /// Its name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = FLAGS.iter().find(|(flag, ..)| *flag == self);
        found.map_or("", |(_, name, _)| name)
    }
}

/// A flag, and words with the number that raised it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaisedFlag {
    /// The flag.
    pub flag: QualityFlag,
    /// Such as `low contrast: 1.2`.
    pub text: String,
}

/// The thresholds of all flags.
///
/// As text they are those that differ from the defaults: `contrast=2,cut=0.8`.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityThresholds([f64; FLAGS.len()]);

impl Default for QualityThresholds {
    fn default() -> Self {
        Self(FLAGS.map(|(_, _, threshold)| threshold))
    }
}

impl FromStr for QualityThresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut thresholds = Self::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (name, number) = part.split_once('=').unwrap_or((part, ""));
            let Some(at) = FLAGS.iter().position(|flag| flag.1 == name.trim()) else {
                let known = FLAGS.map(|(_, name, _)| name).join(", ");
                return Err(format!("`{name}` is not known; available: {known}"));
            };
            thresholds.0[at] = match number.trim().parse() {
                Ok(number) if f64::is_finite(number) && number >= 0.0 => number,
                _ => return Err(format!("`{part}`: expected {name}=NUMBER, at least 0")),
            };
        }
        Ok(thresholds)
    }
}

/// What is usual in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchMedians {
    /// The median number of cells.
    pub cells: f64,
    /// The median absolute deviation of the numbers of cells.
    pub cells_deviation: f64,
    /// The median focus.
    pub focus: Option<f64>,
}

impl BatchMedians {
    /// The medians of these results; nothing of none.
    #[must_use]
    pub fn of(batch: &[Quality]) -> Option<Self> {
        let cells = median(batch.iter().map(|quality| quality.cells as f64))?;
        let deviations = batch
            .iter()
            .map(|quality| (quality.cells as f64 - cells).abs());
        Some(Self {
            cells,
            cells_deviation: median(deviations)?,
            focus: median(batch.iter().filter_map(|quality| quality.focus)),
        })
    }

    /// How far the number of cells is from the median of the batch, in median absolute deviations, of which one is at least a
    /// cell.
    #[must_use]
    pub fn distance(&self, quality: &Quality) -> f64 {
        (quality.cells as f64 - self.cells).abs() / self.cells_deviation.max(1.0)
    }
}

/// The lower median.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

impl Quality {
    /// What is out of the ordinary; what is compared with a batch is left out without one.
    #[must_use]
    pub fn flags(
        &self,
        thresholds: &QualityThresholds,
        batch: Option<&BatchMedians>,
    ) -> Vec<RaisedFlag> {
        let raised = FLAGS
            .iter()
            .zip(thresholds.0)
            .filter_map(|(&(flag, ..), threshold)| {
                let text = self.text(flag, threshold, batch)?;
                Some(RaisedFlag { flag, text })
            });
        raised.collect()
    }

    /// The words of a flag, if it is raised.
    fn text(
        &self,
        flag: QualityFlag,
        threshold: f64,
        batch: Option<&BatchMedians>,
    ) -> Option<String> {
        let (found, usual) = self.measured(flag, batch)?;
        let is_raised = match flag {
            QualityFlag::NoCells | QualityFlag::LowContrast => found < threshold,
            QualityFlag::FewCells | QualityFlag::OutOfFocus => found < threshold * usual,
            _ => found > threshold * usual,
        };
        let percent = 100.0 * found;
        is_raised.then(|| match flag {
            QualityFlag::NoCells => "no cells".to_owned(),
            QualityFlag::FewCells => {
                format!("very few cells: {found}, the batch's median is {usual}")
            }
            QualityFlag::ManyCells => {
                format!("very many cells: {found}, the batch's median is {usual}")
            }
            QualityFlag::HugeRegion => format!("one huge region: {percent:.0} % of the image"),
            QualityFlag::Fragments => {
                format!("many fragments: {percent:.0} % of the cells are tiny")
            }
            QualityFlag::LowContrast => format!("low contrast: {found}"),
            QualityFlag::Saturated => format!("saturated: {percent:.1} % of the pixels"),
            QualityFlag::OutOfFocus => {
                format!("out of focus: {found}, the batch's median is {usual}")
            }
            QualityFlag::CutCells => format!("cut cells: {percent:.0} % touch the border"),
        })
    }

    /// The number that a flag looks at, and what it is compared with: that of the batch, or 1. Nothing if either is not known.
    fn measured(&self, flag: QualityFlag, batch: Option<&BatchMedians>) -> Option<(f64, f64)> {
        let cells = self.cells as f64;
        Some(match flag {
            QualityFlag::NoCells => (cells, 1.0),
            QualityFlag::FewCells | QualityFlag::ManyCells => (cells, batch?.cells),
            QualityFlag::HugeRegion => (self.largest, 1.0),
            QualityFlag::Fragments => (self.tiny as f64 / cells.max(1.0), 1.0),
            QualityFlag::LowContrast => (self.contrast?, 1.0),
            QualityFlag::Saturated => (self.sat?, 1.0),
            QualityFlag::OutOfFocus => (self.focus?, batch?.focus?),
            QualityFlag::CutCells => (self.border, 1.0),
        })
    }
}
