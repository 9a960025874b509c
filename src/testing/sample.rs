//! One sample job, run over and over.

use anyhow::{Context as _, bail};

use super::attempt::Attempt;
use super::setup::Setup;
use crate::consumer::{Consumer, ConsumerKind};
use crate::error_report;
use crate::job::{Job, Output, StepLimits};
use crate::queue::{Lease, Queue, QueueSettings, RedisSettings};
use crate::wire::{JobKey, RawFields};

/// Each of the first polls is tried as a place to drop the work at; then the steps double.
const POLLS_ONE_BY_ONE: usize = 16;

/// A job that is run over and over, and what was found out about it.
pub(super) struct Sample<'s> {
    setup: &'s Setup,
    kind: &'s ConsumerKind,
    key: JobKey,
    fields: RawFields,
    faults: Vec<String>,
}

/// A stored result.
#[derive(PartialEq, Eq)]
struct Stored {
    output: Output,
    body: Vec<u8>,
}

impl<'s> Sample<'s> {
    pub(super) fn new(
        setup: &'s Setup,
        kind: &'s ConsumerKind,
        name: &str,
        fields: &[(String, String)],
    ) -> Self {
        let bytes = |text: &String| text.as_bytes().to_vec();
        Self {
            setup,
            kind,
            key: JobKey(name.as_bytes().to_vec()),
            fields: fields
                .iter()
                .map(|(field, value)| (bytes(field), bytes(value)))
                .collect(),
            faults: Vec::new(),
        }
    }

    /// What is wrong with a consumer to which this is a job that ends well.
    pub(super) async fn faults_as_good(mut self) -> anyhow::Result<Vec<String>> {
        let consumer = self.setup.consumer(self.kind)?;
        let expected = match self.run(consumer.as_ref()).await {
            Ok(stored) => stored,
            Err(error) => {
                self.fault(format!("{error:#}"));
                return Ok(self.faults);
            }
        };
        self.call_again(consumer.as_ref(), &expected).await?;
        self.drop_at_each_await(consumer.as_ref(), &expected)
            .await?;
        self.spoil_inputs(consumer.as_ref()).await?;
        Ok(self.faults)
    }

    /// What is wrong with a consumer to which this is a job that must fail.
    pub(super) async fn faults_as_bad(mut self) -> anyhow::Result<Vec<String>> {
        let consumer = self.setup.consumer(self.kind)?;
        match Attempt::run(consumer.as_ref(), &self.job(), usize::MAX).await {
            Attempt::Done(_) | Attempt::Waits => self.fault("it should fail, and did not"),
            end => self.expect_permanent("it", end),
        }
        self.look_for_strays()?;
        Ok(self.faults)
    }

    /// The same consumer and a new one have to give the same result again.
    async fn call_again(
        &mut self,
        consumer: &dyn Consumer,
        expected: &Stored,
    ) -> anyhow::Result<()> {
        let other = self.setup.consumer(self.kind)?;
        for (consumer, which) in [
            (consumer, "called twice"),
            (other.as_ref(), "run by another process"),
        ] {
            let found = self.run(consumer).await;
            self.compare(which, found, expected);
        }
        Ok(())
    }

    /// Wherever the work is dropped, the next run has to give the same result.
    async fn drop_at_each_await(
        &mut self,
        consumer: &dyn Consumer,
        expected: &Stored,
    ) -> anyhow::Result<()> {
        let mut polls = 1;
        loop {
            self.setup.reset()?;
            let end = Attempt::run(consumer, &self.job(), polls).await;
            if !matches!(end, Attempt::Dropped) {
                return Ok(());
            }
            self.look_for_strays()?;
            let found = self.run(consumer).await;
            self.compare(&format!("dropped at poll {polls}"), found, expected);
            polls += if polls < POLLS_ONE_BY_ONE { 1 } else { polls };
        }
    }

