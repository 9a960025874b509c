//! Objects that cross the borders of tiles come out whole: tiled predictions against the same model on the whole image.

use std::sync::Arc;

use cell_analysis::segmentation::{DeepWatershed, PadMode, Tiling, Untiler};
use ndarray::{Array2, Array4, ArrayD, Axis, Ix4, Zip, stack};
use proptest::prelude::*;
use redis_consumer::applications::{Application, Model};
use redis_consumer::serving::{self, Input, ModelServer};

const TILE: usize = 64;

/// A round cell.
#[derive(Clone, Copy, Debug)]
struct Cell {
    row: f32,
    column: f32,
    radius: f32,
}

/// The value of the cell that a pixel is nearest to, 1 in its middle and 0 at its edge.
fn image(cells: &[Cell], [rows, columns]: [usize; 2]) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let height = |cell: &Cell| {
            1.0 - (row as f32 - cell.row).hypot(column as f32 - cell.column) / cell.radius
        };
        cells.iter().map(height).fold(0.0, f32::max)
    })
}

/// Heads of a model that looks at single pixels: the value, and whether there is one.
fn heads(pixels: &Array4<f32>) -> [Array4<f32>; 2] {
    [pixels.clone(), pixels.mapv(|value| (4.0 * value).min(1.0))]
}

/// Heads of tiles by a model that sees nothing near their borders, as real ones see badly there.
fn blind_heads(tiles: &Array4<f32>) -> [Array4<f32>; 2] {
    const BLIND: usize = 3;
    let inside = |place: usize| (BLIND..TILE - BLIND).contains(&place);
    heads(tiles).map(|mut head| {
        head.indexed_iter_mut()
            .filter(|((_, row, column, _), _)| !inside(*row) || !inside(*column))
            .for_each(|(_, value)| *value = 0.0);
        head
    })
}

fn whole(image: &Array2<f32>) -> Array2<u32> {
    let [maxima, interior] = heads(&image.clone().insert_axis(Axis(0)).insert_axis(Axis(3)));
    let plane = |head: Array4<f32>| head.index_axis_move(Axis(3), 0);
    let labels = DeepWatershed::nuclear()
        .segment(plane(maxima), plane(interior))
        .expect("heads are sound");
    labels.index_axis_move(Axis(0), 0)
}

fn tiled(image: &Array2<f32>, pad: PadMode) -> Array2<u32> {
    let image = image.clone().insert_axis(Axis(0)).insert_axis(Axis(3));
    let tiling = Tiling::new(image.dim().into(), [TILE, TILE], pad);
    let mut untilers = [Untiler::new(&tiling, 1), Untiler::new(&tiling, 1)];
    for index in 0..tiling.len() {
        let mut tile = Array4::zeros((1, TILE, TILE, 1));
        tiling.copy_tile(image.view(), index, tile.index_axis_mut(Axis(0), 0));
        for (untiler, head) in untilers.iter_mut().zip(blind_heads(&tile)) {
            untiler.add(index, head.index_axis(Axis(0), 0));
        }
    }
    let [maxima, interior] = untilers.map(|untiler| untiler.finish().index_axis_move(Axis(3), 0));
    let labels = DeepWatershed::nuclear()
        .segment(maxima, interior)
        .expect("heads are sound");
    labels.index_axis_move(Axis(0), 0)
}

/// Pixels of a cell whose value is so close to the threshold that the weights of overlapping tiles decide; a seam would cut
/// off a whole row of them.
const FAINT: usize = 5;

