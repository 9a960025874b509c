//! Which pages are the image, and in which shape: the first series, decided as tifffile does.
//!
//! In this order: the shape that tifffile noted, OME-XML, `ImageJ`'s sizes, what tags of microscopes say, all pages like the
//! first.

use std::collections::HashSet;

use super::budget::Budget;
use super::description::{ImageJ, Shaped};
use super::directory::{self, Entry, File};
use super::ome;
use super::page::{Layout, Page, PageData, Planes};
use super::segments::plain_start;
use super::vendor::{self, Stack};
use crate::error::Error;

const DESCRIPTION: u16 = 270;

/// The axis of pages of which nobody says what they are.
const PAGES: char = 'I';

/// The pages to read, all of one layout, and the shape of their values together.
pub(super) struct Series {
    pub(super) layout: Layout,
    pub(super) pages: Pages,
    pub(super) shape: Vec<usize>,
    /// A letter for each axis, if the file names its axes.
    pub(super) axes: Option<String>,
}

/// The pages of a series; at least one.
pub(super) enum Pages {
    /// Each with a directory of its own.
    Listed(Vec<PageData>),
    /// Plain bytes, one page behind the other.
    Run { start: u64, count: usize },
}

/// The first series of the file.
pub(super) fn first(file: &File<'_>) -> Result<Series, Error> {
    let mut budget = Budget::new(file.len());
    let directories = file.chain(&mut budget)?;
    let directory = file.directory(directories.offsets[0])?;
    let first = Page::of(file, &directory)?;
    let chain = Chain {
        file,
        budget,
        directories,
        first,
    };
    // tifffile looks into the first two descriptions for what it and ImageJ wrote.
    let texts = directory
        .find_all(DESCRIPTION)
        .take(2)
        .map(|entry| file.text(entry))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(shaped) = texts.iter().find_map(|text| Shaped::parse(text)) {
        return chain.shaped(shaped);
    }
    let samples = if chain.first.layout.planes == Planes::Chunky {
        chain.first.layout.samples
    } else {
        1
    };
    if let Some(text) = texts.first()
        && let Some(planes) = ome::Planes::parse(text, chain.listed(), samples)?
    {
        return chain.ome(&planes);
    }
    if let Some(sizes) = texts.iter().find_map(|text| ImageJ::parse(text)) {
        return chain.imagej(&sizes);
    }
    match vendor::stack(file, &directory, chain.listed())? {
        Some(Stack::Run(count)) if count > 1 => chain.planes(count),
        Some(Stack::Outer(outer)) => chain.dimensions(&outer),
        Some(Stack::Channels) => chain.alike_as('C'),
        _ => chain.alike(),
    }
}

impl Pages {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Listed(pages) => pages.len(),
            Self::Run { count, .. } => *count,
        }
    }
}

/// The directories of a file, and the page of the first of them.
struct Chain<'a> {
    file: &'a File<'a>,
    budget: Budget,
    directories: directory::Chain,
    first: Page,
}