    /// Inputs that are missing or broken may make the job fail for good, and nothing else.
    async fn spoil_inputs(&mut self, consumer: &dyn Consumer) -> anyhow::Result<()> {
        for (key, body) in self.setup.objects() {
            if !self.fields.values().any(|value| value == key.as_bytes()) {
                continue;
            }
            let spoiled = [
                ("a missing", None),
                ("an empty", Some(Vec::new())),
                ("half of", Some(body[..body.len() / 2].to_vec())),
                ("random bytes in place of", Some(noise(body.len()))),
            ];
            for (what, body) in spoiled {
                self.setup.reset()?;
                self.setup.replace(key, body.as_deref())?;
                let end = Attempt::run(consumer, &self.job(), usize::MAX).await;
                self.expect_permanent(&format!("{what} `{key}`"), end);
            }
        }
        self.setup.reset()
    }

    /// Runs the job from a clean bucket to its end.
    async fn run(&mut self, consumer: &dyn Consumer) -> anyhow::Result<Stored> {
        self.setup.reset()?;
        let job = self.job();
        let output = match Attempt::run(consumer, &job, usize::MAX).await {
            Attempt::Done(output) => output,
            Attempt::Failed(error) => return Err(error.context("the job failed")),
            Attempt::Panicked => bail!("the consumer panicked"),
            Attempt::Waits => bail!("the job creates children, which needs Redis to be tested"),
            Attempt::Dropped => bail!("the job did not end"),
        };
        if output.key != job.output_key() {
            let (key, expected) = (&output.key, job.output_key());
            bail!("the result is `{key}` in place of the job's own `{expected}`");
        }
        self.look_for_strays()?;
        let body = self.setup.stored()?.remove(&output.key);
        let body = body.with_context(|| format!("there is no object `{}`", output.key))?;
        Ok(Stored { output, body })
    }

    fn compare(&mut self, when: &str, found: anyhow::Result<Stored>, expected: &Stored) {
        match found {
            Ok(found) if found == *expected => {}
            Ok(_) => self.fault(format!("{when}: the next run gave another result")),
            Err(error) => self.fault(format!("{when}: in the next run {error:#}")),
        }
    }

    fn expect_permanent(&mut self, what: &str, end: Attempt) {
        match end {
            Attempt::Panicked => self.fault(format!("{what} made the consumer panic")),
            Attempt::Failed(error) => {
                let class = error_report::class(&error);
                if class.is_transient() {
                    self.fault(format!(
                        "{what} gave an error of the transient class {class}: {error:#}"
                    ));
                }
            }
            Attempt::Done(_) | Attempt::Waits | Attempt::Dropped => {}
        }
    }

    /// Objects that were changed, removed or added beside the result.
    fn look_for_strays(&mut self) -> anyhow::Result<()> {
        let (stored, own) = (self.setup.stored()?, self.job().output_key());
        for (key, body) in self.setup.objects() {
            if stored.get(key) != Some(body) {
                self.fault(format!("it changed `{key}`, which is not its result"));
            }
        }
        for key in stored.keys() {
            // A write under way has a name that begins with the result's.
            if !self.setup.objects().contains_key(key) && !key.starts_with(&own) {
                self.fault(format!("it wrote `{key}`, which is not its result"));
            }
        }
        Ok(())
    }

    /// The job, as if it had just been claimed. Nothing that it records is written.
    fn job(&self) -> Job {
        let server = RedisSettings::plain("localhost", 6379);
        let settings = QueueSettings::new(server, "predict", "conformance");
        let lease = Lease::detached(Queue::new(settings), self.key.clone());
        Job::new(lease, self.fields.clone(), StepLimits::default())
    }

    /// Each fault is told once.
    fn fault(&mut self, text: impl Into<String>) {
        let text = format!("{}: {}", self.key, text.into());
        if !self.faults.contains(&text) {
            self.faults.push(text);
        }
    }
}

/// Bytes without a pattern, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..length).map(|_| random.u8(..)).collect()
}
