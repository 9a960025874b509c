//! Types of elements as the protocol spells them.

use crate::serving::data_type::DataType;

const NUMERIC: [(DataType, &str); 12] = [
    (DataType::F32, "FP32"),
    (DataType::F64, "FP64"),
    (DataType::F16, "FP16"),
    (DataType::I8, "INT8"),
    (DataType::I16, "INT16"),
    (DataType::I32, "INT32"),
    (DataType::I64, "INT64"),
    (DataType::U8, "UINT8"),
    (DataType::U16, "UINT16"),
    (DataType::U32, "UINT32"),
    (DataType::U64, "UINT64"),
    (DataType::Bool, "BOOL"),
];

/// Types that servers have and that are not sent or read here: texts, and a float that only Triton knows.
const OTHER: [&str; 2] = ["BYTES", "BF16"];

/// The word on the wire; empty if the protocol does not have the type.
pub(in crate::serving) fn to_wire(dtype: DataType) -> &'static str {
    if let DataType::Other(name) = dtype {
        return name;
    }
    NUMERIC
        .iter()
        .find(|(own, _)| *own == dtype)
        .map_or("", |(_, word)| word)
}

/// The type of a word; none if there is no such type.
pub(in crate::serving) fn from_wire(word: &str) -> Option<DataType> {
    let numeric = NUMERIC.iter().find(|(_, of_wire)| *of_wire == word);
    let other = || OTHER.into_iter().find(|name| *name == word);
    numeric
        .map(|(own, _)| *own)
        .or_else(|| other().map(DataType::Other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_as_itself() {
        for word in NUMERIC.map(|(_, word)| word).into_iter().chain(OTHER) {
            assert_eq!(from_wire(word).map(to_wire), Some(word));
        }
        assert_eq!(from_wire("float32"), None);
        assert_eq!(to_wire(DataType::Bf16), "");
    }
}
