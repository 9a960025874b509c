//! Where the model server is and how patient the client is with it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::transport::{Certificate, ClientTlsConfig};

use super::endpoint::Target;
use super::in_process::{Device, InProcessSettings, ModelRuntime, OnnxRuntimeSettings};
use crate::settings::{Bytes, Loader, Seconds, Switch, Word};

crate::settings! {
    /// Where the model server is, and how patient the client is with it.
    struct ServingVariables {
        /// What the model server speaks: `tfs` (TensorFlow Serving), `oip` (Open Inference Protocol v2: Triton, KServe, MLServer, OpenVINO) or `auto` (asks the server, for a first look). `onnx`: there is none, models run in this process.
        model_server: Word<ModelServerKind> = Word(ModelServerKind::Tfs),
        /// Name or address of the model server; all addresses behind a name are used.
        tf_host: String = "tf-serving".to_owned(),
        /// Another name for `TF_HOST`.
        model_host: Option<String> = None,
        /// gRPC port of the model server.
        tf_port: Option<u16> = None => "8500, or 8001 for `MODEL_SERVER=oip`",
        /// Another name for `TF_PORT`.
        model_port: Option<u16> = None,
        /// The largest request that the model server takes, in bytes. Without it, a server that refuses one is sent less from then on.
        model_max_message: Option<Bytes> = None,
        /// How long a request waits for tiles of other jobs to go with it, in seconds; 0 sends every job's by itself.
        batch_wait: Option<Seconds> = None => "0.005 for `MODEL_SERVER=oip`, else 0",
        /// Side of tiles for models that take any size, in pixels; 0 sends images whole.
        model_tile_size: Option<usize> = None => "256 for `MODEL_SERVER=onnx`, else 0",
        /// Folder of the models that run in this process: `<name>/<version>/model.onnx`.
        model_dir: Option<String> = None,
        /// Folder of the bucket with models that `MODEL_DIR` lacks: they are fetched there when they are first used.
        model_prefix: Option<String> = None,
        /// What runs models in this process: `rten`, which is part of the program, or `onnxruntime`, Microsoft's library, in a program built with the feature `ort`.
        model_runtime: Word<ModelRuntime> = Word(ModelRuntime::Rten),
        /// Where ONNX Runtime runs models: `cpu`, or `cuda` for the first GPU of NVIDIA's.
        model_device: Word<Device> = Word(Device::Cpu),
        /// The library of ONNX Runtime, version 1.17 or newer.
        ort_dylib_path: String = "libonnxruntime.so".to_owned(),
        /// Threads that run models in this process.
        model_threads: NonZeroUsize = cores() => "number of cores",
        /// How long a model in this process is kept that nobody uses, in seconds; 0 keeps it for ever.
        model_idle: Seconds = Seconds::new(600),
        /// Use TLS for the model server.
        tf_tls: Switch = Switch(false),
        /// File with the certificate authority (PEM) of the model server; without it, those of the system.
        tf_ca_file: Option<String> = None,
        /// Compress requests to the model server with gzip.
        tf_gzip: Switch = Switch(false),
        /// Timeout for one attempt to run a model, in seconds.
        grpc_timeout: Seconds = Seconds::new(30),
        /// Average delay between attempts, in seconds, with a jitter of 50 %.
        grpc_backoff: Seconds = Seconds::new(3),
        /// Retries after a timeout or an overloaded server; 0 or less means no limit.
        max_retry: i64 = 5,
        /// How long to wait for a model server that cannot be reached, in seconds; 0 means no limit.
        tf_unavailable_timeout: Seconds = Seconds::new(1800),
        /// How long model metadata are cached, in seconds.
        metadata_expire_time: Seconds = Seconds::new(30),
        /// Requests to the model server that may be in flight at once.
        tf_max_in_flight: NonZeroUsize = MAX_IN_FLIGHT,
        /// Tiles per request for a model of `TF_MIN_MODEL_SIZE`; larger models get fewer.
        tf_max_batch_size: NonZeroUsize = MAX_BATCH_SIZE,
        /// Side of the model that `TF_MAX_BATCH_SIZE` is meant for, in pixels.
        tf_min_model_size: NonZeroUsize = MIN_MODEL_SIZE,
        /// Input that takes the image, for models with several inputs.
        tf_tensor_name: Option<String> = None,
    }
}

/// What a model server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelServerKind {
    /// TensorFlow Serving.
    Tfs,
    /// The Open Inference Protocol, version 2.
    Oip,
    /// One of both: the server is asked.
    Auto,
    /// None: models run in this process.
    Onnx,
}

