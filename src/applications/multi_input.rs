//! A model that takes several tensors by name, run in batches along their first axis.

use std::ops::Range;

use anyhow::ensure;
use ndarray::{ArrayD, Axis, concatenate};

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
    pub async fn predict(&self, inputs: Vec<Named<&str>>) -> anyhow::Result<Vec<Named<String>>> {
        Ok(self.client.predict(&self.id, inputs).await?)
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
        let batch = batch.max(1);
        let mut answers: Option<Vec<Output>> = None;
        for start in (0..rows).step_by(batch) {
            let range = start..(start + batch).min(rows);
            let (make, wanted) = (inputs.clone(), range.clone());
            let tensors = compute::run(move || make(wanted)).await;
            let outputs = self.predict(tensors).await?;
            // The first answer says which outputs there are.
            let answers = answers.get_or_insert_with(|| outputs.iter().map(Output::new).collect());
            self.add(answers, outputs, range.len())?;
        }
        compute::run(move || answers.into_iter().flatten().map(Output::joined).collect()).await
    }

    /// Adds the outputs for a batch of `rows` to those of the batches before.
    fn add(
        &self,
        answers: &mut [Output],
        outputs: Vec<Named<String>>,
        rows: usize,
    ) -> anyhow::Result<()> {
        let names = outputs.iter().map(|(name, _)| name);
        ensure!(
            names.eq(answers.iter().map(|output| &output.name)),
            "the answers of model `{}` differ in their outputs",
            self.id
        );
        for ((name, values), output) in outputs.into_iter().zip(answers) {
            let found = values.shape().first().copied().unwrap_or(0);
            ensure!(
                found == rows,
                "model `{}` answered {found} rows of `{name}` for {rows}",
                self.id
            );
            output.parts.push(values);
        }
        Ok(())
    }
}

/// One output of a model, as batches bring it.
struct Output {
    name: String,
    parts: Vec<ArrayD<f32>>,
}

impl Output {
    fn new((name, _): &Named<String>) -> Self {
        Self {
            name: name.clone(),
            parts: Vec::new(),
        }
    }

    fn joined(self) -> anyhow::Result<Named<String>> {
        Ok((self.name, joined(self.parts)?))
    }
}

fn joined(mut parts: Vec<ArrayD<f32>>) -> anyhow::Result<ArrayD<f32>> {
    if parts.len() == 1 {
        return Ok(parts.swap_remove(0));
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(concatenate(Axis(0), &views)?)
}
