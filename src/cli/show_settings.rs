//! `redis-consumer settings`: every setting in force and where it came from.

use std::io::Write as _;

use crate::configuration::Configuration;
use crate::consumer::Registry;
use crate::settings::{Env, Loaded, Origin, Setting};

/// The column of values is not wider; a longer value moves what is behind it.
const WIDEST_VALUE: usize = 40;

/// Prints one line a setting: name, value, origin, text; then the warnings.
pub(super) fn show(registry: &Registry) -> anyhow::Result<()> {
    let Loaded { settings, warnings } = Configuration::load(registry, &Env::from_process())?.loaded;
    let names = width(settings.iter().map(|setting| setting.name.as_str()));
    let values = width(settings.iter().map(|setting| setting.value.as_str())).min(WIDEST_VALUE);
    let mut out = std::io::stdout().lock();
    for setting in &settings {
        let Setting {
            name, value, text, ..
        } = setting;
        let origin = origin(setting);
        writeln!(out, "{name:names$}  {value:values$}  {origin:12}  {text}")?;
    }
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

fn width<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn origin(setting: &Setting) -> String {
    match &setting.origin {
        Origin::Default => "default".to_owned(),
        Origin::Variable(name) if *name == setting.name => "environment".to_owned(),
        Origin::Variable(name) => format!("from {name}"),
    }
}
