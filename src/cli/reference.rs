//! `redis-consumer settings --reference`: every declared variable, as `docs/settings.md` has it.

use std::io::Write as _;

use crate::configuration::{Configuration, REMOVED_VARIABLES};
use crate::consumer::Registry;
use crate::ops;
use crate::settings::{Env, Field, Loader, NOT_SET, Owner};

const HEAD: &str = "\
# Settings

<!-- Made by `redis-consumer settings --reference`; a test compares. -->

All settings are environment variables. Empty values and placeholders (`NA`, `specify_me`, `change_me`, `overwrite_this`, \
`invalid_value`, `default-bucket`) mean \"not set\". Switches take `1 yes y true t on` and `0 no n false f off` in any case; \
one that is set but empty is off. Sizes take `K`, `M`, `G` (powers of 1000) and `Ki`, `Mi`, `Gi` (powers of 1024); times take \
fractions. `redis-consumer settings` shows what is in force and where it came from; `redis-consumer check` also tests Redis, \
the bucket and the models.

Variables that only libraries read are not listed, such as `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`, \
`OTEL_METRIC_EXPORT_INTERVAL` and `SSL_CERT_FILE`.
";

/// Prints all settings as Markdown.
pub(super) fn show(registry: &Registry) -> anyhow::Result<()> {
    Ok(write!(std::io::stdout().lock(), "{}", markdown(registry))?)
}

/// An owner of settings, and the kinds of consumer that have it.
struct Shared {
    owner: Owner,
    kinds: Vec<&'static str>,
}

fn markdown(registry: &Registry) -> String {
    let mut owners = owners_by_kinds(registry);
    let everywhere = registry.kinds().len();
    let title = |kinds: &[&str]| match kinds.len() {
        count if count == everywhere => "All consumers".to_owned(),
        _ => format!("Consumers of type {}", kinds.join(", ")),
    };
    // A stable sort: all consumers first, and within a section the order in which settings are read.
    owners.sort_by_key(|shared| (everywhere - shared.kinds.len(), shared.kinds.clone()));

    let mut text = format!(
        "{HEAD}\nOnly consumers before 0.5 read `{}`; these have no effect, and a warning names those that are set.\n",
        REMOVED_VARIABLES.join("`, `")
    );
    for section in owners.chunk_by(|one, next| one.kinds == next.kinds) {
        text += &format!("\n## {}\n", title(&section[0].kinds));
        text.extend(section.iter().map(|shared| table(&shared.owner)));
    }
    text += "\n## Commands, beside the settings of Redis, leases and Kubernetes above\n";
    let of_commands = owners_of_janitor().into_iter().filter(|owner| {
        owners
            .iter()
            .all(|shared| shared.owner.about != owner.about)
    });
    text.extend(of_commands.map(|owner| table(&owner)));
    #[cfg(feature = "dashboard")]
    text.extend(crate::dashboard::dashboard_settings().iter().map(table));
    text
}

fn owners_by_kinds(registry: &Registry) -> Vec<Shared> {
    let mut owners: Vec<Shared> = Vec::new();
    for kind in registry.kinds() {
        for owner in Configuration::owners(*kind) {
            match owners
                .iter_mut()
                .find(|known| known.owner.about == owner.about)
            {
                Some(known) => known.kinds.push(kind.name),
                None => owners.push(Shared {
                    owner,
                    kinds: vec![kind.name],
                }),
            }
        }
    }
    owners
}

fn owners_of_janitor() -> Vec<Owner> {
    let env = Env::default();
    let mut loader = Loader::new(&env);
    ops::JanitorSettings::load(&mut loader);
    loader.owners().to_vec()
}

fn table(owner: &Owner) -> String {
    let title = owner.about.trim_end_matches('.');
    let rows: String = owner.fields.iter().map(row).collect();
    format!("\n### {title}\n\n| variable | default | what it does |\n|---|---|---|\n{rows}")
}

fn row(field: &Field) -> String {
    let default = match (field.default_in_words, (field.default)()) {
        (Some(words), _) => words.to_owned(),
        (None, value) if value.is_empty() || value == NOT_SET => "not set".to_owned(),
        (None, value) => format!("`{value}`"),
    };
    let text = field.line().replace('|', "\\|");
    format!("| `{}` | {default} | {text} |\n", field.variable())
}
