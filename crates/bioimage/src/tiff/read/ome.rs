//! OME-XML: which page holds which plane of an OME-TIFF.
//!
//! Of a file with several images the first one counts. Planes in other files are refused: only this file's bytes are here.

use roxmltree::{Document, Node};

use crate::error::Error;

/// The planes of the first image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planes {
    /// Sizes in front of row and column, slowest first.
    pub(super) outer: Vec<usize>,
    /// The page of each plane in that order.
    pub(super) pages: Vec<usize>,
}

/// Most planes of a file; larger products of sizes are not believed.
const MOST_PLANES: usize = 1 << 24;

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
        let Ok(document) = Document::parse(description) else {
            return Ok(None);
        };
        let root = document.root_element();
        if child(root, "BinaryOnly").is_some() {
            return Ok(None);
        }
        let Some(pixels) = child(root, "Image").and_then(|image| child(image, "Pixels")) else {
            return Ok(None);
        };
        let Some(axes) = Axes::of(pixels, samples) else {
            return Ok(None);
        };
        // Elements may come in any order and leave out what has a default, so each fills in the planes that it names.
        let mut pages = vec![None; axes.planes()];
        for data in pixels
            .children()
            .filter(|node| node.tag_name().name() == "TiffData")
        {
            axes.assign(data, root.attribute("UUID"), page_count, &mut pages);
        }
        if pages.iter().all(Option::is_none) {
            return Ok(None);
        }
        let pages = pages.into_iter().collect::<Option<_>>();
        let pages = pages
            .ok_or_else(|| Error::unsupported("OME-TIFF with planes missing or in other files"))?;
        Ok(Some(Self {
            outer: axes.sizes.to_vec(),
            pages,
        }))
    }
}

/// The axes in front of the page's, slowest first.
struct Axes {
    letters: [char; 3],
    sizes: [usize; 3],
}

impl Axes {
    fn of(pixels: Node<'_, '_>, samples: usize) -> Option<Self> {
        let order = pixels.attribute("DimensionOrder")?.strip_prefix("XY")?;
        let letters: [char; 3] = order.chars().rev().collect::<Vec<_>>().try_into().ok()?;
        let mut sizes = [1_usize; 3];
        for (letter, size) in letters.iter().zip(&mut sizes) {
            *size = pixels
                .attribute(format!("Size{letter}").as_str())?
                .parse()
                .ok()?;
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

    /// Notes the pages of one `TiffData` element.
    fn assign(
        &self,
        data: Node<'_, '_>,
        own_uuid: Option<&str>,
        page_count: usize,
        pages: &mut [Option<usize>],
    ) {
        let uuid = child(data, "UUID").and_then(|node| node.text());
        if uuid.is_some() && own_uuid.is_some() && uuid != own_uuid {
            return;
        }
        // As the specification has it: without `IFD` an element stands for all pages, with it for one, unless it counts.
        let first_page = number(data, "IFD").unwrap_or(0);
        let default = if data.has_attribute("IFD") {
            1
        } else {
            page_count
        };
        let count = number(data, "PlaneCount")
            .or(number(data, "NumPlanes"))
            .unwrap_or(default);
        let first_plane =
            self.letters
                .iter()
                .zip(self.sizes)
                .fold(0_usize, |index, (letter, size)| {
                    let along = number(data, &format!("First{letter}")).unwrap_or(0);
                    index.saturating_mul(size).saturating_add(along)
                });
        for index in 0..count.min(page_count) {
            let page = first_page.saturating_add(index);
            if let (true, Some(plane)) = (
                page < page_count,
                pages.get_mut(first_plane.saturating_add(index)),
            ) {
                *plane = Some(page);
            }
        }
    }
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children()
        .find(|child| child.tag_name().name() == name)
}

fn number(node: Node<'_, '_>, attribute: &str) -> Option<usize> {
    node.attribute(attribute)?.trim().parse().ok()
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
                outer: vec![3, 1, 2],
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
    fn absurd_sizes_are_no_ome() {
        let text = ome(
            "DimensionOrder='XYZCT' SizeC='99999999999' SizeZ='99999999999' SizeT='9'",
            "<TiffData/>",
        );
        assert_eq!(Planes::parse(&text, 1, 1).expect("no error"), None);
    }
}
