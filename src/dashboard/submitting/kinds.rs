//! What job types there are, and what each does.

use super::super::api::known_types;
use super::super::site::Site;
use crate::consumer::{ConsumerKind, Registry};
use crate::queue;
use crate::refusal::Misuse;
use crate::untrusted;

/// The job types, and which one is meant: the one that is asked for, else the first.
pub(super) async fn chosen(site: &Site, asked: &str) -> anyhow::Result<(Vec<String>, String)> {
    let types = known_types(site).await?;
    let first = types.first().ok_or_else(|| Misuse(NO_TYPES.to_owned()))?;
    let chosen = match asked {
        "" => first.clone(),
        asked if types.iter().any(|known| known == asked) => asked.to_owned(),
        asked => {
            return Err(Misuse(format!(
                "the job type `{}` is not known; known are: {}",
                untrusted::name(asked),
                types.join(", ")
            ))
            .into());
        }
    };
    Ok((types, chosen))
}

/// What works a queue: what its workers say, else a type that is called like it.
pub(super) async fn kind_of(
    site: &Site,
    queue: &str,
) -> Result<Option<ConsumerKind>, queue::Error> {
    let workers = site.admin.workers(queue).await?;
    let said = workers.iter().find_map(|it| it.card.get("type").cloned());
    Ok(Registry::builtin().find(said.as_deref().unwrap_or(queue)))
}

const NO_TYPES: &str = "no job type is known: no consumer runs, and JOB_TYPES is not set. The files stay in the bucket; load this \
    page again when there is a consumer";
