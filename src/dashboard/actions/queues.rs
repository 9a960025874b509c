//! Whole queues: pause, resume, purge, untrash, move.

use axum::extract::Path;
use axum::response::Response;
use regex::bytes::Regex;

use super::super::fault::Fault;
use super::super::shown::Link;
use super::super::visit::Visit;
use super::confirmation::{Confirmation, Input, Kind, Outcome, ask_or_act, words};
use crate::figures::{Span, counted, grouped};
use crate::queue::control::Pause;
use crate::refusal::{Misuse, Refused};
use crate::selection::move_wanted;
use crate::untrusted;

/// `POST /queues/Q/pause`
pub(in super::super) async fn pause(visit: Visit, Path(queue): Path<String>) -> Response {
    let path = path(&queue, "pause");
    let ask = async {
        let waiting = known_length(&visit, &queue).await?;
        Ok(Confirmation {
            title: format!("Pause {}", untrusted::name(&queue)),
            question: format!(
                "Have workers take no new jobs from {}? {} waiting.",
                untrusted::name(&queue),
                counted(waiting, "job")
            ),
            notes: vec![
                "Workers finish what they have. Python consumers know no pauses and go on."
                    .to_owned(),
                "An autoscaler still sees the length of the queue.".to_owned(),
            ],
            inputs: vec![
                Input::text(
                    "reason",
                    "Why",
                    "Others see it on this page and in `status`.",
                ),
                Input::text(
                    "for",
                    "For how long",
                    "Such as 30m or 2h; without it, until somebody resumes it.",
                ),
            ],
            verb: "Pause",
            words: words(["queue", "pause", &queue]),
            back: Link::to_queue(&queue),
            ..Confirmation::default()
        })
    };
    let text = |name: &str| visit.form.text(name).to_owned();
    let act = do_pause(visit.clone(), queue.clone(), (text("for"), text("reason")));
    ask_or_act(&visit, &path, ask, act).await
}

/// Pauses a queue, for so long if that is not empty, and says why.
pub(in super::super) async fn do_pause(
    visit: Visit,
    queue: String,
    (limit, why): (String, String),
) -> Result<Outcome, Fault> {
    known_length(&visit, &queue).await?;
    let limit = match limit.as_str() {
        "" => None,
        limit => Some(limit.parse::<Span>().map_err(Misuse)?),
    };
    let pause = Pause::now(&visit.user.name, &why);
    let admin = &visit.site.admin;
    admin
        .pause(&queue, &pause, limit.map(|Span(time)| time))
        .await?;
    visit.record("queue pause", &queue, &why).await?;
    Ok(outcome(&queue, "is paused"))
}

/// `POST /queues/Q/resume`
pub(in super::super) async fn resume(visit: Visit, Path(queue): Path<String>) -> Response {
    let path = path(&queue, "resume");
    let ask = async {
        let waiting = visit.site.admin.length(&queue).await?;
        Ok(Confirmation {
            title: format!("Resume {}", untrusted::name(&queue)),
            question: format!(
                "Let workers take jobs from {} again? {} waiting.",
                untrusted::name(&queue),
                counted(waiting, "job")
            ),
            verb: "Resume",
            words: words(["queue", "resume", &queue]),
            back: Link::to_queue(&queue),
            ..Confirmation::default()
        })
    };
    let act = do_resume(visit.clone(), queue.clone());
    ask_or_act(&visit, &path, ask, act).await
}

/// Ends a pause.
pub(in super::super) async fn do_resume(visit: Visit, queue: String) -> Result<Outcome, Fault> {
    if !visit.site.admin.resume(&queue).await? {
        return Ok(outcome(&queue, "was not paused"));
    }
    visit.record("queue resume", &queue, "").await?;
    Ok(outcome(&queue, "goes on"))
}

/// `POST /queues/Q/purge`
pub(in super::super) async fn purge(visit: Visit, Path(queue): Path<String>) -> Response {
    let path = path(&queue, "purge");
    let ask = async {
        let waiting = visit.site.admin.length(&queue).await?;
        let name = untrusted::name(&queue);
        Ok(Confirmation {
            title: format!("Purge {name}"),
            question: format!("Take {} out of {name}?", counted(waiting, "waiting job")),
            notes: vec![
                "For a day they can be put back; then they are removed for good. What runs goes on.".to_owned(),
                "Batches with items there are paused, and the items are fed once more when they are resumed.".to_owned(),
            ],
            inputs: vec![
                Input::text("name", "The name of the queue", "Type it, so that it is the right one.").of(Kind::Needed),
            ],
            verb: "Purge",
            is_grave: true,
            words: words(["queue", "purge", &queue, "--yes"]),
            back: Link::to_queue(&queue),
        })
    };
    let act = do_purge_named(visit.clone(), queue.clone());
    ask_or_act(&visit, &path, ask, act).await
}

async fn do_purge_named(visit: Visit, queue: String) -> Result<Outcome, Fault> {
    if visit.form.text("name") != queue {
        let text = format!(
            "the name that was typed is not {}: nothing was purged",
            untrusted::name(&queue)
        );
        return Err(Misuse(text).into());
    }
    do_purge(visit, queue).await
}

