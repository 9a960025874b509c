//! Tables of single-molecule spots: comma-separated text as Python's `csv` module writes it.

use std::fmt::Write as _;

/// The spots as comma-separated text: a header (`x,y,cellID0,cellID1`), then a line for each point, all ended by CR LF.
///
/// `points` are `[row, column]` in pixels; `x` is the column and `y` the row. `cells` has a list for each compartment with
/// the cell of each point, in the order of the points. Positions are the shortest texts that parse to the same f64, as
/// Python's `repr` writes them (`7.0`, `1e-05`).
///
/// ```
/// # use bioimage::spot_csv;
/// assert_eq!(spot_csv(&[[0.25, 7.0]], &[vec![3]]), "x,y,cellID0\r\n7.0,0.25,3\r\n");
/// ```
///
/// # Panics
///
/// If a list of cells does not have one entry for each point.
#[must_use]
pub fn spot_csv(points: &[[f64; 2]], cells: &[Vec<i64>]) -> String {
    let mut table = "x,y".to_owned();
    for (kind, cells) in cells.iter().enumerate() {
        assert_eq!(cells.len(), points.len(), "a cell for each point");
        let _ = write!(table, ",cellID{kind}");
    }
    table.push_str("\r\n");
    for (index, [row, column]) in points.iter().enumerate() {
        let _ = write!(table, "{},{}", python_float(*column), python_float(*row));
        for cells in cells {
            let _ = write!(table, ",{}", cells[index]);
        }
        table.push_str("\r\n");
    }
    table
}

/// The number as Python's `repr` writes it.
fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{number:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (number, text) in [
            (7.0, "7.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (-1.25e100, "-1.25e+100"),
            (5e-324, "5e-324"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(python_float(number), text);
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_back_as_they_were(number in any::<f64>()) {
            prop_assert_eq!(python_float(number).parse::<f64>().map(f64::to_bits), Ok(number.to_bits()));
        }
    }

    #[test]
    fn a_table_without_spots_has_its_names() {
        assert_eq!(spot_csv(&[], &[]), "x,y\r\n");
        assert_eq!(spot_csv(&[], &[vec![], vec![]]), "x,y,cellID0,cellID1\r\n");
    }
}
