//! A consumer of one's own, complete: which share of an image's pixels is overexposed.
//!
//! Build it, set `CONSUMER_TYPE=exposure`, and run it like the program itself; everything else stays the same.

use std::process::ExitCode;

use async_trait::async_trait;
use redis_consumer::bioimage::{self, Limits};
use redis_consumer::storage::{Storage, archive};
use redis_consumer::{Consumer, ConsumerKind, Job, Outcome, Output, Registry, Step, compute};

const KIND: ConsumerKind = ConsumerKind {
    name: "exposure",
    aliases: &[],
    summary: "measures which share of an image's pixels is overexposed",
    queue_suffix: "",
    configure: |loader| {
        let ExposureSettings { exposure_limit } = loader.load();
        Box::new(move |clients| {
            Box::new(Exposure {
                limit: exposure_limit,
                storage: clients.storage.clone(),
            })
        })
    },
};

redis_consumer::settings! {
    /// Overexposure.
    struct ExposureSettings {
        /// Smallest value of an overexposed pixel.
        exposure_limit: f32 = 65535.0,
    }
}

struct Exposure {
    limit: f32,
    storage: Storage,
}

#[async_trait]
impl Consumer for Exposure {
    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Download);
        let name = job.input_file_name()?.to_owned();
        let file = self.storage.download(&name).await?;

        job.step(Step::Preprocess);
        let limit = self.limit;
        let share = compute::run(move || overexposed(&file, &name, limit)).await?;

        job.step(Step::Upload);
        let archive =
            archive::write_zip([("exposure.txt".to_owned(), format!("{share}\n").into_bytes())])?;
        let key = job.output_key();
        let url = self.storage.upload(&key, archive.into()).await?;
        Ok(Outcome::Done(Output { key, url }))
    }
}

/// The share of samples at or above `limit`, 0 to 1.
fn overexposed(file: &[u8], name: &str, limit: f32) -> Result<f64, bioimage::Error> {
    let image = bioimage::decode(file, name, &Limits::default())?;
    let over = image.iter().filter(|&&value| value >= limit).count();
    Ok(over as f64 / image.len() as f64)
}

fn main() -> ExitCode {
    redis_consumer::run(Registry::builtin().with(KIND))
}

#[cfg(test)]
mod tests {
    use redis_consumer::testing::Conformance;

    use super::KIND;

    /// Needs the feature `testing`.
    #[tokio::test(flavor = "multi_thread")]
    async fn it_keeps_the_contract_of_a_consumer() {
        let image = include_bytes!("../tests/fixtures/nuclei/dsb2018_777f7c42.png");
        Conformance::new(KIND)
            .setting("EXPOSURE_LIMIT", "200")
            .object("uploads/cells.png", image)
            .job([("input_file_name", "uploads/cells.png")])
            .bad_job([("input_file_name", "")])
            .check()
            .await;
    }
}
