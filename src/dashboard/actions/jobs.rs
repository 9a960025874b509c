//! Jobs: requeue, cancel, forget, bump.

use axum::response::Response;

use super::super::fault::Fault;
use super::super::shown::Link;
use super::super::visit::Visit;
use super::choice::Choice;
use super::confirmation::{Confirmation, Input, Outcome, Tally, ask_or_act, words};
use crate::figures::jobs;
use crate::queue::control::{Cancel, End, Scope, Selected, What};
use crate::queue::{self, Admin};
use crate::refusal::{Misuse, Refused};

/// `POST /act/requeue`
pub(in super::super) async fn requeue(visit: Visit) -> Response {
    let ask = async {
        let (choice, count) = count(&visit).await?;
        Ok(Confirmation {
            title: "Requeue".to_owned(),
            question: format!("Have {} worked once more?", jobs(count)),
            notes: vec![
                "Failed ones go to the end of their queues. Of archives and movies only the parts that failed are worked.".to_owned(),
            ],
            verb: "Requeue",
            words: command(&["requeue"], &choice),
            back: back(&choice),
            ..Confirmation::default()
        })
    };
    let act = do_requeue(visit.clone());
    ask_or_act(&visit, "/act/requeue", ask, act).await
}

async fn do_requeue(visit: Visit) -> Result<Outcome, Fault> {
    let (choice, admin) = (Choice::of(&visit.form)?, &visit.site.admin);
    let selected = choice.select(admin).await?;
    let mut tally = Tally::new("requeued");
    let how = (End::Back, Scope::Failed, What::FailedChildren);
    requeue_selected(admin, selected, (how, false), &mut tally).await?;
    visit
        .record("requeue", "", &tally.changes.summary())
        .await?;
    Ok(tally.outcome("Requeue", back(&choice)))
}

/// Requeues jobs in steps, or counts what would become of them.
pub(in super::super) async fn requeue_selected(
    admin: &Admin,
    mut selected: Selected,
    (how, is_dry): ((End, Scope, What), bool),
    tally: &mut Tally,
) -> Result<(), queue::Error> {
    if how.0 == End::Front {
        // Whoever comes last stands before all others.
        selected.0.reverse();
    }
    for (queue, keys) in selected.steps() {
        let ends = match is_dry {
            true => admin.would_requeue(&keys, how.1).await?,
            false => admin.requeue_jobs(queue, &keys, how).await?,
        };
        let ends = keys.iter().zip(ends);
        ends.for_each(|(key, end)| tally.count(key, end.obstacle()));
    }
    Ok(())
}

/// `POST /act/cancel`
pub(in super::super) async fn cancel(visit: Visit) -> Response {
    let ask = async {
        let choice = named(&visit)?;
        let count = choice.select(&visit.site.admin).await?.len();
        Ok(Confirmation {
            title: "Cancel".to_owned(),
            question: format!("End {}?", jobs(count)),
            notes: vec![
                "What waits fails at once, with its reason; what runs is ended by its worker within 5 s. Both can be requeued.".to_owned(),
                "Python consumers cannot be asked: what they work goes on.".to_owned(),
            ],
            inputs: vec![Input::text("because", "Why", "The reason of the jobs is to say so.")],
            verb: "Cancel the jobs",
            is_grave: true,
            words: command(&["cancel"], &choice),
            back: back(&choice),
        })
    };
    let act = do_cancel(visit.clone());
    ask_or_act(&visit, "/act/cancel", ask, act).await
}

async fn do_cancel(visit: Visit) -> Result<Outcome, Fault> {
    let (choice, admin) = (named(&visit)?, &visit.site.admin);
    let selected = choice.select(admin).await?;
    let because = visit.form.text("because").trim();
    let by = Cancel::by(&visit.user.name, because);
    let mut tally = Tally::new("cancelled");
    cancel_selected(admin, &selected, (&by, false), &mut tally).await?;
    visit
        .record("cancel", because, &tally.changes.summary())
        .await?;
    Ok(tally.outcome("Cancel", back(&choice)))
}

