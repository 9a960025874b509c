//! Headers of files of which only pieces are read.

use bioimage::{Error, Found, Header, Pieces, header_of_pieces};

/// The header by no more than the pieces that are asked for, each of which is new and in the file.
pub fn header_by_pieces(file: &[u8], name: &str) -> Result<Header, Error> {
    let mut pieces = Pieces::new(file.len());
    let mut last = None;
    loop {
        let range = match header_of_pieces(&mut pieces, name)? {
            Found::Header(header) => return Ok(header),
            Found::Needs(range) => range,
        };
        assert!(!range.is_empty() && last.as_ref() != Some(&range), "{range:?} was given");
        pieces.insert(range.start, file[range.clone()].to_vec());
        last = Some(range);
    }
}
