//! Fan-out and fan-in: jobs that wait for others which they have created.
//!
//! Children are written under keys that follow from the parent's, so that a parent which starts over creates the same ones.
//! They become visible, and the parent is put aside, in one step. Who finishes a child strikes it off a set; who strikes
//! off the last one wakes the parent. Consumers that know nothing of this are swept up after.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, RedisResult, Script};
use sha2::{Digest, Sha256};

use super::{Claim, Error, JobKey, Queue, RawFields, Settled, millis};

/// Children that nobody has seen yet are forgotten after this long, should their parent never come to it.
const DRAFT_SECONDS: i64 = 3600;
/// Parents, and children of each, that one sweep looks at.
const SWEEP_LIMIT: usize = 1000;
/// Hashes written or read in one round trip.
const CHUNK: usize = 500;

static PARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/let_go.lua"),
        include_str!("scripts/park.lua")
    ))
});
static SWEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/children.lua"),
        include_str!("scripts/sweep.lua")
    ))
});
static DRAFT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/draft.lua")));
static DISOWN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/disown.lua")));

/// A child that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChild {
    /// The queue it goes to.
    pub queue: String,
    /// What its key names it by; any text.
    pub name: String,
    /// Its fields but for status and stamps.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Children that are to be created.
    New(Vec<NewChild>),
    /// Children that another consumer has created.
    Existing(Vec<JobKey>),
}

/// How a job waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) awaited: Awaited,
    /// The job's status meanwhile.
    pub(crate) status: &'static str,
    /// Whether the first failure of a child ends the wait.
    pub(crate) fail_fast: bool,
    /// The job's progress when all are final, in per cent.
    pub(crate) progress: u8,
}

impl Queue {
    /// Creates the children and puts the job aside until they are final.
    ///
    /// Whose job it no longer is touches no child: they have the same keys for whoever works the job now.
    pub(crate) async fn park(&self, claim: &Claim, wait: &Wait) -> Result<Settled, Error> {
        if !self.write_now(claim).await? {
            return self.release(claim).await;
        }
        let mut call = self.settling(&PARK, claim);
        call.key(self.auxiliary("parked")).key(pending(&claim.key));
        call.arg(millis(self.sweep_interval()))
            .arg(wait.status)
            .arg(u8::from(wait.fail_fast));
        call.arg(crate::job::timestamp())
            .arg(self.name())
            .arg(wait.progress);
        match &wait.awaited {
            Awaited::New(children) => {
                let keys: Vec<_> = children
                    .iter()
                    .map(|child| child_key(&claim.key, child))
                    .collect();
                if !self.draft(claim, children, &keys).await? {
                    return self.release(claim).await;
                }
                keys.iter().zip(children).for_each(|(key, child)| {
                    call.arg(&key.0).arg(&child.queue);
                });
            }
            Awaited::Existing(keys) => keys.iter().for_each(|key| {
                call.arg(&key.0).arg("");
            }),
        }
        self.settle("put a job aside", "parked", claim, &call).await
    }

    /// Some fields of many jobs, in the same order; nothing for a job that is not there.
    pub(crate) async fn read_many(
        &self,
        keys: &[JobKey],
        names: &[&str],
    ) -> Result<Vec<RawFields>, Error> {
        let raw: Vec<_> = keys.iter().map(|key| key.0.clone()).collect();
        let found = self
            .keyspace()
            .ask_each::<Vec<Option<Vec<u8>>>>(&raw, |key| Cmd::hmget(key, names))
            .await?;
        let named = |values: Option<Vec<Option<Vec<u8>>>>| {
            let values = names.iter().zip(values.unwrap_or_default());
            values
                .filter_map(|(name, value)| Some((name.as_bytes().to_vec(), value?)))
                .collect()
        };
        Ok(found.into_iter().map(named).collect())
    }

    /// Lets the children of a held job that is to end expire; those that nobody has begun are not worked any more.
    ///
    /// Nothing happens to them if the job is somebody else's.
    pub(crate) async fn disown(
        &self,
        claim: &Claim,
        children: &[JobKey],
        lifetime: Duration,
    ) -> Result<(), Error> {
        for chunk in children.chunks(CHUNK) {
            let mut call = DISOWN.key(&claim.key.0);
            call.key(pending(&claim.key));
            call.arg(&claim.token)
                .arg(lifetime.as_secs().max(1))
                .arg(crate::job::timestamp());
            chunk.iter().for_each(|child| {
                call.arg(&child.0);
            });
            if self.persist::<u8>("let children go", &call).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Looks once for children that were finished by consumers which do not know of parents, and gives the parents woken.
    pub async fn sweep(&self) -> Result<Vec<JobKey>, Error> {
        let mut call = SWEEP.key(self.auxiliary("parked"));
        call.arg(millis(self.sweep_interval())).arg(SWEEP_LIMIT);
        let operation = "look for children that are final";
        let woken: RedisResult<Vec<Vec<u8>>> = self.inner.commands.attempt(operation, &call).await;
        let woken = woken.map_err(|cause| Error { operation, cause })?;
        Ok(woken.into_iter().map(JobKey).collect())
    }

    fn sweep_interval(&self) -> Duration {
        self.settings().lease / 3
    }

    /// Writes the hashes of children that nobody sees yet. False if the job is no longer held.
    async fn draft(
        &self,
        claim: &Claim,
        children: &[NewChild],
        keys: &[JobKey],
    ) -> Result<bool, Error> {
        for (children, keys) in children.chunks(CHUNK).zip(keys.chunks(CHUNK)) {
            let mut call = DRAFT.key(&claim.key.0);
            call.arg(&claim.token).arg(DRAFT_SECONDS);
            for (child, key) in children.iter().zip(keys) {
                call.key(&key.0).arg(child.fields.len() + 2);
                child.fields.iter().for_each(|(name, value)| {
                    call.arg(name).arg(value);
                });
                call.arg("parent")
                    .arg(&claim.key.0)
                    .arg(crate::job::CHILD_QUEUE)
                    .arg(&child.queue);
            }
            if self.persist::<u8>("write children", &call).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn pending(parent: &JobKey) -> Vec<u8> {
    [b"rc:pending:", parent.0.as_slice()].concat()
}

/// `<queue>:<name>:<32 hex digits>`, the same for the same parent. Lists of keys are joined by commas.
fn child_key(parent: &JobKey, child: &NewChild) -> JobKey {
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

    fn child(name: &str) -> NewChild {
        NewChild {
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
