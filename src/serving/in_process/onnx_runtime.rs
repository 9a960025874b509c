//! Models by Microsoft's ONNX Runtime, whose library the user brings: about twice as fast as rten, and on GPUs.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ndarray::{ArrayD, IxDyn};
use ort::environment::Environment;
use ort::ep;
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};

use super::session::{Runtime, Session};
use super::settings::{Device, OnnxRuntimeSettings};
use crate::serving::batch::Outputs;
use crate::serving::data_type::DataType;
use crate::serving::floats::exact;
use crate::serving::model::Input;
use crate::serving::model_directory::Weights;

/// ONNX Runtime with as many threads for each model.
pub(super) struct OnnxRuntime {
    settings: OnnxRuntimeSettings,
    threads: usize,
}

impl OnnxRuntime {
    pub(super) fn new(settings: OnnxRuntimeSettings, threads: usize) -> Self {
        Self { settings, threads }
    }

    fn builder(&self) -> Result<SessionBuilder, String> {
        let environment = environment(&self.settings.library)?;
        let builder = ort::session::Session::builder(environment).map_err(|error| text(&error))?;
        let builder = builder.with_intra_threads(self.threads);
        let builder = builder.map_err(|error| text(&error))?;
        // What waits for the next tile would take the cores from the jobs' own work.
        let builder = builder.with_intra_op_spinning(false);
        let builder = builder.map_err(|error| text(&error))?;
        if self.settings.device == Device::Cpu {
            return Ok(builder);
        }
        let gpu = ep::CUDA::default().build().error_on_failure();
        let builder = builder.with_execution_providers([gpu]);
        builder.map_err(|error| text(&error))
    }
}

impl Runtime for OnnxRuntime {
    fn load(&self, weights: Weights) -> Result<Arc<dyn Session>, String> {
        let mut builder = self.builder()?;
        let bytes = size(&weights);
        let session = match weights {
            // Beside a file there may be another with its numbers.
            Weights::File(path) => builder.commit_from_file(path),
            Weights::Bytes(bytes) => builder.commit_from_memory(&bytes),
        };
        let session = session.map_err(|error| text(&error))?;
        let inputs = session.inputs().iter().map(described);
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let outputs = session.outputs().iter();
        let outputs = outputs.map(|output| output.name().to_owned()).collect();
        Ok(Arc::new(OrtSession {
            session: Mutex::new(session),
            inputs,
            outputs,
            bytes,
        }))
    }
}

struct OrtSession {
    /// Some of its devices run one thing at a time, so the library asks for that of all.
    session: Mutex<ort::session::Session>,
    inputs: Vec<Input>,
    outputs: Vec<String>,
    bytes: u64,
}

impl Session for OrtSession {
    fn inputs(&self) -> Vec<Input> {
        self.inputs.clone()
    }

    fn outputs(&self) -> Vec<String> {
        self.outputs.clone()
    }

    fn parameters(&self) -> Option<usize> {
        None
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn runs_at_once(&self) -> Option<usize> {
        Some(1)
    }

    fn run(&self, inputs: Vec<(String, ArrayD<f32>)>) -> Result<Outputs, String> {
        let given = inputs.into_iter().map(|(name, array)| {
            let input = self.inputs.iter().find(|input| input.name == name);
            let input = input.ok_or_else(|| format!("there is no input `{name}`"))?;
            Ok((name, value(array, input.dtype)?))
        });
        let given = given.collect::<Result<Vec<_>, String>>()?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = session.run(given).map_err(|error| text(&error))?;
        answers
            .iter()
            .map(|(name, answer)| Ok((name.to_owned(), array(name, &answer)?.into())))
            .collect()
    }
}

/// The library, loaded once for the process: it knows one environment only.
fn environment(library: &Path) -> Result<&'static Environment, String> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let builder = ort::init_from(library).map_err(|error| unloadable(library, &error))?;
        let builder = builder.with_telemetry(false).with_logger(Arc::new(log));
        builder.build().map_err(|error| text(&error))
    });
    loaded.as_ref().map_err(Clone::clone)
}

