//! Tables of cells as comma-separated text (RFC 4180), written row by row.

use std::borrow::Cow;
use std::io::{self, Write};

use super::measure::{Region, Regions};

/// Which columns a table of cells has beside those that all have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellColumns {
    /// The item that a cell belongs to comes first, in tables of several images.
    pub item: bool,
    /// Frame, track, its parent and how many frames the track has, for movies.
    pub tracks: bool,
    /// Areas in µm² beside those in pixels.
    pub area_um2: bool,
    /// Names of the channels, of which the mean and the sum of the light are given.
    pub channels: Vec<String>,
}

/// A track of a movie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellTrack {
    /// The label of its cells.
    pub track: u32,
    /// The track that has divided into it.
    pub parent: Option<u32>,
    /// How many frames have a cell of it.
    pub frames: usize,
}

/// The cells of one image, or of one frame of a movie.
#[derive(Clone, Copy, Debug)]
pub struct CellRows<'r> {
    /// What the image is called.
    pub item: &'r str,
    /// Which frame of the movie it is, counted from 0.
    pub frame: usize,
    /// The tracks of the movie by ascending labels.
    pub tracks: &'r [CellTrack],
    /// The area of a pixel, if it is known.
    pub pixel_area_um2: Option<f64>,
    /// Its cells.
    pub regions: &'r Regions,
}

/// A table of cells on its way to a file or a socket; nothing is kept but the row that is written.
#[derive(Debug)]
pub struct CellTable<W> {
    out: W,
    columns: CellColumns,
}

impl<W: Write> CellTable<W> {
    /// Begins a table with the row of the columns' names.
    ///
    /// Bounding boxes end before their last row and column, as in scikit-image. What is not known or no number is empty.
    ///
    /// # Errors
    ///
    /// What the writer fails with.
    pub fn begin(out: W, columns: CellColumns) -> io::Result<Self> {
        let mut table = Self { out, columns };
        let names = table.names();
        table.row(&names)?;
        Ok(table)
    }

    /// Adds the cells of an image.
    ///
    /// # Errors
    ///
    /// What the writer fails with.
    ///
    /// # Panics
    ///
    /// If the cells were measured in another number of channels.
    pub fn add(&mut self, rows: &CellRows<'_>) -> io::Result<()> {
        let channels = rows.regions.integrated.ncols();
        assert_eq!(channels, self.columns.channels.len(), "channels of a table");
        for (at, region) in rows.regions.regions.iter().enumerate() {
            let fields = self.fields(rows, at, region);
            self.row(&fields)?;
        }
        Ok(())
    }

    /// The writer, when all is written.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut add = |is_there: bool, some: &[&str]| {
            let some = some.iter().filter(|_| is_there);
            names.extend(some.map(|name| (*name).to_owned()));
        };
        let CellColumns {
            item,
            tracks,
            area_um2,
            channels,
        } = &self.columns;
        add(*item, &["item"]);
        add(*tracks, &["frame"]);
        add(true, &["label", "area_px"]);
        add(*area_um2, &["area_um2"]);
        add(true, &["centroid_row", "centroid_column"]);
        add(true, &["min_row", "min_column", "max_row", "max_column"]);
        add(
            true,
            &["perimeter", "eccentricity", "solidity", "touches_border"],
        );
        for channel in channels {
            add(
                true,
                &[&format!("mean_{channel}"), &format!("integrated_{channel}")],
            );
        }
        add(*tracks, &["track", "parent", "track_frames"]);
        names
    }

    /// The fields of a cell in the order of [`Self::names`].
    fn fields(&self, rows: &CellRows<'_>, at: usize, region: &Region) -> Vec<String> {
        let CellColumns {
            item,
            tracks,
            area_um2,
            channels,
        } = &self.columns;
        let mut fields = Vec::new();
        fields.extend(item.then(|| rows.item.to_owned()));
        fields.extend(tracks.then(|| rows.frame.to_string()));
        fields.extend([region.label.to_string(), region.area.to_string()]);
        let area = rows
            .pixel_area_um2
            .map_or(f64::NAN, |pixel| pixel * region.area as f64);
        fields.extend(area_um2.then(|| number(area)));
        fields.extend(region.centroid.map(number));
        let corners = [
            region.rows.start,
            region.columns.start,
            region.rows.end,
            region.columns.end,
        ];
        fields.extend(corners.map(|corner| corner.to_string()));
        fields.extend([region.perimeter, region.eccentricity, region.solidity()].map(number));
        fields.push(region.touches_border.to_string());
        for channel in 0..channels.len() {
            fields.push(number(rows.regions.mean_intensity(at, channel)));
            fields.push(number(rows.regions.integrated[[at, channel]]));
        }
        if *tracks {
            fields.extend(track(rows.tracks, region.label));
        }
        fields
    }

    fn row(&mut self, fields: &[String]) -> io::Result<()> {
        let fields: Vec<_> = fields.iter().map(|field| quoted(field)).collect();
        write!(self.out, "{}\r\n", fields.join(","))
    }
}

