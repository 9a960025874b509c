//! Reads the lists `preprocessing` and `postprocessing` of a tensor.

use crate::axis::{Axis, AxisKind};
use crate::dtype::Dtype;
use crate::kwargs::{Around, read_operation};
use crate::labels::{Labeling, read_cellpose, read_stardist};
use crate::operation::Operation;
use crate::reader::{Reader, Spot, or};

/// The operations of a tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chain {
    pub(crate) operations: Vec<Operation>,
    /// What makes labels of the tensor behind the operations.
    pub(crate) labeling: Option<Labeling>,
    /// The type of the labels, if it is said behind them.
    pub(crate) label_dtype: Option<Dtype>,
}

/// The preprocessing of an input of this type, as the reference completes it: it begins with a cast and ends with one.
pub(crate) fn read_preprocessing(
    reader: &mut Reader,
    list: Option<Spot<'_>>,
    around: Around<'_>,
    dtype: Dtype,
) -> Option<Vec<Operation>> {
    let mut operations = read_chain(reader, list, around)?.operations;
    if !matches!(operations.first(), Some(Operation::EnsureDtype(_))) {
        operations.insert(0, Operation::EnsureDtype(dtype));
    }
    end_with_cast(&mut operations, dtype);
    Some(operations)
}

/// The postprocessing of an output of this type, as the reference completes it: it ends with a cast.
pub(crate) fn read_postprocessing(
    reader: &mut Reader,
    list: Option<Spot<'_>>,
    around: Around<'_>,
    dtype: Dtype,
) -> Option<Chain> {
    let mut chain = read_chain(reader, list, around)?;
    if chain.labeling.is_none() {
        end_with_cast(&mut chain.operations, dtype);
    }
    Some(chain)
}

fn end_with_cast(operations: &mut Vec<Operation>, dtype: Dtype) {
    let is_cast = matches!(
        operations.last(),
        Some(Operation::EnsureDtype(_) | Operation::Binarize { .. })
    );
    if !is_cast {
        operations.push(Operation::EnsureDtype(dtype));
    }
}

fn read_chain(reader: &mut Reader, list: Option<Spot<'_>>, around: Around<'_>) -> Option<Chain> {
    let mut chain = Chain::default();
    let items = or(list, Vec::new(), |list| reader.list(list))?;
    // All are read, so that all problems are found.
    let read: Vec<_> = items
        .iter()
        .map(|item| read_link(reader, item, around, &mut chain))
        .collect();
    read.into_iter().collect::<Option<Vec<()>>>()?;
    Some(chain)
}

fn read_link(
    reader: &mut Reader,
    spot: &Spot<'_>,
    around: Around<'_>,
    chain: &mut Chain,
) -> Option<()> {
    let id = reader.need(spot, "id")?;
    let name = reader.text(&id)?;
    if matches!(
        name.as_str(),
        "stardist_postprocessing" | "cellpose_flow_dynamics"
    ) {
        let labeling = read_labeling(reader, spot, &name, around)?;
        if chain.labeling.replace(labeling).is_some() {
            return reader.refuse(spot, format!("`{name}` behind labels is not supported"));
        }
        return Some(());
    }
    let operation = read_operation(reader, spot, &name, around)?;
    match (&chain.labeling, operation) {
        (None, operation) => chain.operations.push(operation),
        (Some(_), Operation::EnsureDtype(dtype)) => chain.label_dtype = Some(dtype),
        (Some(_), _) => {
            let message =
                format!("`{name}` behind labels is not supported: only `ensure_dtype` is");
            return reader.refuse(spot, message);
        }
    }
    Some(())
}

fn read_labeling(
    reader: &mut Reader,
    spot: &Spot<'_>,
    name: &str,
    around: Around<'_>,
) -> Option<Labeling> {
    if around.is_preprocessing {
        return reader.refuse(spot, format!("`{name}` is no preprocessing"));
    }
    let has = |kind| around.axes.iter().any(|axis: &Axis| axis.kind == kind);
    if !has(AxisKind::Channel) {
        return reader.refuse(spot, format!("`{name}` needs a tensor with a channel axis"));
    }
    let kwargs = spot.get_or_nothing("kwargs");
    if name == "stardist_postprocessing" {
        read_stardist(reader, &kwargs)
    } else {
        read_cellpose(reader, &kwargs)
    }
}