/// Ends jobs in steps, or counts what would become of them.
pub(in super::super) async fn cancel_selected(
    admin: &Admin,
    selected: &Selected,
    (by, is_dry): (&str, bool),
    tally: &mut Tally,
) -> Result<(), queue::Error> {
    for (queue, keys) in selected.steps() {
        let ends = match is_dry {
            true => admin.would_cancel(&keys).await?,
            false => admin.cancel_jobs(queue, &keys, by).await?,
        };
        let ends = keys.iter().zip(ends);
        ends.for_each(|(key, end)| tally.count(key, end.obstacle()));
    }
    Ok(())
}

/// `POST /act/forget`
pub(in super::super) async fn forget(visit: Visit) -> Response {
    let ask = async {
        let (choice, count) = count(&visit).await?;
        Ok(Confirmation {
            title: "Forget failures".to_owned(),
            question: format!("Take {} off the list of failures?", jobs(count)),
            notes: vec![
                "They stay failed, with their reasons, and expire as they would have.".to_owned(),
            ],
            verb: "Forget",
            words: command(&["failed", "--forget"], &choice),
            back: back(&choice),
            ..Confirmation::default()
        })
    };
    let act = do_forget(visit.clone());
    ask_or_act(&visit, "/act/forget", ask, act).await
}

async fn do_forget(visit: Visit) -> Result<Outcome, Fault> {
    let (choice, admin) = (Choice::of(&visit.form)?, &visit.site.admin);
    let selected = choice.select(admin).await?;
    let mut tally = Tally::new("forgotten");
    for (queue, keys) in selected.steps() {
        admin.forget_failures(queue, &keys).await?;
        keys.iter().for_each(|key| tally.count(key, None));
    }
    visit
        .record("failed --forget", "", &tally.changes.summary())
        .await?;
    Ok(tally.outcome("Forget failures", back(&choice)))
}

/// `POST /act/bump`
pub(in super::super) async fn bump(visit: Visit) -> Response {
    let ask = async {
        let choice = named(&visit)?;
        let selected = choice.select(&visit.site.admin).await?;
        let queues = selected.0.iter().map(|(queue, _)| queue.as_str());
        let queue = queues.map(|queue| Link::to_queue(queue).name).next();
        Ok(Confirmation {
            title: "Put first".to_owned(),
            question: format!(
                "Put this job before all others of {}?",
                queue.unwrap_or_default()
            ),
            verb: "Put first",
            words: choice.only_job().map_or_else(Vec::new, |job| {
                let first = words(["job", "bump"]);
                first.into_iter().chain([job.0.clone()]).collect()
            }),
            back: back(&choice),
            ..Confirmation::default()
        })
    };
    let act = do_bump(visit.clone());
    ask_or_act(&visit, "/act/bump", ask, act).await
}

async fn do_bump(visit: Visit) -> Result<Outcome, Fault> {
    let (choice, admin) = (named(&visit)?, &visit.site.admin);
    let selected = choice.select(admin).await?;
    for (queue, key) in &selected.0 {
        if !admin.bump(queue, key).await? {
            let queue = Link::to_queue(queue).name;
            return Err(Refused(format!("the job does not wait in {queue}")).into());
        }
        visit.record("job bump", &key.as_text(), "").await?;
    }
    Ok(Outcome {
        title: "Put first".to_owned(),
        text: "It is the next one of its queue.".to_owned(),
        back: back(&choice),
        ..Outcome::default()
    })
}

/// What a form is about, and how many jobs that are now.
async fn count(visit: &Visit) -> Result<(Choice, usize), Fault> {
    let choice = Choice::of(&visit.form)?;
    let count = choice.select(&visit.site.admin).await?.len();
    Ok((choice, count))
}

/// What a form is about that has to name jobs.
fn named(visit: &Visit) -> Result<Choice, Misuse> {
    let choice = Choice::of(&visit.form)?;
    match choice.names_jobs() {
        true => Ok(choice),
        false => Err(Misuse("no job is chosen".to_owned())),
    }
}

fn command(verb: &[&str], choice: &Choice) -> Vec<Vec<u8>> {
    let verb = words(verb.iter().copied()).into_iter();
    verb.chain(choice.words()).chain(words(["--yes"])).collect()
}

/// Where the button was.
fn back(choice: &Choice) -> Link {
    match (choice.only_job(), choice.batch()) {
        (Some(job), _) => Link::to_job(job),
        (None, Some(batch)) => Link::to_batch(batch),
        (None, None) => Link {
            name: "Failed".to_owned(),
            path: "/failed".to_owned(),
        },
    }
}
