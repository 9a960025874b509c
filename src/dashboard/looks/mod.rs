//! What the bucket has of a job, made fit to be looked at: its picture, and its cells.
//!
//! Files are those of strangers, so what they may take is bounded: by what their header announces, by the memory that all of
//! this shares, and by how much is made at a time. What was made is kept for a while.

mod cells;
mod item_rows;
mod labels;
mod scene;
mod shelf;
mod sight;
mod spots;
mod subject;
mod turns;

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use cell_pictures::Thumbnail;
use ndarray::{ArrayView2, Axis};
use tokio::sync::Semaphore;

pub(super) use self::cells::{Cell, Cells};
pub(super) use self::item_rows::ItemRows;
use self::labels::LabelImages;
pub(super) use self::scene::{ChannelView, Layer, Palette, Place, Scene, TILE};
use self::shelf::Shelf;
use self::sight::{Sight, Sources, with_frames};
pub(super) use self::subject::{IMAGES, Subject, is_image};
use self::turns::Turns;
use crate::compute;
use crate::memory::{MemoryBudget, Withheld};
use crate::storage::Storage;

/// Bytes of pictures that are kept.
const PICTURES: usize = 32 << 20;

/// Bytes of measured cells that are kept.
const CELLS: usize = 64 << 20;

/// Bytes of scenes that are kept, and the part of the memory budget that they may be.
const SCENES: u64 = 256 << 20;
const PART_OF_BUDGET: u64 = 8;

/// Tiles that are drawn at the same time.
const DRAWN: usize = 8;

/// Channels of an image that are shown each by itself.
pub(super) const MOST_CHANNELS: usize = 16;

/// The largest file that is taken for a preview.
const LARGEST_PREVIEW: u64 = 1 << 20;

/// What every PNG file begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Makes what is looked at. Clones are the same one.
#[derive(Clone)]
pub(super) struct Looks(Arc<Desk>);

struct Desk {
    sources: Sources,
    turns: Turns,
    pictures: Shelf<Bytes>,
    cells: Shelf<Arc<Cells>>,
    scenes: Shelf<Arc<Scene>>,
    /// Bytes that a scene may have.
    room: usize,
    drawing: Semaphore,
    /// What scenes take is no job's.
    _withheld: Withheld,
}

impl Looks {
    /// Of what lies in this bucket, and has no more values than these.
    pub(super) fn new(storage: Storage, memory: MemoryBudget, most_values: u64) -> Self {
        let budget = memory.bytes();
        let (room, rest) = match memory.is_limited() {
            true => {
                let room = SCENES.min(budget / PART_OF_BUDGET);
                (room, budget - room)
            }
            false => (SCENES, u64::MAX),
        };
        let withheld = memory.withhold(room);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        Self(Arc::new(Desk {
            scenes: Shelf::new(room),
            room,
            drawing: Semaphore::new(DRAWN),
            _withheld: withheld,
            sources: Sources::new(storage, (memory, rest), most_values),
            turns: Turns::default(),
            pictures: Shelf::new(PICTURES),
            cells: Shelf::new(CELLS),
        }))
    }

    /// The picture of a job as a PNG file.
    pub(super) async fn preview(&self, subject: Subject) -> anyhow::Result<Bytes> {
        if let Some(kept) = self.0.pictures.get(subject.version()) {
            return Ok(kept);
        }
        let desk = Arc::clone(&self.0);
        // What was begun goes on if the browser goes away: the next one finds it made.
        tokio::spawn(async move { desk.preview(&subject).await })
            .await
            .context("the picture was given up")?
    }

    /// The picture of one channel of what is looked at, each stretched from its darkest to its brightest values.
    pub(super) async fn channel(&self, subject: Subject, number: usize) -> anyhow::Result<Bytes> {
        if let Some(kept) = self.0.pictures.get(&channel_of(&subject, number)) {
            return Ok(kept);
        }
        let desk = Arc::clone(&self.0);
        tokio::spawn(async move { desk.channel(&subject, number).await })
            .await
            .context("the picture was given up")?
    }

    /// The cells of a job, measured in its input.
    pub(super) async fn cells(&self, subject: Subject) -> anyhow::Result<Arc<Cells>> {
        if let Some(kept) = self.0.cells.get(subject.version()) {
            return Ok(kept);
        }
        let desk = Arc::clone(&self.0);
        tokio::spawn(async move { desk.cells(&subject).await })
            .await
            .context("the measurement was given up")?
    }

    /// All that can be seen of a job.
    pub(super) async fn scene(&self, subject: Subject) -> anyhow::Result<Arc<Scene>> {
        if let Some(kept) = self.0.scenes.get(subject.version()) {
            return Ok(kept);
        }
        let desk = Arc::clone(&self.0);
        tokio::spawn(async move { desk.scene(&subject).await })
            .await
            .context("the picture was given up")?
    }

