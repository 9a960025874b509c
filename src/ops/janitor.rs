//! `redis-consumer janitor`: requeues the jobs of dead consumers.
//!
//! Our consumers do this among themselves, by leases. A janitor is for fleets with Python consumers, which take no leases:
//! it knows them by their pods. Such consumers know no batches either, so it feeds these. It keeps the rules of the Python janitor but for its faults: an entry moves in
//! one step, and a Kubernetes that cannot be asked is not an empty one.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use super::connect::{Connected, connect};
use super::desk::known_bucket;
use crate::batch::FeedAll;
use crate::kubernetes::{Kubernetes, KubernetesSettings};
use crate::logging::LogSettings;
use crate::queue::{self, Admin, ProcessingEntry, Reclaim};
use crate::settings::{Loader, Seconds, Word};
use crate::traces::Traces;
use crate::wire;

/// A pod refreshes its list within this time, so an entry that is younger is left alone.
const YOUNG: Duration = Duration::from_secs(15);

#[derive(Args)]
pub(crate) struct JanitorArguments {
    /// Look once, instead of again and again.
    #[arg(long)]
    once: bool,
}

/// By what a consumer is known to be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Liveness {
    Heartbeat,
    Kubernetes,
    Both,
}

crate::settings! {
    /// The janitor.
    struct JanitorVariables {
        /// How the janitor knows that a consumer is alive: `heartbeat`, `kubernetes` (its pod runs) or `both`.
        janitor_liveness: Option<Word<Liveness>> = None => "`both` in a cluster, else `heartbeat`",
        /// Delay between two rounds of the janitor, in seconds.
        interval: Seconds = Seconds::new(20),
        /// Age at which the janitor requeues a job that had a lease and has none any more, in seconds; 0 means never.
        stale_time: Seconds = Seconds::new(0),
    }
}

/// What the janitor looks after, and how.
#[derive(Clone, Debug)]
pub(crate) struct JanitorSettings {
    queues: Vec<String>,
    interval: Duration,
    stale: Duration,
    lease: Duration,
    liveness: Liveness,
    kubernetes: KubernetesSettings,
}

impl JanitorSettings {
    /// Loads the variables of the Python janitor, and a few more.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let queues = super::connect::queues(loader);
        let kubernetes = KubernetesSettings::load(loader);
        let variables: JanitorVariables = loader.load();
        let liveness = variables.liveness(loader, &kubernetes);
        Self {
            queues,
            interval: variables.interval.0,
            stale: variables.stale_time.0,
            lease: queue::lease_time(loader),
            liveness,
            kubernetes,
        }
    }
}

impl JanitorVariables {
    fn liveness(&self, loader: &mut Loader<'_>, kubernetes: &KubernetesSettings) -> Liveness {
        let is_in_cluster = kubernetes.pods().is_some();
        let liveness = match self.janitor_liveness {
            Some(Word(liveness)) => liveness,
            None if is_in_cluster => Liveness::Both,
            None => Liveness::Heartbeat,
        };
        loader.derive("JANITOR_LIVENESS", Word(liveness));
        if liveness != Liveness::Heartbeat && !is_in_cluster {
            loader.refuse(
                "JANITOR_LIVENESS",
                Word(liveness),
                "not in a cluster: set KUBERNETES_API, or use heartbeat",
            );
        }
        liveness
    }
}

/// What was done in a round.
#[derive(Debug, Default)]
struct Round {
    requeued: usize,
    dropped: usize,
    kept: usize,
}

/// Goes over all queues, again and again or once.
pub(crate) async fn janitor(
    arguments: JanitorArguments,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Connected {
        admin,
        settings: (settings, log),
        warnings,
        ..
    } = connect(|loader| (JanitorSettings::load(loader), LogSettings::load(loader)))?;
    log.start(&Traces::default());
    warnings.iter().for_each(|warning| warn!("{warning}"));
    let pods = match settings.liveness {
        Liveness::Heartbeat => None,
        _ => settings.kubernetes.pods(),
    };
    let kubernetes = pods.map(Kubernetes::open).transpose()?;
    let janitor = Janitor {
        admin,
        kubernetes,
        settings,
    };
    let queues = janitor.settings.queues.join(",");
    info!(queues, liveness = %Word(janitor.settings.liveness), "the janitor has started");
    if arguments.once {
        janitor.run_once(stop).await
    } else {
        janitor.run(stop).await;
        Ok(())
    }
}

