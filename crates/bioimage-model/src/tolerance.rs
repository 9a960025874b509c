//! How closely the test tensors of a package must be met.

use crate::reader::{Reader, Spot, or};
use crate::weights::WeightsFormat;

/// How closely a test tensor must be met: an element differs if it is further from the expected one than
/// `absolute + relative · |expected|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Share of the expected value.
    pub relative: f64,
    /// In the units of the tensor.
    pub absolute: f64,
    /// Elements of a million that may differ.
    pub mismatched_per_million: f64,
}

/// What the format says where a description says nothing: 1e-3, 1e-3, and 100 of a million.
impl Default for Tolerance {
    fn default() -> Self {
        Self {
            relative: 1e-3,
            absolute: 1e-3,
            mismatched_per_million: 100.0,
        }
    }
}

/// All tolerances of a description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tolerances {
    entries: Vec<Entry>,
}

/// A tolerance, and what it is for. An empty list stands for all.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    tolerance: Tolerance,
    output_ids: Vec<String>,
    weights_formats: Vec<String>,
}

impl Tolerances {
    /// The first tolerance that is for these weights and this output, or the format's own.
    #[must_use]
    pub fn of(&self, format: WeightsFormat, output_id: &str) -> Tolerance {
        let is_for = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|other| other == name)
        };
        let entry = self.entries.iter().find(|entry| {
            is_for(&entry.weights_formats, format.name()) && is_for(&entry.output_ids, output_id)
        });
        entry.map_or_else(Tolerance::default, |entry| entry.tolerance)
    }

    /// Reads `config.bioimageio`: `reproducibility_tolerance`, behind it `test_kwargs`, its forerunner.
    pub(crate) fn read(reader: &mut Reader, config: &Spot<'_>) -> Option<Self> {
        let mut entries = or(
            config.get("reproducibility_tolerance"),
            Vec::new(),
            |list| reader.each(list, read_entry),
        )?;
        if let Some(formats) = config.get("test_kwargs") {
            for name in formats.names() {
                let tolerance = read_tolerance(reader, &formats.get_or_nothing(name))?;
                entries.push(Entry {
                    tolerance,
                    output_ids: Vec::new(),
                    weights_formats: vec![name.to_owned()],
                });
            }
        }
        Some(Self { entries })
    }
}

fn read_entry(reader: &mut Reader, spot: &Spot<'_>) -> Option<Entry> {
    let tolerance = read_tolerance(reader, spot);
    let mut names = |name| {
        or(spot.get(name), Vec::new(), |list| {
            reader.each(list, Reader::text)
        })
    };
    let (output_ids, weights_formats) = (names("output_ids"), names("weights_formats"));
    Some(Entry {
        tolerance: tolerance?,
        output_ids: output_ids?,
        weights_formats: weights_formats?,
    })
}

fn read_tolerance(reader: &mut Reader, spot: &Spot<'_>) -> Option<Tolerance> {
    let default = Tolerance::default();
    let mut number = |name: &str, default| {
        or(spot.get(name), default, |spot| {
            let number = reader.number(spot)?;
            if number >= 0.0 {
                return Some(number);
            }
            reader.refuse(spot, format!("expected 0 or more, found {number}"))
        })
    };
    let relative = number("relative_tolerance", default.relative);
    let absolute = number("absolute_tolerance", default.absolute);
    let mismatched = number(
        "mismatched_elements_per_million",
        default.mismatched_per_million,
    );
    Some(Tolerance {
        relative: relative?,
        absolute: absolute?,
        mismatched_per_million: mismatched?,
    })
}
