//! Plans with their lists, and what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use batch_plan::{CheckOptions, Difference, Items, Lists, Problem, Resolved};
use tokio::runtime::Handle;

use super::supply::Local;
use super::verify::{Peers, Verified, mistakes, need_bucket, verify};
use super::wanted::Wanted;
use crate::batch::{Bucket, object_key};
use crate::queue::Admin;
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
    plans.iter().any(is_needed).then(|| open(loader))
}

/// The bucket.
pub(crate) fn open(loader: &mut Loader<'_>) -> Result<Storage, BucketError> {
    let settings = StorageSettings::load(loader);
    Storage::open(&settings).map_err(|error| BucketError(error.to_string()))
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
            let mut lists = plan.read_lists(&mut Local {
                bucket: Bucket { storage, handle },
            })?;
            if let Some(choice) = choice {
                plan.choose(&mut lists, &choice)?;
            }
            let plan = Arc::new(plan);
            let report = batch_plan::check(&plan, &lists, options)?;
            let mut problems = report.problems;
            problems.extend(unreadable_lists(&plan));
            problems.extend(mixed_uploads(&plan));
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

/// How a plan differs from the one that the batch of its name runs.
pub(crate) async fn differences(
    admin: &Admin,
    prepared: &Prepared,
) -> anyhow::Result<Vec<Difference>> {
    let stored = admin.batch_plan(prepared.plan.name()).await?;
    let stored = Resolved::from_json(&stored.unwrap_or_default())?;
    Ok(batch_plan::diff(&stored, &prepared.plan)?)
}

/// Late lists that no consumer could read.
fn unreadable_lists(plan: &Resolved) -> Vec<Problem> {
    let is_unreadable = |stage: &&batch_plan::Stage| {
        stage.work.late && !stage.items.as_ref().is_none_or(is_in_bucket)
    };
    let stages = plan.stages().iter().filter(is_unreadable);
    let problem = |stage: &batch_plan::Stage| Problem {
        at: None,
        path: format!("stages.{}.late", stage.name),
        message: "a consumer reads this list: name it as `bucket:KEY`, or the prefix of `objects`"
            .to_owned(),
    };
    stages.map(problem).collect()
}

fn is_in_bucket(items: &Items) -> bool {
    match items {
        Items::Csv(file) | Items::Jsonl(file) => object_key(file).is_some(),
        Items::Objects { .. } => true,
        _ => false,
    }
}

/// Stages whose files would get the keys of others.
fn mixed_uploads(plan: &Resolved) -> Vec<Problem> {
    let mut folders = BTreeMap::new();
    let mut problems = Vec::new();
    for stage in plan.stages() {
        let Some(Items::Files { path, to, .. }) = &stage.items else {
            continue;
        };
        let (first, folder) = folders.entry(to).or_insert((&stage.name, path));
        if *folder != path {
            problems.push(Problem {
                at: None,
                path: format!("stages.{}.items.files.to", stage.name),
                message: format!(
                    "{first} uploads files of another folder there: give it another place"
                ),
            });
        }
    }
    problems
}
