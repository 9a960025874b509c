//! Cutting an image into tiles of a network's size, and putting its outputs together.

use std::ops::Range;

use crate::axis::{Axis, AxisKind};
use crate::description::Description;
use crate::error::TensorError;
use crate::planned_side::PlannedSide;
use crate::reader::MAX_SIZE;
use crate::tensor_description::{Input, Output};

/// Where the tiles of an image lie, and what of the network's outputs counts.
///
/// Tiles are as large as the network's input. They overlap by twice the halo, and lie row by row; the last one of each row and
/// column ends with the image, as in the reference. What lies outside of the image is filled as [`Input::padding`] says.
/// Every pixel of an output counts from one tile, the later one where two have it.
#[derive(Clone, Debug, PartialEq)]
pub struct TilePlan {
    pub(crate) input: Input,
    pub(crate) outputs: Vec<Output>,
    pub(crate) sides: [PlannedSide; 2],
}

/// A tile of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The first row and the first column of the image that it shows; negative for what lies before it.
    pub origin: [i64; 2],
    /// What counts of each output.
    pub parts: Vec<Part>,
}

/// What counts of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Rows and columns of the network's output for the tile.
    pub from: [Range<usize>; 2],
    /// Rows and columns of the output for the whole image.
    pub to: [Range<usize>; 2],
}

