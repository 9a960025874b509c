//! An image beside what a rule wants.

use batch_plan::units::Interval;
use batch_plan::work::ImageRule;
use bioimage::{Container, Header, default_order};

/// What is wrong with an image, of which the job says this dimension order if it does; nothing if all is right.
pub(super) fn compare(header: &Header, order: Option<&str>, rule: &ImageRule) -> Option<String> {
    let mut wrong = Vec::new();
    let is_laid_out = !rule.axes.is_empty() || rule.channels.is_some() || rule.frames.is_some();
    match axes_of(header, order) {
        Some(axes) => {
            if !rule.axes.is_empty() && !rule.axes.contains(&axes) {
                wrong.push(format!("axes {axes}, {} wanted", rule.axes.join(" or ")));
            }
            let numbers = [("channel", 'C', rule.channels), ("frame", 'B', rule.frames)];
            for (thing, letter, wanted) in numbers {
                let count = length(&axes, &header.shape, letter);
                if let Some(wanted) = wanted.filter(|wanted| !wanted.contains(count)) {
                    let plural = if count == 1 { "" } else { "s" };
                    wrong.push(format!("{count} {thing}{plural}, {} wanted", shown(wanted)));
                }
            }
        }
        None if is_laid_out => wrong.push(format!(
            "shape {:?} does not tell its axes: set dimension_order",
            header.shape
        )),
        None => {}
    }
    if !rule.types.is_empty() && !rule.types.contains(&header.sample) {
        let (found, wanted) = (&header.sample, rule.types.join(" or "));
        wrong.push(format!("type {found}, {wanted} wanted"));
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// The order of the axes as jobs name it: the file's if it has names, else the job's, else the one that is usual.
pub(crate) fn axes_of(header: &Header, order: Option<&str>) -> Option<String> {
    let Header {
        shape, container, ..
    } = header;
    if let Container::Named(names) = container {
        return Some(names.chars().map(letter).collect());
    }
    let order = order.filter(|order| order.chars().count() == shape.len());
    let order = order.map(str::to_owned);
    order.or_else(|| Some(default_order(shape, container).ok()?.to_owned()))
}

/// A letter of files as jobs have it, where `X` are rows.
fn letter(name: char) -> char {
    match name {
        'Y' => 'X',
        'X' => 'Y',
        'C' | 'S' => 'C',
        _ => 'B',
    }
}

/// The product of the axes of this letter.
pub(crate) fn length(axes: &str, shape: &[usize], letter: char) -> u64 {
    let named = axes.chars().zip(shape);
    let sizes = named.filter(|(name, _)| *name == letter);
    sizes.fold(1, |length, (_, size)| length.saturating_mul(*size as u64))
}

fn shown(Interval { min, max }: Interval) -> String {
    match (min, max) {
        (Some(min), Some(max)) if min == max => min.to_string(),
        (Some(min), None) => format!("{min} or more"),
        (None, Some(max)) => format!("{max} at most"),
        (min, max) => format!("{} to {}", min.unwrap_or(0), max.unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(shape: &[usize], container: Container) -> Header {
        Header {
            shape: shape.to_vec(),
            container,
            sample: "u16".to_owned(),
            peak_bytes: 0,
        }
    }

    fn named(names: &str) -> Container {
        Container::Named(names.to_owned())
    }

    #[test]
    fn axes_are_the_files_then_the_jobs_then_the_usual_ones() {
        let of = |shape: &[usize], container, order| axes_of(&header(shape, container), order);
        let text = |axes: &str| Some(axes.to_owned());
        assert_eq!(of(&[60, 64, 64], named("TYX"), Some("CXY")), text("BXY"));
        assert_eq!(of(&[64, 64, 3], named("YXS"), None), text("XYC"));
        assert_eq!(of(&[60, 64, 64], Container::Tiff, Some("BXY")), text("BXY"));
        assert_eq!(of(&[3, 64, 64], Container::Tiff, Some("XY")), text("CXY"));
        assert_eq!(of(&[64, 64], Container::Tiff, None), text("XY"));
        assert_eq!(of(&[64, 3, 64], Container::Tiff, None), None);
    }

    #[test]
    fn what_differs_is_told_with_what_is_wanted() {
        let rule = ImageRule {
            axes: vec!["XY".to_owned(), "BXY".to_owned()],
            channels: "1".parse().ok(),
            frames: "..60".parse().ok(),
            types: vec!["u8".to_owned(), "u16".to_owned()],
        };
        let compare = |header: &Header| super::compare(header, None, &rule);
        assert_eq!(compare(&header(&[64, 64], Container::Tiff)), None);
        assert_eq!(compare(&header(&[60, 64, 64], named("TYX"))), None);
        let wrong = compare(&header(&[61, 64, 64], named("ZYX")));
        assert_eq!(wrong.as_deref(), Some("61 frames, 60 at most wanted"));
        let mut color = header(&[64, 64, 3], Container::Other);
        color.sample = "u1".to_owned();
        let wrong = "axes XYC, XY or BXY wanted; 3 channels, 1 wanted; type u1, u8 or u16 wanted";
        assert_eq!(compare(&color).as_deref(), Some(wrong));
        let unclear = compare(&header(&[64, 3, 64], Container::Tiff));
        let wrong = "shape [64, 3, 64] does not tell its axes: set dimension_order";
        assert_eq!(unclear.as_deref(), Some(wrong));
    }
}