/// Track, parent and frames of the track of a label.
fn track(tracks: &[CellTrack], label: u32) -> [String; 3] {
    let place = tracks.binary_search_by_key(&label, |track| track.track);
    let found = place.ok().map(|at| tracks[at]);
    let parent = found.and_then(|track| track.parent);
    [
        label.to_string(),
        parent.map_or_else(String::new, |parent| parent.to_string()),
        found.map_or_else(String::new, |track| track.frames.to_string()),
    ]
}

/// The shortest text that parses to the same number; nothing if it is none.
fn number(number: f64) -> String {
    if number.is_finite() {
        number.to_string()
    } else {
        String::new()
    }
}

/// A field with quotes around it where it needs them.
fn quoted(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\"")).into()
    } else {
        field.into()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::regions::measure_regions;

    fn text(columns: CellColumns, rows: &[CellRows<'_>]) -> String {
        let mut table = CellTable::begin(Vec::new(), columns).expect("memory takes all");
        rows.iter()
            .for_each(|rows| table.add(rows).expect("memory takes all"));
        String::from_utf8(table.into_inner()).expect("text")
    }

    #[test]
    fn a_movie_has_tracks_and_a_batch_has_items() {
        let labels = array![[0, 7, 7], [0, 7, 7], [2, 0, 0]];
        let light = array![[9.0, 1.0, 2.0], [9.0, 3.0, 4.0], [f32::NAN, 9.0, 9.0]];
        let regions = measure_regions(labels.view(), &[light.view()]);
        let tracks = [CellTrack {
            track: 2,
            parent: Some(1),
            frames: 5,
        }];
        let rows = CellRows {
            item: "a, \"b\".tif",
            frame: 3,
            tracks: &tracks,
            pixel_area_um2: Some(0.25),
            regions: &regions,
        };
        let columns = CellColumns {
            item: true,
            tracks: true,
            area_um2: true,
            channels: vec!["DAPI".to_owned()],
        };
        let expected = "item,frame,label,area_px,area_um2,centroid_row,centroid_column,min_row,min_column,max_row,max_column,\
            perimeter,eccentricity,solidity,touches_border,mean_DAPI,integrated_DAPI,track,parent,track_frames\r\n\
            \"a, \"\"b\"\".tif\",3,2,1,0.25,2,0,2,0,3,1,0,0,1,true,,,2,1,5\r\n\
            \"a, \"\"b\"\".tif\",3,7,4,1,0.5,1.5,0,1,2,3,4,0,1,true,2.5,10,7,,\r\n";
        assert_eq!(text(columns, &[rows]), expected);
    }

    #[test]
    fn an_image_without_cells_is_a_row_of_names() {
        let regions = measure_regions(array![[0]].view(), &[]);
        let rows = CellRows {
            item: "x",
            frame: 0,
            tracks: &[],
            pixel_area_um2: None,
            regions: &regions,
        };
        let found = text(CellColumns::default(), &[rows, rows]);
        assert_eq!(found.matches("\r\n").count(), 1);
        assert!(found.starts_with("label,area_px,centroid_row,"), "{found}");
    }

    proptest! {
        #[test]
        fn any_name_is_one_field(name in "[a\",\r\n ]{0,9}", channel in "[x\",\n]{0,5}") {
            let regions = measure_regions(array![[1]].view(), &[array![[2.0]].view()]);
            let columns = CellColumns { item: true, channels: vec![channel.clone()], ..CellColumns::default() };
            let rows = CellRows { item: &name, frame: 0, tracks: &[], pixel_area_um2: None, regions: &regions };
            let found = parsed(&text(columns, &[rows]));
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!(found[0].len(), found[1].len());
            prop_assert_eq!(&found[1][0], &name);
            prop_assert_eq!(&found[0][found[0].len() - 2], &format!("mean_{channel}"));
        }
    }

    /// Rows and fields, by the grammar of RFC 4180.
    fn parsed(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut field, mut inside) =
            (Vec::new(), Vec::new(), String::new(), false);
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match (letter, inside) {
                ('"', true) if letters.peek() == Some(&'"') => field.extend(letters.next()),
                ('"', _) => inside = !inside,
                (',', false) => row.push(std::mem::take(&mut field)),
                ('\r', false) if letters.next_if_eq(&'\n').is_some() => {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                (letter, _) => field.push(letter),
            }
        }
        rows
    }
}
