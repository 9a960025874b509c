//! The parts of an image that other consumers work.

use anyhow::{bail, ensure};
use ndarray::{ArrayD, Axis, stack};

use crate::error_class::InvalidInput;
use bioimage::Header;

/// Queues of the parts, as other consumers have them.
pub(super) const SPOT: &str = "spot";
pub(super) const SEGMENTATION: &str = "segmentation";
pub(super) const MESMER: &str = "mesmer";

/// Planes of the image that are in memory beside it, at most: the parts, what the largest is put together from, and its file.
const MOST_PLANES: u64 = 6;

/// A part of the image, and which job works it.
pub(super) struct Part {
    pub(super) queue: &'static str,
    /// Tells two parts of one queue apart.
    pub(super) name: &'static str,
    pub(super) channels: &'static str,
    pub(super) image: ArrayD<f32>,
}

/// What each other consumer is to work: `channels` are the positions of spots, nuclei and cytoplasm.
pub(super) fn parts(
    image: &ArrayD<f32>,
    channels: &[Option<usize>],
    kind: &str,
) -> anyhow::Result<Vec<Part>> {
    let available = image.shape().last().copied().unwrap_or(0);
    let declared: Vec<_> = channels.iter().flatten().collect();
    ensure!(
        declared.len() <= available && declared.iter().all(|&&channel| channel < available),
        InvalidInput(format!(
            "Input image has {available} channels but {} channels were specified for segmentation",
            declared.len()
        ))
    );
    let channels = Channels { image, channels };
    let mut parts = vec![Part {
        queue: SPOT,
        name: "",
        channels: "",
        image: channels.plane(channels.at(0).unwrap_or(0)),
    }];
    match kind {
        "" | "none" => {}
        "cell culture" => parts.extend(channels.cells_in_culture()),
        "tissue" => parts.push(channels.cells_in_tissue()?),
        other => bail!(InvalidInput(format!(
            "segmentation_type `{other}` is none of none, cell culture, tissue"
        ))),
    }
    Ok(parts)
}

/// An image with its channels last, and what a job says of them.
struct Channels<'a> {
    image: &'a ArrayD<f32>,
    channels: &'a [Option<usize>],
}

impl Channels<'_> {
    /// The channel at a position of the job's list.
    fn at(&self, position: usize) -> Option<usize> {
        self.channels.get(position).copied().flatten()
    }

    fn plane(&self, channel: usize) -> ArrayD<f32> {
        let last = Axis(self.image.ndim() - 1);
        self.image.index_axis(last, channel).to_owned()
    }

    /// Nuclei and cytoplasm, each for a job of its own, as far as they are named.
    fn cells_in_culture(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for (position, name, channels) in [(1, "-nuclear", "0,"), (2, "-cytoplasm", ",0")] {
            let Some(channel) = self.at(position) else {
                continue;
            };
            let plane = self.plane(channel);
            let is_batch = plane.ndim() > 2;
            parts.push(Part {
                queue: SEGMENTATION,
                name,
                channels,
                image: if is_batch {
                    plane
                } else {
                    plane.insert_axis(Axis(0))
                },
            });
        }
        parts
    }

    /// Nuclei and membranes, as two channels of one image.
    fn cells_in_tissue(&self) -> anyhow::Result<Part> {
        let both = self.at(1).zip(self.at(2)).ok_or_else(|| {
            InvalidInput(
                "tissue needs a nuclear and a membrane channel: `channels` names them after the spots'".to_owned(),
            )
        })?;
        let (nuclei, membranes) = (self.plane(both.0), self.plane(both.1));
        let image = stack(Axis(nuclei.ndim()), &[nuclei.view(), membranes.view()])?;
        Ok(Part {
            queue: MESMER,
            name: "",
            channels: "",
            image,
        })
    }
}

/// Bytes that an image, its parts and the file of one of them take; no more than its file if it cannot be read.
pub(super) fn bytes_of_parts(file_bytes: usize, header: Option<&Header>) -> u64 {
    let work = header.map_or(0, |header| {
        let image = header.decoded_bytes();
        // An image of rows and columns alone is one plane.
        let channels = match header.shape.as_slice() {
            [_, _, .., channels] => (*channels).max(1) as u64,
            _ => 1,
        };
        let parts = image.saturating_add((image / channels).saturating_mul(MOST_PLANES));
        // Decoding is over before the parts are made.
        parts.max(header.peak_bytes)
    });
    (file_bytes as u64).saturating_add(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_decoder_takes_at_its_peak_is_reserved_too() {
        let header = |peak_bytes| Header {
            shape: vec![10, 10, 2],
            container: bioimage::Container::Other,
            sample: "u8".to_owned(),
            peak_bytes,
        };
        let parts = 800 + MOST_PLANES * 400;
        assert_eq!(bytes_of_parts(50, Some(&header(900))), 50 + parts);
        assert_eq!(bytes_of_parts(50, Some(&header(1 << 40))), 50 + (1 << 40));
        assert_eq!(bytes_of_parts(50, Some(&header(u64::MAX))), u64::MAX);
        assert_eq!(bytes_of_parts(50, None), 50);
        let plane = Header {
            shape: vec![20, 30],
            ..header(0)
        };
        assert_eq!(bytes_of_parts(0, Some(&plane)), 20 * 30 * 4 * 7);
    }
}
