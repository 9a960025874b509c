//! Arrays to TIFF bytes: uncompressed, little-endian, byte for byte what tifffile's plain `imwrite(path, array)` writes.
//!
//! Files that other programs made are read in `read`; nothing is read here.

use std::io::{self, Write};

use ndarray::{ArrayD, ArrayViewD};

/// The array as a TIFF file in memory, uncompressed and little-endian.
///
/// Byte for byte what tifffile's `imwrite(path, array)` writes. The full shape is kept in the image description, so that
/// tifffile and this crate read back the same array. A last axis of length 3 or 4 becomes the samples of color pages, a
/// third axis from the end of length 3 or 4 their separate planes; any other array becomes gray pages of its last two
/// axes. Arrays of rank 0 and 1 become one row. Files near 4 GiB and above are `BigTIFF`.
///
/// ```
/// # use bioimage::{Limits, decode, encode_tiff};
/// # use ndarray::array;
/// let labels = array![[[0_u16, 1], [1, 2]]];
/// let file = encode_tiff(labels.view().into_dyn());
/// let read = decode(&file, "labels.tif", &Limits::default())?;
/// assert_eq!(read.shape(), [1, 2, 2]);
/// # Ok::<(), bioimage::Error>(())
/// ```
#[must_use]
pub fn encode_tiff<T: TiffSample>(array: ArrayViewD<'_, T>) -> Vec<u8> {
    let file = Layout::of::<T>(array.shape());
    let mut bytes = Vec::with_capacity(file.total_bytes());
    write_with(&file, &array, &mut bytes).expect("a vector takes every byte");
    bytes
}

/// Labels as a TIFF file of 32-bit floats, as [`encode_tiff`] writes an array of them. Labels from 2^24 on are rounded.
#[must_use]
pub fn encode_labels(labels: ArrayViewD<'_, u32>) -> Vec<u8> {
    let file = Layout::of::<f32>(labels.shape());
    let mut bytes = Vec::with_capacity(file.total_bytes());
    bytes.extend(file.head());
    for row in labels.rows() {
        let start = bytes.len();
        bytes.resize(start + size_of::<f32>() * row.len(), 0);
        let (floats, _) = bytes[start..].as_chunks_mut();
        let labels = floats.iter_mut().zip(row);
        labels.for_each(|(float, label)| *float = (*label as f32).to_le_bytes());
    }
    bytes.extend(file.tail());
    bytes
}

/// The channels of `array`, `[…, channel]`, as views without that axis, in order.
///
/// An array of rank 2 is one channel, one of rank 0 has none.
pub fn channels(array: &ArrayD<f32>) -> impl Iterator<Item = ArrayViewD<'_, f32>> {
    let view = if array.ndim() == 2 {
        array.view().insert_axis(ndarray::Axis(2))
    } else {
        array.view()
    };
    let last = ndarray::Axis(view.ndim().saturating_sub(1));
    let count = if view.ndim() == 0 {
        0
    } else {
        view.len_of(last)
    };
    (0..count).map(move |channel| view.clone().index_axis_move(last, channel))
}

/// Values that can be written: floats of 16, 32 and 64 bits, and integers of 8 to 64 bits.
pub trait TiffSample: private::Sealed {}

impl<T: private::Sealed> TiffSample for T {}

mod private {
    /// What a TIFF says of its samples.
    pub trait Sealed: Copy {
        /// Sample format tag; unsigned integers have none.
        const FORMAT: Option<usize>;
        /// The values as they lie in the file, if they lie in memory like that.
        fn as_stored(_values: &[Self]) -> Option<&[u8]> {
            None
        }
        /// Appends the value in file order.
        fn append_to(self, file: &mut Vec<u8>);
    }

    macro_rules! number {
        ($format:expr; $($number:ty),+) => {$(
            impl Sealed for $number {
                const FORMAT: Option<usize> = $format;
                fn as_stored(values: &[Self]) -> Option<&[u8]> {
                    cfg!(target_endian = "little").then(|| bytemuck::cast_slice(values))
                }
                fn append_to(self, file: &mut Vec<u8>) {
                    file.extend_from_slice(&self.to_le_bytes());
                }
            }
        )+};
    }

    number!(None; u8, u16, u32, u64);
    number!(Some(2); i8, i16, i32, i64);
    number!(Some(3); f32, f64);

