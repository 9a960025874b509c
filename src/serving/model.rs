//! What is known about a model: its name, what it takes, and how much of it at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::str::FromStr;

use super::data_type::DataType;

/// The way to call a model that servers use when none is named.
pub(super) const DEFAULT_SIGNATURE: &str = "serving_default";

/// Models that can be used, and their versions; none where models have no versions.
pub(crate) type Served = BTreeMap<String, BTreeSet<String>>;

/// A model and its version, `name:version` in text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId {
    /// Name that the server knows the model by.
    pub name: String,
    /// Version; 0 is a version like any other.
    pub version: i64,
}

impl ModelId {
    /// The model of this name and version.
    pub fn new(name: impl Into<String>, version: i64) -> Self {
        Self {
            name: name.into(),
            version,
        }
    }
}

impl Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

/// A text that is not the name of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected name:version such as `NuclearSegmentation:6`, found `{0}`")]
pub struct ParseModelIdError(String);

impl FromStr for ModelId {
    type Err = ParseModelIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseModelIdError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<ModelId> {
    let (name, version) = text.split_once(':')?;
    let (name, version) = (name.trim(), version.trim().parse().ok()?);
    (!name.is_empty() && version >= 0).then(|| ModelId::new(name, version))
}

/// One tensor that a model takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Name that requests use.
    pub name: String,
    /// Name inside the model's graph.
    pub graph_name: String,
    /// Type of the elements.
    pub dtype: DataType,
    /// Sizes, first the batch, last the channels; −1 is free.
    pub shape: Vec<i64>,
}

impl Input {
    /// A float32 tensor of this shape, with the graph name that exported models usually have.
    pub fn float(name: &str, shape: &[i64]) -> Self {
        let graph_name = format!("{DEFAULT_SIGNATURE}_{name}:0");
        Self {
            name: name.to_owned(),
            graph_name,
            dtype: DataType::F32,
            shape: shape.to_vec(),
        }
    }

    /// What this input multiplies the size of one batch entry by: its spatial sizes in units of `min_model_size`, times
    /// its channels. Free sizes do not count.
    fn ratio(&self, min_model_size: usize) -> f64 {
        let [_, spatial @ .., channels] = self.shape.as_slice() else {
            return 1.0;
        };
        let sides = spatial
            .iter()
            .filter(|size| **size > 0)
            .map(|size| *size as f64 / min_model_size as f64);
        sides.product::<f64>() * *channels as f64
    }
}

/// What a model takes, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The inputs in byte order of their names.
    pub inputs: Vec<Input>,
    /// Names of what it gives, in its own order; none where the server does not say.
    pub outputs: Vec<String>,
    /// Rows of a batch that the server takes at once, if it says so.
    pub max_batch_size: Option<usize>,
    /// Whether the model keeps channels before rows and columns. The shapes of the inputs have them last all the same, and so
    /// have arrays.
    pub(super) channels_first: bool,
}

/// Why an answer or a cached text tells nothing about a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A part is missing.
    #[error("the metadata has no {0}")]
    Missing(String),
    /// The packed signatures cannot be read.
    #[error("the signatures in the metadata cannot be read")]
    Wire(#[from] prost::DecodeError),
    /// The cached text cannot be read.
    #[error("the cached metadata cannot be read")]
    Json(#[from] serde_json::Error),
}

impl SignatureError {
    pub(super) fn missing(what: &str) -> Self {
        Self::Missing(what.to_owned())
    }

    pub(super) fn no_type(input: &str) -> Self {
        Self::Missing(format!("type of input `{input}`"))
    }

    pub(super) fn no_shape(input: &str) -> Self {
        Self::Missing(format!("shape of input `{input}`"))
    }
}

impl Signature {
    /// The signature of these inputs, sorted.
    pub fn new(mut inputs: Vec<Input>) -> Self {
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            inputs,
            outputs: Vec::new(),
            max_batch_size: None,
            channels_first: false,
        }
    }

    /// The number of rows that every request has to have, if the model takes no other.
    pub(super) fn fixed_batch_size(&self) -> Option<usize> {
        let mut sizes = self.inputs.iter().map(|input| input.shape.first());
        let first = sizes.next()??;
        let is_shared = sizes.all(|size| size == Some(first));
        let fixed = usize::try_from(*first).ok();
        fixed.filter(|fixed| is_shared && *fixed > 0)
    }

    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// The input that takes the image: the only one, else the one of this name.
    pub fn image_input(&self, name: Option<&str>) -> Option<&Input> {
        match self.inputs.as_slice() {
            [only] => Some(only),
            _ => self.input(name?),
        }
    }

    /// How many batch entries go into one request, at least 1: `max_batch_size` entries of `min_model_size` pixels a
    /// side and one channel, fewer of larger ones; never more than the server takes.
    ///
    /// ```
    /// # use redis_consumer::serving::{Input, Signature};
    /// let signature = Signature::new(vec![Input::float("image", &[-1, 256, 256, 1])]);
    /// assert_eq!(signature.batch_size(64, 128), 16);
    /// ```
    pub fn batch_size(&self, max_batch_size: usize, min_model_size: usize) -> usize {
        let most = self.whole_batch_size(max_batch_size, min_model_size);
        let servers = [self.max_batch_size, self.fixed_batch_size()];
        servers.into_iter().flatten().fold(most, usize::min).max(1)
    }

    /// [`Self::batch_size`] before it is raised to 1: 0 for a model too large for the limit.
    fn whole_batch_size(&self, max_batch_size: usize, min_model_size: usize) -> usize {
        let ratio: f64 = self
            .inputs
            .iter()
            .map(|input| input.ratio(min_model_size))
            .product();
        floor_quotient(max_batch_size as f64, ratio.abs()) as usize
    }
}

