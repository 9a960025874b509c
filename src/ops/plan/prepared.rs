//! Plans with their lists, and what is wrong with them.

use std::sync::Arc;

use batch_plan::{CheckOptions, Items, Lists, Problem, Resolved};
use tokio::runtime::Handle;

use super::supply::Local;
use super::verify::{Peers, Verified, mistakes, need_bucket, verify};
use super::wanted::Wanted;
use crate::settings::Loader;
use crate::storage::{Storage, StorageSettings};

/// A plan that is ready to be stored.
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Resolved>,
    pub(crate) lists: Lists,
    pub(crate) digest: String,
    pub(crate) problems: Vec<Problem>,
}

/// The bucket, if one of the plans needs it.
pub(crate) fn open_bucket(
    plans: &[Resolved],
    wanted: &Wanted,
    loader: &mut Loader<'_>,
) -> Option<Result<Storage, BucketError>> {
    let is_needed =
        |plan: &Resolved| plan.needs_bucket() || (!wanted.skip_verify && need_bucket(plan));
    let is_needed = plans.iter().any(is_needed);
    let settings = is_needed.then(|| StorageSettings::load(loader))?;
    Some(Storage::open(&settings).map_err(|error| BucketError(error.to_string())))
}

/// Why there is no bucket.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BucketError(String);

impl Prepared {
    /// Reads the lists of a plan, and looks at all that can be said of it.
    pub(crate) async fn read(
        mut plan: Resolved,
        wanted: &Wanted,
        storage: Option<Storage>,
    ) -> anyhow::Result<Self> {
        let (choice, handle) = (wanted.choice(), Handle::current());
        let options = CheckOptions {
            all: false,
            into_real_outputs: wanted.into_real_outputs,
        };
        let prepared = tokio::task::spawn_blocking(move || {
            let mut lists = plan.read_lists(&mut Local { storage, handle })?;
            if let Some(choice) = choice {
                plan.choose(&mut lists, &choice)?;
            }
            let plan = Arc::new(plan);
            let report = batch_plan::check(&plan, &lists, options)?;
            let mut problems = report.problems;
            problems.extend(unsupported(&plan));
            problems.extend(mistakes(&plan, &lists)?);
            anyhow::Ok(Self {
                digest: plan.digest()?,
                problems,
                plan,
                lists,
            })
        });
        prepared.await?
    }

    /// Holds the rules of the plan against what is there, unless they are to be left out or it is wrong as it stands.
    pub(crate) async fn verify(&self, wanted: &Wanted, peers: &Peers) -> anyhow::Result<Verified> {
        if wanted.skip_verify || !self.problems.is_empty() {
            return Ok(Verified::default());
        }
        verify(&self.plan, &self.lists, peers).await
    }
}

/// What a plan may say and this program cannot do: it is refused, not passed over.
fn unsupported(plan: &Resolved) -> Vec<Problem> {
    let mut problems = Vec::new();
    for stage in plan.stages() {
        let mut refuse = |what: &str, advice: &str| {
            problems.push(Problem {
                at: None,
                path: format!("stages.{}.{what}", stage.name),
                message: format!("{what} is not supported yet: {advice}"),
            });
        };
        if matches!(stage.items, Some(Items::Files { .. })) {
            refuse("files", "upload them first, and name them by `objects`");
        }
        if stage.work.late {
            refuse("late", "submit a second plan when the list is there");
        }
    }
    problems
}