    /// Draws a part of a scene.
    pub(super) async fn draw<T: Send + 'static>(
        &self,
        scene: Arc<Scene>,
        draw: impl FnOnce(&Scene) -> T + Send + 'static,
    ) -> T {
        // Nobody closes it.
        let _place = self.0.drawing.acquire().await;
        compute::run(move || draw(&scene)).await
    }
}

impl Desk {
    async fn preview(&self, subject: &Subject) -> anyhow::Result<Bytes> {
        let _turn = self.turns.take(subject.key()).await;
        if let Some(kept) = self.pictures.get(subject.version()) {
            return Ok(kept);
        }
        let picture = match self.stored(subject).await {
            Some(stored) => stored,
            None => {
                let sight = self.sources.fetch(subject).await?;
                compute::run(move || drawn(sight)).await?
            }
        };
        let size = picture.len();
        self.pictures.put(subject.version(), picture.clone(), size);
        Ok(picture)
    }

    /// Draws all channels at once, since the image is there.
    async fn channel(&self, subject: &Subject, number: usize) -> anyhow::Result<Bytes> {
        let _turn = self.turns.take(subject.key()).await;
        let name = channel_of(subject, number);
        if let Some(kept) = self.pictures.get(&name) {
            return Ok(kept);
        }
        let sight = self.sources.fetch(subject).await?;
        let pictures = compute::run(move || drawn_apart(&sight)).await;
        for (number, picture) in pictures.iter().enumerate() {
            let size = picture.len();
            let name = channel_of(subject, number);
            self.pictures.put(&name, picture.clone(), size);
        }
        let picture = pictures.into_iter().nth(number);
        picture.with_context(|| format!("the image has no channel {number}"))
    }

    async fn cells(&self, subject: &Subject) -> anyhow::Result<Arc<Cells>> {
        let _turn = self.turns.take(subject.key()).await;
        if let Some(kept) = self.cells.get(subject.version()) {
            return Ok(kept);
        }
        let sight = self.sources.fetch(subject).await?;
        let cells = compute::run(move || Cells::of(sight).map(Arc::new)).await?;
        let size = cells.bytes();
        self.cells.put(subject.version(), Arc::clone(&cells), size);
        Ok(cells)
    }

    async fn scene(&self, subject: &Subject) -> anyhow::Result<Arc<Scene>> {
        let _turn = self.turns.take(subject.key()).await;
        if let Some(kept) = self.scenes.get(subject.version()) {
            return Ok(kept);
        }
        let sight = self.sources.fetch(subject).await?;
        let room = self.room;
        let scene = compute::run(move || Scene::of(sight, room).map(Arc::new)).await?;
        let size = scene.bytes();
        self.scenes.put(subject.version(), Arc::clone(&scene), size);
        Ok(scene)
    }

    /// The preview that lies beside the result.
    async fn stored(&self, subject: &Subject) -> Option<Bytes> {
        let key = subject.stored_preview()?;
        let file = self.sources.small_file(&key, LARGEST_PREVIEW).await?;
        file.starts_with(PNG).then_some(file)
    }
}

/// What the picture of a channel is kept under.
fn channel_of(subject: &Subject, number: usize) -> String {
    format!("{}-{number}", subject.version())
}

/// The channels of the first image, as many as are shown.
fn drawn_apart(sight: &Sight) -> Vec<Bytes> {
    let first = sight.image.index_axis(Axis(0), 0);
    let channels = first.axis_iter(Axis(2)).take(MOST_CHANNELS);
    let thumbnails = channels.filter_map(|channel| Thumbnail::new(&[channel]));
    thumbnails.map(|it| it.preview().into()).collect()
}

/// The first image with what was found in it.
fn drawn(sight: Sight) -> anyhow::Result<Bytes> {
    let (mut labels, mut spots) = (None, None);
    if let Some(result) = sight.result {
        let mut images = LabelImages::open(result, sight.limits)?;
        labels = images.next()?;
        spots = images.take_spots().remove(&0);
    }
    let frames = labels.as_ref().map_or(1, |found| found.frames);
    let image = with_frames(sight.image, frames);
    let first = image.index_axis(Axis(0), 0);
    let all: Vec<ArrayView2<'_, f32>> = first.axis_iter(Axis(2)).collect();
    let chosen = sight.channels.iter().filter_map(|&it| all.get(it).copied());
    let chosen: Vec<_> = chosen.collect();
    let shown = if chosen.is_empty() { all } else { chosen };
    let thumbnail = Thumbnail::new(&shown).context("the image has no pixels")?;
    let fitting = labels.filter(|it| it.item == 0 && it.labels.dim() == thumbnail.shape());
    let file = match (fitting, spots) {
        (Some(found), _) => thumbnail.with_outlines(found.labels.view()),
        (None, Some(spots)) => thumbnail.with_spots(&spots),
        (None, None) => thumbnail.preview(),
    };
    Ok(file.into())
}