/// The two label images show the same cells, but for pixels where a cell's faint edge meets the threshold.
fn assert_same_cells(tiled: &Array2<u32>, whole: &Array2<u32>, cells: &[Cell]) {
    let count = |labels: &Array2<u32>| labels.iter().copied().max().unwrap_or(0);
    assert_eq!(count(tiled), count(whole), "number of cells");
    let differing = Zip::from(tiled)
        .and(whole)
        .fold(0, |n, a, b| n + usize::from((*a == 0) != (*b == 0)));
    assert!(
        differing <= FAINT * cells.len(),
        "{differing} pixels differ on the edges of {} cells",
        cells.len()
    );
    for cell in cells {
        let middle = [cell.row as usize, cell.column as usize];
        let (a, b) = (tiled[middle], whole[middle]);
        let area = |labels: &Array2<u32>, label: u32| {
            labels.iter().filter(|&&other| other == label).count()
        };
        let (a, b) = (area(tiled, a), area(whole, b));
        assert!(
            a.abs_diff(b) <= FAINT,
            "the cell at {middle:?} has {a} pixels, not {b}"
        );
    }
}

/// Cells that do not touch, most of them across a border of tiles.
fn cells(size: usize) -> impl Strategy<Value = Vec<Cell>> {
    let near_border =
        (0..size / 48, -6.0..6.0_f32).prop_map(move |(tile, off)| (tile * 48) as f32 + off);
    let place = prop_oneof![3 => near_border, 1 => 0.0..size as f32];
    let cell = (place.clone(), place, 6.0..11.0_f32).prop_map(|(row, column, radius)| Cell {
        row,
        column,
        radius,
    });
    prop::collection::vec(cell, 1..30).prop_map(move |cells| {
        let mut kept: Vec<Cell> = Vec::new();
        for cell in cells {
            let inside = |place: f32| place >= 2.0 && place < size as f32 - 2.0;
            let apart =
                |other: &Cell| (other.row - cell.row).hypot(other.column - cell.column) > 26.0;
            if inside(cell.row) && inside(cell.column) && kept.iter().all(apart) {
                kept.push(cell);
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn cells_across_borders_of_tiles_are_whole(cells in cells(200), constant in any::<bool>()) {
        let image = image(&cells, [200, 200]);
        let pad = if constant { PadMode::Constant } else { PadMode::Reflect };
        assert_same_cells(&tiled(&image, pad), &whole(&image), &cells);
    }
}

/// The same through the client, the batches and the model server.
#[tokio::test(flavor = "multi_thread")]
async fn cells_are_whole_after_the_way_through_the_model_server() {
    let shape = [-1, TILE as i64, TILE as i64, 1];
    let run = |inputs: &[(String, ArrayD<f32>)]| {
        let pixels = inputs[0]
            .1
            .clone()
            .into_dimensionality::<Ix4>()
            .map_err(|error| error.to_string())?;
        let named = ["prediction_0", "prediction_1"]
            .map(str::to_owned)
            .into_iter();
        Ok(named
            .zip(blind_heads(&pixels))
            .map(|(name, head)| (name, head.into_dyn()))
            .collect())
    };
    let model = serving::Model {
        id: "Pixels:1".parse().expect("a model's name"),
        inputs: vec![Input::float("image", &shape)],
        outputs: [0, 1]
            .map(|index| Input::float(&format!("prediction_{index}"), &shape))
            .into(),
        run: Arc::new(run),
    };
    let server = ModelServer::start(0, vec![model]).await.expect("a port");
    let client = server.client();
    let model = Model::load(&client, &"Pixels:1".parse().expect("a model's name"))
        .await
        .expect("it is served");

    let on_grid = |index: usize| 48.0 * (index + 1) as f32;
    let cells: Vec<Cell> = (0..25)
        .map(|i| Cell {
            row: on_grid(i / 5),
            column: on_grid(i % 5),
            radius: 10.0,
        })
        .collect();
    let image = image(&cells, [300, 300]);
    let whole = whole(&image);
    let batch = stack(Axis(0), &[image.view()])
        .expect("one image")
        .insert_axis(Axis(3));
    let application = Application::nuclear();
    let heads = application
        .predict(&model, batch)
        .await
        .expect("the model answers");
    let labels = application
        .label(heads, [300, 300])
        .expect("heads are sound");
    let labels = labels
        .index_axis_move(Axis(3), 0)
        .index_axis_move(Axis(0), 0);
    assert_eq!(labels.iter().copied().max(), Some(25));
    assert_same_cells(&labels, &whole, &cells);
}
