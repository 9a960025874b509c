//! Models by rten: in Rust, with nothing to install.

use std::num::NonZeroUsize;
use std::panic;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rten::{DataType as RtenType, Dimension, NodeId, RunOptions, ThreadPool, Value, ValueType};

use super::onnx_file;
use super::session::{Runtime, Session};
use crate::serving::batch::Outputs;
use crate::serving::data_type::DataType;
use crate::serving::floats::exact;
use crate::serving::model::Input;
use crate::serving::model_directory::Weights;

/// rten with threads of its own.
pub(super) struct RtenRuntime {
    threads: Arc<ThreadPool>,
}

impl RtenRuntime {
    /// With so many threads for all models together.
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        Self {
            threads: Arc::new(ThreadPool::with_num_threads(threads.get())),
        }
    }
}

impl Runtime for RtenRuntime {
    fn load(&self, weights: Weights) -> Result<Arc<dyn Session>, String> {
        onnx_file::check(&weights)?;
        // A damaged file must not look like a crash of the consumer.
        let read = panic::catch_unwind(|| match weights {
            // Beside a file there may be another with its numbers.
            Weights::File(path) => rten::Model::load_file(path),
            Weights::Bytes(bytes) => rten::Model::load(bytes),
        });
        let model = read.map_err(|_| "it makes its reader panic: is the file damaged?")?;
        let model = model.map_err(|error| with_causes(&error))?;
        let inputs = model.input_ids().iter().map(|id| described(&model, *id));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let outputs = model.output_ids().iter().map(|id| {
            let name = model
                .node_info(*id)
                .and_then(|node| node.name().map(str::to_owned));
            Ok((*id, name.ok_or("an output has no name")?))
        });
        let outputs = outputs.collect::<Result<Vec<_>, String>>()?;
        Ok(Arc::new(RtenSession {
            model,
            inputs,
            outputs,
            threads: Arc::clone(&self.threads),
        }))
    }
}

struct RtenSession {
    model: rten::Model,
    inputs: Vec<(NodeId, Input)>,
    outputs: Vec<(NodeId, String)>,
    threads: Arc<ThreadPool>,
}

impl Session for RtenSession {
    fn inputs(&self) -> Vec<Input> {
        self.inputs.iter().map(|(_, input)| input.clone()).collect()
    }

    fn outputs(&self) -> Vec<String> {
        self.outputs.iter().map(|(_, name)| name.clone()).collect()
    }

    fn parameters(&self) -> Option<usize> {
        Some(self.model.total_params())
    }

    fn bytes(&self) -> u64 {
        self.model.total_params() as u64 * size_of::<f32>() as u64
    }

    fn runs_at_once(&self) -> Option<usize> {
        None
    }

    fn run(&self, inputs: Vec<(String, ArrayD<f32>)>) -> Result<Outputs, String> {
        let mut given = Vec::with_capacity(inputs.len());
        for (name, array) in inputs {
            let input = self.inputs.iter().find(|(_, input)| input.name == name);
            let (id, input) = input.ok_or_else(|| format!("there is no input `{name}`"))?;
            given.push((*id, value(array, input.dtype)?.into()));
        }
        let ids: Vec<_> = self.outputs.iter().map(|(id, _)| *id).collect();
        let mut options = RunOptions::default();
        options.thread_pool = Some(Arc::clone(&self.threads));
        let answers = self.model.run(given, &ids, Some(options));
        let answers = answers.map_err(|error| with_causes(&error))?;
        let named = self.outputs.iter().zip(answers);
        named
            .map(|((_, name), answer)| Ok((name.clone(), array(name, answer)?.into())))
            .collect()
    }
}

fn described(model: &rten::Model, id: NodeId) -> Result<(NodeId, Input), String> {
    let node = model.node_info(id).ok_or("an input is nowhere described")?;
    let name = node.name().ok_or("an input has no name")?;
    let shape = node
        .shape()
        .ok_or_else(|| format!("input `{name}` has no shape"))?;
    let sizes = shape.iter().map(|size| match size {
        Dimension::Fixed(size) => *size as i64,
        Dimension::Symbolic(_) => -1,
    });
    let dtype = match node.dtype() {
        Some(ValueType::Tensor(RtenType::Float)) | None => DataType::F32,
        Some(ValueType::Tensor(RtenType::Int32)) => DataType::I32,
        Some(ValueType::Tensor(RtenType::Int8)) => DataType::I8,
        Some(ValueType::Tensor(RtenType::UInt8)) => DataType::U8,
        Some(other) => {
            return Err(format!(
                "input `{name}` is {other:?}, which no image becomes"
            ));
        }
    };
    let input = Input {
        name: name.to_owned(),
        graph_name: name.to_owned(),
        dtype,
        shape: sizes.collect(),
    };
    Ok((id, input))
}

/// An array as rten takes it.
fn value(array: ArrayD<f32>, dtype: DataType) -> Result<Value, String> {
    let shape = array.shape().to_vec();
    let values = exact(array);
    let value = match dtype {
        DataType::I32 => {
            let values: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
            Value::from_shape(&shape, values).map_err(|error| error.to_string())
        }
        DataType::I8 => {
            let values: Vec<i8> = values.into_iter().map(|value| value as i8).collect();
            Value::from_shape(&shape, values).map_err(|error| error.to_string())
        }
        DataType::U8 => {
            let values: Vec<u8> = values.into_iter().map(|value| value as u8).collect();
            Value::from_shape(&shape, values).map_err(|error| error.to_string())
        }
        _ => Value::from_shape(&shape, values).map_err(|error| error.to_string()),
    };
    value.map_err(|error| error.to_string())
}

/// An answer of rten as an array.
fn array(name: &str, answer: Value) -> Result<ArrayD<f32>, String> {
    use rten_tensor::{AsView as _, Layout as _};
    let shape = answer.shape().to_vec();
    let values: Vec<f32> = match answer {
        Value::FloatTensor(tensor) => tensor.into_data(),
        Value::Int32Tensor(tensor) => tensor
            .to_vec()
            .into_iter()
            .map(|value| value as f32)
            .collect(),
        Value::Int8Tensor(tensor) => tensor.to_vec().into_iter().map(f32::from).collect(),
        Value::UInt8Tensor(tensor) => tensor.to_vec().into_iter().map(f32::from).collect(),
        _ => return Err(format!("output `{name}` is no array of numbers")),
    };
    ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|error| error.to_string())
}

/// An error and its causes.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
