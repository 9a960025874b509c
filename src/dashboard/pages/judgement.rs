//! How good a segmentation seems to be, as consumers have noted it.

use cell_analysis::quality::{Quality, QualityThresholds};
use serde_json::Value;

use super::super::jobs_table::value;
use super::super::shown::name;
use crate::figures::{counted, grouped};
use crate::wire::{RawFields, field};

/// What is said of a result: numbers with their names, and what is out of the ordinary.
pub(super) struct Judgement {
    pub(super) numbers: Vec<(&'static str, String)>,
    /// Words with the numbers that raised them.
    pub(super) flags: Vec<String>,
}

impl Judgement {
    /// Of a job, if there are numbers.
    pub(super) fn of(fields: &RawFields, thresholds: &QualityThresholds) -> Option<Self> {
        let quality = quality(fields)?;
        let flags = quality.flags(thresholds, None);
        Some(Self {
            numbers: numbers(&quality),
            flags: flags
                .into_iter()
                .map(|flag| name(flag.text.as_bytes()))
                .collect(),
        })
    }
}

/// The numbers of a job; nothing if it has none that can be read.
pub(super) fn quality(fields: &RawFields) -> Option<Quality> {
    let found: Value = serde_json::from_slice(value(fields, field::QUALITY)).ok()?;
    // A command may note numbers of its own.
    found.get("cells")?.as_u64()?;
    serde_json::from_value(found).ok()
}

fn numbers(quality: &Quality) -> Vec<(&'static str, String)> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let whole = |number: usize| grouped(number as u64);
    let [low, median, high] = quality.area.map(whole);
    let mut numbers = vec![
        ("Cells", counted(quality.cells as u64, "cell")),
        (
            "Areas",
            format!("{median} pixels; 10 % below {low}, 10 % above {high}"),
        ),
        ("Covered", percent(quality.cover)),
        (
            "Largest cell",
            format!("{} of the image", percent(quality.largest)),
        ),
        (
            "At the border",
            format!("{} of the cells", percent(quality.border)),
        ),
        (
            "Tiny, huge",
            format!("{}, {}", whole(quality.tiny), whole(quality.huge)),
        ),
    ];
    let light = [
        (
            "Contrast",
            quality.contrast.map(|contrast| contrast.to_string()),
        ),
        (
            "Saturated",
            quality
                .sat
                .map(|share| format!("{} of the pixels", percent(share))),
        ),
        ("Focus", quality.focus.map(|focus| focus.to_string())),
    ];
    let light = light.into_iter();
    numbers.extend(light.filter_map(|(what, number)| Some((what, number?))));
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_the_ordinary_is_said_with_its_number() {
        let of = |json: &str| {
            let fields = RawFields::from_iter([(b"rc_quality".to_vec(), json.as_bytes().to_vec())]);
            Judgement::of(&fields, &QualityThresholds::default())
        };
        let found = of(r#"{"cells":1200,"area":[5,90,300],"border":0.6,"contrast":1.2}"#);
        let found = found.expect("numbers");
        assert_eq!(
            found.flags,
            ["low contrast: 1.2", "cut cells: 60 % touch the border"]
        );
        assert_eq!(found.numbers[0].1, "1,200 cells");
        let names: Vec<_> = found.numbers.iter().map(|(name, _)| *name).collect();
        assert!(
            names.contains(&"Contrast") && !names.contains(&"Focus"),
            "{names:?}"
        );
        for wrong in [
            "",
            "{",
            "[]x",
            r#"{"score":0.9}"#,
            r#"{"cells":-1}"#,
            r#"{"cells":"<img>"}"#,
        ] {
            assert!(of(wrong).is_none(), "{wrong}");
        }
    }
}