impl ModelServerKind {
    fn default_port(self) -> u16 {
        match self {
            Self::Tfs | Self::Auto | Self::Onnx => 8500,
            Self::Oip => 8001,
        }
    }
}

/// Settings of the model server's client.
#[derive(Clone, Debug)]
pub struct ServingSettings {
    /// What the server speaks.
    pub kind: ModelServerKind,
    /// Name or address of the server; all addresses behind a name are used.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// How the connection is protected; none is plain text.
    pub tls: Option<ClientTlsConfig>,
    /// Whether requests are compressed.
    pub compression: Option<tonic::codec::CompressionEncoding>,
    /// Time for one attempt to run a model.
    pub deadline: Duration,
    /// Pause before another attempt, on average.
    pub backoff: Duration,
    /// Further attempts after a missed deadline or an overloaded server; none is no limit.
    pub max_retries: Option<u32>,
    /// How long to wait for a server to be there; none is no limit.
    pub unavailable_timeout: Option<Duration>,
    /// How long metadata are trusted.
    pub metadata_ttl: Duration,
    /// Requests to run a model that may be under way at once.
    pub max_in_flight: NonZeroUsize,
    /// Batch size for a model of one channel and `min_model_size` pixels a side.
    pub max_batch_size: NonZeroUsize,
    /// Side of the model that `max_batch_size` is meant for, in pixels.
    pub min_model_size: NonZeroUsize,
    /// The input that takes the image, for models that have several.
    pub tensor_name: Option<String>,
    /// Bytes of the largest request, if it is known.
    pub max_message: Option<usize>,
    /// How long requests wait for tiles of other jobs; without it they do not.
    pub batch_wait: Option<Duration>,
    /// Side of tiles where a model leaves it open; without it, images go whole.
    pub tile: Option<usize>,
    /// Folder of the bucket with models.
    pub model_prefix: Option<String>,
    /// How models are run in this process.
    pub(super) in_process: InProcessSettings,
}

/// Two requests at once: while the server computes one, the other is on its way, so the server never idles. More would
/// only queue up there, each with its deadline running.
const MAX_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");

/// What is wrong with two names of one thing.
const BOTH: &str = "are two names of one setting and differ: set one of them";

/// What is wrong without a folder of models.
const NO_DIRECTORY: &str =
    "is not set: MODEL_SERVER=onnx runs models from a folder, as <name>/<version>/model.onnx";

/// What is wrong with a runtime that the program lacks.
const NOT_BUILT_IN: &str =
    "cannot be `onnxruntime` in this program: build it with `cargo build --release --features ort`";

/// What is wrong with a GPU for rten.
const NO_GPU: &str = "cannot be used by rten: set MODEL_RUNTIME=onnxruntime";

/// What is wrong with models of the bucket that have no place here.
const NO_PLACE: &str = "is not set: models of MODEL_PREFIX are fetched to it";

/// Side of tiles of models in this process, in pixels: larger ones take more memory and no less time.
const TILE: usize = 256;

/// Longer than tiles of two jobs are apart that are prepared side by side, and short beside any network's time.
const BATCH_WAIT: Duration = Duration::from_millis(5);

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

const MAX_BATCH_SIZE: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

const MIN_MODEL_SIZE: NonZeroUsize = NonZeroUsize::new(128).expect("it is not zero");

impl ServingSettings {
    /// Loads `TF_HOST`, `GRPC_TIMEOUT` and the like; mistakes are left with the loader.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: ServingVariables = loader.load();
        variables.check(loader);
        let variables = variables.with_other_names(loader);
        let kind = variables.model_server.0;
        variables.check_directory(loader);
        let settings = Self {
            kind,
            tls: variables.tls(loader),
            batch_wait: variables.batch_wait(),
            tile: variables.tile(),
            in_process: variables.in_process(),
            host: variables.tf_host,
            port: variables.tf_port.unwrap_or_else(|| kind.default_port()),
            compression: variables
                .tf_gzip
                .0
                .then_some(tonic::codec::CompressionEncoding::Gzip),
            deadline: variables.grpc_timeout.0,
            backoff: variables.grpc_backoff.0,
            max_retries: max_retries(variables.max_retry),
            unavailable_timeout: variables.tf_unavailable_timeout.limit(),
            metadata_ttl: variables.metadata_expire_time.0,
            max_in_flight: variables.tf_max_in_flight,
            max_batch_size: variables.tf_max_batch_size,
            min_model_size: variables.tf_min_model_size,
            tensor_name: variables.tf_tensor_name,
            model_prefix: variables.model_prefix,
            max_message: variables
                .model_max_message
                .map(|bytes| usize::try_from(bytes.0).unwrap_or(usize::MAX)),
        };
        settings.check(loader);
        settings
    }

    /// The server that the settings name.
    pub(super) fn target(&self) -> Target {
        Target {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls.clone(),
        }
    }

    /// Finds out now what would otherwise fail at the first connection.
    fn check(&self, loader: &mut Loader<'_>) {
        let target = self.target();
        let local = SocketAddr::from(([127, 0, 0, 1], self.port));
        if let Err(error) = target.origin() {
            loader.refuse("TF_HOST", &self.host, error);
        } else if let Err(error) = target.endpoint(local, self.deadline) {
            loader.problem("TF_CA_FILE", format!("cannot be used: {error}"));
        }
    }
}

