//! OME-XML: which page holds which plane of an OME-TIFF.
//!
//! Of a file with several images the first one counts. Planes in other files are refused: only this file's bytes are here.

use std::str::FromStr as _;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::description::micrometers;
use crate::error::Error;

/// The planes of the first image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planes {
    /// Axes in front of row and column, slowest first.
    pub(super) outer: Vec<(char, usize)>,
    /// The page of each plane in that order.
    pub(super) pages: Vec<usize>,
}

/// Most planes of a file; larger products of sizes are not believed.
const MOST_PLANES: usize = 1 << 24;

/// Planes that may be assigned to pages, over and over included.
const MOST_ASSIGNMENTS: usize = 1 << 24;

impl Planes {
    /// Reads the description of a file of `page_count` pages with `samples` samples a pixel.
    ///
    /// None when it is not OME-XML, only refers to another file, or names no planes.
    pub(super) fn parse(
        description: &str,
        page_count: usize,
        samples: usize,
    ) -> Result<Option<Self>, Error> {
        if !description.trim_end().ends_with("OME>") {
            return Ok(None);
        }
        let Some(document) = Document::read(description, page_count, samples) else {
            return Ok(None);
        };
        match document.assigned {
            Some(assigned) if assigned.any && !document.is_elsewhere => {
                let Assigned { axes, pages, .. } = assigned;
                let missing =
                    || Error::unsupported("OME-TIFF with planes missing or in other files");
                if pages.len() < axes.planes() {
                    return Err(missing());
                }
                let pages = pages.into_iter().collect::<Option<_>>();
                Ok(Some(Self {
                    outer: axes.letters.into_iter().zip(axes.sizes).collect(),
                    pages: pages.ok_or_else(missing)?,
                }))
            }
            _ => Ok(None),
        }
    }
}

/// What has been read of a document: element by element, so that a long one takes no memory.
struct Document {
    page_count: usize,
    samples: usize,
    /// Local names of the open elements.
    path: Vec<Element>,
    /// Whether the planes are in another file.
    is_elsewhere: bool,
    own_uuid: Option<String>,
    images: usize,
    pixels: usize,
    data: Data,
    assigned: Option<Assigned>,
    assignments_left: usize,
}

/// The elements that matter, where they stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Root,
    FirstImage,
    FirstPixels,
    TiffData,
    Uuid,
    Other,
}

/// The pages of the planes as far as they were named.
struct Assigned {
    axes: Axes,
    /// No more than the file has pages: where there are more planes, some are missing.
    pages: Vec<Option<usize>>,
    any: bool,
}

/// One `TiffData` element.
#[derive(Default)]
struct Data {
    page: Option<usize>,
    count: Option<usize>,
    first: [Option<usize>; 3],
    uuid: Option<String>,
}

