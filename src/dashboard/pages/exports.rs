//! Queues and failures as files of JSON lines, as commands write them.

use axum::extract::Path;
use axum::response::Response;

use super::super::download::{Parts, download};
use super::super::fault::Fault;
use super::super::visit::Visit;
use crate::queue::Admin;
use crate::queue::control::{EVER, STEP, SavedJob, SavedPlace, save_head};
use crate::refusal::Misuse;
use crate::untrusted;

/// JSON, one object a line.
const LINES: &str = "application/jsonl";

/// `GET /queues/Q/save`: what `queue save` writes.
pub(in super::super) async fn save(visit: Visit, Path(queue): Path<String>) -> Response {
    match check(&visit, &queue).await {
        Ok(places) => {
            let (admin, name) = (visit.site.admin.clone(), format!("{queue}.jsonl"));
            download(&name, LINES, |parts| saved(admin, queue, places, parts))
        }
        Err(fault) => fault.answer(&visit.site, &visit.user),
    }
}

/// The places whose jobs are wanted, of a queue that somebody has heard of.
async fn check(visit: &Visit, queue: &str) -> Result<Vec<SavedPlace>, Fault> {
    let admin = &visit.site.admin;
    let (survey, length) = futures::try_join!(admin.survey(), admin.length(queue))?;
    if !survey.queues.contains(queue) && length == 0 {
        let queue = untrusted::name(queue);
        return Err(Fault::Absent(format!("no queue `{queue}` is known here")));
    }
    let mut places = vec![SavedPlace::Waiting];
    for word in visit.form.all("with").flat_map(|it| it.split(',')) {
        let place = serde_json::from_value(word.into());
        let wrong = |_| Misuse("`with` has to be failed, delayed or parked".to_owned());
        places.push(place.map_err(wrong)?);
    }
    Ok(places)
}

async fn saved(
    admin: Admin,
    queue: String,
    places: Vec<SavedPlace>,
    parts: Parts,
) -> anyhow::Result<()> {
    parts.send_lines(&[save_head(&queue)]).await?;
    for place in places {
        let mut offset = 0;
        loop {
            let (jobs, looked) = admin.jobs_to_save(&queue, place, offset).await?;
            if looked == 0 {
                break;
            }
            offset += looked;
            let lines: Vec<_> = jobs.iter().map(SavedJob::to_json).collect();
            parts.send_lines(&lines).await?;
        }
    }
    Ok(())
}

/// `GET /failed.jsonl`: what `failed --json` prints.
pub(in super::super) async fn failures(visit: Visit) -> Response {
    let queues = match visit.form.given("queue") {
        Some(queue) => Ok(vec![queue.to_owned()]),
        None => visit.site.admin.known_queues(false).await,
    };
    match queues {
        Ok(queues) => {
            let (admin, cause) = (visit.site.admin.clone(), visit.form.text("why").to_owned());
            download("failed.jsonl", LINES, |parts| {
                failed(admin, queues, cause, parts)
            })
        }
        Err(error) => Fault::from(error).answer(&visit.site, &visit.user),
    }
}

async fn failed(
    admin: Admin,
    queues: Vec<String>,
    cause: String,
    parts: Parts,
) -> anyhow::Result<()> {
    for queue in &queues {
        let mut offset = 0;
        loop {
            let (found, looked) = admin.failures(queue, EVER, (offset, STEP)).await?;
            let meant = found.iter().filter(|failure| failure.is_of(&cause));
            let lines: Vec<_> = meant.map(|failure| failure.to_json(queue)).collect();
            parts.send_lines(&lines).await?;
            offset += looked;
            if looked < STEP {
                break;
            }
        }
    }
    Ok(())
}