impl TilePlan {
    /// Tiles for an image `[rows, columns]`, as few as there is room for: one that holds the image with its halo if it takes no
    /// more than the budget, else the largest that does. The bytes of a tile are those of the network's input and outputs as
    /// f32; what the network takes besides is not known.
    ///
    /// # Errors
    ///
    /// [`TensorError::Empty`] without pixels, [`TensorError::Budget`] if not even the smallest tile has room.
    pub fn within(
        description: &Description,
        image: [usize; 2],
        budget_bytes: u64,
    ) -> Result<Self, TensorError> {
        let mut plan = Self::smallest(description, image)?;
        let needed_bytes = plan.tile_bytes();
        if needed_bytes > budget_bytes {
            return Err(TensorError::Budget {
                needed_bytes,
                budget_bytes,
            });
        }
        let geometry = &description.geometry;
        let whole = plan.sides.each_ref().map(PlannedSide::whole);
        let whole = geometry.at_least(whole).unwrap_or([MAX_SIZE; 2]);
        // Sides grow together, as far as the image asks for.
        let (mut low, mut high) = (0, whole[0].max(whole[1]));
        while low < high {
            let middle = (low + high).div_ceil(2);
            let tile = geometry.at_most(whole.map(|side| side.min(middle)));
            plan.set_tile(tile.unwrap_or_default());
            if plan.tile_bytes() <= budget_bytes {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        let tile = geometry.at_most(whole.map(|side| side.min(low)));
        plan.set_tile(tile.unwrap_or_default());
        Ok(plan)
    }

    /// The image `[rows, columns]` as the only tile, without a halo around it, as the reference runs a network on an image whose
    /// size it takes. Nothing if it takes no such size, crops its output, or a tile would have more bytes than the budget.
    #[must_use]
    pub fn whole(description: &Description, image: [usize; 2], budget_bytes: u64) -> Option<Self> {
        let mut plan = Self::smallest(description, image).ok()?;
        if description.geometry.at_most(image)? != image {
            return None;
        }
        for side in &mut plan.sides {
            let crops = side.side.fits.iter().any(|fit| fit.crop > 0);
            if crops || side.aligned() != side.length {
                return None;
            }
            side.side.margin = 0;
            side.tile = side.length;
        }
        (plan.count() == 1 && plan.tile_bytes() <= budget_bytes).then_some(plan)
    }

    /// Tiles for an image `[rows, columns]`, as small as the network takes them.
    ///
    /// # Errors
    ///
    /// [`TensorError::Empty`] without pixels.
    pub fn smallest(description: &Description, image: [usize; 2]) -> Result<Self, TensorError> {
        let smallest = description.geometry.smallest();
        let Some(tile) = smallest.filter(|_| !image.contains(&0)) else {
            return Err(TensorError::Empty);
        };
        let sides = &description.geometry.sides;
        Ok(Self {
            input: description.input.clone(),
            outputs: description.outputs.clone(),
            sides: [0, 1].map(|index| PlannedSide {
                side: sides[index].clone(),
                length: image[index],
                tile: tile[index],
            }),
        })
    }

    fn set_tile(&mut self, tile: [usize; 2]) {
        for (side, tile) in self.sides.iter_mut().zip(tile) {
            side.tile = tile;
        }
    }

    /// Tiles there are, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        let [down, across] = self.sides.each_ref().map(PlannedSide::count);
        down.saturating_mul(across)
    }

    /// Rows and columns of a tile.
    #[must_use]
    pub fn tile_shape(&self) -> [usize; 2] {
        self.sides.each_ref().map(|side| side.tile)
    }

    /// Bytes of the network's input and outputs for one tile, as f32.
    #[must_use]
    pub fn tile_bytes(&self) -> u64 {
        let shapes = (0..self.outputs.len()).filter_map(|output| self.output_shape(output));
        let shapes = shapes.chain([self.input_shape()]);
        let values = shapes.map(|shape| {
            shape
                .iter()
                .fold(1_u64, |all, &axis| all.saturating_mul(axis as u64))
        });
        values.fold(0, u64::saturating_add).saturating_mul(4)
    }

    /// The shape of the network's input, in its order of axes.
    #[must_use]
    pub fn input_shape(&self) -> Vec<usize> {
        shape(&self.input.axes, self.input.channels(), self.tile_shape())
    }

    /// The shape of the network's output for one tile, in its order of axes; nothing if there is no such output.
    #[must_use]
    pub fn output_shape(&self, output: usize) -> Option<Vec<usize>> {
        let described = self.outputs.get(output)?;
        let lengths = self.sides.each_ref().map(|side| {
            let fit = side.side.fits.get(output);
            fit.and_then(|fit| fit.output_length(side.tile))
                .unwrap_or(0)
        });
        Some(shape(&described.axes, described.channels(), lengths))
    }

    /// Rows and columns of the described output for the whole image: of the labels, where labels are made. Nothing if there
    /// is no such output.
    #[must_use]
    pub fn described_shape(&self, output: usize) -> Option<[usize; 2]> {
        let [down, across] = &self.sides;
        let length =
            |side: &PlannedSide| Some(side.side.fits.get(output)?.described.covering(side.length));
        Some([length(down)?, length(across)?])
    }

    /// A tile, counted row by row; nothing if there are not as many.
    #[must_use]
    pub fn tile(&self, index: usize) -> Option<Tile> {
        let [down, across] = &self.sides;
        let columns = across.count();
        let (row, column) = (index / columns, index % columns);
        if row >= down.count() {
            return None;
        }
        let parts = (0..self.outputs.len()).map(|output| {
            let (rows, columns) = (down.part(output, row), across.part(output, column));
            Part {
                from: [rows.0, columns.0],
                to: [rows.1, columns.1],
            }
        });
        Some(Tile {
            origin: [down.origin(row), across.origin(column)],
            parts: parts.collect(),
        })
    }
}

/// The shape of a tensor of one image.
pub(crate) fn shape(axes: &[Axis], channels: usize, [rows, columns]: [usize; 2]) -> Vec<usize> {
    let length = |axis: &Axis| match axis.kind {
        AxisKind::Batch => 1,
        AxisKind::Channel => channels,
        AxisKind::Space if axis.id == "y" => rows,
        AxisKind::Space => columns,
    };
    axes.iter().map(length).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, ArrayD, Axis as ArrayAxis, Slice};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::sample::{good, refused};
    use crate::tensor::Tensor;

    /// How a network's output goes with its input, along both sides.
    #[derive(Clone, Copy, Debug)]
    struct Network {
        /// Of so many pixels it keeps one.
        stride: usize,
        /// Pixels of the output that it crops off either end.
        crop: usize,
        /// Pixels at either end of the output that it spoils.
        halo: usize,
    }