impl Document {
    /// None if the text is not XML, or says nothing of pixels.
    fn read(text: &str, page_count: usize, samples: usize) -> Option<Self> {
        let mut document = Self {
            page_count,
            samples,
            path: Vec::new(),
            is_elsewhere: false,
            own_uuid: None,
            images: 0,
            pixels: 0,
            data: Data::default(),
            assigned: None,
            assignments_left: MOST_ASSIGNMENTS,
        };
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut is_over = false;
        loop {
            match reader.read_event().ok()? {
                Event::Start(_) if is_over => return None,
                Event::Start(start) => document.open(&start)?,
                Event::End(_) => {
                    document.close()?;
                    is_over = document.path.is_empty();
                }
                Event::Text(text) if document.path.last() == Some(&Element::Uuid) => {
                    document.data.uuid = Some(text.decode().ok()?.into_owned());
                }
                Event::DocType(_) => return None,
                Event::Eof => return is_over.then_some(document),
                _ => {}
            }
        }
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Option<()> {
        let element = match (self.path.last(), start.local_name().as_ref()) {
            (None, _) => {
                self.own_uuid = attribute(start, "UUID")?;
                Element::Root
            }
            (Some(Element::Root), b"BinaryOnly") => {
                self.is_elsewhere = true;
                Element::Other
            }
            (Some(Element::Root), b"Image") if self.images == 0 => {
                self.images = 1;
                Element::FirstImage
            }
            (Some(Element::FirstImage), b"Pixels") if self.pixels == 0 => {
                self.pixels = 1;
                let axes = Axes::of(start, self.samples)?;
                self.assigned = Some(Assigned {
                    pages: vec![None; axes.planes().min(self.page_count)],
                    axes,
                    any: false,
                });
                Element::FirstPixels
            }
            (Some(Element::FirstPixels), b"TiffData") => {
                self.data = Data::of(start, &self.assigned.as_ref()?.axes, self.page_count)?;
                Element::TiffData
            }
            (Some(Element::TiffData), b"UUID") if self.data.uuid.is_none() => Element::Uuid,
            _ => Element::Other,
        };
        self.path.push(element);
        Some(())
    }

    /// None when planes are assigned without end.
    fn close(&mut self) -> Option<()> {
        if self.path.pop() == Some(Element::TiffData) {
            let data = std::mem::take(&mut self.data);
            let is_elsewhere =
                data.uuid.is_some() && self.own_uuid.is_some() && data.uuid != self.own_uuid;
            if let (Some(assigned), false) = (&mut self.assigned, is_elsewhere) {
                let count = data.count.unwrap_or(1).min(self.page_count);
                self.assignments_left = self.assignments_left.checked_sub(count)?;
                assigned.assign(&data, count, self.page_count);
            }
        }
        Some(())
    }
}

impl Assigned {
    /// Notes the pages of one `TiffData` element.
    fn assign(&mut self, data: &Data, count: usize, page_count: usize) {
        let planes = self.axes.planes();
        let first_page = data.page.unwrap_or(0);
        let first_plane =
            self.axes
                .sizes
                .iter()
                .zip(data.first)
                .fold(0_usize, |index, (&size, along)| {
                    index
                        .saturating_mul(size)
                        .saturating_add(along.unwrap_or(0))
                });
        for index in 0..count {
            let page = first_page.saturating_add(index);
            let plane = first_plane.saturating_add(index);
            if page < page_count && plane < planes {
                self.any = true;
                if let Some(place) = self.pages.get_mut(plane) {
                    *place = Some(page);
                }
            }
        }
    }
}

impl Data {
    /// As the specification has it: without `IFD` an element stands for all pages, with it for one, unless it counts.
    fn of(start: &BytesStart<'_>, axes: &Axes, page_count: usize) -> Option<Self> {
        let first = axes
            .letters
            .map(|letter| number(start, &format!("First{letter}")));
        let default = match attribute(start, "IFD")? {
            Some(_) => 1,
            None => page_count,
        };
        Some(Self {
            page: number(start, "IFD"),
            count: number(start, "PlaneCount")
                .or(number(start, "NumPlanes"))
                .or(Some(default)),
            first,
            uuid: None,
        })
    }
}

/// The axes in front of the page's, slowest first.
struct Axes {
    letters: [char; 3],
    sizes: [usize; 3],
}

impl Axes {
    fn of(pixels: &BytesStart<'_>, samples: usize) -> Option<Self> {
        let order = attribute(pixels, "DimensionOrder")??;
        let order = order.strip_prefix("XY")?;
        let letters: [char; 3] = order.chars().rev().collect::<Vec<_>>().try_into().ok()?;
        let mut sizes = [1_usize; 3];
        for (letter, size) in letters.iter().zip(&mut sizes) {
            let stated = attribute(pixels, &format!("Size{letter}"))??;
            *size = usize::from_str(&stated).ok()?;
            // Samples of a pixel count as channels there, but lie within the page.
            if *letter == 'C' && samples > 1 && size.is_multiple_of(samples) {
                *size /= samples;
            }
        }
        let axes = Self { letters, sizes };
        (1..=MOST_PLANES).contains(&axes.planes()).then_some(axes)
    }

    fn planes(&self) -> usize {
        self.sizes
            .iter()
            .fold(1, |count, &size| count.saturating_mul(size))
    }
}

/// Height and width of a pixel of the first image, in micrometers; none if the description is not OME-XML that tells them.
pub(super) fn pixel_size(description: &str) -> Option<[f64; 2]> {
    if !description.trim_end().ends_with("OME>") {
        return None;
    }
    let mut reader = Reader::from_str(description);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) | Event::Empty(start)
                if start.local_name().as_ref() == b"Pixels" =>
            {
                let along = |axis: char| {
                    let size = attribute(&start, &format!("PhysicalSize{axis}"))??;
                    let unit = attribute(&start, &format!("PhysicalSize{axis}Unit"))?;
                    let unit = micrometers(unit.as_deref().unwrap_or("µm"))?;
                    Some(size.trim().parse::<f64>().ok()? * unit)
                };
                return Some([along('Y')?, along('X')?]);
            }
            Event::DocType(_) | Event::Eof => return None,
            _ => {}
        }
    }
}

