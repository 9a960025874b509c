//! Time lapses: movies as stacks of frames, and the labels of single frames stacked to a movie.

use ndarray::{Array3, ArrayD, ArrayView2, Axis, Ix3};

use crate::axes::squeeze;

/// How many frames a movie may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Frames that go to a model at once; checked first.
    pub batch: usize,
    /// Frames of a movie.
    pub movie: usize,
}

/// Why a movie cannot be used; most messages are word for word those of the Python consumers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MovieError {
    /// The file does not have three axes.
    #[error(
        "This tiff file has shape {}, which is not 3 dimensions. Tracking can only be done on images with 3 dimensions, \
         (time, width, height)", crate::axes::tuple(.shape)
    )]
    Rank {
        /// Shape of the file.
        shape: Vec<usize>,
    },

    /// More frames than go to a model at once.
    #[error("This file has {frames} frames. Maximum allowed number of frames is {allowed}.")]
    Batch {
        /// Frames of the movie.
        frames: usize,
        /// [`FrameLimits::batch`].
        allowed: usize,
    },

    /// More frames than a movie may have.
    #[error(
        "This tiff file has {frames} frames but the maximum number of allowed frames is {allowed}."
    )]
    Frames {
        /// Frames of the movie.
        frames: usize,
        /// [`FrameLimits::movie`].
        allowed: usize,
    },

    /// The labels of a frame have another size than the first frame's.
    #[error("the labels of frame {frame} have shape {}, not {}", crate::axes::tuple(.shape), crate::axes::tuple(.expected))]
    Labels {
        /// The frame.
        frame: usize,
        /// Its shape.
        shape: Vec<usize>,
        /// Rows and columns of the movie.
        expected: Vec<usize>,
    },
}

/// The movie `[frame, row, column]` in a decoded file, not copied.
///
/// # Errors
///
/// [`MovieError::Rank`] for any number of axes but three, those of length 1 included; [`MovieError::Batch`] and
/// [`MovieError::Frames`] for more frames than `limits` allow.
pub fn movie(image: ArrayD<f32>, limits: &FrameLimits) -> Result<Array3<f32>, MovieError> {
    let shape = image.shape().to_vec();
    let movie = image
        .into_dimensionality::<Ix3>()
        .map_err(|_| MovieError::Rank { shape })?;
    let frames = movie.len_of(Axis(0));
    if frames > limits.batch {
        return Err(MovieError::Batch {
            frames,
            allowed: limits.batch,
        });
    }
    if frames > limits.movie {
        return Err(MovieError::Frames {
            frames,
            allowed: limits.movie,
        });
    }
    Ok(movie)
}

/// A frame `[row, column]` as an image of its own: a copy without its axes of length 1.
#[must_use]
pub fn single_frame(frame: ArrayView2<'_, f32>) -> ArrayD<f32> {
    squeeze(frame.to_owned().into_dyn())
}

/// Labels `[frame, row, column]` from the decoded label image of each frame, for a movie of `size` rows and columns.
///
/// Axes of length 1 do not count. Labels are truncated to whole numbers of 16 bits, and 65536 becomes 0 again, as in
/// results of the Python consumers: no frame has that many cells.
///
/// # Errors
///
/// [`MovieError::Labels`] for a frame of another size.
pub fn stacked_labels(
    frames: impl IntoIterator<Item = ArrayD<f32>>,
    size: [usize; 2],
) -> Result<Array3<i32>, MovieError> {
    let mut labels = Vec::new();
    let mut count = 0;
    for frame in frames {
        let shape = frame.shape().to_vec();
        let wanted = size.iter().filter(|length| **length != 1);
        if !shape.iter().filter(|length| **length != 1).eq(wanted) {
            return Err(MovieError::Labels {
                frame: count,
                shape,
                expected: size.to_vec(),
            });
        }
        labels.extend(frame.iter().map(|&label| i32::from(label as i64 as u16)));
        count += 1;
    }
    let empty = MovieError::Labels {
        frame: 0,
        shape: vec![],
        expected: size.to_vec(),
    };
    Array3::from_shape_vec((count, size[0], size[1]), labels).map_err(|_| empty)
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        batch: 64,
        movie: 60,
    };

    fn reason(shape: &[usize]) -> String {
        movie(ArrayD::zeros(shape), &LIMITS)
            .expect_err("it is no movie")
            .to_string()
    }

    #[test]
    fn what_is_no_movie_is_told_in_known_words() {
        assert!(
            reason(&[22, 26])
                .starts_with("This tiff file has shape (22, 26), which is not 3 dimensions.")
        );
        assert!(reason(&[7]).contains("shape (7,), which"));
        assert_eq!(
            reason(&[65, 1, 1]),
            "This file has 65 frames. Maximum allowed number of frames is 64."
        );
        assert_eq!(
            reason(&[61, 1, 1]),
            "This tiff file has 61 frames but the maximum number of allowed frames is 60."
        );
        assert!(movie(ArrayD::zeros(vec![60, 2, 2]), &LIMITS).is_ok());
    }

    #[test]
    fn labels_of_frames_are_stacked_if_they_fit() {
        let frame = |shape: &[usize], label| ArrayD::from_elem(shape, label);
        let labels = stacked_labels([frame(&[2, 3], 1.9), frame(&[1, 2, 3], 65_537.0)], [2, 3])
            .expect("they fit");
        assert_eq!((labels[[0, 0, 0]], labels[[1, 1, 2]]), (1, 1));
        let error = stacked_labels([frame(&[2, 3], 0.0), frame(&[2, 2], 0.0)], [2, 3])
            .expect_err("too small");
        assert_eq!(
            error.to_string(),
            "the labels of frame 1 have shape (2, 2), not (2, 3)"
        );
        assert!(stacked_labels([frame(&[3, 2], 0.0)], [2, 3]).is_err());
    }
}
