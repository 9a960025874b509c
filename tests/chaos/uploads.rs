//! What users upload: images, movies, and archives of 5 to 400 images.

use super::bombs;
use super::peers::results::zipped;
use super::peers::s3::S3Server;

/// The image of most jobs.
pub(crate) const IMAGE: &str = "uploads/cells.tif";
pub(crate) const MOVIE: &str = "uploads/movie.tif";
pub(crate) const BROKEN: &str = "uploads/broken.tif";

/// Frames of the movie.
pub(crate) const FRAMES: usize = 4;

/// An archive, of which some images are broken or hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) parts: usize,
    pub(crate) broken: usize,
}

impl Archive {
    /// The archive of a job. Most are small, since each image is a job as well.
    pub(crate) fn of(seed: u64, number: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ ((number as u64) << 20));
        let parts = match random.u32(0..100) {
            0..80 => random.usize(5..=12),
            80..95 => random.usize(13..=50),
            95..99 => random.usize(51..=150),
            _ => random.usize(151..=400),
        };
        Self {
            parts,
            broken: random.usize(0..=3),
        }
    }

    fn bytes(self) -> Vec<u8> {
        let Self { parts, broken } = self;
        let good = image(32);
        let bad = [bombs::broken_tiff(), bombs::jpeg2000_tile()];
        let entry = |part: usize| {
            // Holds for as many parts as are broken, and these lie apart.
            let is_broken = part * broken % parts < broken;
            let body = if is_broken { &bad[part % 2] } else { &good };
            (format!("plate/{part}.tif"), body.clone())
        };
        zipped((0..parts).map(entry))
    }
}

/// Where the archive of a job is.
pub(crate) fn archive_key(number: usize) -> String {
    format!("uploads/cells-{number}.zip")
}

/// Puts the archive of a job into the bucket, unless it is there.
pub(crate) fn put_archive(s3: &S3Server, number: usize, archive: Archive) {
    let key = archive_key(number);
    if !s3.folder().join(&key).is_file() {
        s3.put(&key, &archive.bytes());
    }
}

/// Puts what many jobs share into the bucket.
pub(crate) fn put_shared(s3: &S3Server) {
    s3.put(IMAGE, &image(64));
    s3.put(BROKEN, &bombs::broken_tiff());
    s3.put(MOVIE, &movie());
    for bomb in bombs::ALL {
        s3.put(bomb.key(), &bomb.bytes());
    }
}

/// A bright square that moves.
fn movie() -> Vec<u8> {
    let movie = ndarray::Array3::from_shape_fn((FRAMES, 64, 64), |(frame, row, column)| {
        if row.abs_diff(20 + frame) < 8 && column.abs_diff(30) < 8 {
            200.0_f32
        } else {
            20.0
        }
    });
    bioimage::encode_tiff(movie.view().into_dyn())
}

/// A square picture with a few bright squares.
fn image(side: usize) -> Vec<u8> {
    let pixels = ndarray::Array2::from_shape_fn((side, side), |(row, column)| {
        if (row / 8 + column / 8) % 3 == 0 {
            1000.0_f32 + row as f32
        } else {
            100.0
        }
    });
    bioimage::encode_tiff(pixels.view().into_dyn())
}
