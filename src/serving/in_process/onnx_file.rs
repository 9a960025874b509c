//! ONNX files before they are loaded: all messages in them have to fit into each other.
//!
//! rten 0.27 takes lengths as they are. In a damaged file it goes back to where it has been, for ever, or asks for more memory
//! than there is, which would end the process.

use prost::Message as _;

use crate::serving::model_directory::Weights;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::doc_markdown,
    clippy::use_self,
    clippy::str_to_string,
    reason = "it is generated"
)]
mod outline {
    tonic::include_proto!("onnx_outline");
}

/// Whether the messages of a file fit into each other.
///
/// # Errors
/// That they do not, or why the file cannot be read.
pub(super) fn check(weights: &Weights) -> Result<(), String> {
    match weights {
        Weights::Bytes(bytes) => check_bytes(bytes),
        Weights::File(path) => {
            let bytes = std::fs::read(path);
            check_bytes(&bytes.map_err(|error| format!("its file cannot be read: {error}"))?)
        }
    }
}

fn check_bytes(bytes: &[u8]) -> Result<(), String> {
    let model = outline::Model::decode(bytes);
    let model = model.map_err(|error| format!("it is no ONNX file, or a damaged one: {error}"))?;
    match model.graph {
        Some(_) => Ok(()),
        None => Err("it is no ONNX file: there is no network in it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8]) -> Result<(), String> {
        check(&Weights::Bytes(bytes.to_vec()))
    }

    /// A file with a graph of one node without anything.
    const WHOLE: [u8; 8] = [0x08, 9, 0x3a, 4, 0x0a, 2, 0x0a, 0];

    #[test]
    fn messages_have_to_fit_into_each_other() {
        assert_eq!(verdict(&WHOLE), Ok(()));
        for end in 0..WHOLE.len() {
            assert!(verdict(&WHOLE[..end]).is_err(), "{end}");
        }
        // The node, and the name of its input, are longer than the graph.
        for place in [5, 7] {
            let mut longer = WHOLE;
            longer[place] += 1;
            assert!(verdict(&longer).is_err(), "{place}");
        }
        assert!(verdict(&[0xff; 40]).is_err());
        assert!(verdict(b"not a model").is_err());
    }

    #[test]
    fn lengths_that_lead_back_are_refused() {
        // A name in a node of -93 bytes, found by fuzzing, and the same at the top.
        let back = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xa3, 0x22];
        let node = [&[0x0a, 10][..], &back].concat();
        let graph = [&[0x08, 9, 0x3a, 12][..], &node].concat();
        assert!(verdict(&graph).is_err());
        assert!(verdict(&[&WHOLE[..], &back].concat()).is_err());
    }

    #[test]
    fn a_file_is_looked_at_like_its_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.onnx");
        assert!(check(&Weights::File(file.clone())).is_err(), "it is absent");
        std::fs::write(&file, &WHOLE[..5]).expect("a file");
        assert!(check(&Weights::File(file.clone())).is_err());
        std::fs::write(&file, WHOLE).expect("a file");
        assert!(check(&Weights::File(file)).is_ok());
    }
}