    impl Sealed for half::f16 {
        const FORMAT: Option<usize> = Some(3);
        fn append_to(self, file: &mut Vec<u8>) {
            file.extend_from_slice(&self.to_le_bytes());
        }
    }
}

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const DESCRIPTION: u16 = 270;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTES: u16 = 279;
const X_RESOLUTION: u16 = 282;
const Y_RESOLUTION: u16 = 283;
const PLANAR: u16 = 284;
const RESOLUTION_UNIT: u16 = 296;
const SOFTWARE: u16 = 305;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;

/// Room behind the description, for readers that rewrite it in place.
const DESCRIPTION_SLACK: usize = 16;

/// Pixel data begin at a multiple of this.
const DATA_ALIGNMENT: usize = 16;

/// From here on offsets of 8 bytes (`BigTIFF`) are used.
const BIG_FROM: usize = (1 << 32) - (32 << 20);

fn write_with<T: TiffSample>(
    file: &Layout,
    array: &ArrayViewD<'_, T>,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(&file.head())?;
    write_pixels(array, out)?;
    out.write_all(&file.tail())
}

/// The values in C order, little-endian. Arrays in that order already are written as they lie in memory.
fn write_pixels<T: TiffSample>(array: &ArrayViewD<'_, T>, out: &mut impl Write) -> io::Result<()> {
    if let Some(stored) = array.as_slice().and_then(T::as_stored) {
        return out.write_all(stored);
    }
    let mut row = Vec::new();
    for lane in array.rows() {
        row.clear();
        lane.iter().for_each(|value| value.append_to(&mut row));
        out.write_all(&row)?;
    }
    Ok(())
}

/// Where everything of the file goes.
struct Layout {
    description: String,
    page: Page,
    pages: usize,
    big: bool,
}

/// Shape of one page and what its tags say.
#[derive(Clone, Copy)]
struct Page {
    height: usize,
    width: usize,
    samples: usize,
    planes: Planes,
    item_bytes: usize,
    format: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Planes {
    /// The samples of a pixel lie together.
    Chunky,
    /// One plane, and one strip, a sample.
    Separate,
}

impl Layout {
    fn of<T: TiffSample>(shape: &[usize]) -> Self {
        let page = Page {
            item_bytes: size_of::<T>(),
            format: T::FORMAT,
            ..Page::of(shape)
        };
        let values = shape.iter().product::<usize>();
        let axes: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let mut layout = Self {
            description: format!("{{\"shape\": [{}]}}", axes.join(", ")),
            page,
            pages: (values * page.item_bytes)
                .checked_div(page.bytes())
                .unwrap_or(1),
            big: false,
        };
        layout.big = layout.total_bytes() > BIG_FROM;
        layout
    }

    /// Header and first directory, up to the pixels.
    fn head(&self) -> Vec<u8> {
        let mut bytes = self.header();
        let next = if self.pages > 1 {
            self.second_directory()
        } else {
            0
        };
        let mut first = self.directory(Which::First);
        bytes.append(&mut first.bytes(bytes.len(), bytes.len(), next));
        bytes.resize(self.data_offset(), 0);
        bytes
    }

    /// What follows the pixels: padding and the directories of the pages behind the first.
    fn tail(&self) -> Vec<u8> {
        if self.pages < 2 {
            return Vec::new();
        }
        let start = self.second_directory();
        let size = self.directory(Which::Later(1)).size();
        let mut bytes = vec![0; start - self.data_offset() - self.pages * self.page.bytes()];
        for page in 1..self.pages {
            let at = start + (page - 1) * size;
            let next = if page + 1 < self.pages { at + size } else { 0 };
            bytes.append(&mut self.directory(Which::Later(page)).bytes(at, start, next));
        }
        bytes
    }

    fn header(&self) -> Vec<u8> {
        if self.big {
            b"II\x2b\0\x08\0\0\0\x10\0\0\0\0\0\0\0".to_vec()
        } else {
            b"II\x2a\0\x08\0\0\0".to_vec()
        }
    }

    fn data_offset(&self) -> usize {
        let directory_end = self.header().len() + self.directory_with(Which::First, 0).size();
        directory_end.next_multiple_of(DATA_ALIGNMENT)
    }

    fn second_directory(&self) -> usize {
        (self.data_offset() + self.pages * self.page.bytes()).next_multiple_of(2)
    }

    fn total_bytes(&self) -> usize {
        let later = self.pages.saturating_sub(1) * self.directory_with(Which::Later(1), 0).size();
        self.second_directory() + later
    }