    impl Network {
        fn output(self, id: &str) -> Value {
            let side = |side: &str| {
                let (stride, offset) = (self.stride, -2 * self.crop as i64);
                let size = json!({"tensor_id": "raw", "axis_id": side, "offset": offset});
                let mut axis = json!({"type": "space", "id": side, "scale": stride, "size": size});
                if self.halo > 0 {
                    axis["halo"] = json!(self.halo);
                }
                axis
            };
            let channels = json!({"type": "channel", "channel_names": ["a", "b"]});
            json!({"id": id, "axes": [side("x"), channels, side("y"), {"type": "batch"}]})
        }

        /// What it makes of a tile `[batch, channel, y, x]`: `[x, channel, y, batch]`.
        fn run(self, tile: &Tensor) -> ArrayD<f32> {
            let mut found = tile.values();
            for axis in [2, 3] {
                let kept = Slice::new(0, None, self.stride as isize);
                found.slice_axis_inplace(ArrayAxis(axis), kept);
                let length = found.shape()[axis];
                found.slice_axis_inplace(
                    ArrayAxis(axis),
                    Slice::from(self.crop..length - self.crop),
                );
            }
            let mut found = found.to_owned();
            for axis in [2, 3] {
                let length = found.shape()[axis];
                for place in (0..self.halo).chain(length - self.halo..length) {
                    found.index_axis_mut(ArrayAxis(axis), place).fill(-1.0);
                }
            }
            found.permuted_axes(vec![3, 1, 2, 0])
        }
    }

    fn numbered(rows: usize, columns: usize) -> Array3<f32> {
        let mut next = 0.0;
        Array3::from_shape_simple_fn((rows, columns, 2), || {
            next += 1.0;
            next
        })
    }

    fn size() -> impl Strategy<Value = Value> {
        let steps =
            (1..40_usize, 1..9_usize).prop_map(|(min, step)| json!({"min": min, "step": step}));
        prop_oneof![steps, (4..40_usize).prop_map(|size| json!(size))]
    }

    fn network() -> impl Strategy<Value = Network> {
        (1..4_usize, 0..3_usize, 0..4_usize).prop_map(|(stride, crop, halo)| Network {
            stride,
            crop,
            halo,
        })
    }

    fn description(
        sizes: [Value; 2],
        networks: &[Network],
        pad: &str,
    ) -> Result<Description, crate::problem::DescriptionError> {
        let outputs = networks
            .iter()
            .enumerate()
            .map(|(index, network)| network.output(&format!("out{index}")));
        let [y, x] = sizes;
        crate::sample::parse(&crate::sample::with(&[
            ("/inputs/0/axes/2/size", y),
            ("/inputs/0/axes/3/size", x),
            ("/inputs/0/pad", json!({"mode": pad})),
            ("/outputs", outputs.collect()),
        ]))
    }

    #[test]
    fn an_image_of_a_size_that_the_network_takes_goes_as_it_is() {
        let network = Network {
            stride: 2,
            crop: 0,
            halo: 3,
        };
        let sizes = || [json!({"min": 32, "step": 8}), json!({"min": 32, "step": 8})];
        let good = description(sizes(), &[network], "edge").expect("it can be done");
        let plan = TilePlan::whole(&good, [40, 48], u64::MAX).expect("it takes it");
        assert_eq!((plan.count(), plan.tile_shape()), (1, [40, 48]));
        let tile = plan.tile(0).expect("the only one");
        assert_eq!(tile.origin, [0, 0]);
        assert_eq!(
            (&tile.parts[0].from, &tile.parts[0].to),
            (&[0..20, 0..24], &[0..20, 0..24])
        );
        for (image, budget_bytes) in [([40, 44], u64::MAX), ([24, 40], u64::MAX), ([40, 48], 1000)]
        {
            assert_eq!(TilePlan::whole(&good, image, budget_bytes), None);
        }
        let cropping = Network { crop: 1, ..network };
        let cropping = description(sizes(), &[cropping], "edge").expect("it can be done");
        assert_eq!(TilePlan::whole(&cropping, [40, 48], u64::MAX), None);
    }

