//! Types of elements as TensorFlow numbers them.

use super::proto::tensorflow::DataType as WireType;
use crate::serving::data_type::DataType;

const NUMERIC: [(DataType, WireType); 13] = [
    (DataType::F32, WireType::DtFloat),
    (DataType::F64, WireType::DtDouble),
    (DataType::F16, WireType::DtHalf),
    (DataType::Bf16, WireType::DtBfloat16),
    (DataType::I8, WireType::DtInt8),
    (DataType::I16, WireType::DtInt16),
    (DataType::I32, WireType::DtInt32),
    (DataType::I64, WireType::DtInt64),
    (DataType::U8, WireType::DtUint8),
    (DataType::U16, WireType::DtUint16),
    (DataType::U32, WireType::DtUint32),
    (DataType::U64, WireType::DtUint64),
    (DataType::Bool, WireType::DtBool),
];

/// The type on the wire; invalid if TensorFlow does not have it.
pub(in crate::serving) fn to_wire(dtype: DataType) -> WireType {
    if let DataType::Other(name) = dtype {
        return WireType::from_str_name(name).unwrap_or(WireType::DtInvalid);
    }
    NUMERIC
        .iter()
        .find(|(own, _)| *own == dtype)
        .map_or(WireType::DtInvalid, |(_, wire)| *wire)
}

/// The type of a message; none if the message does not say it.
pub(in crate::serving) fn from_wire(wire: WireType) -> Option<DataType> {
    if wire == WireType::DtInvalid {
        return None;
    }
    let numeric = NUMERIC.iter().find(|(_, of_wire)| *of_wire == wire);
    Some(numeric.map_or(DataType::Other(wire.as_str_name()), |(own, _)| *own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_tensorflow_comes_back_as_itself() {
        let known: Vec<_> = (1..200)
            .filter_map(|number| WireType::try_from(number).ok())
            .collect();
        assert!(known.len() > NUMERIC.len());
        for wire in known {
            assert_eq!(from_wire(wire).map(to_wire), Some(wire));
        }
        assert_eq!(
            from_wire(WireType::DtString),
            Some(DataType::Other("DT_STRING"))
        );
        assert_eq!(from_wire(WireType::DtInvalid), None);
        assert_eq!(to_wire(DataType::Other("BYTES")), WireType::DtInvalid);
    }
}
