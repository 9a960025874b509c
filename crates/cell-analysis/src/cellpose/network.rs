//! What the networks of Cellpose want to see.
//!
//! Border: facts about networks; arrays are `tiles`' business.

/// Which networks: they differ in what becomes of small images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The U-Nets of Cellpose 1 to 3: any side that is a multiple of 16, at most that of a tile.
    UNet,
    /// The transformers of Cellpose 4: always whole tiles.
    Transformer,
}

/// A network, which answers a tile `[channel, row, column]` with heads `[3, row, column]`: flow down and flow to the right,
/// 5 where the flow is 1, and the logit of how probably the pixel is inside a cell.
///
/// - The U-Nets of Cellpose 1 to 3 take two channels: what is to be segmented, cytoplasm or nuclei, and nuclei, or zeros
///   where there are none.
/// - The transformers of Cellpose 4 take three, in any order, or fewer: missing ones are zeros.
///
/// Every channel is scaled before, see [`normalize_channels`](super::normalize_channels).
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Which rules are in force.
    pub generation: Generation,
    /// How many channels it takes.
    pub channels: usize,
    /// Side of a tile in pixels.
    pub tile: usize,
    /// Diameter of the cells that it was trained on, in pixels.
    pub diameter: f64,
}

impl Network {
    /// A U-Net for cells, such as `cyto3`: 2 channels, tiles of 224 pixels, cells of 30.
    #[must_use]
    pub fn cyto() -> Self {
        Self {
            generation: Generation::UNet,
            channels: 2,
            tile: 224,
            diameter: 30.0,
        }
    }

    /// The U-Net for nuclei: as [`Network::cyto`], with nuclei of 17 pixels.
    #[must_use]
    pub fn nuclei() -> Self {
        Self {
            diameter: 17.0,
            ..Self::cyto()
        }
    }

    /// Cellpose-SAM: 3 channels, tiles of 256 pixels, cells of 30 if they are to be scaled at all.
    #[must_use]
    pub fn sam() -> Self {
        Self {
            generation: Generation::Transformer,
            channels: 3,
            tile: 256,
            diameter: 30.0,
        }
    }

    /// Zeros before and behind `length` pixels of an image.
    pub(super) fn padding(&self, length: usize) -> [usize; 2] {
        let missing = if self.generation == Generation::Transformer && length < self.tile {
            self.tile.saturating_sub(length + MARGIN)
        } else {
            length.next_multiple_of(MARGIN) - length
        };
        [MARGIN / 2 + missing / 2, MARGIN / 2 + missing - missing / 2]
    }

    /// Steps that pixels have to follow the flows if an image was scaled by this before.
    pub(super) fn steps(&self, scale: f64) -> u32 {
        // Truncated, from products that differ in the last bit.
        match self.generation {
            Generation::UNet => (1.0 / scale * STEPS) as u32,
            Generation::Transformer => (STEPS / scale) as u32,
        }
    }
}

/// Sides are multiples of this, and so many zeros are added at least.
const MARGIN: usize = 16;

/// Steps at the network's scale.
const STEPS: f64 = 200.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_padded_as_there() {
        let u_net = [1, 16, 100, 239, 240, 257].map(|length| Network::cyto().padding(length));
        let expected = [[15, 16], [8, 8], [14, 14], [8, 9], [8, 8], [15, 16]];
        assert_eq!(u_net, expected);
        let lengths = [1, 100, 239, 240, 241, 250, 255, 256, 257, 300];
        let transformer = lengths.map(|length| Network::sam().padding(length));
        let expected = [
            [127, 128],
            [78, 78],
            [8, 9],
            [8, 8],
            [8, 8],
            [8, 8],
            [8, 8],
            [8, 8],
            [15, 16],
            [10, 10],
        ];
        assert_eq!(transformer, expected);
    }

    #[test]
    fn larger_cells_take_more_steps() {
        assert_eq!(Network::sam().steps(1.0), 200);
        assert_eq!(Network::sam().steps(30.0 / 45.5), 303);
        assert_eq!(Network::nuclei().steps(17.0 / 34.0), 400);
        assert_eq!(Network::cyto().steps(f64::MIN_POSITIVE), u32::MAX);
    }
}
