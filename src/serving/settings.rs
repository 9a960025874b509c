//! Where the model server is and how patient the client is with it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig};

use super::endpoint::Target;
use crate::settings::Reader;

/// Settings of the model server's client.
#[derive(Clone, Debug)]
pub struct ServingSettings {
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
    pub patience: Option<Duration>,
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
}

/// Two requests at once: while the server computes one, the other is on its way, so the server never idles. More would
/// only queue up there, each with its deadline running.
const MAX_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");

const MAX_BATCH_SIZE: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

const MIN_MODEL_SIZE: NonZeroUsize = NonZeroUsize::new(128).expect("it is not zero");

impl ServingSettings {
    /// Reads the settings; mistakes are left with the reader.
    pub fn load(reader: &mut Reader<'_>) -> Self {
        let host = reader.text("TF_HOST", "tf-serving", "model server: name or address");
        let tls = load_tls(reader, &host);
        warn_of_ignored(reader);
        let settings = Self {
            port: reader.parsed("TF_PORT", 8500, "model server: gRPC port"),
            tls,
            compression: reader
                .flag("TF_GZIP", false, "compress requests to the model server")
                .then_some(tonic::codec::CompressionEncoding::Gzip),
            deadline: load_deadline(reader),
            backoff: reader.seconds(
                "GRPC_BACKOFF",
                3.0,
                "seconds between attempts, give or take half",
            ),
            max_retries: load_max_retries(reader),
            patience: load_patience(reader),
            metadata_ttl: reader.seconds(
                "METADATA_EXPIRE_TIME",
                30.0,
                "seconds that model metadata are kept",
            ),
            max_in_flight: reader.parsed(
                "TF_MAX_IN_FLIGHT",
                MAX_IN_FLIGHT,
                "requests to the model server at once",
            ),
            max_batch_size: reader.parsed(
                "TF_MAX_BATCH_SIZE",
                MAX_BATCH_SIZE,
                "tiles of the smallest model a request",
            ),
            min_model_size: reader.parsed(
                "TF_MIN_MODEL_SIZE",
                MIN_MODEL_SIZE,
                "side of the smallest model in pixels",
            ),
            tensor_name: reader.optional(
                "TF_TENSOR_NAME",
                "input that takes the image, for models that have several",
            ),
            host,
        };
        settings.check(reader);
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
    fn check(&self, reader: &mut Reader<'_>) {
        let target = self.target();
        let local = SocketAddr::from(([127, 0, 0, 1], self.port));
        if let Err(error) = target.origin() {
            reader.problem(
                "TF_HOST",
                format!("`{}` cannot be used: {error}", self.host),
            );
        } else if let Err(error) = target.endpoint(local, self.deadline) {
            reader.problem("TF_CA_FILE", format!("cannot be used: {error}"));
        }
    }
}

fn load_deadline(reader: &mut Reader<'_>) -> Duration {
    let deadline = reader.seconds(
        "GRPC_TIMEOUT",
        30.0,
        "seconds for one attempt to run a model",
    );
    if deadline.is_zero() {
        reader.problem("GRPC_TIMEOUT", "no model runs in no time");
    }
    deadline
}

fn load_max_retries(reader: &mut Reader<'_>) -> Option<u32> {
    let retries: i64 = reader.parsed(
        "MAX_RETRY",
        5,
        "retries when late or overloaded, 0 or less is no limit",
    );
    (retries > 0).then(|| u32::try_from(retries).unwrap_or(u32::MAX))
}

fn load_patience(reader: &mut Reader<'_>) -> Option<Duration> {
    let doc = "seconds to wait for a model server that is not there, 0 is no limit";
    let patience = reader.seconds("TF_UNAVAILABLE_TIMEOUT", 1800.0, doc);
    (!patience.is_zero()).then_some(patience)
}

fn load_tls(reader: &mut Reader<'_>, host: &str) -> Option<ClientTlsConfig> {
    let wanted = reader.flag("TF_TLS", false, "encrypt the way to the model server");
    let ca_file = reader.optional(
        "TF_CA_FILE",
        "certificate authority of the model server (PEM); else the system's",
    );
    if !wanted {
        return None;
    }
    let tls = ClientTlsConfig::new().domain_name(host);
    let Some(path) = ca_file else {
        return Some(tls.with_native_roots());
    };
    match std::fs::read(&path) {
        Ok(pem) => Some(tls.ca_certificate(Certificate::from_pem(pem))),
        Err(error) => {
            reader.problem("TF_CA_FILE", format!("`{path}` cannot be read: {error}"));
            None
        }
    }
}

/// Until 0.4 this was the type of the only input of every model; since then the model says so itself.
fn warn_of_ignored(reader: &mut Reader<'_>) {
    if reader
        .optional(
            "TF_TENSOR_DTYPE",
            "without effect: the model server says so itself",
        )
        .is_some()
    {
        reader.warn("TF_TENSOR_DTYPE has no effect: types of inputs come from the model server");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Env, Problems};

    fn load(pairs: &[(&str, &str)]) -> Result<(ServingSettings, Vec<String>), Problems> {
        let env: Env = pairs.iter().copied().collect();
        let mut reader = Reader::new(&env);
        let settings = ServingSettings::load(&mut reader);
        reader.finish().map(|(_, warnings)| (settings, warnings))
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
            (settings.max_retries, settings.patience),
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
            assert_eq!((settings.max_retries, settings.patience), (None, None));
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
    fn a_missing_authority_is_a_mistake_only_when_it_is_needed() {
        let missing = ("TF_CA_FILE", "/nowhere/ca.pem");
        assert!(load(&[missing]).is_ok());
        let problems = load(&[missing, ("TF_TLS", "on")]).expect_err("the file is not there");
        assert_eq!(problems.0[0].name, "TF_CA_FILE");
    }

    #[test]
    fn a_host_that_is_no_host_is_a_mistake() {
        let problems = load(&[("TF_HOST", "my server")]).expect_err("no blanks in names");
        assert_eq!(problems.0[0].name, "TF_HOST");
    }

    #[test]
    fn settings_of_old_times_are_named_in_a_warning() {
        let (settings, warnings) =
            load(&[("TF_TENSOR_DTYPE", "DT_FLOAT"), ("TF_TENSOR_NAME", "image")]).expect("legal");
        assert!(
            warnings.len() == 1 && warnings[0].contains("TF_TENSOR_DTYPE"),
            "{warnings:?}"
        );
        assert_eq!(settings.tensor_name.as_deref(), Some("image"));
    }
}