    proptest! {
        #[test]
        fn networks_that_repeat_their_input_give_the_image_back_through_tiles(
            sizes in [size(), size()],
            networks in prop::collection::vec(network(), 1..3),
            image in (1..60_usize, 1..60_usize),
            budget_bytes in 0..60_000_u64,
            pad in prop::sample::select(vec!["symmetric", "reflect", "edge", "constant"]),
        ) {
            let Ok(description) = description(sizes, &networks, pad) else {
                return Ok(()); // no size goes together with such networks
            };
            let (rows, columns) = image;
            let plan = TilePlan::within(&description, [rows, columns], budget_bytes);
            let plan = plan.or_else(|_| TilePlan::smallest(&description, [rows, columns])).unwrap();
            let image = numbered(rows, columns);
            let tensor = description.input.tensor(image.view()).unwrap();
            let mut outputs: Vec<_> = (0..networks.len()).map(|output| plan.canvas(output).unwrap()).collect();
            for output in &mut outputs {
                output.values.fill(f32::NAN);
            }
            for index in 0..plan.count() {
                let tile = plan.cut(&tensor, index).unwrap();
                prop_assert_eq!(tile.values().shape().to_vec(), plan.input_shape());
                for (output, network) in networks.iter().enumerate() {
                    plan.paste(index, output, network.run(&tile).view(), &mut outputs[output]).unwrap();
                }
            }
            for (output, network) in networks.iter().enumerate() {
                let found = description.outputs[output].image(&outputs[output]).unwrap();
                let stride = network.stride;
                let shape = (rows.div_ceil(stride), columns.div_ceil(stride), 2);
                let expected = Array3::from_shape_fn(shape, |(row, column, channel)| {
                    image[[row * stride, column * stride, channel]]
                });
                prop_assert_eq!(found, expected, "{:?}", plan);
            }
        }

        #[test]
        fn tiles_are_as_large_as_there_is_room_for(
            sizes in [size(), size()],
            networks in prop::collection::vec(network(), 1..3),
            image in (1..200_usize, 1..200_usize),
            budget_bytes in 0..200_000_u64,
        ) {
            let Ok(description) = description(sizes, &networks, "edge") else {
                return Ok(());
            };
            let image = [image.0, image.1];
            let smallest = TilePlan::smallest(&description, image).unwrap();
            match TilePlan::within(&description, image, budget_bytes) {
                Ok(plan) => {
                    prop_assert!(plan.tile_bytes() <= budget_bytes);
                    let [more, least] = [&plan, &smallest].map(TilePlan::tile_shape);
                    prop_assert!(more[0] >= least[0] && more[1] >= least[1]);
                }
                Err(error) => {
                    let needed_bytes = smallest.tile_bytes();
                    prop_assert!(needed_bytes > budget_bytes);
                    prop_assert_eq!(error, TensorError::Budget { needed_bytes, budget_bytes });
                }
            }
            // With all the room there is, one tile holds the image unless there is only one size.
            let plan = TilePlan::within(&description, image, u64::MAX).unwrap();
            let is_free = |side: usize| matches!(description.input.axes[2 + side].size, crate::axis::Size::Steps { .. });
            if is_free(0) && is_free(1) {
                prop_assert_eq!(plan.count(), 1);
            }
        }
    }

    #[test]
    fn tiles_overlap_by_twice_the_halo_and_the_last_one_ends_with_the_image() {
        let network = Network {
            stride: 1,
            crop: 0,
            halo: 3,
        };
        let description = description([json!(16), json!(16)], &[network], "symmetric").unwrap();
        let plan = TilePlan::smallest(&description, [10, 25]).unwrap();
        assert_eq!((plan.count(), plan.tile_shape()), (3, [16, 16]));
        let tiles: Vec<_> = (0..3).filter_map(|index| plan.tile(index)).collect();
        let origins: Vec<_> = tiles.iter().map(|tile| tile.origin).collect();
        assert_eq!(origins, [[-3, -3], [-3, 7], [-3, 12]]);
        let columns: Vec<_> = tiles
            .iter()
            .map(|tile| tile.parts[0].to[1].clone())
            .collect();
        assert_eq!(columns, [0..10, 10..15, 15..25]);
        assert!(plan.tile(3).is_none());
    }