/// The value of an attribute, if it is there; none at all if the element is damaged.
fn attribute(start: &BytesStart<'_>, name: &str) -> Option<Option<String>> {
    let mut attributes = start.attributes();
    for attribute in attributes.with_checks(false) {
        let attribute = attribute.ok()?;
        if attribute.key.as_ref() == name.as_bytes() {
            return Some(Some(
                attribute
                    .normalized_value(XmlVersion::Implicit1_0)
                    .ok()?
                    .into_owned(),
            ));
        }
    }
    Some(None)
}

fn number(start: &BytesStart<'_>, name: &str) -> Option<usize> {
    attribute(start, name)??.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ome(pixels: &str, data: &str) -> String {
        format!("<OME UUID='own'><Image><Pixels {pixels}>{data}</Pixels></Image></OME>")
    }

    #[test]
    fn planes_follow_the_dimension_order_from_its_end() {
        let text = ome(
            "DimensionOrder='XYCZT' SizeC='2' SizeZ='1' SizeT='3'",
            "<TiffData/>",
        );
        let planes = Planes::parse(&text, 6, 1)
            .expect("complete")
            .expect("is OME");
        assert_eq!(
            planes,
            Planes {
                outer: vec![('T', 3), ('Z', 1), ('C', 2)],
                pages: vec![0, 1, 2, 3, 4, 5]
            }
        );
    }

    #[test]
    fn a_plane_is_found_where_its_element_says() {
        let sizes = "DimensionOrder='XYZCT' SizeC='2' SizeZ='1' SizeT='1'";
        let text = ome(
            sizes,
            "<TiffData IFD='1' FirstC='0'/><TiffData IFD='0' FirstC='1'/>",
        );
        assert_eq!(
            Planes::parse(&text, 2, 1)
                .expect("complete")
                .expect("is OME")
                .pages,
            [1, 0]
        );
    }

    #[test]
    fn planes_in_another_file_are_refused() {
        let sizes = "DimensionOrder='XYZCT' SizeC='2' SizeZ='1' SizeT='1'";
        let text = ome(
            sizes,
            "<TiffData IFD='0'/><TiffData IFD='0' FirstC='1'><UUID>other</UUID></TiffData>",
        );
        assert!(matches!(
            Planes::parse(&text, 2, 1),
            Err(Error::Unsupported(_))
        ));
    }

    #[test]
    fn planes_that_have_no_page_are_missing_however_many_there_are() {
        let text = ome(
            "DimensionOrder='XYCZT' SizeC='4096' SizeZ='4096' SizeT='1'",
            "<TiffData IFD='0'/>",
        );
        let planes = Planes::parse(&text, 1, 1);
        assert!(matches!(planes, Err(Error::Unsupported(_))), "{planes:?}");
    }

    #[test]
    fn elements_that_stand_for_all_pages_are_not_believed_without_end() {
        let sizes = "DimensionOrder='XYZCT' SizeC='1' SizeZ='1' SizeT='50000'";
        let text = ome(sizes, &"<TiffData/>".repeat(50_000));
        assert_eq!(Planes::parse(&text, 50_000, 1).expect("no error"), None);
    }

    #[test]
    fn only_whole_documents_count() {
        let sizes = "DimensionOrder='XYZCT' SizeC='1' SizeZ='1' SizeT='1'";
        let sound = ome(sizes, "<TiffData/>");
        assert!(Planes::parse(&sound, 1, 1).is_ok_and(|planes| planes.is_some()));
        let twice = sound.repeat(2);
        let doctype = format!("<!DOCTYPE OME [<!ENTITY a 'b'>]>{sound}");
        let unclosed = sound.replace("</Pixels>", "");
        let elsewhere = sound.replace("<Image>", "<BinaryOnly/><Image>");
        for text in [twice, doctype, unclosed, elsewhere] {
            assert_eq!(
                Planes::parse(&text, 1, 1).expect("no error"),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn absurd_sizes_are_no_ome() {
        let text = ome(
            "DimensionOrder='XYZCT' SizeC='99999999999' SizeZ='99999999999' SizeT='9'",
            "<TiffData/>",
        );
        assert_eq!(Planes::parse(&text, 1, 1).expect("no error"), None);
    }
}