    fn directory(&self, which: Which) -> Directory {
        let page = match which {
            Which::First => 0,
            Which::Later(page) => page,
        };
        self.directory_with(which, self.data_offset() + page * self.page.bytes())
    }

    /// The directory of a page whose pixels begin at `data`.
    fn directory_with(&self, which: Which, data: usize) -> Directory {
        let page = self.page;
        let strips = page.strips();
        let strip_bytes = page.bytes() / strips;
        let offsets: Vec<usize> = (0..strips)
            .map(|strip| data + strip * strip_bytes)
            .collect();
        let mut directory = Directory {
            entries: Vec::new(),
            big: self.big,
        };
        // The format wants tags in ascending order; which of them there are, and of which types, is tifffile's choice.
        directory.long(WIDTH, &[page.width]);
        directory.long(HEIGHT, &[page.height]);
        directory.short(BITS, &vec![page.item_bytes * 8; page.samples]);
        directory.short(COMPRESSION, &[1]);
        directory.short(PHOTOMETRIC, &[if page.samples == 1 { 1 } else { 2 }]);
        if which == Which::First {
            directory.text(DESCRIPTION, &self.description, DESCRIPTION_SLACK);
        }
        directory.offsets(STRIP_OFFSETS, &offsets);
        directory.short(SAMPLES, &[page.samples]);
        directory.long(ROWS_PER_STRIP, &[page.height]);
        directory.strip_bytes(strip_bytes, strips);
        directory.rational_one(X_RESOLUTION);
        directory.rational_one(Y_RESOLUTION);
        if page.samples > 1 {
            directory.short(PLANAR, &[if page.planes == Planes::Chunky { 1 } else { 2 }]);
        }
        directory.short(RESOLUTION_UNIT, &[1]);
        if which == Which::First {
            directory.text(SOFTWARE, "tifffile.py", 0);
        }
        if page.samples == 4 {
            directory.short(EXTRA_SAMPLES, &[2]);
        }
        if let Some(format) = page.format {
            directory.short(SAMPLE_FORMAT, &vec![format; page.samples]);
        }
        directory
    }
}

impl Page {
    /// The page that the last axes make.
    fn of(shape: &[usize]) -> Self {
        match shape {
            [] => Self::gray(1, 1),
            &[width] => Self::gray(1, width),
            [.., height, width, samples @ (3 | 4)] => Self {
                samples: *samples,
                ..Self::gray(*height, *width)
            },
            [.., samples @ (3 | 4), height, width] => Self {
                samples: *samples,
                planes: Planes::Separate,
                ..Self::gray(*height, *width)
            },
            _ => Self::gray_without_ones(shape),
        }
    }

    /// The page of the last two axes, final axes of length 1 left out.
    fn gray_without_ones(shape: &[usize]) -> Self {
        match shape {
            [outer @ .., 1] if outer.len() >= 2 => Self::gray_without_ones(outer),
            &[.., height, width] => Self::gray(height, width),
            _ => Self::gray(1, 1),
        }
    }

    fn gray(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            samples: 1,
            planes: Planes::Chunky,
            item_bytes: 0,
            format: None,
        }
    }

    fn bytes(&self) -> usize {
        self.height * self.width * self.samples * self.item_bytes
    }

