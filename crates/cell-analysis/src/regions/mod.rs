//! What can be measured of labeled regions: scikit-image's `regionprops`, as far as cells need it.

mod hull;
mod measure;
mod moments;
mod numbering;
mod perimeter;
mod runs;
mod table;

pub use self::measure::{Region, Regions, measure_regions};
pub(crate) use self::moments::Moments;
pub(crate) use self::numbering::Numbering;
pub(crate) use self::perimeter::perimeters;
pub(crate) use self::runs::{Run, runs};
pub use self::table::{CellColumns, CellRows, CellTable, CellTrack};

#[cfg(test)]
mod tests;
