//! What is told of a cell, and in which words.

use super::super::looks::{Cell, Cells};

/// Channels whose light pages show; files have more.
const CHANNELS: usize = 4;

/// A number of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    Label,
    Frame,
    Parent,
    Frames,
    Area,
    /// In square micrometers; a pixel has so many.
    AreaUm2(f64),
    Row,
    Column,
    Perimeter,
    Eccentricity,
    Solidity,
    Border,
    Mean(usize),
}

impl Measure {
    /// All that are told of these cells, in the order of columns.
    pub(super) fn of(cells: &Cells) -> Vec<Self> {
        let tracks: &[Self] = match cells.is_movie() {
            true => &[Self::Frame, Self::Parent, Self::Frames],
            false => &[],
        };
        let area = cells.pixel_area().map(Self::AreaUm2);
        let all = [
            Self::Row,
            Self::Column,
            Self::Perimeter,
            Self::Eccentricity,
            Self::Solidity,
            Self::Border,
        ];
        let channels = (0..cells.channels().min(CHANNELS)).map(Self::Mean);
        let front = std::iter::once(Self::Label).chain(tracks.iter().copied());
        let area = std::iter::once(Self::Area).chain(area);
        front.chain(area).chain(all).chain(channels).collect()
    }

    /// Its name in addresses.
    pub(super) fn name(self) -> String {
        let name = match self {
            Self::Label => "label",
            Self::Frame => "frame",
            Self::Parent => "parent",
            Self::Frames => "frames",
            Self::Area => "area",
            Self::AreaUm2(_) => "area_um2",
            Self::Row => "row",
            Self::Column => "column",
            Self::Perimeter => "perimeter",
            Self::Eccentricity => "eccentricity",
            Self::Solidity => "solidity",
            Self::Border => "border",
            Self::Mean(channel) => return format!("channel{channel}"),
        };
        name.to_owned()
    }

    /// What people call it; labels of a movie are tracks.
    pub(super) fn title(self, is_movie: bool) -> String {
        let title = match self {
            Self::Label if is_movie => "Track",
            Self::Label => "Label",
            Self::Frame => "Frame",
            Self::Parent => "Parent",
            Self::Frames => "Frames of the track",
            Self::Area => "Area (px)",
            Self::AreaUm2(_) => "Area (µm²)",
            Self::Row => "Row",
            Self::Column => "Column",
            Self::Perimeter => "Perimeter (px)",
            Self::Eccentricity => "Eccentricity",
            Self::Solidity => "Solidity",
            Self::Border => "At the border",
            Self::Mean(channel) => return format!("Mean ch. {channel}"),
        };
        title.to_owned()
    }

    /// What a table is sorted by.
    pub(super) fn number(self, cell: &Cell<'_>) -> f64 {
        let region = cell.region;
        match self {
            Self::Label => f64::from(region.label),
            Self::Frame => cell.frame as f64,
            Self::Parent => cell
                .track
                .and_then(|track| track.parent)
                .map_or(f64::NAN, f64::from),
            Self::Frames => cell.track.map_or(f64::NAN, |track| track.frames as f64),
            Self::Area => region.area as f64,
            Self::AreaUm2(pixel) => region.area as f64 * pixel,
            Self::Row => region.centroid[0],
            Self::Column => region.centroid[1],
            Self::Perimeter => region.perimeter,
            Self::Eccentricity => region.eccentricity,
            Self::Solidity => region.solidity(),
            Self::Border => f64::from(u8::from(region.touches_border)),
            Self::Mean(channel) => cell.mean(channel),
        }
    }

    /// As it is read.
    pub(super) fn text(self, cell: &Cell<'_>) -> String {
        let number = self.number(cell);
        match self {
            Self::Border => (if number > 0.0 { "yes" } else { "no" }).to_owned(),
            _ if !number.is_finite() => "–".to_owned(),
            Self::Label | Self::Frame | Self::Parent | Self::Frames | Self::Area => {
                number.to_string()
            }
            Self::AreaUm2(_) => format!("{number:.2}"),
            Self::Eccentricity | Self::Solidity => format!("{number:.3}"),
            _ => format!("{number:.1}"),
        }
    }
}
