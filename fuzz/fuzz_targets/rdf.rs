//! Model descriptions, and what is done by those that can be read: preprocessing, tiles, postprocessing.
#![no_main]

mod bound;

use bioimage_model::{Description, TilePlan};
use libfuzzer_sys::fuzz_target;
use ndarray::Array3;

use bound::within;

/// A description of 400,000 values, and an image with all that becomes of it.
const MEMORY: u64 = 128 << 20;

const ROWS: usize = 30;
const COLUMNS: usize = 20;

fuzz_target!(|bytes: &[u8]| {
    within(MEMORY, bytes, || {
        if let Ok(description) = Description::parse(bytes) {
            run(&description);
        }
    });
});

/// A small image through all that goes on around a network.
fn run(description: &Description) {
    let plan = TilePlan::smallest(description, [ROWS, COLUMNS]).expect("a tile of a description that was read");
    let _ = TilePlan::within(description, [ROWS, COLUMNS], 1 << 20);
    assert!((0..plan.count()).all(|index| plan.tile(index).is_some()));
    let input = &description.input;
    if input.channels() > 8 || plan.tile_bytes() > 4 << 20 {
        return;
    }
    let image = Array3::from_shape_fn((ROWS, COLUMNS, input.channels()), |(row, column, channel)| {
        (7 * row + 3 * column + channel) as f32
    });
    let image = input.tensor(image.view()).expect("an image of as many channels");
    // Lists along y and x may be for other images.
    let Ok(prepared) = description.preprocess(image) else { return };
    let tile = plan.cut(&prepared.tensor, 0).expect("a tile of the planned image");
    assert_eq!(tile.values().shape(), plan.input_shape());
    for output in 0..description.outputs.len() {
        let canvas = plan.canvas(output).expect("an output");
        if canvas.values().len() > 1 << 18 {
            return;
        }
        let _ = description.postprocess(output, canvas, &prepared.reference);
    }
}
