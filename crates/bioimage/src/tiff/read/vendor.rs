//! Stacks of microscopes that say in tags of their own what their pages are, or that their first page is not the image.
//!
//! Read as tifffile does: `MetaMorph`, `FluoView`, `ScanImage`. Formats whose pages only their own programs can put together are
//! refused; in all others the pages are what they are.

use super::directory::{ByteOrder, Directory, Entry, File};
use crate::error::Error;
use crate::number::{from_big_endian, from_little_endian};

const DESCRIPTION: u16 = 270;
const SOFTWARE: u16 = 305;
const XMP: u16 = 700;
const MD_FILE_TAG: u16 = 33445;
const UIC_1: u16 = 33628;
const UIC_2: u16 = 33629;
const FLUOVIEW: u16 = 34362;
const EER_METADATA: u16 = 65001;

/// What the pages of a file are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stack {
    /// So many planes behind one directory.
    Run(usize),
    /// Axes in front of the page's, slowest first.
    Outer(Vec<(char, usize)>),
    /// Channels of one image; pages that are not like the first are other images.
    Channels,
}

/// What the `listed` pages of the file are, if its maker says so in a way that is known.
pub(super) fn stack(
    file: &File<'_>,
    directory: &Directory,
    listed: usize,
) -> Result<Option<Stack>, Error> {
    if let Some(fluoview) = directory.find(FLUOVIEW) {
        return Ok(fluoview_axes(file, fluoview).map(Stack::Outer));
    }
    if let (Some(_), Some(planes)) = (directory.find(UIC_1), directory.find(UIC_2)) {
        return Ok(Some(Stack::Run(planes.count)));
    }
    refuse_others(file, directory, listed)?;
    let software = begin_of(file, directory.find(SOFTWARE), 32);
    if software.starts_with(b"PerkinElmer-QPI") {
        return Ok(Some(Stack::Channels));
    }
    let description = begin_of(file, directory.find(DESCRIPTION), 6);
    let is_scanimage = software.starts_with(b"SI.") || description == b"state.";
    let frames = is_scanimage.then(|| scanimage_axes(file, listed)).flatten();
    Ok(frames.map(Stack::Outer))
}

/// Refuses formats of which the first page is something else than the image, or stores other values.
fn refuse_others(file: &File<'_>, directory: &Directory, listed: usize) -> Result<(), Error> {
    let metadata = begin_of(file, directory.find(EER_METADATA), 10);
    if metadata == b"<metadata>" && listed > 1 {
        return Err(Error::unsupported("electron events (EER)"));
    }
    if directory.find(XMP).is_some() && begins_with_label(file, directory) {
        return Err(Error::unsupported(
            "slide scans of Ventana (BIF), which begin with their label",
        ));
    }
    let kind = directory.find(MD_FILE_TAG);
    match kind.and_then(|entry| file.number_of(entry, 0)) {
        Some(2 | 128) => Err(Error::unsupported(
            "gel scans (MD), whose values stand for others",
        )),
        _ => Ok(()),
    }
}

/// Whether the first page is the label of a slide rather than its scan.
fn begins_with_label(file: &File<'_>, directory: &Directory) -> bool {
    let software = begin_of(file, directory.find(SOFTWARE), 64);
    let description = begin_of(file, directory.find(DESCRIPTION), 256);
    let labels = [&b"Label Image"[..], b"Label_Image", b"Probability_Image"];
    let is_ventana = contains(software, b"Ventana")
        || software.starts_with(b"ScanOutputManager")
        || labels.iter().any(|label| description.starts_with(label));
    is_ventana && !contains(description, b"level")
}

/// The first bytes of an entry.
fn begin_of<'a>(file: &File<'a>, entry: Option<&Entry>, most: usize) -> &'a [u8] {
    let data = entry.map_or(&[][..], |entry| file.data(entry));
    &data[..data.len().min(most)]
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|part| part == wanted)
}

/// Where the dimensions begin in the head of `FluoView`, and the bytes of each: a name of 16, a length, and what else there is.
const FLUOVIEW_DIMENSIONS: usize = 284;
const FLUOVIEW_DIMENSION: usize = 100;
const FLUOVIEW_MOST: usize = 10;

fn fluoview_axes(file: &File<'_>, head: &Entry) -> Option<Vec<(char, usize)>> {
    let dimensions = file.data(head).get(FLUOVIEW_DIMENSIONS..)?;
    let mut outer = Vec::new();
    for dimension in dimensions
        .chunks_exact(FLUOVIEW_DIMENSION)
        .take(FLUOVIEW_MOST)
    {
        let (name, rest) = dimension.split_at(16);
        let length = u32_of(file, rest)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let letter = match name.to_ascii_uppercase().as_slice() {
            b"" => continue,
            b"X" | b"Y" => continue,
            b"Z" => 'Z',
            b"T" | b"TIME" => 'T',
            b"CH" | b"WAVELENGTH" => 'C',
            _ => 'Q',
        };
        if length > 0 {
            outer.insert(0, (letter, length as usize));
        }
    }
    Some(outer)
}

/// What `ScanImage` writes behind the head of a file, beginning with this number.
const SCANIMAGE: u32 = 117_637_889;
const SCANIMAGE_AT: u64 = 16;

/// Slices, frames and channels, as `ScanImage` tells behind the head of the file; none if they are not all of the pages.
fn scanimage_axes(file: &File<'_>, listed: usize) -> Option<Vec<(char, usize)>> {
    let head = file.slice(SCANIMAGE_AT, 16)?;
    if u32_of(file, head)? != SCANIMAGE {
        return None;
    }
    let text = file.slice(SCANIMAGE_AT + 16, u32_of(file, &head[8..])?.into())?;
    let text = std::str::from_utf8(text).ok()?;
    let value = |wanted: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut found = lines.filter(|(key, _)| key.trim() == wanted);
        found.next().map(|(_, value)| value.trim())
    };
    let saved = value("SI.hChannels.channelSave")?;
    let numbers = saved.split(|letter: char| !letter.is_ascii_digit());
    let channels = numbers.filter(|number| !number.is_empty()).count();
    let frames = value("SI.hStackManager.framesPerSlice")?.parse::<usize>();
    // It may have been told to go on until it was stopped.
    let frames = frames.unwrap_or_else(|_| listed.checked_div(channels).unwrap_or(0));
    let slices = listed
        .checked_div(frames.saturating_mul(channels))
        .unwrap_or(1)
        .max(1);
    Some(vec![('Z', slices), ('T', frames), ('C', channels)])
}

fn u32_of(file: &File<'_>, bytes: &[u8]) -> Option<u32> {
    let bytes = bytes.get(..4)?;
    let number = match file.order {
        ByteOrder::Little => from_little_endian(bytes),
        ByteOrder::Big => from_big_endian(bytes),
    };
    u32::try_from(number).ok()
}
