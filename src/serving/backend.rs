//! Where models run.

use async_trait::async_trait;
use prometheus_client::registry::Registry;

use super::batch::{Inputs, Outputs};
use super::error::Error;
use super::model::{ModelId, Served, Signature};

/// What runs models: a server, or this process.
#[async_trait]
pub(super) trait Backend: Send + Sync {
    /// What a model takes.
    async fn signature(&self, model: &ModelId) -> Result<Signature, Error>;

    /// Runs a model on all rows of its inputs: all outputs, in byte order of their names.
    async fn predict(
        &self,
        model: &ModelId,
        signature: &Signature,
        inputs: Inputs,
    ) -> Result<Outputs, Error>;

    /// Models that can be used now: all of them where they are listed, else those of these names. Who asks may ask again: there is
    /// one attempt, and text for people if it fails.
    async fn served(&self, names: &[String]) -> Result<Served, String>;

    /// Whether the last call found nothing that runs models, and nothing has been seen since.
    fn is_down(&self) -> bool;

    /// Waits until that is not known to be so.
    async fn until_up(&self);

    /// Adds its counters to a registry.
    fn register(&self, all: &mut Registry);

    /// Where it is, for people.
    fn place(&self) -> String;

    /// Names of what a model gives, in its own order.
    async fn output_names(&self, model: &ModelId) -> Result<Vec<String>, Error>;

    /// A small file that lies beside a model, if it is where this program can look.
    async fn file_beside(&self, _: &ModelId, _: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// What a model is like, for people, where that is known.
    async fn about(&self, _: &ModelId) -> Option<String> {
        None
    }
}