struct Janitor {
    settings: JanitorSettings,
    admin: Admin,
    kubernetes: Option<Kubernetes>,
}

impl Janitor {
    async fn run_once(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let Some(round) = stop.run_until_cancelled(self.round()).await else {
            return Ok(());
        };
        let Round {
            requeued,
            dropped,
            kept,
        } = round.context("the round is incomplete")?;
        println!("{requeued} requeued, {dropped} dropped, {kept} left with their consumers");
        Ok(())
    }

    async fn run(&self, stop: CancellationToken) {
        let feed = FeedAll::new(self.admin.clone(), known_bucket());
        let _feeding = AbortOnDropHandle::new(tokio::spawn(feed.run()));
        while let Some(round) = stop.run_until_cancelled(self.round()).await {
            match round {
                Ok(round) if round.requeued + round.dropped > 0 => {
                    info!(?round, "requeued or dropped stale entries");
                }
                Ok(_) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    error!(error, "the round is incomplete; the next one goes on");
                }
            }
            let pause = tokio::time::sleep(self.settings.interval);
            stop.run_until_cancelled(pause).await;
        }
    }

    async fn round(&self) -> anyhow::Result<Round> {
        let mut round = Round::default();
        // Leases need nobody's word but that of Redis, so they come first.
        for queue in &self.settings.queues {
            let reclaimed = self
                .admin
                .reclaim_expired(queue, self.settings.lease)
                .await?;
            for job in &reclaimed.requeued {
                info!(job.key = %job.key, queue, cause = job.cause, "requeued a job whose consumer has died");
            }
            round.requeued += reclaimed.requeued.len();
            round.dropped += reclaimed.dropped.len();
        }
        let pods = match &self.kubernetes {
            Some(kubernetes) => Some(
                kubernetes
                    .running_pods()
                    .await
                    .context("who runs is unknown: nothing is moved")?,
            ),
            None => None,
        };
        for queue in &self.settings.queues {
            self.clean(queue, pods.as_ref(), &mut round).await?;
        }
        Ok(round)
    }

    async fn clean(
        &self,
        queue: &str,
        pods: Option<&HashSet<String>>,
        round: &mut Round,
    ) -> anyhow::Result<()> {
        let beating = self
            .admin
            .live_consumers(queue, self.settings.lease)
            .await?;
        for list in self.admin.processing_lists(queue).await? {
            let pod = wire::consumer_of_processing(&list);
            let beats = self.settings.liveness != Liveness::Kubernetes && beating.contains(&pod);
            let runs = pods.map(|pods| pods.contains(&pod));
            for entry in self.admin.processing_entries(queue, &list).await? {
                if !self.is_abandoned(&entry, beats, runs) {
                    round.kept += 1;
                    continue;
                }
                match self.admin.reclaim_stale(queue, &list, &entry).await? {
                    Reclaim::Requeued => {
                        warn!(job.key = %entry.job, queue, pod, "requeued a job whose consumer has died");
                        round.requeued += 1;
                    }
                    Reclaim::Dropped => {
                        info!(job.key = %entry.job, queue, pod, "dropped an entry whose job is over");
                        round.dropped += 1;
                    }
                    Reclaim::Kept | Reclaim::Moved => round.kept += 1,
                }
            }
        }
        Ok(())
    }

    /// Whether nobody works on an entry. What is unknown counts as worked on.
    fn is_abandoned(&self, entry: &ProcessingEntry, beats: bool, runs: Option<bool>) -> bool {
        if entry.is_over && entry.updated_at.is_none() {
            return true;
        }
        let Some(age) = entry.updated_at.as_deref().and_then(wire::age_of) else {
            return false;
        };
        if entry.has_lease || age <= YOUNG {
            return false;
        }
        let stale = self.settings.stale;
        if entry.was_leased && !stale.is_zero() && age > stale {
            return true;
        }
        !beats && runs == Some(false)
    }
}
