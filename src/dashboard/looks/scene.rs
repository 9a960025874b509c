//! A job made ready to be looked at from near and far: its channels, labels and spots at all resolutions.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use cell_pictures::{
    ChannelStatistics, LabelLevel, Picture, SpotLayer, Window, channel_statistics, label_levels,
    levels, render_channels, render_labels, render_spots,
};
pub(in super::super) use cell_pictures::{ChannelView, Layer, Palette};
use ndarray::{Array2, Array4, ArrayView2, Axis};

use super::labels::{LabelImage, LabelImages};
use super::sight::{Sight, with_frames};
use crate::untrusted;

/// Pixels of a side of a tile.
pub(in super::super) const TILE: usize = 512;

/// Kinds of labels; the memory that is reserved is enough for so many.
const LAYERS: usize = 4;

/// Pixels from which the range of a channel is taken, and the frames in which they lie.
const SAMPLE: usize = 1_000_000;
const SAMPLED_FRAMES: usize = 8;

/// All that can be seen of a job.
pub(in super::super) struct Scene {
    frames: Vec<Frame>,
    channels: Vec<ChannelStatistics>,
    worked: Vec<usize>,
    layers: Vec<LabelKind>,
    /// Rows and columns of the image.
    shape: (usize, usize),
    /// Finest resolutions that are left out, as there is no room for them.
    left_out: usize,
    is_movie: bool,
    has_spots: bool,
    problem: Option<String>,
}

/// One image of a batch, or one of a movie.
#[derive(Default)]
struct Frame {
    /// `[channel][level]`
    channels: Vec<Vec<Array2<f32>>>,
    /// `[layer][level]`; none of an image without such labels.
    labels: Vec<Vec<LabelLevel>>,
    spots: Option<SpotLayer>,
}

/// Labels of one kind, in all frames.
pub(in super::super) struct LabelKind {
    /// The file of the first of them.
    pub(in super::super) name: String,
    pub(in super::super) feature: usize,
    /// The largest label.
    pub(in super::super) max: u32,
}

/// Which tile is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Place {
    pub(in super::super) frame: usize,
    /// How often the resolution was halved.
    pub(in super::super) level: usize,
    /// Column and row of tiles.
    pub(in super::super) x: usize,
    pub(in super::super) y: usize,
}

impl Scene {
    /// Makes it, on a thread that may be busy, with so many bytes at most.
    pub(super) fn of(sight: Sight, room: usize) -> anyhow::Result<Self> {
        let Sight {
            mut image,
            channels: worked,
            result,
            limits,
            ..
        } = sight;
        let mut found = Found::default();
        let mut problem = None;
        if let Some(result) = result
            && let Err(error) = LabelImages::open(result, limits)
                .and_then(|mut labels| found.read(&mut labels, &mut image))
        {
            // The image can be looked at all the same.
            problem = Some(untrusted::message(format!("{error:#}")).to_string());
        }
        let (items, rows, columns, _) = image.dim();
        ensure!(items * rows * columns > 0, "the image has no pixels");
        let mut scene = Self {
            frames: found.frames(&image),
            channels: statistics(&image),
            worked,
            layers: found.layers,
            shape: (rows, columns),
            left_out: 0,
            is_movie: found.is_movie,
            has_spots: found.has_spots,
            problem,
        };
        drop(image);
        scene.fit(room);
        Ok(scene)
    }

