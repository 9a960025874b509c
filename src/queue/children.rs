//! Fan-out and fan-in: jobs that wait for others which they have created.
//!
//! Children are written under keys that follow from the parent's, so that a parent which starts over creates the same ones.
//! They are created and queued some hundred at a time, as long as the parent is held; then it is put aside. Who finishes a
//! child strikes it off a set; who strikes off the last one wakes the parent. Consumers that know nothing of this are swept
//! up after.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, RedisResult, Script, ScriptInvocation};
use sha2::{Digest, Sha256};

use super::client::Queue;
use super::error::Error;
use super::lease::Lease;
use super::outcome::Settled;
use crate::wire::{self, JobKey, RawFields, Status, field, millis};

/// Parents and children that one script of a sweep looks at, which takes Redis some 15 ms …
const SWEEP_LIMIT: usize = 5000;
/// … and how many such scripts a sweep runs at most.
const SWEEP_STEPS: usize = 100;
/// Hashes written or read in one round trip.
const CHUNK: usize = 500;

static WAIT_FOR_CHILDREN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/release_lease.lua"),
        include_str!("scripts/children.lua"),
        include_str!("scripts/wait_for_children.lua")
    ))
});
static SWEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/children.lua"),
        include_str!("scripts/sweep.lua")
    ))
});
static CREATE_CHILDREN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/renew.lua"),
        include_str!("scripts/create_children.lua")
    ))
});
static EXPIRE_CHILDREN: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/expire_children.lua")));

/// A child that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSpec {
    /// The queue it goes to.
    pub queue: String,
    /// What its key names it by; any text.
    pub name: String,
    /// Its fields but for status and stamps.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl ChildSpec {
    /// The same in a later round of children, whose keys are others than those of the rounds before.
    pub(crate) fn of_round(mut self, round: u32) -> Self {
        if round > 1 {
            self.name = format!("{} ({round})", self.name);
            let round = round.to_string().into_bytes();
            self.fields.push((field::ROUND.to_owned(), round));
        }
        self
    }
}

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildSet {
    /// Children that are to be created.
    New(Vec<ChildSpec>),
    /// Children that another consumer has created.
    Existing(Vec<JobKey>),
    /// Children that the job has waited for before: those that have failed are tried again.
    Again(Vec<JobKey>),
}

/// How a job waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildWait {
    /// For what.
    pub children: ChildSet,
    /// The job's status meanwhile.
    pub status: Status,
    /// Whether the first failure of a child ends the wait.
    pub fail_fast: bool,
    /// The job's progress when all are final, in per cent.
    pub progress: u8,
}

impl Lease {
    /// Creates the children and parks the job until they are final.
    ///
    /// A consumer that has lost the job touches no child: they have the same keys for whoever works the job now.
    pub async fn wait_for_children(&self, wait: &ChildWait) -> Result<Settled, Error> {
        let children = wait.children.with_keys(self.key());
        let what = wait.children.what();
        if !self.flush().await? || !self.create(&children, what).await? {
            return self.release().await;
        }
        let keys: Vec<_> = children.iter().map(|(key, _)| key.0.as_slice()).collect();
        let queue = &self.queue;
        let mut call = self.settling(&WAIT_FOR_CHILDREN);
        call.key(queue.inner.keys.parked()).key(queue.name());
        call.arg(millis(queue.sweep_interval()))
            .arg(wait.status.as_str())
            .arg(u8::from(wait.fail_fast))
            .arg(wire::timestamp())
            .arg(wait.progress)
            .arg(keys.len())
            .arg(keys.join(&b','));
        self.settle("wait_for_children", "parked", &call).await
    }

    /// Creates children that the job is going to wait for, and queues them. False if the job is no longer held.
    ///
    /// Those that were created under this lease already are left alone.
    pub async fn create_children(&self, children: &ChildSet) -> Result<bool, Error> {
        let with_keys = children.with_keys(self.key());
        self.create(&with_keys, children.what()).await
    }

