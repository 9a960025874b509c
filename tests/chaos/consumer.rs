//! The program under test: the image consumer, which some jobs bring down.

use std::process::ExitCode;

use async_trait::async_trait;
use redis_consumer::{Consumer, ConsumerKind, Job, Outcome, Registry};

/// Set for processes that are consumers.
pub(crate) const ROLE: &str = "CHAOS_CONSUMER";

const KIND: ConsumerKind = ConsumerKind {
    name: "chaos",
    aliases: &[],
    summary: "segments an image, unless that is poison",
    queue_suffix: "",
    configure: |reader| {
        let image = Registry::builtin()
            .find("image")
            .expect("the library brings it");
        let build = (image.configure)(reader);
        Box::new(|clients| {
            Box::new(Chaos {
                image: build(clients),
            })
        })
    },
};

struct Chaos {
    image: Box<dyn Consumer>,
}

#[async_trait]
impl Consumer for Chaos {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        self.image.check(job)
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        match job.original_name()? {
            name if name.contains("poison") => std::process::abort(),
            name if name.contains("panic") => panic!("on purpose"),
            _ => self.image.consume(job).await,
        }
    }
}

pub(crate) fn run() -> ExitCode {
    redis_consumer::run(Registry::builtin().with(KIND))
}
