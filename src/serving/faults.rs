//! What a model server under test gets wrong on demand, and what it was asked.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use half::{bf16, f16};
use ndarray::ArrayD;
use prost::Message;
use tonic::{Code, Request, Status};

use super::data_type::DataType;
use super::protocol::open_inference::data_type::{
    from_wire as type_of_word, to_wire as open_inference_type,
};
use super::protocol::open_inference::proto::{
    InferTensorContents, ModelInferRequest, ModelMetadataRequest,
};
use super::protocol::tf_serving::data_type::{from_wire, to_wire};
use super::protocol::tf_serving::proto::tensorflow::TensorProto;
use super::protocol::tf_serving::proto::tensorflow::serving::model_spec::VersionChoice;
use super::protocol::tf_serving::proto::tensorflow::serving::{
    GetModelMetadataRequest, ModelSpec, PredictRequest,
};
use super::protocol::tf_serving::tensor::{encode, wire_shape};

/// A call that a model server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GetModelMetadata`.
    Metadata,
    /// `Predict`.
    Predict,
}

/// How answers are put into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As bytes.
    Content(DataType),
    /// As the list of the type.
    Listed(DataType),
    /// As the list of the type, cut off where only its last value repeats.
    Shortened(DataType),
}

/// A call as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which call.
    pub method: Method,
    /// Name of the model.
    pub model: String,
    /// Its version, if the request had one.
    pub version: Option<i64>,
    /// Name of the signature.
    pub signature: String,
    /// How the request was compressed, if the header said so.
    pub compression: Option<String>,
    /// Which span of a trace it came of, if the header said so.
    pub traceparent: Option<String>,
    /// The inputs, sorted by name.
    pub inputs: Vec<SeenInput>,
}

/// An input of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenInput {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub dtype: DataType,
    /// Its sizes.
    pub shape: Vec<i64>,
}

/// Things to go wrong, and the log of what was asked. By default nothing goes wrong.
#[derive(Default)]
pub struct Faults {
    state: Mutex<State>,
}

/// A kind of server, for the words by which it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// More rows of a batch than this, in the words of Triton; its configuration tells the number.
    TritonRows(usize),
    /// The same, but its configuration tells nothing.
    UntoldRows(usize),
    /// More rows, in the words of TensorFlow Serving's batching.
    TfServingRows(usize),
    /// More bytes of a message than this, in the words of gRPC for Python and C++.
    Bytes(usize),
}

#[derive(Default)]
struct State {
    limit: Option<Limit>,
    status: Option<Status>,
    plan: VecDeque<(Method, Fault)>,
    delay: Duration,
    encoding: Option<Encoding>,
    seen: Vec<Seen>,
    busy: usize,
}

#[derive(Clone, Copy)]
enum Fault {
    Fail(Code),
    Hang,
}

impl Faults {
    /// Lets the next `times` calls fail.
    pub fn fail(&self, method: Method, code: Code, times: usize) {
        self.state()
            .plan
            .extend(std::iter::repeat_n((method, Fault::Fail(code)), times));
    }

    /// Refuses what is larger.
    pub fn limit(&self, limit: Limit) {
        self.state().limit = Some(limit);
    }

    /// Lets calls that fail on demand have this status.
    pub fn fail_in_these_words(&self, status: Status) {
        self.state().status = Some(status);
    }

    /// Leaves the next `times` calls without any answer.
    pub fn hang(&self, method: Method, times: usize) {
        self.state()
            .plan
            .extend(std::iter::repeat_n((method, Fault::Hang), times));
    }

    /// Lets every call take this much longer.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Changes how answers are put into messages.
    pub fn answer_as(&self, encoding: Encoding) {
        self.state().encoding = Some(encoding);
    }

    /// All calls so far, those that failed included.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The number of such calls so far, those that failed included.
    pub fn calls(&self, method: Method) -> usize {
        self.state()
            .seen
            .iter()
            .filter(|seen| seen.method == method)
            .count()
    }

    /// The number of calls that are under way now.
    pub fn under_way(&self) -> usize {
        self.state().busy
    }

