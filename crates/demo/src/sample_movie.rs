//! A synthetic movie to track, made from the built-in image: its nuclei are cut out, move, turn, divide, leave and enter.

use ndarray::{Array2, Array3};

use crate::distance::distance_inside;
use crate::sample::Sample;

/// Frames of the movie.
pub(crate) const FRAMES: usize = 8;

/// Rows and columns of a frame.
const SIDE: usize = 208;

/// The light around a nucleus fades to nothing over so many pixels.
const HALO: f32 = 5.0;

/// Noise of the camera, as a standard deviation in counts.
const NOISE: f32 = 0.8;

/// One cell between two frames. What divides ends there, and two smaller ones begin where it was.
struct Actor {
    /// Its number in the truth of the shipped image.
    nucleus: u32,
    /// First and last frame.
    frames: [usize; 2],
    /// Row and column in the first frame.
    place: [f32; 2],
    /// Rows and columns that it moves in a frame.
    step: [f32; 2],
    /// Degrees that it turns in a frame.
    turn: f32,
    /// Its size, by that of the nucleus.
    size: f32,
}

/// Two cells divide, one leaves on the right, one enters from below.
const ACTORS: [Actor; 10] = [
    Actor {
        nucleus: 12,
        frames: [0, 7],
        place: [40.0, 38.0],
        step: [3.0, 4.5],
        turn: 4.0,
        size: 0.9,
    },
    Actor {
        nucleus: 25,
        frames: [0, 2],
        place: [92.0, 110.0],
        step: [-2.0, 1.0],
        turn: -6.0,
        size: 0.85,
    },
    Actor {
        nucleus: 28,
        frames: [3, 7],
        place: [72.0, 128.0],
        step: [-1.0, 3.0],
        turn: 8.0,
        size: 0.62,
    },
    Actor {
        nucleus: 9,
        frames: [3, 7],
        place: [105.0, 108.0],
        step: [3.0, -1.0],
        turn: -5.0,
        size: 0.62,
    },
    Actor {
        nucleus: 35,
        frames: [0, 4],
        place: [150.0, 52.0],
        step: [2.0, 0.5],
        turn: 3.0,
        size: 0.9,
    },
    Actor {
        nucleus: 21,
        frames: [5, 7],
        place: [142.0, 68.0],
        step: [-3.0, 4.0],
        turn: 6.0,
        size: 0.62,
    },
    Actor {
        nucleus: 7,
        frames: [5, 7],
        place: [174.0, 42.0],
        step: [4.0, -4.0],
        turn: -6.0,
        size: 0.62,
    },
    Actor {
        nucleus: 21,
        frames: [0, 5],
        place: [152.0, 158.0],
        step: [2.0, 14.5],
        turn: 2.0,
        size: 0.85,
    },
    Actor {
        nucleus: 28,
        frames: [0, 7],
        place: [36.0, 180.0],
        step: [1.0, -1.0],
        turn: -3.0,
        size: 0.9,
    },
    Actor {
        nucleus: 28,
        frames: [3, 7],
        place: [210.0, 122.0],
        step: [-8.0, 2.0],
        turn: 5.0,
        size: 0.9,
    },
];

/// The movie `[frame, row, column]` in the counts of the shipped image, the same on every machine.
pub(crate) fn sample_movie() -> anyhow::Result<Array3<f32>> {
    let sample = Sample::shipped();
    let (image, truth) = (sample.plane()?, sample.truth()?.unwrap_or_default());
    let dark = darkness(&image, &truth);
    let nuclei = ACTORS.map(|actor| Nucleus::cut_out(&image, &truth, actor.nucleus, dark));
    let mut noise = fastrand::Rng::with_seed(1);
    let mut movie = Array3::zeros((FRAMES, SIDE, SIDE));
    for (frame, mut plane) in movie.outer_iter_mut().enumerate() {
        for (number, (actor, nucleus)) in ACTORS.iter().zip(&nuclei).enumerate() {
            if let Some(pose) = actor.pose(frame, number) {
                plane
                    .indexed_iter_mut()
                    .for_each(|(at, value): (_, &mut f32)| {
                        *value = value.max(nucleus.at(&pose, at))
                    });
            }
        }
        // The sum of twelve even numbers is as good as normal, with a variance of 1.
        plane.mapv_inplace(|value| {
            value + dark + NOISE * ((0..12).map(|_| noise.f32()).sum::<f32>() - 6.0)
        });
    }
    Ok(movie)
}

