//! The spots of a result: arrays of their places, or tables.

use anyhow::{Context as _, ensure};
use bioimage::{Limits, npy};

/// Spots of one image.
const MOST_SPOTS: usize = 1_000_000;

/// Bytes for each spot in a file, at most.
const BYTES_OF_SPOT: usize = 80;

/// Which image of the batch the file of this name has the spots of, if it may have any: `…_2.npy` or `…_2.csv`.
pub(super) fn item_of(path: &str) -> Option<usize> {
    let (stem, ending) = path.rsplit_once('.')?;
    let item = stem.rsplit_once('_').map_or(stem, |(_, item)| item);
    ["npy", "csv"]
        .contains(&ending)
        .then(|| item.parse().ok())?
}

/// Rows and columns of the spots in a file; nothing if it has something else.
pub(super) fn read(
    file: &[u8],
    path: &str,
    limits: &Limits,
) -> anyhow::Result<Option<Vec<[f64; 2]>>> {
    ensure!(
        file.len() <= MOST_SPOTS * BYTES_OF_SPOT,
        "`{path}` has more than {MOST_SPOTS} spots"
    );
    let spots = match path.ends_with(".npy") {
        true => of_array(file, limits)?,
        false => of_table(file, path)?,
    };
    let count = spots.as_ref().map_or(0, Vec::len);
    ensure!(count <= MOST_SPOTS, "`{path}` has {count} spots");
    Ok(spots)
}

/// `[spot, 2]`
fn of_array(file: &[u8], limits: &Limits) -> anyhow::Result<Option<Vec<[f64; 2]>>> {
    let places = npy::read_f64(file, limits)?;
    Ok(match places.shape() {
        [_, 2] => {
            let rows = places.rows();
            Some(rows.into_iter().map(|spot| [spot[0], spot[1]]).collect())
        }
        _ => None,
    })
}

/// Lines whose first fields are column and row.
fn of_table(file: &[u8], path: &str) -> anyhow::Result<Option<Vec<[f64; 2]>>> {
    let Ok(text) = std::str::from_utf8(file) else {
        return Ok(None);
    };
    let mut lines = text.lines();
    if !lines.next().is_some_and(|names| names.starts_with("x,y")) {
        return Ok(None);
    }
    let spot = |line: &str| {
        let mut fields = line.split(',').map(|field| field.parse::<f64>());
        let (column, row) = (fields.next()?.ok()?, fields.next()?.ok()?);
        Some([row, column])
    };
    let spot = |line| spot(line).with_context(|| format!("`{path}` has a line without a place"));
    lines.map(spot).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn spots_are_read_from_arrays_and_tables() {
        let limits = Limits::default();
        let array = npy::write(&array![[1.5, 2.0], [3.0, 4.25]].view().into_dyn());
        let spots = read(&array, "a_0.npy", &limits).expect("an array");
        assert_eq!(spots, Some(vec![[1.5, 2.0], [3.0, 4.25]]));
        let table = bioimage::spot_csv(&[[0.5, 7.0]], &[vec![3]]);
        let spots = read(table.as_bytes(), "a_0.csv", &limits).expect("a table");
        assert_eq!(spots, Some(vec![[0.5, 7.0]]));
        assert_eq!(
            read(b"a,b\n1,2", "a_0.csv", &limits).expect("another"),
            None
        );
        assert!(read(b"x,y\n1", "a_0.csv", &limits).is_err());
        let other = npy::write(&array![1.0, 2.0, 3.0].view().into_dyn());
        assert_eq!(read(&other, "a_0.npy", &limits).expect("another"), None);
    }

    #[test]
    fn files_are_known_by_their_names() {
        assert_eq!(item_of("plate/a_12.npy"), Some(12));
        assert_eq!(item_of("0.csv"), Some(0));
        assert_eq!(item_of("a_0.tif"), None);
        assert_eq!(item_of("a_x.csv"), None);
    }
}
