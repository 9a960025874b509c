//! What is wanted of plans beyond what stands in them.

use batch_plan::Choice;
use clap::Args;

/// What is wanted of plans beyond what stands in them.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// A value of the plan, in place of the one that stands there.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "plans", value_parser = parse_value)]
    pub(crate) values: Vec<(String, String)>,
    /// Only so many items of the first stage, and what follows from them: a batch of its own, called NAME.sample.
    #[arg(long, value_name = "N", conflicts_with = "sample_group")]
    sample: Option<u64>,
    /// The same with the members of this group.
    #[arg(long, value_name = "ID")]
    sample_group: Option<String>,
    /// Let a sample write where the whole batch would.
    #[arg(long)]
    pub(super) into_real_outputs: bool,
    /// Leave out the rules of `verify`.
    #[arg(long, requires = "plans")]
    pub(super) skip_verify: bool,
}

impl Wanted {
    pub(crate) fn is_sample(&self) -> bool {
        self.sample.is_some() || self.sample_group.is_some()
    }

    pub(crate) fn choice(&self) -> Option<Choice> {
        let group = self.sample_group.clone().map(Choice::Group);
        group.or(self.sample.map(Choice::Count))
    }
}

fn parse_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
