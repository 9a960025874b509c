//! A model that takes several tensors by name, asked in batches along their first axis.

use std::ops::Range;

use anyhow::ensure;
use ndarray::{ArrayD, ArrayViewD, Axis, concatenate};

use crate::compute;
use crate::serving::{Client, ModelId};

/// A tensor and its name.
pub type Named<N> = (N, ArrayD<f32>);

/// A model of the server.
#[derive(Clone)]
pub struct TensorModel {
    client: Client,
    id: ModelId,
}

impl TensorModel {
    /// The model of this name; nothing is asked yet.
    #[must_use]
    pub fn new(client: &Client, id: &ModelId) -> Self {
        Self {
            client: client.clone(),
            id: id.clone(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &ModelId {
        &self.id
    }

    /// All outputs of one request, in byte order of their names.
    ///
    /// # Errors
    ///
    /// When the inputs are not the model's, or the server does not answer.
    pub async fn predict(&self, inputs: &[Named<&str>]) -> anyhow::Result<Vec<Named<String>>> {
        let views: Vec<(&str, ArrayViewD<'_, f32>)> = inputs
            .iter()
            .map(|(name, values)| (*name, values.view()))
            .collect();
        Ok(self.client.predict(&self.id, &views).await?)
    }

    /// All outputs for `rows` rows, of which at most `batch` go into a request: joined along the first axis, in byte order of
    /// their names.
    ///
    /// `inputs` makes the tensors of a range of rows when their turn has come.
    ///
    /// # Errors
    ///
    /// As [`Self::predict`], and when an answer has not a row for each row that was sent, or answers differ in their names
    /// or other sizes.
    pub async fn predict_in_batches<F>(
        &self,
        rows: usize,
        batch: usize,
        inputs: F,
    ) -> anyhow::Result<Vec<Named<String>>>
    where
        F: Fn(Range<usize>) -> Vec<Named<&'static str>> + Clone + Send + 'static,
    {
        let mut answers: Vec<(String, Vec<ArrayD<f32>>)> = Vec::new();
        for start in (0..rows).step_by(batch.max(1)) {
            let range = start..(start + batch.max(1)).min(rows);
            let (make, wanted) = (inputs.clone(), range.clone());
            let tensors = compute::run(move || make(wanted)).await;
            let outputs = self.predict(&tensors).await?;
            if start == 0 {
                answers = outputs
                    .iter()
                    .map(|(name, _)| (name.clone(), Vec::new()))
                    .collect();
            }
            let same = outputs
                .iter()
                .map(|(name, _)| name)
                .eq(answers.iter().map(|(name, _)| name));
            ensure!(
                same,
                "the answers of model `{}` differ in their outputs",
                self.id
            );
            for ((name, values), (_, parts)) in outputs.into_iter().zip(&mut answers) {
                let found = values.shape().first().copied().unwrap_or(0);
                ensure!(
                    found == range.len(),
                    "model `{}` answered {found} rows of `{name}` for {}",
                    self.id,
                    range.len()
                );
                parts.push(values);
            }
        }
        answers
            .into_iter()
            .map(|(name, parts)| Ok((name, joined(parts)?)))
            .collect()
    }
}

fn joined(mut parts: Vec<ArrayD<f32>>) -> anyhow::Result<ArrayD<f32>> {
    if parts.len() == 1 {
        return Ok(parts.swap_remove(0));
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(concatenate(Axis(0), &views)?)
}