/// The mean of the background.
fn darkness(image: &Array2<f32>, truth: &Array2<u32>) -> f32 {
    let dark = || {
        image
            .iter()
            .zip(truth)
            .filter(|(_, label)| **label == 0)
            .map(|(value, _)| *value)
    };
    dark().sum::<f32>() / dark().count().max(1) as f32
}

/// Where a cell is in a frame.
struct Pose {
    center: [f32; 2],
    /// Sine and cosine.
    turn: (f32, f32),
    size: f32,
}

impl Actor {
    /// Cells do not move along straight lines: each trembles in its own way.
    fn pose(&self, frame: usize, number: usize) -> Option<Pose> {
        let [first, last] = self.frames;
        let age = (first..=last)
            .contains(&frame)
            .then(|| (frame - first) as f32)?;
        let phase = number as f32;
        let tremble = [
            1.5 * (2.1 * age + phase).sin(),
            1.5 * (1.7 * age + phase).cos(),
        ];
        let center = [0, 1].map(|axis| self.place[axis] + self.step[axis] * age + tremble[axis]);
        Some(Pose {
            center,
            turn: (self.turn * age).to_radians().sin_cos(),
            size: self.size,
        })
    }
}

/// The light of one nucleus, without what was around it.
struct Nucleus {
    light: Array2<f32>,
    center: [f32; 2],
}

impl Nucleus {
    fn cut_out(image: &Array2<f32>, truth: &Array2<u32>, label: u32, dark: f32) -> Self {
        let outside = distance_inside(&truth.mapv(|other| other != label));
        let mut light = Array2::zeros(image.dim());
        for (at, value) in light.indexed_iter_mut() {
            let share = if truth[at] == label || truth[at] == 0 {
                1.0 - outside[at] / HALO
            } else {
                0.0
            };
            *value = (image[at] - dark).max(0.0) * share.max(0.0);
        }
        let places = || {
            truth
                .indexed_iter()
                .filter(|(_, other)| **other == label)
                .map(|(at, _)| at)
        };
        let count = places().count().max(1) as f32;
        let (rows, columns) =
            places().fold((0, 0), |(rows, columns), at| (rows + at.0, columns + at.1));
        Self {
            light,
            center: [rows as f32 / count, columns as f32 / count],
        }
    }

    /// Its light at a pixel of the frame, between the pixels of its image.
    fn at(&self, pose: &Pose, (row, column): (usize, usize)) -> f32 {
        let offset = [
            (row as f32 - pose.center[0]) / pose.size,
            (column as f32 - pose.center[1]) / pose.size,
        ];
        let (sine, cosine) = pose.turn;
        let row = cosine * offset[0] - sine * offset[1] + self.center[0];
        let column = sine * offset[0] + cosine * offset[1] + self.center[1];
        let (top, left) = (row.floor(), column.floor());
        let pixel = |row: f32, column: f32| {
            let inside = row >= 0.0 && column >= 0.0;
            let place = inside.then_some((row as usize, column as usize));
            place
                .and_then(|place| self.light.get(place))
                .copied()
                .unwrap_or(0.0)
        };
        let between = |top: f32| {
            let right = column - left;
            pixel(top, left) * (1.0 - right) + pixel(top, left + 1.0) * right
        };
        between(top) * (1.0 - (row - top)) + between(top + 1.0) * (row - top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nuclei_are_as_bright_as_in_the_image_they_come_from() {
        let movie = sample_movie().expect("the sample is shipped");
        assert_eq!(movie.dim(), (FRAMES, SIDE, SIDE));
        for frame in movie.outer_iter() {
            let bright = frame.iter().filter(|value| **value > 20.0).count();
            assert!(
                (SIDE * SIDE / 10..SIDE * SIDE / 3).contains(&bright),
                "{bright}"
            );
        }
        assert_eq!(
            movie,
            sample_movie().expect("again"),
            "it is the same each time"
        );
    }
}