impl ServingVariables {
    fn check(&self, loader: &mut Loader<'_>) {
        if self.grpc_timeout.0.is_zero() {
            loader.refuse("GRPC_TIMEOUT", 0, "expected more than 0 seconds");
        }
        if !self.model_runtime.0.is_built_in() {
            loader.problem("MODEL_RUNTIME", NOT_BUILT_IN);
        } else if self.model_device.0 != Device::Cpu && self.onnx_runtime().is_none() {
            loader.problem("MODEL_DEVICE", NO_GPU);
        }
    }

    fn check_directory(&self, loader: &mut Loader<'_>) {
        if self.model_dir.is_some() {
            return;
        }
        if self.model_server.0 == ModelServerKind::Onnx {
            loader.problem("MODEL_DIR", NO_DIRECTORY);
        } else if self.model_prefix.is_some() {
            loader.problem("MODEL_DIR", NO_PLACE);
        }
    }

    /// The side of tiles, if they have one size.
    fn tile(&self) -> Option<usize> {
        match self.model_tile_size {
            None => (self.model_server.0 == ModelServerKind::Onnx).then_some(TILE),
            Some(side) => (side > 0).then_some(side),
        }
    }

    fn in_process(&self) -> InProcessSettings {
        InProcessSettings {
            directory: self.model_dir.clone().unwrap_or_default().into(),
            threads: self.model_threads,
            idle: self.model_idle.limit(),
            tile: self.tile().unwrap_or(TILE),
            onnx_runtime: self.onnx_runtime(),
        }
    }

    fn onnx_runtime(&self) -> Option<OnnxRuntimeSettings> {
        (self.model_runtime.0 == ModelRuntime::OnnxRuntime).then(|| OnnxRuntimeSettings {
            library: self.ort_dylib_path.clone().into(),
            device: self.model_device.0,
        })
    }

    /// Servers of the Open Inference Protocol have a cost for each request; on a Kiosk everything stays as it was.
    fn batch_wait(&self) -> Option<Duration> {
        let usual = match self.model_server.0 {
            ModelServerKind::Oip => BATCH_WAIT,
            ModelServerKind::Tfs | ModelServerKind::Auto | ModelServerKind::Onnx => Duration::ZERO,
        };
        let wait = self.batch_wait.map_or(usual, |wait| wait.0);
        (!wait.is_zero()).then_some(wait)
    }

    /// The same, with host and port by whichever name they were given.
    fn with_other_names(mut self, loader: &mut Loader<'_>) -> Self {
        if let Some(host) = self.model_host.take() {
            if loader.is_set("TF_HOST") && host != self.tf_host {
                loader.problem("TF_HOST, MODEL_HOST", BOTH);
            }
            loader.fall_back("TF_HOST", "MODEL_HOST");
            self.tf_host = host;
        }
        if let Some(port) = self.model_port.take() {
            if self.tf_port.is_some_and(|other| other != port) {
                loader.problem("TF_PORT, MODEL_PORT", BOTH);
            }
            loader.fall_back("TF_PORT", "MODEL_PORT");
            self.tf_port = Some(port);
        } else if self.tf_port.is_none() {
            loader.derive("TF_PORT", self.model_server.0.default_port());
        }
        self
    }

    fn tls(&self, loader: &mut Loader<'_>) -> Option<ClientTlsConfig> {
        if !self.tf_tls.0 {
            return None;
        }
        let tls = ClientTlsConfig::new().domain_name(&self.tf_host);
        let Some(path) = &self.tf_ca_file else {
            return Some(tls.with_native_roots());
        };
        match std::fs::read(path) {
            Ok(pem) => Some(tls.ca_certificate(Certificate::from_pem(pem))),
            Err(error) => {
                loader.problem("TF_CA_FILE", format!("`{path}` cannot be read: {error}"));
                None
            }
        }
    }
}