/// The floor of the exact quotient, where rounding the quotient first might step up to the next whole number.
fn floor_quotient(dividend: f64, divisor: f64) -> f64 {
    ((dividend - dividend % divisor) / divisor).round()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_shape(shape: &[i64]) -> Signature {
        Signature::new(vec![Input::float("image", shape)])
    }

    #[test]
    fn a_model_id_reads_what_it_writes() {
        let model: ModelId = "NuclearSegmentation:6".parse().expect("well formed");
        assert_eq!(
            (model.name.as_str(), model.version),
            ("NuclearSegmentation", 6)
        );
        assert_eq!(model.to_string().parse(), Ok(model));
        assert_eq!(
            "PhaseCytoSegmentation:0".parse(),
            Ok(ModelId::new("PhaseCytoSegmentation", 0))
        );
    }

    #[test]
    fn what_is_no_model_id_is_refused_with_an_example() {
        for text in [
            "",
            "NuclearSegmentation",
            "a:b",
            ":1",
            "a:1:2",
            "a:",
            "a:-1",
            "a:99999999999999999999",
        ] {
            let error = text.parse::<ModelId>().expect_err(text).to_string();
            assert!(
                error.contains("name:version such as `NuclearSegmentation:6`"),
                "{error}"
            );
        }
    }

    #[test]
    fn batch_sizes_equal_the_documented_table() {
        for (shape, max_batch_size, whole) in [
            (&[-1, 128, 128, 1][..], 64, 64),
            (&[-1, 256, 256, 1], 64, 16),
            (&[-1, 512, 512, 1], 64, 4),
            (&[-1, 256, 256, 2], 64, 8),
            (&[-1, 256, 256, 2], 8, 1),
            (&[-1, 512, 512, 1], 8, 0),
            (&[-1, -1, -1, 1], 64, 64),
            (&[-1, 64, 64, 1], 64, 256),
            (&[-1, 2048, 2048, 1], 64, 0),
            (&[-1, 216, 216, 1], 64, 22),
            (&[-1, 300, 200, 3], 64, 5),
            (&[-1, 5, 256, 256, 1], 64, 409),
            (&[-1, 256, 256, -1], 64, 16),
            (&[-1], 64, 64),
            (&[], 64, 64),
        ] {
            let signature = of_shape(shape);
            assert_eq!(
                signature.whole_batch_size(max_batch_size, 128),
                whole,
                "{shape:?}"
            );
            assert_eq!(
                signature.batch_size(max_batch_size, 128),
                whole.max(1),
                "{shape:?}"
            );
        }
    }

    #[test]
    fn all_inputs_count_for_the_batch_size() {
        let two = Signature::new(vec![
            Input::float("a", &[-1, 256, 256, 1]),
            Input::float("b", &[-1, 128, 256, 2]),
        ]);
        assert_eq!(two.batch_size(64, 128), 4);
    }

    #[test]
    fn a_model_without_channels_goes_one_at_a_time() {
        assert_eq!(of_shape(&[-1, 256, 256, 0]).batch_size(64, 128), 1);
    }
}
