//! The reference of all settings, as `docs/settings.md` has it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use crate::consumer::Registry;
use crate::daemon;
use crate::ops::JanitorSettings;
use crate::settings::{Entry, Env, Origin, Reader};

/// Defaults that the machine decides.
const OF_THE_MACHINE: [(&str, &str); 2] = [
    ("CONCURRENCY", "number of cores, 4 at most"),
    ("MEMORY_BUDGET", "80 % of the container's limit"),
];

/// What has to be set for all other settings to show.
const SHOWING: [(&str, &str); 4] = [
    ("STORAGE_BUCKET", "s3://bucket"),
    ("POD_DELETION_COST", "true"),
    ("KUBERNETES_API", "http://127.0.0.1:8001"),
    ("POD_NAMESPACE", "default"),
];

const HEAD: &str = "\
# Settings

<!-- Made by `redis-consumer settings --reference`; a test compares. -->

All settings are environment variables. Empty values and placeholders (`NA`, `specify_me`, `change_me`, `overwrite_this`, \
`invalid_value`, `default-bucket`) mean \"not set\". Switches take `1 yes y true t on` and `0 no n false f off` in any case. \
Sizes take `K`, `M`, `G` (powers of 1000) and `Ki`, `Mi`, `Gi` (of 1024). `redis-consumer settings` shows what is in force \
and where it came from; `redis-consumer check` also asks the peers.

Beside what is listed: where `STORAGE_BUCKET` is not set, `CLOUD_PROVIDER` (`aws` or `gke`) with `AWS_S3_BUCKET`, `GKE_BUCKET` \
or `GCLOUD_STORAGE_BUCKET` names the bucket; `AWS_DEFAULT_REGION` counts where `AWS_REGION` is not set, and `DEBUG` (`true` or \
`false`) where `LOG_LEVEL` is not; uploads to Google ask for `publicRead` unless `STORAGE_ACL` says otherwise. Variables that only \
consumers before 0.5 read have no effect; a warning says so.

";

/// All settings as Markdown.
///
/// # Errors
///
/// Only a kind of consumer whose defaults are wrong.
pub(super) fn markdown(registry: &Registry) -> anyhow::Result<String> {
    let mut shown: Vec<(Entry, Vec<&'static str>)> = Vec::new();
    for kind in registry.kinds() {
        let env: Env = SHOWING
            .into_iter()
            .chain([("CONSUMER_TYPE", kind.name)])
            .collect();
        for entry in daemon::configure(registry, &env)?.entries {
            match shown.iter_mut().find(|(known, _)| known.name == entry.name) {
                Some((_, kinds)) => kinds.push(kind.name),
                None => shown.push((entry, vec![kind.name])),
            }
        }
    }
    let all = registry.kinds().len();
    let (common, own): (Vec<_>, Vec<_>) =
        shown.into_iter().partition(|(_, kinds)| kinds.len() == all);
    let mut by_kinds: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for (entry, kinds) in own {
        by_kinds.entry(kinds.join(", ")).or_default().push(entry);
    }
    let mut text = HEAD.to_owned();
    let names: HashSet<_> = common
        .iter()
        .map(|(entry, _)| (entry.name, entry.doc))
        .collect();
    section(
        &mut text,
        "All consumers",
        common.into_iter().map(|(entry, _)| entry),
    );
    for (kinds, entries) in by_kinds {
        section(&mut text, &format!("Consumers of type {kinds}"), entries);
    }
    let env = Env::default();
    let mut reader = Reader::new(&env);
    JanitorSettings::load(&mut reader);
    let own = reader
        .finish()?
        .0
        .into_iter()
        .filter(|entry| !names.contains(&(entry.name, entry.doc)));
    section(
        &mut text,
        "`redis-consumer janitor`, beside those of Redis, Kubernetes and leases above",
        own,
    );
    Ok(text.trim_end().to_owned() + "\n")
}

fn section(text: &mut String, title: &str, entries: impl IntoIterator<Item = Entry>) {
    let mut rows = String::new();
    for Entry {
        name,
        value,
        origin,
        doc,
    } in entries
    {
        let of_the_machine = OF_THE_MACHINE
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, default)| *default);
        let default = match (of_the_machine, origin, value.as_str()) {
            (Some(default), ..) => default.to_owned(),
            (None, Origin::Variable(_), _) if name == "STORAGE_BUCKET" => "must be set".to_owned(),
            (None, Origin::Variable(_), _) if name == "CONSUMER_TYPE" => "`image`".to_owned(),
            (None, Origin::Variable(_), "true") => "`false`".to_owned(),
            (None, Origin::Variable(_), _) | (None, Origin::Default, "(not set)" | "") => {
                "not set".to_owned()
            }
            (None, Origin::Default, value) => format!("`{value}`"),
        };
        // A string takes all that is written.
        let _ = writeln!(
            rows,
            "| `{name}` | {default} | {} |",
            doc.replace('|', "\\|").replace('<', "&lt;")
        );
    }
    let _ = writeln!(
        text,
        "## {title}\n\n| variable | default | what it does |\n|---|---|---|\n{rows}"
    );
}