    /// Notes a call and lets go wrong what should.
    pub(super) async fn enter<M: Inputs>(
        &self,
        method: Method,
        request: &Request<M>,
    ) -> Result<UnderWay<'_>, Status> {
        let under_way = self.begin(Seen::new(method, request));
        let (fault, delay) = self.next(method);
        tokio::time::sleep(delay).await;
        let (limit, status) = {
            let state = self.state();
            (state.limit, state.status.clone())
        };
        match fault {
            None => match limit.and_then(|limit| limit.refusal(request.get_ref())) {
                None => Ok(under_way),
                Some(refusal) => Err(refusal),
            },
            Some(Fault::Fail(code)) => {
                Err(status.unwrap_or_else(|| Status::new(code, "on demand")))
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    /// The answer, if it should be put in a way of its own.
    pub(super) fn answer(&self, array: &ArrayD<f32>) -> Option<TensorProto> {
        Some(match self.state().encoding? {
            Encoding::Content(dtype) => encode(array.clone(), dtype).expect("a numeric type"),
            Encoding::Listed(dtype) => listed(array, dtype, array.len()),
            Encoding::Shortened(dtype) => listed(array, dtype, distinct(array)),
        })
    }

    /// Rows of a batch that the configuration of models tells.
    pub(super) fn told_rows(&self) -> Option<usize> {
        match self.state().limit? {
            Limit::TritonRows(rows) => Some(rows),
            _ => None,
        }
    }

    /// An output as numbers, if it should be put so.
    pub(super) fn typed(&self, array: &ArrayD<f32>) -> Option<(String, InferTensorContents)> {
        let (Encoding::Listed(dtype) | Encoding::Shortened(dtype)) = self.state().encoding? else {
            return None;
        };
        let values = array.iter().copied();
        let mut contents = InferTensorContents::default();
        match dtype {
            DataType::F64 => contents.fp64_contents = values.map(f64::from).collect(),
            DataType::U8 => contents.uint_contents = values.map(|x| x as u32).collect(),
            _ => contents.fp32_contents = values.collect(),
        }
        Some((open_inference_type(dtype).to_owned(), contents))
    }

    fn begin(&self, seen: Seen) -> UnderWay<'_> {
        let mut state = self.state();
        state.seen.push(seen);
        state.busy += 1;
        UnderWay(self)
    }

    fn next(&self, method: Method) -> (Option<Fault>, Duration) {
        let mut state = self.state();
        let place = state
            .plan
            .iter()
            .position(|(planned, _)| *planned == method);
        let fault = place
            .and_then(|place| state.plan.remove(place))
            .map(|(_, fault)| fault);
        (fault, state.delay)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a call as under way until it is dropped.
pub(super) struct UnderWay<'a>(&'a Faults);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().busy -= 1;
    }
}

impl Limit {
    /// The words for a request that is too large.
    fn refusal<M: Inputs>(self, request: &M) -> Option<Status> {
        let inputs = request.inputs();
        let rows = inputs.iter().filter_map(|input| input.shape.first());
        let rows = rows.max().map_or(0, |rows| *rows as usize);
        let bytes = request.encoded_len();
        match self {
            Self::TritonRows(most) | Self::UntoldRows(most) if rows > most => {
                let words = format!(
                    "[request id: job] inference request batch-size must be <= {most} for 'm'"
                );
                Some(Status::invalid_argument(words))
            }
            Self::TfServingRows(most) if rows > most => {
                let words =
                    format!("Task size {rows} is larger than maximum input batch size {most}");
                Some(Status::invalid_argument(words))
            }
            Self::Bytes(most) if bytes > most => {
                let words =
                    format!("SERVER: Received message larger than max ({bytes} vs. {most})");
                Some(Status::resource_exhausted(words))
            }
            _ => None,
        }
    }
}

/// What the log wants to know of a request.
pub(super) trait Inputs: Message {
    fn model(&self) -> String;
    fn version(&self) -> Option<i64>;
    fn signature(&self) -> String;
    fn inputs(&self) -> Vec<SeenInput>;
}

fn version_of(spec: Option<&ModelSpec>) -> Option<i64> {
    match spec?.version_choice.as_ref()? {
        VersionChoice::Version(version) => Some(*version),
        VersionChoice::VersionLabel(_) => None,
    }
}

impl Inputs for GetModelMetadataRequest {
    fn model(&self) -> String {
        let spec = self.model_spec.as_ref();
        spec.map(|spec| spec.name.clone()).unwrap_or_default()
    }

    fn version(&self) -> Option<i64> {
        version_of(self.model_spec.as_ref())
    }

