//! Whether the bucket takes results, and a model server has models.

use std::sync::Arc;

use bytes::Bytes;

use super::patience::{PATIENCE, asked};
use crate::serving::{self, ModelId, Signature};
use crate::storage::Storage;

/// What is written to the bucket; the same each time, so that it does not become more.
pub(crate) const PROBE_KEY: &str = "output/rc-check.txt";
pub(crate) const PROBE: &[u8] = b"written by `redis-consumer check`\n";

/// What the server says of each model; an error if there is no server.
pub(crate) async fn ask_for_models(
    serving: &serving::Client,
    models: &[ModelId],
) -> Result<Vec<Result<Arc<Signature>, String>>, String> {
    let mut answers = Vec::new();
    for model in models {
        match tokio::time::timeout(PATIENCE, serving.signature(model)).await {
            Ok(Err(serving::Error::Unavailable { message, .. })) => return Err(message),
            Ok(answer) => answers.push(answer.map_err(|error| error.to_string())),
            Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }
    Ok(answers)
}

/// Writes to the bucket, and gives the URL of what was written.
pub(crate) async fn write_probe(storage: &Storage) -> Result<String, String> {
    asked(storage.upload(PROBE_KEY, Bytes::from_static(PROBE))).await
}