    fn strips(&self) -> usize {
        if self.planes == Planes::Separate {
            self.samples
        } else {
            1
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    First,
    /// The page of this number, from 1.
    Later(usize),
}

struct Directory {
    entries: Vec<Entry>,
    big: bool,
}

struct Entry {
    tag: u16,
    kind: u16,
    count: usize,
    value: Vec<u8>,
}

/// Types of integers, by the code that the format gives them.
#[derive(Clone, Copy)]
enum Integer {
    Short = 3,
    Long = 4,
    Long8 = 16,
}

impl Integer {
    fn bytes(self) -> usize {
        match self {
            Self::Short => 2,
            Self::Long => 4,
            Self::Long8 => 8,
        }
    }
}

impl Directory {
    fn short(&mut self, tag: u16, values: &[usize]) {
        self.integers(tag, Integer::Short, values);
    }

    fn long(&mut self, tag: u16, values: &[usize]) {
        self.integers(tag, Integer::Long, values);
    }

    /// Numbers as wide as the file's offsets.
    fn offsets(&mut self, tag: u16, values: &[usize]) {
        let offset = if self.big {
            Integer::Long8
        } else {
            Integer::Long
        };
        self.integers(tag, offset, values);
    }

    /// The sizes of so many strips: several are kept short where they fit, a single one never is.
    fn strip_bytes(&mut self, bytes: usize, strips: usize) {
        let sizes = vec![bytes; strips];
        if strips > 1 && bytes < 1 << 16 {
            self.short(STRIP_BYTES, &sizes);
        } else {
            self.offsets(STRIP_BYTES, &sizes);
        }
    }

    fn integers(&mut self, tag: u16, kind: Integer, values: &[usize]) {
        let bytes = kind.bytes();
        let value = values
            .iter()
            .flat_map(|&value| (value as u64).to_le_bytes().into_iter().take(bytes))
            .collect();
        self.entries.push(Entry {
            tag,
            kind: kind as u16,
            count: values.len(),
            value,
        });
    }

    fn rational_one(&mut self, tag: u16) {
        self.entries.push(Entry {
            tag,
            kind: 5,
            count: 1,
            value: vec![1, 0, 0, 0, 1, 0, 0, 0],
        });
    }

    /// Text and its final NUL; `slack` NULs more are reserved but not counted.
    fn text(&mut self, tag: u16, text: &str, slack: usize) {
        let count = text.len() + 1;
        let mut value = text.as_bytes().to_vec();
        value.resize(if slack > 0 { text.len() + slack } else { count }, 0);
        self.entries.push(Entry {
            tag,
            kind: 2,
            count,
            value,
        });
    }

    /// Bytes of the directory with the values that do not fit into its entries.
    fn size(&self) -> usize {
        let outside = self
            .entries
            .iter()
            .filter(|entry| self.is_outside(entry))
            .fold(self.entries_end(), end_of_value);
        outside.next_multiple_of(2)
    }

    /// The directory as it lies at `at`, its link leading to `next`.
    ///
    /// Values outside the entries point into the directory at `shared`, except the strip offsets, which differ by page: the
    /// reference reserves the room in every directory, but fills in pointers to the first copy only.
    fn bytes(&mut self, at: usize, shared: usize, next: usize) -> Vec<u8> {
        let mut entries = self.number(self.entries.len(), 2, 8);
        let mut values = Vec::new();
        let values_start = self.entries_end();
        for entry in &self.entries {
            entries.extend_from_slice(&entry.tag.to_le_bytes());
            entries.extend_from_slice(&entry.kind.to_le_bytes());
            entries.extend(self.number(entry.count, 4, 8));
            if !self.is_outside(entry) {
                entries.extend(padded(&entry.value, self.inline_bytes()));
                continue;
            }
            values.resize(
                (values_start + values.len()).next_multiple_of(2) - values_start,
                0,
            );
            let base = if entry.tag == STRIP_OFFSETS {
                at
            } else {
                shared
            };
            entries.extend(self.number(base + values_start + values.len(), 4, 8));
            values.extend_from_slice(&entry.value);
        }
        entries.extend(self.number(next, 4, 8));
        entries.append(&mut values);
        entries.resize(entries.len().next_multiple_of(2), 0);
        entries
    }

    fn is_outside(&self, entry: &Entry) -> bool {
        entry.value.len() > self.inline_bytes()
    }

    fn inline_bytes(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// Bytes before the first value outside an entry.
    fn entries_end(&self) -> usize {
        let (count, entry, link) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        count + entry * self.entries.len() + link
    }

    /// `value` in as many bytes as the field has in a classic file and in a big one.
    fn number(&self, value: usize, classic: usize, big: usize) -> Vec<u8> {
        (value as u64).to_le_bytes()[..if self.big { big } else { classic }].to_vec()
    }
}

/// Where a value ends that begins at the first even place from `end` on.
fn end_of_value(end: usize, entry: &Entry) -> usize {
    end.next_multiple_of(2) + entry.value.len()
}

fn padded(value: &[u8], length: usize) -> Vec<u8> {
    let mut value = value.to_vec();
    value.resize(length, 0);
    value
}

#[cfg(test)]
mod tests {
    use ndarray::Array;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn labels_are_written_as_the_floats_they_stand_for(
            shape in prop::collection::vec(0..5_usize, 0..5), seed in any::<u32>(), is_turned in any::<bool>(),
        ) {
            let mut label = seed >> 8;
            let labels = Array::from_shape_simple_fn(shape, || {
                label = label.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) >> 8;
                label
            });
            let labels = if is_turned { labels.reversed_axes() } else { labels };
            let floats = labels.mapv(|label| label as f32);
            prop_assert_eq!(encode_labels(labels.view()), encode_tiff(floats.view()));
        }
    }
}