    fn signature(&self) -> String {
        let spec = self.model_spec.as_ref();
        spec.map(|spec| spec.signature_name.clone())
            .unwrap_or_default()
    }

    fn inputs(&self) -> Vec<SeenInput> {
        Vec::new()
    }
}

impl Inputs for ModelMetadataRequest {
    fn model(&self) -> String {
        self.name.clone()
    }

    fn version(&self) -> Option<i64> {
        self.version.parse().ok()
    }

    fn signature(&self) -> String {
        String::new()
    }

    fn inputs(&self) -> Vec<SeenInput> {
        Vec::new()
    }
}

impl Inputs for ModelInferRequest {
    fn model(&self) -> String {
        self.model_name.clone()
    }

    fn version(&self) -> Option<i64> {
        self.model_version.parse().ok()
    }

    fn signature(&self) -> String {
        String::new()
    }

    fn inputs(&self) -> Vec<SeenInput> {
        let inputs = self.inputs.iter().map(|input| SeenInput {
            name: input.name.clone(),
            dtype: type_of_word(&input.datatype).unwrap_or(DataType::Other("")),
            shape: input.shape.clone(),
        });
        let mut inputs: Vec<_> = inputs.collect();
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        inputs
    }
}

impl Inputs for PredictRequest {
    fn model(&self) -> String {
        let spec = self.model_spec.as_ref();
        spec.map(|spec| spec.name.clone()).unwrap_or_default()
    }

    fn version(&self) -> Option<i64> {
        version_of(self.model_spec.as_ref())
    }

    fn signature(&self) -> String {
        let spec = self.model_spec.as_ref();
        spec.map(|spec| spec.signature_name.clone())
            .unwrap_or_default()
    }

    fn inputs(&self) -> Vec<SeenInput> {
        let inputs = self.inputs.iter();
        let mut inputs: Vec<_> = inputs
            .map(|(name, tensor)| SeenInput::new(name, tensor))
            .collect();
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        inputs
    }
}

impl SeenInput {
    fn new(name: &str, tensor: &TensorProto) -> Self {
        let dims = tensor.tensor_shape.iter().flat_map(|shape| &shape.dim);
        Self {
            name: name.to_owned(),
            dtype: from_wire(tensor.dtype()).unwrap_or(DataType::Other("DT_INVALID")),
            shape: dims.map(|dim| dim.size).collect(),
        }
    }
}

impl Seen {
    fn new<M: Inputs>(method: Method, request: &Request<M>) -> Self {
        let message = request.get_ref();
        Self {
            method,
            model: message.model(),
            version: message.version(),
            signature: message.signature(),
            compression: header(request, "grpc-encoding"),
            traceparent: header(request, "traceparent"),
            inputs: message.inputs(),
        }
    }
}

fn header<M>(request: &Request<M>, name: &str) -> Option<String> {
    let value = request.metadata().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// The number of values up to where only the last one repeats.
fn distinct(array: &ArrayD<f32>) -> usize {
    let values: Vec<f32> = array.iter().copied().collect();
    let repeated = values
        .iter()
        .rev()
        .take_while(|value| Some(*value) == values.last())
        .count();
    (values.len() - repeated + 1).min(values.len())
}

/// The first `count` values in the list of the type.
fn listed(array: &ArrayD<f32>, dtype: DataType, count: usize) -> TensorProto {
    use DataType as T;
    let values = array.iter().take(count).copied();
    let shape: Vec<_> = array.shape().iter().map(|size| *size as i64).collect();
    let mut proto = TensorProto {
        dtype: to_wire(dtype).into(),
        tensor_shape: Some(wire_shape(&shape)),
        ..TensorProto::default()
    };
    match dtype {
        T::F32 => proto.float_val = values.collect(),
        T::F64 => proto.double_val = values.map(f64::from).collect(),
        T::F16 => proto.half_val = values.map(|x| f16::from_f32(x).to_bits().into()).collect(),
        T::Bf16 => proto.half_val = values.map(|x| bf16::from_f32(x).to_bits().into()).collect(),
        T::I64 => proto.int64_val = values.map(|x| x as i64).collect(),
        T::U32 => proto.uint32_val = values.map(|x| x as u32).collect(),
        T::U64 => proto.uint64_val = values.map(|x| x as u64).collect(),
        T::Bool => proto.bool_val = values.map(|x| x != 0.0).collect(),
        _ => proto.int_val = values.map(|x| x as i32).collect(),
    }
    proto
}
