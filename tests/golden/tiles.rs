//! Tiles, as the indices note them.

use cell_analysis::segmentation::Tiling;
use ndarray::Array4;
use serde_json::{Value, json};

/// All tiles of an image.
pub(crate) fn tiles(tiling: &Tiling, image: &Array4<f32>) -> Array4<f32> {
    let [rows, columns] = tiling.tile_shape();
    let mut tiles = Array4::zeros((tiling.len(), rows, columns, image.dim().3));
    for (index, tile) in tiles.outer_iter_mut().enumerate() {
        tiling.copy_tile(image.view(), index, tile);
    }
    tiles
}

/// Where the tiles lie, as both areas' indices note it.
pub(crate) fn places(tiling: &Tiling) -> Value {
    let each = |value: &dyn Fn(usize) -> Value| (0..tiling.len()).map(value).collect::<Value>();
    let [rows, columns] = tiling.tile_shape();
    json!({
        "batches": each(&|index| json!(tiling.batch_item(index))),
        "x_starts": each(&|index| json!(tiling.origin(index)[0])),
        "x_ends": each(&|index| json!(tiling.origin(index)[0] + rows)),
        "y_starts": each(&|index| json!(tiling.origin(index)[1])),
        "y_ends": each(&|index| json!(tiling.origin(index)[1] + columns)),
        "overlaps_x": each(&|index| json!(tiling.overlaps(index)[0])),
        "overlaps_y": each(&|index| json!(tiling.overlaps(index)[1])),
        "stride_x": tiling.stride()[0],
        "stride_y": tiling.stride()[1],
        "pad_x": tiling.padding()[0],
        "pad_y": tiling.padding()[1],
    })
}