impl Chain<'_> {
    fn listed(&self) -> usize {
        self.directories.offsets.len()
    }

    /// Exactly the noted shape: as many pages as it takes, one after another or in their directories.
    fn shaped(self, shaped: Shaped) -> Result<Series, Error> {
        let wanted = shaped
            .shape
            .iter()
            .try_fold(1_usize, |count, &axis| count.checked_mul(axis));
        let per_page = self.first.layout.values().unwrap_or(usize::MAX);
        let count = match wanted {
            Some(wanted) if wanted > 0 && wanted.is_multiple_of(per_page) => wanted / per_page,
            _ => return self.alike(),
        };
        let Shaped {
            shape,
            is_truncated,
            axes,
        } = shaped;
        // `truncated` says that only the first page has a directory, whatever else the file lists.
        let is_listed = count <= self.listed() && !(is_truncated && count > 1);
        if is_listed {
            return self.of_pages(0..count, shape, axes);
        }
        let start = plain_start(self.file, &self.first);
        let start =
            start.ok_or_else(|| Error::corrupt(format!("the file should have {count} pages")))?;
        self.run(start, count, shape, axes)
    }

    fn ome(self, planes: &ome::Planes) -> Result<Series, Error> {
        let (shape, axes) = named(&planes.outer, &self.first.layout);
        self.of_pages(planes.pages.iter().copied(), shape, Some(axes))
    }

    /// Frames, slices and channels; the pages may lack directories of their own and follow the first one's data.
    fn imagej(self, sizes: &ImageJ) -> Result<Series, Error> {
        let layout = &self.first.layout;
        let stacks = sizes.frames.saturating_mul(sizes.slices);
        let is_separate = layout.planes == Planes::Separate && layout.samples == sizes.channels;
        let is_together = layout.planes == Planes::Chunky
            && layout.samples == sizes.channels
            && sizes.images == stacks;
        // Some writers count the samples of a color page as channels.
        let channels = if is_separate || is_together {
            1
        } else {
            sizes.channels
        };
        let declared = stacks.saturating_mul(channels);
        let listed = self.listed();
        let count = if declared == 1 && listed > 1 {
            listed
        } else {
            declared
        };
        let mut outer = vec![('I', count / declared)];
        outer.extend(sizes.outer(channels));
        let (shape, axes) = named(&outer, layout);
        // ImageJ writes large stacks as one run of bytes behind a single directory, so that is tried before the directories.
        match self.frames_behind_first(count) {
            Some(start) => self.run(start, count, shape, Some(axes)),
            None if count <= listed => self.of_pages(0..count, shape, Some(axes)),
            None if self.directories.is_cut => Err(ends_early()),
            None => self.alike(),
        }
    }

    /// So many planes of plain data behind the first directory.
    fn planes(self, count: usize) -> Result<Series, Error> {
        let start = plain_start(self.file, &self.first);
        let start = start.ok_or_else(|| Error::unsupported("packed planes behind one page"))?;
        let (shape, axes) = named(&[('I', count)], &self.first.layout);
        self.run(start, count, shape, Some(axes))
    }

    /// All pages, along these axes.
    fn dimensions(self, outer: &[(char, usize)]) -> Result<Series, Error> {
        let sizes = outer.iter().map(|&(_, size)| size);
        let count = sizes.fold(1_usize, usize::saturating_mul);
        if count != self.listed() {
            return Err(Error::unsupported(format!(
                "a stack of {count} pages in a file of {}",
                self.listed()
            )));
        }
        let (shape, axes) = named(outer, &self.first.layout);
        self.of_pages(0..count, shape, Some(axes))
    }

    fn alike(self) -> Result<Series, Error> {
        self.alike_as(PAGES)
    }

    /// Every page like the first, those in child directories included, along an axis of this name; others are other series.
    fn alike_as(mut self, pages_are: char) -> Result<Series, Error> {
        let offsets = std::mem::take(&mut self.directories.offsets);
        let mut seen: HashSet<u64> = offsets.iter().copied().collect();
        let mut pages = vec![self.first.data];
        let mut children = self.first.children;
        for offset in &offsets[1..] {
            self.add_children(&mut pages, &mut seen, children.take())?;
            let page = Page::of(self.file, &self.file.directory(*offset)?);
            if let Some(page) = sound(page)? {
                children = page.children;
                self.add_alike(&mut pages, page)?;
            }
        }
        self.add_children(&mut pages, &mut seen, children)?;
        let layout = self.first.layout;
        let outer = (pages.len() > 1).then_some((pages_are, pages.len()));
        let axes = outer.into_iter().chain(layout.axes());
        let (shape, axes): (_, String) = axes.map(|(letter, size)| (size, letter)).unzip();
        // What gray pages are nobody says; their rows are as good a guess as their channels.
        let is_named = layout.samples > 1 || pages_are != PAGES;
        Ok(Series {
            layout,
            pages: Pages::Listed(pages),
            shape,
            axes: is_named.then_some(axes),
        })
    }

    /// The pages of these child directories that are like the first one.
    fn add_children(
        &mut self,
        pages: &mut Vec<PageData>,
        seen: &mut HashSet<u64>,
        children: Option<Entry>,
    ) -> Result<(), Error> {
        let Some(children) = children else {
            return Ok(());
        };
        self.budget.values(children.count)?;
        for index in 0..children.count {
            let Some(offset) = self.file.number_of(&children, index) else {
                break;
            };
            // One that was seen is not read again: a page may name the same child many times.
            if !seen.insert(offset) {
                continue;
            }
            let Some(directory) = self.file.child(offset, &mut self.budget)? else {
                continue;
            };
            if let Some(page) = sound(Page::of(self.file, &directory))? {
                self.add_alike(pages, page)?;
            }
        }
        Ok(())
    }

    fn add_alike(&mut self, pages: &mut Vec<PageData>, page: Page) -> Result<(), Error> {
        self.budget.values(page.listed_values)?;
        if page.layout == self.first.layout {
            pages.push(page.data);
        }
        Ok(())
    }

    /// The pages of these numbers, which must be like the first.
    fn of_pages(
        mut self,
        indices: impl Iterator<Item = usize>,
        shape: Vec<usize>,
        axes: Option<String>,
    ) -> Result<Series, Error> {
        let pages = indices
            .map(|index| self.page(index))
            .collect::<Result<_, _>>()?;
        Ok(Series {
            layout: self.first.layout,
            pages: Pages::Listed(pages),
            shape,
            axes,
        })
    }

    fn page(&mut self, index: usize) -> Result<PageData, Error> {
        let directory = self.file.directory(self.directories.offsets[index])?;
        let page = Page::of(self.file, &directory)?;
        self.budget.values(page.listed_values)?;
        if page.layout != self.first.layout {
            return Err(Error::corrupt(format!(
                "page {} differs from the first one",
                index + 1
            )));
        }
        Ok(page.data)
    }

    /// Where the first page's data begin, if `count` pages of plain data lie there before the next directory's.
    fn frames_behind_first(&self, count: usize) -> Option<u64> {
        let start = plain_start(self.file, &self.first)?;
        let bytes = self.first.layout.plain_bytes()?.checked_mul(count as u64)?;
        let end = start.checked_add(bytes)?;
        let next = self.directories.offsets.get(1).copied();
        let is_free = end <= self.file.len() as u64 && end <= next.unwrap_or(u64::MAX);
        (count > 1 && is_free).then_some(start)
    }

    /// `count` pages of plain data from `start` on.
    fn run(
        self,
        start: u64,
        count: usize,
        shape: Vec<usize>,
        axes: Option<String>,
    ) -> Result<Series, Error> {
        let bytes = self.first.layout.plain_bytes().unwrap_or(u64::MAX);
        let end = bytes
            .checked_mul(count as u64)
            .and_then(|bytes| bytes.checked_add(start));
        if end.is_none_or(|end| end > self.file.len() as u64) {
            return Err(ends_early());
        }
        Ok(Series {
            layout: self.first.layout.as_run(),
            pages: Pages::Run { start, count },
            shape,
            axes,
        })
    }
}

/// Lengths and letters of outer axes and of the page's, those of length 1 dropped; rows and columns always stay.
fn named(outer: &[(char, usize)], layout: &Layout) -> (Vec<usize>, String) {
    let outer = outer.iter().copied().filter(|&(_, size)| size != 1);
    let axes = outer.chain(layout.axes());
    axes.map(|(letter, size)| (size, letter)).unzip()
}

/// A page that is not supported cannot be like a first one that is.
fn sound(page: Result<Page, Error>) -> Result<Option<Page>, Error> {
    match page {
        Ok(page) => Ok(Some(page)),
        Err(Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn ends_early() -> Error {
    Error::corrupt("the file ends before its frames do")
}
