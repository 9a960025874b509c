//! Whether the invariants of the queue hold over a whole Redis, and what to do where they do not.
//!
//! Nothing is locked: jobs move while they are looked at. So a finding counts only if a second look, a moment later, finds
//! it again and the job untouched, and every repair asks once more, in the same step in which it repairs. Nothing is kept
//! whole either: keys and lists are read in slices, and of an entry only a fingerprint is remembered.

mod fields;
mod inspection;
mod judgment;
mod looks;
mod places;
mod repair;
mod second_look;
mod suspects;

use std::fmt::{self, Display};

use super::admin::Admin;
use super::error::Error;
use crate::wire::JobKey;

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// A job that is not final is in a queue, in a processing list, delayed or parked.
    Kept,
    /// Who may write to a job also has it in a list.
    OneOwner,
    /// A job that is final is not claimed.
    Final,
    /// Done, failed and pending children are all children.
    Children,
    /// A lease that has expired is reclaimed.
    Leases,
    /// What is over is in no list and no set.
    Clean,
}

impl Invariant {
    /// Its number in the documents.
    pub fn number(self) -> &'static str {
        match self {
            Self::Kept => "I1",
            Self::OneOwner => "I2",
            Self::Final => "I3",
            Self::Children => "I4",
            Self::Leases => "I5",
            Self::Clean => "I6",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// What does not hold.
    pub invariant: Invariant,
    /// The job it is about.
    pub job: JobKey,
    /// What was found, for an operator.
    pub what: String,
    remedy: Remedy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Remedy {
    /// Queue the job, unless it was written to since this time stamp.
    Queue { queue: String, updated_at: Vec<u8> },
    /// Take the claim off the job.
    ClearToken,
    /// Take the job out of this list or set.
    Remove(Vec<u8>),
    /// Reclaim the expired leases of this queue.
    Reclaim(String),
    /// A person has to decide.
    None,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.invariant.number(), self.job, self.what)
    }
}

impl Finding {
    fn new(invariant: Invariant, job: &[u8], what: impl Into<String>, remedy: Remedy) -> Self {
        Self {
            invariant,
            job: JobKey(job.to_vec()),
            what: what.into(),
            remedy,
        }
    }

    fn left_over(job: &[u8], place: &[u8]) -> Self {
        let what = format!("is over and still in `{}`", lossy(place));
        Self::new(Invariant::Clean, job, what, Remedy::Remove(place.to_vec()))
    }

    fn overlooked(job: &[u8], queue: String) -> Self {
        let what = "has a lease that expired more than a minute ago";
        Self::new(Invariant::Leases, job, what, Remedy::Reclaim(queue))
    }
}

impl Admin {
    /// Looks over everything, and gives what two looks agree on. Waits until Redis answers.
    pub async fn check(&self) -> Result<Vec<Finding>, Error> {
        let mut all = Vec::new();
        self.inspect(async |findings| {
            all.extend(findings);
            Ok::<_, Error>(0)
        })
        .await?;
        Ok(all)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
