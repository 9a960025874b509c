//! What the programs that write TIFF say of a whole stack in the first page's description: tifffile and `ImageJ`.

/// Shape that tifffile noted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shaped {
    /// The array as it was written, axes of length 1 included.
    pub(super) shape: Vec<usize>,
    /// Whether only the first page has a directory.
    pub(super) is_truncated: bool,
    /// A letter for each axis, if the writer named them.
    pub(super) axes: Option<String>,
}

/// Values of a JSON text that is read; more would take hundreds of bytes each.
const MOST_JSON_VALUES: usize = 1_000_000;

impl Shaped {
    /// Reads `{"shape": [2, 3, 4]}` and the older `shape=(2, 3, 4)`.
    pub(super) fn parse(description: &str) -> Option<Self> {
        if description.contains("\"mibi.") {
            return None;
        }
        if let Some(list) = description.strip_prefix("shape=(") {
            let (list, _) = list.split_once(')')?;
            let axes = list
                .split(',')
                .map(str::trim)
                .filter(|axis| !axis.is_empty());
            let shape = axes.map(|axis| axis.parse().ok()).collect::<Option<_>>()?;
            return Some(Self {
                shape,
                is_truncated: false,
                axes: None,
            });
        }
        if !description.starts_with('{') || !description.contains("\"shape\":") {
            return None;
        }
        let values = description.bytes();
        if values.filter(|byte| b",[{".contains(byte)).count() > MOST_JSON_VALUES {
            return None;
        }
        let json: serde_json::Value = serde_json::from_str(description).ok()?;
        let axes = json.get("shape")?.as_array()?.iter();
        let shape = axes
            .map(|axis| usize::try_from(axis.as_u64()?).ok())
            .collect::<Option<_>>()?;
        let is_truncated = json
            .get("truncated")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false);
        let axes = json.get("axes").and_then(serde_json::Value::as_str);
        Some(Self {
            shape,
            is_truncated,
            axes: axes.map(str::to_owned),
        })
    }
}

/// Sizes that `ImageJ` noted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ImageJ {
    pub(super) images: usize,
    pub(super) frames: usize,
    pub(super) slices: usize,
    pub(super) channels: usize,
    order: String,
}

impl ImageJ {
    /// Reads the `key=value` lines; absent sizes are 1. None when a size is 0.
    pub(super) fn parse(description: &str) -> Option<Self> {
        if !description.starts_with("ImageJ=") && !description.starts_with("SCIFIO=") {
            return None;
        }
        let sizes = Self {
            images: size(description, "images"),
            frames: size(description, "frames"),
            slices: size(description, "slices"),
            channels: size(description, "channels"),
            order: value_of(description, "order")
                .unwrap_or("czt")
                .to_ascii_lowercase(),
        };
        let all = [sizes.images, sizes.frames, sizes.slices, sizes.channels];
        all.iter().all(|&size| size > 0).then_some(sizes)
    }

    /// The axes in front of the page's, slowest first; the number of channels is what the caller made of it.
    pub(super) fn outer(&self, channels: usize) -> [(char, usize); 3] {
        let (t, z, c) = (('T', self.frames), ('Z', self.slices), ('C', channels));
        match self.order.as_str() {
            "ctz" => [z, t, c],
            "zct" => [t, c, z],
            "ztc" => [c, t, z],
            "tcz" => [z, c, t],
            "tzc" => [c, z, t],
            _ => [t, z, c],
        }
    }
}

fn size(description: &str, key: &str) -> usize {
    value_of(description, key)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

/// The last value of a key.
pub(super) fn value_of<'a>(description: &'a str, wanted: &str) -> Option<&'a str> {
    let pairs = description.lines().filter_map(|line| line.split_once('='));
    pairs
        .filter(|(key, _)| key.trim() == wanted)
        .map(|(_, value)| value.trim())
        .next_back()
}

/// How many micrometers a unit is.
pub(super) fn micrometers(unit: &str) -> Option<f64> {
    Some(match unit {
        // Micro signs are two, and `ImageJ` escapes one.
        "\u{b5}m" | "\u{3bc}m" | "um" | "micron" | "microns" | "\\u00B5m" => 1.0,
        "pm" => 1e-6,
        "\u{c5}" => 1e-4,
        "nm" => 1e-3,
        "mm" => 1e3,
        "cm" => 1e4,
        "m" => 1e6,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_of_tifffile_are_read() {
        let shape = |text| Shaped::parse(text).map(|shaped| shaped.shape);
        assert_eq!(shape("{\"shape\": [1, 2, 3]}"), Some(vec![1, 2, 3]));
        assert_eq!(shape("shape=(4, 5)"), Some(vec![4, 5]));
        assert_eq!(shape("shape=(4,)"), Some(vec![4]));
        assert_eq!(shape("{\"shape\": [-1, 2]}"), None);
        assert_eq!(shape("{\"shape\": [1], \"mibi.x\": 1}"), None);
        assert_eq!(shape("{\"shape\": ["), None);
    }

    #[test]
    fn axes_are_those_that_were_named() {
        let axes = |text| Shaped::parse(text).and_then(|shaped| shaped.axes);
        let named = "{\"shape\": [2, 3, 4], \"axes\": \"ZYX\"}";
        assert_eq!(axes(named).as_deref(), Some("ZYX"));
        assert_eq!(axes("{\"shape\": [2, 3, 4], \"axes\": 7}"), None);
    }

    #[test]
    fn a_text_of_a_million_values_is_not_taken_apart() {
        let text = format!(
            "{{\"shape\": [1], \"x\": [{}1]}}",
            "1,".repeat(MOST_JSON_VALUES)
        );
        assert_eq!(Shaped::parse(&text), None);
    }

    #[test]
    fn a_stack_of_imagej_without_sizes_is_one_image() {
        let sizes = ImageJ::parse("ImageJ=1.53\nunit=um\n").expect("is from ImageJ");
        assert_eq!(
            (sizes.images, sizes.outer(sizes.channels)),
            (1, [('T', 1), ('Z', 1), ('C', 1)])
        );
        assert_eq!(ImageJ::parse("ImageJ=1.53\nframes=0\n"), None);
    }
}