/// Takes out what waits.
pub(in super::super) async fn do_purge(visit: Visit, queue: String) -> Result<Outcome, Fault> {
    let Some(purged) = visit.site.admin.purge_queue(&queue).await? else {
        return Ok(outcome(&queue, "had nothing that waits"));
    };
    let text = purged.summary();
    visit.record("queue purge", &queue, &text).await?;
    let batches = purged.batches.iter();
    let paused = batches.map(|name| format!("Batch {} is paused.", untrusted::name(name)));
    Ok(Outcome {
        text,
        notes: paused.collect(),
        ..outcome(&queue, "")
    })
}

/// `POST /queues/Q/untrash`
pub(in super::super) async fn untrash(visit: Visit, Path(queue): Path<String>) -> Response {
    let path = path(&queue, "untrash");
    let ask = async {
        let trash = visit.site.admin.trash().await?;
        let of_queue = trash.iter().filter(|trash| trash.queue == queue);
        let jobs = counted(of_queue.map(|trash| trash.entries).sum(), "job");
        let name = untrusted::name(&queue);
        Ok(Confirmation {
            title: format!("Put jobs back in {name}"),
            question: format!("Put {jobs} back in {name}, before all that waits now?"),
            verb: "Put back",
            words: words(["queue", "untrash", &queue]),
            back: Link::to_queue(&queue),
            ..Confirmation::default()
        })
    };
    let act = do_untrash(visit.clone(), queue.clone());
    ask_or_act(&visit, &path, ask, act).await
}

/// Puts back what was purged.
pub(in super::super) async fn do_untrash(visit: Visit, queue: String) -> Result<Outcome, Fault> {
    let moved = visit.site.admin.untrash_queue(&queue).await?;
    if moved == 0 {
        return Ok(outcome(&queue, "has had nothing purged within a day"));
    }
    let text = format!(
        "{} jobs are back in {}",
        grouped(moved),
        untrusted::name(&queue)
    );
    visit.record("queue untrash", &queue, &text).await?;
    Ok(Outcome {
        text,
        ..outcome(&queue, "")
    })
}

/// `POST /queues/Q/move`
pub(in super::super) async fn move_jobs(visit: Visit, Path(queue): Path<String>) -> Response {
    let path = path(&queue, "move");
    let ask = async {
        let waiting = visit.site.admin.length(&queue).await?;
        let name = untrusted::name(&queue);
        Ok(Confirmation {
            title: format!("Move jobs of {name}"),
            question: format!("Move {} of {name} to another queue?", counted(waiting, "waiting job")),
            notes: vec!["They keep their order, behind what waits there. New ones that come in meanwhile come along.".to_owned()],
            inputs: vec![
                Input::text("to", "To the queue", "Its name.").of(Kind::Needed),
                Input::text("force", "Even if workers of another type serve it", "They may not be able to work these jobs.").of(Kind::Box),
            ],
            verb: "Move",
            words: words(["queue", "move", &queue, "OTHER", "--yes"]),
            back: Link::to_queue(&queue),
            ..Confirmation::default()
        })
    };
    let to = visit.form.text("to").trim().to_owned();
    let is_forced = visit.form.has("force");
    let act = do_move(visit.clone(), (queue.clone(), to), (Vec::new(), is_forced));
    ask_or_act(&visit, &path, ask, act).await
}

/// Moves what waits, all or those of which fields match.
pub(in super::super) async fn do_move(
    visit: Visit,
    (from, to): (String, String),
    (wanted, is_forced): (Vec<(String, Regex)>, bool),
) -> Result<Outcome, Fault> {
    let admin = &visit.site.admin;
    if to.is_empty() || to == from {
        let text = "name another queue to move the jobs to".to_owned();
        return Err(Misuse(text).into());
    }
    if !is_forced && let Some([one, other]) = admin.types_that_differ([&from, &to]).await? {
        let text = format!("{from} is served by {one} consumers, {to} by {other}");
        return Err(Refused(text).into());
    }
    let moved = move_wanted(admin, (&from, &to), &wanted).await?;
    let [shown_from, shown_to] = [&from, &to].map(untrusted::name);
    let text = format!(
        "{} jobs moved from {shown_from} to {shown_to}",
        grouped(moved)
    );
    visit.record("queue move", &from, &text).await?;
    Ok(Outcome {
        text,
        ..outcome(&from, "")
    })
}

fn path(queue: &str, action: &str) -> String {
    format!("{}/{action}", Link::to_queue(queue).path)
}

fn outcome(queue: &str, text: &str) -> Outcome {
    let link = Link::to_queue(queue);
    Outcome {
        title: format!("Queue {}", link.name),
        text: format!("{} {text}", link.name),
        back: link,
        ..Outcome::default()
    }
}

/// How many jobs wait in a queue; refuses the name of one that nobody knows.
async fn known_length(visit: &Visit, queue: &str) -> Result<u64, Fault> {
    let admin = &visit.site.admin;
    let (survey, length) = futures::try_join!(admin.survey(), admin.length(queue))?;
    match survey.queues.contains(queue) || length > 0 {
        true => Ok(length),
        false => Err(Fault::Absent(format!(
            "no queue `{}` is known here",
            untrusted::name(queue)
        ))),
    }
}