    #[test]
    fn one_side_may_follow_the_other() {
        let follow = json!({"tensor_id": "raw", "axis_id": "y", "offset": 8});
        let description = good(&[
            ("/inputs/0/axes/3/size", follow),
            (
                "/outputs/0/axes/3/size",
                json!({"tensor_id": "raw", "axis_id": "y", "offset": 8}),
            ),
        ]);
        let plan = TilePlan::smallest(&description, [30, 20]).unwrap();
        assert_eq!(
            (plan.tile_shape(), plan.output_shape(0)),
            ([16, 24], Some(vec![1, 2, 16, 24]))
        );
        let plan = TilePlan::within(&description, [30, 20], 1 << 30).unwrap();
        assert_eq!((plan.tile_shape(), plan.count()), ([32, 40], 1));
        let plan = TilePlan::within(&description, [30, 70], 1 << 30).unwrap();
        assert_eq!((plan.tile_shape(), plan.count()), ([64, 72], 1));
    }

    #[test]
    fn heads_of_labels_are_smaller_than_the_labels_by_their_grid() {
        let star = json!([{"id": "stardist_postprocessing", "kwargs": {
            "grid": [2, 2], "prob_threshold": 0.5, "nms_threshold": 0.4, "b": 2, "n_rays": 32
        }}]);
        let description = good(&[("/outputs/0/postprocessing", star)]);
        let plan = TilePlan::smallest(&description, [31, 16]).unwrap();
        assert_eq!(plan.output_shape(0), Some(vec![1, 33, 8, 8]));
        assert_eq!(plan.canvas(0).unwrap().values().shape(), [1, 33, 16, 8]);
        assert_eq!(plan.described_shape(0), Some([31, 16]));
        assert_eq!(
            (plan.described_shape(1), plan.output_shape(1)),
            (None, None)
        );
    }

    #[test]
    fn images_that_are_too_large_to_be_there_can_be_planned_for() {
        for length in [1 << 40, usize::MAX] {
            let plan = TilePlan::within(&good(&[]), [length, length], 1 << 20).unwrap();
            assert!(plan.count() > 1000);
            assert!(plan.tile(0).is_some());
            let _ = plan.tile(plan.count() - 1);
        }
    }

    #[test]
    fn sizes_that_cannot_be_met_are_refused() {
        let with = |network: Network, size: Value| {
            refused(&[
                ("/inputs/0/axes/2/size", size.clone()),
                ("/inputs/0/axes/3/size", size),
                ("/outputs/0", network.output("out")),
            ])
        };
        let told = with(
            Network {
                stride: 1,
                crop: 0,
                halo: 8,
            },
            json!(16),
        );
        assert!(
            told.contains("no size is larger than twice the halo, [16, 16] pixels"),
            "{told}"
        );
        let told = with(
            Network {
                stride: 2,
                crop: 0,
                halo: 0,
            },
            json!({"min": 15, "step": 2}),
        );
        assert!(told.contains("goes evenly into all outputs"), "{told}");
    }

    #[test]
    fn tensors_of_other_shapes_are_errors() {
        let description = good(&[]);
        let plan = TilePlan::smallest(&description, [20, 20]).unwrap();
        let image = description.input.tensor(numbered(20, 21).view()).unwrap();
        assert!(matches!(
            plan.cut(&image, 0),
            Err(TensorError::Length {
                found: 21,
                expected: 20,
                ..
            })
        ));
        let image = description.input.tensor(numbered(20, 20).view()).unwrap();
        assert_eq!(plan.cut(&image, 4).unwrap_err(), TensorError::NoTile(4));
        let mut canvas = plan.canvas(0).unwrap();
        let tile = ArrayD::zeros(vec![1, 2, 16, 15]);
        assert!(matches!(
            plan.paste(0, 0, tile.view(), &mut canvas),
            Err(TensorError::Shape { .. })
        ));
        let tile = ArrayD::zeros(vec![1, 2, 16, 16]);
        assert_eq!(
            plan.paste(0, 1, tile.view(), &mut canvas).unwrap_err(),
            TensorError::NoOutput(1)
        );
        assert_eq!(
            TilePlan::smallest(&description, [0, 4]).unwrap_err(),
            TensorError::Empty
        );
        assert_eq!(
            TilePlan::within(&description, [4, 0], 1 << 20).unwrap_err(),
            TensorError::Empty
        );
    }
}
