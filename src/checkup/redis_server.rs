//! What `check` says of Redis: in the words of the server, with what to do about them.

use super::report::Report;
use crate::consumer::ModelRequirement;
use crate::queue::{MissingRight, Queue, QueueStats, ServerInfo};
use crate::submission::asked;

/// What to do about words of Redis that do not say it themselves.
const REMEDIES: [(&str, &str); 15] = [
    ("Parse error", "this is no Redis"),
    (
        "CLUSTERDOWN",
        "use a Redis that is not a cluster, or wait until this one is up",
    ),
    ("NOAUTH", "set REDIS_PASSWORD"),
    (
        "WRONGPASS",
        "compare REDIS_USERNAME and REDIS_PASSWORD with the users of Redis",
    ),
    (
        "without any password configured",
        "unset REDIS_PASSWORD, or give Redis a password",
    ),
    (
        "protected mode",
        "give Redis a password and set REDIS_PASSWORD, or disable its protected mode where only friends reach it",
    ),
    (
        "max number of clients",
        "raise maxclients of Redis, or run fewer consumers: each has three connections",
    ),
    (
        "LOADING",
        "wait until it has read its data; consumers do as well",
    ),
    ("READONLY", "name its master in REDIS_HOST, or a Sentinel"),
    ("MASTERDOWN", "name its master in REDIS_HOST, or a Sentinel"),
    ("OOM", "raise maxmemory of Redis, or delete old keys"),
    (
        "MISCONF",
        "look into the log of Redis: its disk may be full",
    ),
    (
        "NOREPLICAS",
        "start a replica, or lower min-replicas-to-write of Redis",
    ),
    ("BUSY", "end the script that keeps Redis busy"),
    (
        "NOPERM",
        "give the user this right (docs/security.md has all that are needed)",
    ),
];

/// Words of a server beyond this length are cut at the end of a sentence.
const LONG: usize = 160;

/// Looks at the server, the queue, and what the user may do.
pub(super) async fn look_at(queue: &Queue, report: &mut Report) {
    let addresses = addresses(queue);
    // Whoever may not count may be let in all the same; the rights say why.
    let stats = asked(queue.stats()).await;
    if let Err(error) = &stats
        && !error.contains("NOPERM")
    {
        return report.wrong("redis", format!("{addresses}: {}", explained(error, queue)));
    }
    match asked(queue.server_info()).await {
        Ok(info) => judge_server(&info, &addresses, report),
        Err(error) => {
            let text = format!("{addresses}: cannot be asked about itself: {error}");
            report.warn("redis", text);
        }
    }
    match stats {
        Ok(stats) => report_queue(queue.name(), &stats, report),
        Err(error) => report.wrong("queue", error),
    }
    match asked(queue.try_scripts()).await {
        Ok(()) => report.ok("scripts", "may be run"),
        Err(error) => report.wrong("scripts", explained(&error, queue)),
    }
    match asked(queue.missing_rights()).await {
        Ok(missing) if missing.is_empty() => {
            report.ok(
                "rights",
                "every command and every key of the queue may be used",
            );
        }
        Ok(missing) => report.wrong("rights", told(&missing, queue)),
        Err(error) => report.wrong("writes", explained(&error, queue)),
    }
}

/// Looks whether the cache of what models take may be used.
pub(super) async fn look_at_cache(queue: &Queue, needs: &[ModelRequirement], report: &mut Report) {
    let keys: Vec<_> = needs
        .iter()
        .map(|need| (need.model.to_string(), format!("{}:*", need.model.name)))
        .collect();
    let missing = queue.missing_keys(&keys).await;
    if !missing.is_empty() {
        let text = told(&missing, queue);
        let what = "without it each consumer asks the model server itself";
        report.warn("rights", format!("{text}; {what}"));
    }
}

fn addresses(queue: &Queue) -> String {
    let server = &queue.settings().server;
    let addresses: Vec<_> = server
        .addresses
        .iter()
        .map(|(host, port)| format!("{host}:{port}"))
        .collect();
    addresses.join(", ")
}

/// What Redis has said, and what to do about it.
fn explained(error: &str, queue: &Queue) -> String {
    let words = first_sentences(error);
    if error.to_lowercase().contains("crossslot") {
        let name = queue.name();
        return format!(
            "{words}; in a cluster the keys of a queue must lie together: use a Redis that is not one, or QUEUE={{{name}}} with the braces"
        );
    }
    let remedy = REMEDIES.iter().find(|(part, _)| error.contains(part));
    remedy.map_or_else(
        || words.to_owned(),
        |(_, remedy)| format!("{words}; {remedy}"),
    )
}

/// A text up to the end of the sentence that makes it long, without the full stop.
fn first_sentences(text: &str) -> &str {
    let end = text.char_indices().nth(LONG).and_then(|(at, _)| {
        let rest = text[at..].find(". ")?;
        Some(at + rest)
    });
    end.map_or(text, |end| &text[..end]).trim_end_matches('.')
}

/// Rights that are missing, with the command that gives them.
fn told(missing: &[MissingRight], queue: &Queue) -> String {
    let user = queue.settings().server.login.username.as_deref();
    let user = user.unwrap_or("default");
    let rules: Vec<_> = missing.iter().map(|right| right.rule.as_str()).collect();
    let answer = missing.first().map_or("", |right| &right.answer);
    let rules = rules.join(" ");
    format!("{answer}; give the user what is missing: ACL SETUSER {user} {rules}")
}

/// Whether this server takes writes and keeps jobs; `addresses` are those of the settings.
fn judge_server(info: &ServerInfo, addresses: &str, report: &mut Report) {
    let ServerInfo {
        version,
        role,
        address,
        master,
        is_cluster,
        ..
    } = info;
    let by = if address == addresses {
        String::new()
    } else {
        format!(", by way of {addresses}")
    };
    if role == "master" {
        let part = if *is_cluster { " in a cluster" } else { "" };
        report.ok("redis", format!("{address}{by}: {version}, master{part}"));
    } else {
        let master = master.as_deref().unwrap_or("not told");
        let text = format!(
            "{address} is a {role}, which takes no writes; name its master ({master}), or a Sentinel"
        );
        report.wrong("redis", text);
    }
    for warning in info.warnings() {
        report.warn("redis", warning);
    }
}

fn report_queue(name: &str, stats: &QueueStats, report: &mut Report) {
    let QueueStats {
        waiting,
        in_flight,
        delayed,
        parked,
        dead,
        ..
    } = stats;
    let text = format!(
        "`{name}`: {waiting} waiting, {in_flight} in flight, {delayed} delayed, {parked} parked, {dead} dead"
    );
    if *dead > 0 {
        report.warn("queue", text);
    } else {
        report.ok("queue", text);
    }
}
