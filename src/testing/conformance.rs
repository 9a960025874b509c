//! What a consumer is given to show that it keeps its contract.

use super::sample::Sample;
use super::setup::{Objects, Setup};
use crate::consumer::ConsumerKind;
use crate::serving::Model;

type Fields = Vec<(String, String)>;

/// Holds a consumer to the contract of [`Consumer`](crate::Consumer).
///
/// For each job that ends well:
///
/// * called twice, by one consumer or by two, it gives the same bytes under the same key, [`Job::output_key`](crate::Job::output_key);
/// * dropped at whatever await, it can be run again, with the same result;
/// * with its input missing, empty, cut in half or replaced by random bytes it fails for good if it fails, and does not panic;
/// * it writes nothing but its result.
///
/// Jobs that must fail have to fail for good, that is with an error of a permanent class, and without a panic.
///
/// Jobs that create children need Redis and are not for this suite.
///
/// ```no_run
/// use redis_consumer::ConsumerKind;
/// use redis_consumer::testing::Conformance;
///
/// # async fn test(exposure: ConsumerKind) {
/// Conformance::new(exposure)
///     .setting("EXPOSURE_LIMIT", "200")
///     .object("uploads/cells.png", b"...")
///     .job([("input_file_name", "uploads/cells.png")])
///     .bad_job([("input_file_name", "")])
///     .check()
///     .await;
/// # }
/// ```
pub struct Conformance {
    kind: ConsumerKind,
    settings: Fields,
    objects: Objects,
    models: Vec<Model>,
    jobs: Vec<Fields>,
    bad_jobs: Vec<Fields>,
}

impl Conformance {
    /// For this kind of consumer, with the defaults of its settings, an empty bucket and no models.
    pub fn new(kind: ConsumerKind) -> Self {
        Self {
            kind,
            settings: Fields::new(),
            objects: Objects::new(),
            models: Vec::new(),
            jobs: Vec::new(),
            bad_jobs: Vec::new(),
        }
    }

    /// Sets an environment variable for the consumer.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts an object into the bucket.
    #[must_use]
    pub fn object(mut self, key: &str, body: &[u8]) -> Self {
        self.objects.insert(key.to_owned(), body.to_owned());
        self
    }

    /// Adds a model to the model server.
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.models.push(model);
        self
    }

    /// Adds a job that ends well, as the fields of its hash.
    #[must_use]
    pub fn job<'f>(mut self, fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        self.jobs.push(owned(fields));
        self
    }

    /// Adds a job that has to fail.
    #[must_use]
    pub fn bad_job<'f>(mut self, fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        self.bad_jobs.push(owned(fields));
        self
    }

    /// Runs all checks, on a runtime of the caller.
    ///
    /// # Panics
    ///
    /// If the consumer does not keep the contract, with every fault in the message.
    pub async fn check(self) {
        let name = self.kind.name;
        let faults = self.faults().await.unwrap_or_else(|error| {
            panic!("the consumer `{name}` cannot be tested: {error:#}");
        });
        assert!(
            faults.is_empty(),
            "the consumer `{name}` does not keep its contract:\n{}",
            faults.join("\n")
        );
    }

    /// Runs all checks, and gives a line for each fault.
    ///
    /// # Errors
    ///
    /// Settings that are wrong, or no place for a bucket.
    pub async fn faults(self) -> anyhow::Result<Vec<String>> {
        let mut faults = Vec::new();
        for (number, fields) in (1..).zip(&self.jobs) {
            let setup = self.setup().await?;
            let sample = Sample::new(&setup, &self.kind, &format!("job {number}"), fields);
            faults.extend(sample.faults_as_good().await?);
        }
        for (number, fields) in (1..).zip(&self.bad_jobs) {
            let setup = self.setup().await?;
            let sample = Sample::new(&setup, &self.kind, &format!("bad job {number}"), fields);
            faults.extend(sample.faults_as_bad().await?);
        }
        Ok(faults)
    }

    /// A bucket for each job, as what was dropped with one job may still be writing.
    async fn setup(&self) -> anyhow::Result<Setup> {
        let (objects, models) = (self.objects.clone(), self.models.clone());
        Setup::new(objects, models, &self.settings).await
    }
}

fn owned<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Fields {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