    /// Gives the children of a job that is to end an expiry; those that nobody has begun are failed.
    ///
    /// Nothing happens to them if the job is somebody else's.
    pub(crate) async fn expire_children(
        &self,
        children: &[JobKey],
        lifetime: Duration,
    ) -> Result<(), Error> {
        for chunk in children.chunks(CHUNK) {
            let mut call = EXPIRE_CHILDREN.key(&self.key().0);
            call.key(wire::pending(self.key()));
            call.arg(self.token())
                .arg(lifetime.as_secs().max(1))
                .arg(wire::timestamp());
            for child in chunk {
                call.arg(&child.0);
            }
            if self.queue.script::<u8>("expire_children", &call).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Some fields of many jobs, in the same order; nothing for a job that is not there.
    pub(crate) async fn read_many(
        &self,
        keys: &[JobKey],
        names: &[&str],
    ) -> Result<Vec<RawFields>, Error> {
        let raw: Vec<_> = keys.iter().map(|key| key.0.clone()).collect();
        let found = self
            .queue
            .admin()
            .ask_each::<Vec<Option<Vec<u8>>>>(&raw, |key| Cmd::hmget(key, names))
            .await?;
        Ok(found
            .into_iter()
            .map(|values| named(names, values.unwrap_or_default()))
            .collect())
    }

    async fn create(
        &self,
        children: &[(JobKey, Option<&ChildSpec>)],
        what: &str,
    ) -> Result<bool, Error> {
        for chunk in children.chunks(CHUNK) {
            let mut call = CREATE_CHILDREN.key(&self.key().0);
            call.key(wire::pending(self.key()));
            call.arg(self.token()).arg(wire::timestamp()).arg(what);
            for (key, child) in chunk {
                call.key(&key.0);
                match child {
                    Some(child) => push_child(&mut call, child, self.key()),
                    None => _ = call.arg("").arg(0),
                }
            }
            if self.queue.script::<u8>("create_children", &call).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl ChildSet {
    /// How the script calls what is to be done with children that are there.
    fn what(&self) -> &'static str {
        match self {
            Self::Again(_) => "again",
            Self::New(_) | Self::Existing(_) => "",
        }
    }

    /// The keys of the children of this parent, and what those that are to be created consist of.
    fn with_keys(&self, parent: &JobKey) -> Vec<(JobKey, Option<&ChildSpec>)> {
        match self {
            Self::New(children) => children
                .iter()
                .map(|child| (child_key(parent, child), Some(child)))
                .collect(),
            Self::Existing(keys) | Self::Again(keys) => {
                keys.iter().map(|key| (key.clone(), None)).collect()
            }
        }
    }
}

/// The queue of a child, the number of its fields, and the fields.
fn push_child(call: &mut ScriptInvocation<'_>, child: &ChildSpec, parent: &JobKey) {
    call.arg(&child.queue).arg(child.fields.len() + 2);
    for (name, value) in &child.fields {
        call.arg(name).arg(value);
    }
    call.arg(field::PARENT)
        .arg(&parent.0)
        .arg(field::CHILD_QUEUE)
        .arg(&child.queue);
}

impl Queue {
    /// Looks once for children that were finished by consumers which do not know of parents, and gives the parents woken. A
    /// Redis that is away is not waited for.
    pub async fn sweep(&self) -> Result<Vec<JobKey>, Error> {
        let mut call = SWEEP.key(self.inner.keys.parked());
        call.arg(millis(self.sweep_interval())).arg(SWEEP_LIMIT);
        let operation = "sweep";
        let mut all = Vec::new();
        for _ in 0..SWEEP_STEPS {
            let answer: RedisResult<(Vec<Vec<u8>>, u8)> =
                self.inner.commands.attempt(operation, &call).await;
            let (woken, more) = answer.map_err(Error::refused(operation))?;
            all.extend(woken.into_iter().map(JobKey));
            if more == 0 {
                break;
            }
        }
        Ok(all)
    }

    fn sweep_interval(&self) -> Duration {
        self.settings().lease / 3
    }
}

/// Values by the names they were asked for.
fn named(names: &[&str], values: Vec<Option<Vec<u8>>>) -> RawFields {
    names
        .iter()
        .zip(values)
        .filter_map(|(name, value)| Some((name.as_bytes().to_vec(), value?)))
        .collect()
}

/// `<queue>:<name>:<32 hex digits>`, the same for the same parent. Lists of keys are joined by commas.
fn child_key(parent: &JobKey, child: &ChildSpec) -> JobKey {
    let mut digest = Sha256::new();
    for part in [
        parent.0.as_slice(),
        child.queue.as_bytes(),
        child.name.as_bytes(),
    ] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let mut key = format!("{}:{}:", child.queue, child.name.replace(',', "_"));
    digest
        .finalize()
        .iter()
        .take(16)
        .for_each(|byte| write!(key, "{byte:02x}").unwrap_or_default());
    JobKey(key.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(name: &str) -> ChildSpec {
        ChildSpec {
            queue: "segmentation".to_owned(),
            name: name.to_owned(),
            fields: Vec::new(),
        }
    }

    #[test]
    fn keys_follow_from_the_parent_and_hold_no_commas() {
        let parent = JobKey(b"q-zip:a.zip:1".to_vec());
        let key = child_key(&parent, &child("a,b.tif"));
        assert_eq!(key, child_key(&parent, &child("a,b.tif")));
        assert_ne!(
            key,
            child_key(&parent, &child("a_b.tif")),
            "names that look alike stay apart"
        );
        assert_ne!(
            key,
            child_key(&JobKey(b"another".to_vec()), &child("a,b.tif"))
        );
        assert!(
            key.to_string().starts_with("segmentation:a_b.tif:"),
            "{key}"
        );
    }
}
