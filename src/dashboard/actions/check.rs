//! What a worker needs, tried.

use std::time::Duration;

use axum::response::Response;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::super::fault::Fault;
use super::super::shown::{Link, message};
use super::super::visit::Visit;
use super::confirmation::{Confirmation, Outcome, ask_or_act, words};
use crate::checkup::check_up;
use crate::consumer::Verdict;
use crate::refusal::Refused;
use crate::settings::Env;

/// How long all questions together may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// `POST /system/check`
pub(in super::super) async fn check(visit: Visit) -> Response {
    let ask = async {
        Ok(Confirmation {
            title: "Check".to_owned(),
            question: "Try what a worker with the settings of this page needs?".to_owned(),
            notes: vec![
                "It writes a small file to the bucket and reads it, asks the model server, and tries the scripts and rights of Redis.".to_owned(),
                "Settings that only workers have (QUEUE, CONSUMER_TYPE, TF_HOST and others) are the usual ones here, unless this page has them, too.".to_owned(),
            ],
            verb: "Check",
            words: words(["check"]),
            back: back(),
            ..Confirmation::default()
        })
    };
    ask_or_act(&visit, "/system/check", ask, do_check(visit.clone())).await
}

async fn do_check(visit: Visit) -> Result<Outcome, Fault> {
    let registry = visit.site.registry.clone();
    // Consumers are not made to be handed from thread to thread while they are tried.
    let tried = spawn_blocking(move || {
        let env = Env::from_process();
        Handle::current().block_on(timeout(PATIENCE, check_up(&registry, &env)))
    });
    let slow = |_| Refused("the peers have not answered within two minutes".to_owned());
    let (report, _) = tried.await?.map_err(slow)?;
    let rows = report.0.iter().map(|checked| {
        let verdict = checked.verdict.word().to_owned();
        [verdict, message(&checked.part), message(&checked.text)]
    });
    Ok(Outcome {
        title: "Check".to_owned(),
        text: match (report.count(Verdict::Wrong), report.count(Verdict::Warning)) {
            (0, 0) => "All checks passed.".to_owned(),
            (0, warnings) => format!("Jobs can be processed; warnings: {warnings}."),
            (wrong, _) => format!("Jobs will wait or fail; problems: {wrong}."),
        },
        rows: rows.collect(),
        back: back(),
        ..Outcome::default()
    })
}

fn back() -> Link {
    Link {
        name: "System".to_owned(),
        path: "/system".to_owned(),
    }
}
