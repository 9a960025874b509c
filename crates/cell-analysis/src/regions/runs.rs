//! Label images as runs: neighboring pixels of one label in one row.

use std::ops::Range;

/// Neighboring pixels of one label in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run<T> {
    pub(crate) row: usize,
    pub(crate) columns: Range<usize>,
    pub(crate) label: T,
}

/// The runs of all labels but 0, row by row, of a plane given row by row.
pub(crate) fn runs<T: Copy + PartialEq + Default>(plane: &[T], columns: usize) -> Vec<Run<T>> {
    let (mut runs, background) = (Vec::new(), T::default());
    for (row, line) in plane.chunks_exact(columns.max(1)).enumerate() {
        let mut start = 0;
        while let Some(&label) = line.get(start) {
            let end = start + length(&line[start..], label);
            if label != background {
                runs.push(Run {
                    row,
                    columns: start..end,
                    label,
                });
            }
            start = end;
        }
    }
    runs
}

/// How many pixels of this label a line begins with; blocks that are all of it take no decision per pixel.
fn length<T: Copy + PartialEq>(line: &[T], label: T) -> usize {
    let (blocks, _) = line.as_chunks::<8>();
    let is_whole = |block: &&[T; 8]| {
        block
            .iter()
            .fold(true, |whole, pixel| whole & (*pixel == label))
    };
    let whole = 8 * blocks.iter().take_while(is_whole).count();
    let rest = line[whole..].iter().take_while(|pixel| **pixel == label);
    whole + rest.count()
}
