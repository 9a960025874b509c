//! Which pages are the image, and in which shape: the first series, decided as tifffile does.
//!
//! In this order: the shape that tifffile noted, OME-XML, `ImageJ`'s sizes, all pages like the first.

use super::description::{ImageJ, Shaped};
use super::directory::{Directory, File};
use super::ome;
use super::page::{Page, Planes};
use crate::error::Error;

const DESCRIPTION: u16 = 270;

/// The pages to read, all of one layout, and the shape of their values together.
pub(super) struct Series {
    pub(super) pages: Vec<Page>,
    pub(super) shape: Vec<usize>,
}

/// The first series of the file.
pub(super) fn first(file: &File<'_>) -> Result<Series, Error> {
    let directories = file.directories()?;
    let chain = Chain {
        file,
        directories: &directories,
        first: Page::of(file, &directories[0])?,
    };
    // tifffile looks into the first two descriptions for what it and ImageJ wrote.
    let texts: Vec<String> = directories[0]
        .find_all(DESCRIPTION)
        .take(2)
        .map(|entry| file.text(entry))
        .collect();
    if let Some(shaped) = texts.iter().find_map(|text| Shaped::parse(text)) {
        return chain.shaped(shaped);
    }
    let samples = if chain.first.layout.planes == Planes::Chunky {
        chain.first.layout.samples
    } else {
        1
    };
    if let Some(text) = texts.first()
        && let Some(planes) = ome::Planes::parse(text, directories.len(), samples)?
    {
        return chain.ome(&planes);
    }
    if let Some(sizes) = texts.iter().find_map(|text| ImageJ::parse(text)) {
        return chain.imagej(&sizes);
    }
    chain.alike()
}

/// The directories of a file, and the page of the first of them.
struct Chain<'a> {
    file: &'a File<'a>,
    directories: &'a [Directory],
    first: Page,
}

impl Chain<'_> {
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
        // `truncated` says that only the first page has a directory, whatever else the file lists.
        let is_listed = count <= self.directories.len() && !(shaped.is_truncated && count > 1);
        if is_listed {
            let pages = (0..count)
                .map(|index| self.page(index))
                .collect::<Result<_, _>>()?;
            return Ok(Series {
                pages,
                shape: shaped.shape,
            });
        }
        let start = self.first.plain_start(self.file);
        let start =
            start.ok_or_else(|| Error::corrupt(format!("the file should have {count} pages")))?;
        Ok(Series {
            pages: self.run(start, count)?,
            shape: shaped.shape,
        })
    }

    fn ome(self, planes: &ome::Planes) -> Result<Series, Error> {
        let pages = planes
            .pages
            .iter()
            .map(|&index| self.page(index))
            .collect::<Result<_, _>>()?;
        Ok(Series {
            pages,
            shape: with_page_axes(&planes.outer, &self.first),
        })
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
        let listed = self.directories.len();
        let count = if declared == 1 && listed > 1 {
            listed
        } else {
            declared
        };
        // ImageJ writes large stacks as one run of bytes behind a single directory, so that is tried before the directories.
        let pages = match self.frames_behind_first(count) {
            Some(start) => self.run(start, count)?,
            None if count <= listed => (0..count)
                .map(|index| self.page(index))
                .collect::<Result<_, _>>()?,
            None => return self.alike(),
        };
        let mut outer = vec![count / declared];
        outer.extend(sizes.outer(channels));
        Ok(Series {
            shape: with_page_axes(&outer, &self.first),
            pages,
        })
    }

    /// Every page like the first, those in child directories included; others are other series.
    fn alike(self) -> Result<Series, Error> {
        let Self {
            file,
            directories,
            first,
        } = self;
        let layout = first.layout.clone();
        let mut children = first.children.clone();
        let mut pages = vec![first];
        for directory in &directories[1..] {
            add_children(file, &mut pages, std::mem::take(&mut children))?;
            if let Some(page) = sound(Page::of(file, directory))? {
                children.clone_from(&page.children);
                add_alike(&mut pages, page);
            }
        }
        add_children(file, &mut pages, children)?;
        let mut shape = layout.shape();
        if pages.len() > 1 {
            shape = with_page_axes(&[pages.len()], &pages[0]);
        }
        Ok(Series { pages, shape })
    }

    /// The page of this number, which must be like the first.
    fn page(&self, index: usize) -> Result<Page, Error> {
        let page = Page::of(self.file, &self.directories[index])?;
        if page.layout != self.first.layout {
            return Err(Error::corrupt(format!(
                "page {} differs from the first one",
                index + 1
            )));
        }
        Ok(page)
    }

    /// Where the first page's data begin, if `count` pages of plain data lie there before the next directory's.
    fn frames_behind_first(&self, count: usize) -> Option<u64> {
        let start = self.first.plain_start(self.file)?;
        let bytes = self.first.layout.plain_bytes()?.checked_mul(count as u64)?;
        let end = start.checked_add(bytes)?;
        let next = self
            .directories
            .get(1)
            .map_or(u64::MAX, |directory| directory.offset);
        (count > 1 && end <= self.file.bytes.len() as u64 && end <= next).then_some(start)
    }

    /// `count` pages of plain data from `start` on.
    fn run(&self, start: u64, count: usize) -> Result<Vec<Page>, Error> {
        let bytes = self.first.layout.plain_bytes().unwrap_or(u64::MAX);
        let end = bytes
            .checked_mul(count as u64)
            .and_then(|bytes| bytes.checked_add(start));
        if end.is_none_or(|end| end > self.file.bytes.len() as u64) {
            return Err(Error::corrupt("the file ends before its frames do"));
        }
        Ok((0..count as u64)
            .map(|index| self.first.as_run(start + index * bytes))
            .collect())
    }
}

/// The page's axes behind outer ones, axes of length 1 dropped; rows and columns always stay.
fn with_page_axes(outer: &[usize], page: &Page) -> Vec<usize> {
    let mut shape: Vec<usize> = outer.iter().copied().filter(|&size| size != 1).collect();
    shape.extend(page.layout.shape());
    shape
}

/// The pages of these child directories that are like the first one.
fn add_children(file: &File<'_>, pages: &mut Vec<Page>, offsets: Vec<u64>) -> Result<(), Error> {
    for offset in offsets {
        let Ok((directory, _)) = file.directory(offset) else {
            continue;
        };
        if let Some(page) = sound(Page::of(file, &directory))? {
            add_alike(pages, page);
        }
    }
    Ok(())
}

fn add_alike(pages: &mut Vec<Page>, page: Page) {
    let is_new = pages.iter().all(|other| other.directory != page.directory);
    if is_new && page.layout == pages[0].layout {
        pages.push(page);
    }
}

/// A page that is not supported cannot be like a first one that is.
fn sound(page: Result<Page, Error>) -> Result<Option<Page>, Error> {
    match page {
        Ok(page) => Ok(Some(page)),
        Err(Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