    /// Leaves out the finest resolutions until there is room.
    fn fit(&mut self, room: usize) {
        while self.bytes() > room && self.levels() > 1 {
            for frame in &mut self.frames {
                frame.channels.iter_mut().for_each(|it| drop(it.remove(0)));
                let labels = frame.labels.iter_mut().filter(|it| !it.is_empty());
                labels.for_each(|it| drop(it.remove(0)));
            }
            self.left_out += 1;
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let of_frame = |frame: &Frame| {
            let channels = frame.channels.iter().flatten();
            let channels: usize = channels.map(|it| it.len() * size_of::<f32>()).sum();
            let labels = frame.labels.iter().flatten();
            channels + labels.map(LabelLevel::bytes).sum::<usize>()
        };
        self.frames.iter().map(of_frame).sum()
    }

    /// Resolutions that there are.
    pub(in super::super) fn levels(&self) -> usize {
        let mut channels = self.frames.iter().flat_map(|it| &it.channels);
        channels.next().map_or(0, Vec::len)
    }

    /// Rows and columns of the finest of them.
    pub(in super::super) fn dim(&self) -> (usize, usize) {
        let mut channels = self.frames.iter().flat_map(|it| &it.channels);
        let finest = channels.next().and_then(|levels| levels.first());
        finest.map_or((0, 0), Array2::dim)
    }

    /// How many pixels of the image one of the finest resolution is, along each side.
    pub(in super::super) fn scale(&self) -> usize {
        1 << self.left_out
    }

    pub(in super::super) fn frames(&self) -> usize {
        self.frames.len()
    }

    pub(in super::super) fn channels(&self) -> &[ChannelStatistics] {
        &self.channels
    }

    /// The channels that were worked; none if the job does not say it.
    pub(in super::super) fn worked(&self) -> &[usize] {
        &self.worked
    }

    pub(in super::super) fn layers(&self) -> &[LabelKind] {
        &self.layers
    }

    pub(in super::super) fn is_movie(&self) -> bool {
        self.is_movie
    }

    pub(in super::super) fn has_spots(&self) -> bool {
        self.has_spots
    }

    /// Why there is less than there should be.
    pub(in super::super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// A tile of channels; nothing beyond the image.
    pub(in super::super) fn tile(
        &self,
        place: Place,
        views: &[(usize, ChannelView)],
    ) -> Option<Vec<u8>> {
        let frame = self.frames.get(place.frame)?;
        let level = |channel: usize| frame.channels.get(channel)?.get(place.level);
        let planes = views
            .iter()
            .map(|(channel, view)| Some((level(*channel)?.view(), *view)));
        let planes: Vec<(ArrayView2<'_, f32>, ChannelView)> = planes.collect::<Option<_>>()?;
        let window = Window::tile(planes.first()?.0.dim(), TILE, place.x, place.y)?;
        Some(render_channels(&planes, &window).to_png())
    }

    /// A tile of labels; nothing beyond the image. Images without such labels have empty ones.
    pub(in super::super) fn labels(
        &self,
        place: Place,
        layer: usize,
        (mode, palette): (Layer, Palette),
    ) -> Option<Vec<u8>> {
        let window = self.window(place)?;
        let frame = self.frames.get(place.frame)?;
        let picture = match frame.labels.get(layer)?.get(place.level) {
            Some(level) => render_labels(level, mode, palette, &window),
            None => nothing(&window),
        };
        Some(picture.to_png())
    }

    /// A tile of spots; nothing beyond the image.
    pub(in super::super) fn spots(&self, place: Place) -> Option<Vec<u8>> {
        let window = self.window(place)?;
        let picture = match &self.frames.get(place.frame)?.spots {
            Some(spots) => {
                let level = u32::try_from(place.level + self.left_out).ok()?;
                render_spots(spots, level, &window)
            }
            None => nothing(&window),
        };
        Some(picture.to_png())
    }

    /// The label at a row and column of the image; nothing beyond it.
    pub(in super::super) fn label(
        &self,
        (frame, layer): (usize, usize),
        [row, column]: [usize; 2],
    ) -> Option<u32> {
        if row >= self.shape.0 || column >= self.shape.1 {
            return None;
        }
        let finest = self.frames.get(frame)?.labels.get(layer)?.first();
        let place = (row >> self.left_out, column >> self.left_out);
        match finest {
            Some(level) => level.areas().get(place).copied(),
            None => Some(0),
        }
    }

    fn window(&self, place: Place) -> Option<Window> {
        let mut channels = self.frames.get(place.frame)?.channels.iter();
        let level = channels.next()?.get(place.level)?;
        Window::tile(level.dim(), TILE, place.x, place.y)
    }
}

fn nothing(window: &Window) -> Picture {
    render_spots(&SpotLayer::new(&[]), 0, window)
}

/// What a result has, by images.
#[derive(Default)]
struct Found {
    layers: Vec<LabelKind>,
    /// By layer and image.
    labels: BTreeMap<(usize, usize), Vec<LabelLevel>>,
    spots: BTreeMap<usize, Vec<[f64; 2]>>,
    has_spots: bool,
    is_movie: bool,
}

impl Found {
    /// Reads all of it; what its frames tell of the image's axes is done.
    fn read(&mut self, result: &mut LabelImages, image: &mut Array4<f32>) -> anyhow::Result<()> {
        while let Some(found) = result.next()? {
            if found.frames > 1 {
                *image = with_frames(std::mem::take(image), found.frames);
                self.is_movie = true;
            }
            let (items, rows, columns, _) = image.dim();
            let (path, shape) = (&found.path, found.labels.dim());
            ensure!(
                found.item < items && shape == (rows, columns),
                "`{path}` has {shape:?} rows and columns of image {}, the input has {items} images of {:?}",
                found.item,
                (rows, columns)
            );
            self.add(&found)?;
        }
        self.spots = result.take_spots();
        self.has_spots = !self.spots.is_empty();
        Ok(())
    }

    fn add(&mut self, found: &LabelImage) -> anyhow::Result<()> {
        let max = found.labels.iter().copied().max().unwrap_or(0);
        let mut layers = self.layers.iter();
        let layer = match layers.position(|layer| layer.feature == found.feature) {
            Some(layer) => layer,
            None => {
                let count = self.layers.len();
                ensure!(
                    count < LAYERS,
                    "the first {LAYERS} kinds of labels are shown"
                );
                self.layers.push(LabelKind {
                    name: untrusted::name(&found.path).to_string(),
                    feature: found.feature,
                    max: 0,
                });
                count
            }
        };
        let kind = self
            .layers
            .get_mut(layer)
            .context("it was just put there")?;
        kind.max = kind.max.max(max);
        let levels = label_levels(found.labels.view(), TILE);
        self.labels.insert((layer, found.item), levels);
        Ok(())
    }

    /// The images with what was found in them, at all resolutions.
    fn frames(&mut self, image: &Array4<f32>) -> Vec<Frame> {
        let frames = image.outer_iter().enumerate().map(|(item, image)| {
            let planes = image.axis_iter(Axis(2));
            Frame {
                channels: planes.map(|it| levels(it.to_owned(), TILE)).collect(),
                labels: self.labels_of(item),
                spots: self.spots.remove(&item).as_deref().map(SpotLayer::new),
            }
        });
        frames.collect()
    }

    /// The labels of an image, layer by layer.
    fn labels_of(&mut self, item: usize) -> Vec<Vec<LabelLevel>> {
        let layers = 0..self.layers.len();
        layers
            .map(|layer| self.labels.remove(&(layer, item)).unwrap_or_default())
            .collect()
    }
}

/// The ranges of all channels, the same for all frames.
fn statistics(image: &Array4<f32>) -> Vec<ChannelStatistics> {
    let (frames, _, _, channels) = image.dim();
    let step = frames.div_ceil(SAMPLED_FRAMES).max(1);
    let of_channel = |channel: usize| {
        let planes = image.outer_iter().step_by(step);
        let each = planes.map(|frame| {
            let plane = frame.index_axis_move(Axis(2), channel);
            channel_statistics(plane, SAMPLE / frames.min(SAMPLED_FRAMES))
        });
        let all = |a: ChannelStatistics, b: ChannelStatistics| ChannelStatistics {
            low: a.low.min(b.low),
            high: a.high.max(b.high),
            min: a.min.min(b.min),
            max: a.max.max(b.max),
        };
        each.reduce(all).unwrap_or_default()
    };
    (0..channels).map(of_channel).collect()
}