fn unloadable(library: &Path, error: &dyn std::error::Error) -> String {
    format!(
        "MODEL_RUNTIME=onnxruntime needs the library of ONNX Runtime, and ORT_DYLIB_PATH {} cannot be loaded: {error}",
        library.display()
    )
}

/// What the library has to say goes where all else goes.
fn log(level: LogLevel, category: &str, _id: &str, _place: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error => tracing::warn!(category, message, "ONNX Runtime"),
        LogLevel::Warning => tracing::debug!(category, message, "ONNX Runtime"),
        LogLevel::Info | LogLevel::Verbose => {}
    }
}

/// What weights take, in bytes.
fn size(weights: &Weights) -> u64 {
    match weights {
        Weights::File(path) => std::fs::metadata(path).map_or(0, |file| file.len()),
        Weights::Bytes(bytes) => bytes.len() as u64,
    }
}

fn described(input: &Outlet) -> Result<Input, String> {
    let name = input.name();
    let ValueType::Tensor { ty, shape, .. } = input.dtype() else {
        return Err(format!("input `{name}` is no array of numbers"));
    };
    let dtype = match ty {
        TensorElementType::Float32 => DataType::F32,
        TensorElementType::Float64 => DataType::F64,
        TensorElementType::Int8 => DataType::I8,
        TensorElementType::Uint8 => DataType::U8,
        TensorElementType::Int16 => DataType::I16,
        TensorElementType::Uint16 => DataType::U16,
        TensorElementType::Int32 => DataType::I32,
        TensorElementType::Int64 => DataType::I64,
        other => {
            return Err(format!("input `{name}` is {other}, which no image becomes"));
        }
    };
    Ok(Input {
        name: name.to_owned(),
        graph_name: name.to_owned(),
        dtype,
        shape: shape.iter().copied().collect(),
    })
}

/// An array as the library takes it.
fn value(array: ArrayD<f32>, dtype: DataType) -> Result<DynValue, String> {
    let shape: Vec<i64> = array.shape().iter().map(|size| *size as i64).collect();
    let values = exact(array);
    macro_rules! tensor {
        ($type:ty) => {{
            let values: Vec<_> = values.into_iter().map(|value| value as $type).collect();
            Tensor::from_array((shape, values)).map(Tensor::into_dyn)
        }};
    }
    let value = match dtype {
        DataType::F64 => tensor!(f64),
        DataType::I8 => tensor!(i8),
        DataType::U8 => tensor!(u8),
        DataType::I16 => tensor!(i16),
        DataType::U16 => tensor!(u16),
        DataType::I32 => tensor!(i32),
        DataType::I64 => tensor!(i64),
        _ => Tensor::from_array((shape, values)).map(Tensor::into_dyn),
    };
    value.map_err(|error| text(&error))
}

/// An answer of the library as an array.
fn array(name: &str, answer: &DynValue) -> Result<ArrayD<f32>, String> {
    let kind = answer.dtype().tensor_type();
    macro_rules! numbers {
        ($type:ty) => {{
            let tensor = answer.try_extract_tensor::<$type>();
            let (shape, values) = tensor.map_err(|error| text(&error))?;
            (shape, values.iter().map(|value| *value as f32).collect())
        }};
    }
    let (shape, values): (_, Vec<f32>) = match kind {
        Some(TensorElementType::Float32) => numbers!(f32),
        Some(TensorElementType::Float64) => numbers!(f64),
        Some(TensorElementType::Int8) => numbers!(i8),
        Some(TensorElementType::Uint8) => numbers!(u8),
        Some(TensorElementType::Int16) => numbers!(i16),
        Some(TensorElementType::Uint16) => numbers!(u16),
        Some(TensorElementType::Int32) => numbers!(i32),
        Some(TensorElementType::Int64) => numbers!(i64),
        _ => return Err(format!("output `{name}` is no array of numbers")),
    };
    let sizes = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0));
    let sizes: Vec<_> = sizes.collect();
    ArrayD::from_shape_vec(IxDyn(&sizes), values).map_err(|error| error.to_string())
}

/// What went wrong, on one line.
fn text(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