/// Retries, where 0 or less means no limit.
fn max_retries(retries: i64) -> Option<u32> {
    (retries > 0).then(|| u32::try_from(retries).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Env, Problems};

    fn load(pairs: &[(&str, &str)]) -> Result<(ServingSettings, Vec<String>), Problems> {
        let env: Env = pairs.iter().copied().collect();
        let mut loader = Loader::new(&env);
        let settings = ServingSettings::load(&mut loader);
        loader.finish().map(|loaded| (settings, loaded.warnings))
    }

    #[test]
    fn defaults_are_those_of_the_predecessor() {
        let (settings, warnings) = load(&[]).expect("nothing is wrong");
        assert_eq!(
            (settings.host.as_str(), settings.port),
            ("tf-serving", 8500)
        );
        assert_eq!(
            (settings.deadline.as_secs(), settings.backoff.as_secs()),
            (30, 3)
        );
        assert_eq!(
            (settings.max_retries, settings.unavailable_timeout),
            (Some(5), Some(Duration::from_secs(1800)))
        );
        assert_eq!(
            (settings.max_batch_size.get(), settings.min_model_size.get()),
            (64, 128)
        );
        assert!(settings.tls.is_none() && settings.compression.is_none() && warnings.is_empty());
    }

    #[test]
    fn zero_and_less_take_the_limits_away() {
        for retries in ["0", "-1"] {
            let (settings, _) =
                load(&[("MAX_RETRY", retries), ("TF_UNAVAILABLE_TIMEOUT", "0")]).expect("legal");
            assert_eq!(
                (settings.max_retries, settings.unavailable_timeout),
                (None, None)
            );
        }
    }

    #[test]
    fn zeros_that_mean_nothing_are_mistakes() {
        let names = [
            "GRPC_TIMEOUT",
            "TF_MAX_IN_FLIGHT",
            "TF_MAX_BATCH_SIZE",
            "TF_MIN_MODEL_SIZE",
        ];
        let pairs: Vec<_> = names.iter().map(|name| (*name, "0")).collect();
        let problems = load(&pairs).expect_err("all are wrong");
        assert_eq!(
            problems
                .0
                .iter()
                .map(|problem| problem.name.as_str())
                .collect::<Vec<_>>(),
            names
        );
    }

    #[test]
    fn host_and_port_have_two_names_and_one_value() {
        let (settings, _) = load(&[
            ("MODEL_SERVER", "oip"),
            ("MODEL_HOST", "triton"),
            ("TF_HOST", "triton"),
        ])
        .expect("they agree");
        assert_eq!((settings.host.as_str(), settings.port), ("triton", 8001));
        let (settings, _) = load(&[("MODEL_PORT", "9000")]).expect("one of both");
        assert_eq!(settings.port, 9000);
        let problems = load(&[
            ("TF_HOST", "a"),
            ("MODEL_HOST", "b"),
            ("TF_PORT", "1"),
            ("MODEL_PORT", "2"),
        ]);
        let problems = problems.expect_err("they differ").0;
        let names: Vec<_> = problems
            .iter()
            .map(|problem| problem.name.as_str())
            .collect();
        assert_eq!(names, ["TF_HOST, MODEL_HOST", "TF_PORT, MODEL_PORT"]);
    }

    #[test]
    fn a_missing_authority_is_a_mistake_only_when_it_is_needed() {
        let missing = ("TF_CA_FILE", "/nowhere/ca.pem");
        assert!(load(&[missing]).is_ok());
        let problems = load(&[missing, ("TF_TLS", "on")]).expect_err("the file is not there");
        assert_eq!(problems.0[0].name, "TF_CA_FILE");
    }

    #[test]
    fn a_gpu_wants_onnx_runtime_and_that_wants_its_feature() {
        let problems = load(&[("MODEL_RUNTIME", "onnxruntime")]).map(|_| ());
        assert_eq!(problems.is_ok(), cfg!(feature = "ort"));
        let problems = load(&[("MODEL_DEVICE", "cuda")]).expect_err("rten knows none");
        assert_eq!(problems.0[0].name, "MODEL_DEVICE");
    }

    #[test]
    fn a_host_that_is_no_host_is_a_mistake() {
        let problems = load(&[("TF_HOST", "my server")]).expect_err("no blanks in names");
        assert_eq!(problems.0[0].name, "TF_HOST");
    }
}
