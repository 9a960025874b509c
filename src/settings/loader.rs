//! From the environment to the settings of all owners, with account of values, warnings and mistakes.

use std::fmt::{self, Display};

use super::env::Env;
use super::field::{Field, Owner};
use super::password::has_password;
use super::value::{Value, from_text};

/// What is wrong with a variable that would show a secret. It is not repeated.
const PASSWORD: &str = "contains a user, a password or a signature, which do not belong in an address: leave them out, and \
    set the variable that is meant for them";

/// Settings that one owner has declared with [`settings!`](crate::settings!).
pub trait Declared: Sized {
    /// What the settings are about: the doc comment of the struct.
    const ABOUT: &'static str;

    /// Every variable, in the order of the declaration.
    const FIELDS: &'static [Field];

    /// Takes the values of all variables from the loader; [`Loader::load`] calls this.
    fn read(loader: &mut Loader<'_>) -> Self;
}

/// Where a value in force came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The variable of this name.
    Variable(String),
    /// Nothing was set.
    Default,
}

/// One setting in force, as `redis-consumer settings` shows it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The variable that sets it.
    pub name: String,
    /// The value, masked if it is a secret.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// Unit and effect.
    pub text: &'static str,
}

impl Setting {
    /// Whether the variable itself is set.
    pub(crate) fn is_set(&self) -> bool {
        matches!(&self.origin, Origin::Variable(name) if *name == self.name)
    }
}

/// One variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Problem {
    /// The variable (or the variables, with commas between) at fault.
    pub name: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that is wrong with the environment.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrong settings:")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// What a loader has found if nothing is wrong.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every setting, in the order in which they were read.
    pub settings: Vec<Setting>,
    /// What the operator should know though the program can go on.
    pub warnings: Vec<String>,
}

/// Loads settings out of an [`Env`] and keeps account of values, warnings and mistakes.
pub struct Loader<'e> {
    env: &'e Env,
    owners: Vec<Owner>,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl<'e> Loader<'e> {
    /// A loader from this environment.
    pub fn new(env: &'e Env) -> Self {
        Self {
            env,
            owners: Vec::new(),
            settings: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The settings of one owner. A variable that cannot be used is reported, and its default stands in.
    pub fn load<T: Declared>(&mut self) -> T {
        self.owners.push(Owner {
            about: T::ABOUT.trim_ascii(),
            fields: T::FIELDS,
        });
        T::read(self)
    }

    /// The value of a field that [`settings!`](crate::settings!) has declared.
    #[doc(hidden)]
    pub fn value<T: Value>(
        &mut self,
        field: Option<&'static Field>,
        default: impl FnOnce() -> T,
    ) -> T {
        let Some(field) = field else { return default() };
        let name = field.variable();
        let found = match self.env.get(&name) {
            Some(text) => self.parse(&name, text),
            None if self.env.contains(&name) => T::when_empty(),
            None => None,
        };
        let origin = match found {
            Some(_) => Origin::Variable(name.clone()),
            None => Origin::Default,
        };
        let value = found.unwrap_or_else(default);
        self.settings.push(Setting {
            name,
            value: value.shown(),
            origin,
            text: field.line(),
        });
        value
    }

    /// Shows another value for a declared variable, where a rule over several variables has found one; the origin stays.
    pub fn derive(&mut self, name: &str, value: impl Display) {
        if let Some(setting) = self.setting(name) {
            setting.value = value.to_string();
        }
    }

    /// The same for a value that comes from another variable.
    pub fn derive_from(&mut self, variable: &str, name: &str, value: impl Display) {
        let origin = Origin::Variable(variable.to_owned());
        if let Some(setting) = self.setting(name) {
            (setting.value, setting.origin) = (value.to_string(), origin);
        }
    }

    /// Another variable counts for one that is not set, such as that of its older name.
    pub fn fall_back(&mut self, name: &str, other: &str) {
        let Some(Setting { value, origin, .. }) = self.setting(other).cloned() else {
            return;
        };
        if let Some(setting) = self.setting(name) {
            (setting.value, setting.origin) = (value, origin);
        }
    }

    /// Whether the variable itself is set, and its value can be used.
    pub fn is_set(&self, name: &str) -> bool {
        self.settings
            .iter()
            .any(|setting| setting.name == name && setting.is_set())
    }

    /// Reports that a variable (or several, with commas between) cannot be used, and says what would be right.
    pub fn problem(&mut self, name: impl Into<String>, message: impl Into<String>) {
        let name = name.into();
        debug_assert!(
            name.split(", ").all(|name| self.is_declared(name)),
            "{name} is not declared"
        );
        self.problems.push(Problem {
            name,
            message: message.into(),
        });
    }

    /// Reports that the value of a variable cannot be used; `why` says what would be right. Not for secrets.
    pub fn refuse(&mut self, name: &str, value: impl Display, why: impl Display) {
        self.problem(name, format!("`{value}` cannot be used: {why}"));
    }

    /// Notes something that the operator should know though the program can go on.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// The owners whose settings were loaded, in this order.
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }

    /// Every setting and every warning, or every mistake in the order of the declarations.
    ///
    /// # Errors
    ///
    /// Variables that cannot be used.
    pub fn finish(mut self) -> Result<Loaded, Problems> {
        if self.problems.is_empty() {
            return Ok(Loaded {
                settings: self.settings,
                warnings: self.warnings,
            });
        }
        self.problems
            .sort_by_key(|problem| place_of(&self.settings, &problem.name));
        Err(Problems(self.problems))
    }

    fn parse<T: Value>(&mut self, name: &str, text: &str) -> Option<T> {
        if !T::IS_SECRET && has_password(text) {
            self.problem(name, PASSWORD);
            return None;
        }
        match from_text(text) {
            Ok(value) => Some(value),
            Err(why) if T::IS_SECRET => {
                self.problem(name, format!("cannot be used: {why}"));
                None
            }
            Err(why) => {
                self.refuse(name, text, why);
                None
            }
        }
    }

    /// Variables of the environment as they are, for other programs: those of these names, or whose names begin with them if
    /// they end with `_`.
    pub(crate) fn passed_on(&self, names: &[&str]) -> Vec<(String, String)> {
        let is_meant = |variable: &str| {
            names.iter().any(|name| {
                variable == *name || (name.ends_with('_') && variable.starts_with(name))
            })
        };
        self.env
            .iter()
            .filter(|(name, _)| is_meant(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The value of a setting that was loaded before, as tables show it.
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        let setting = self.settings.iter().find(|setting| setting.name == name)?;
        Some(setting.value.clone())
    }

    fn setting(&mut self, name: &str) -> Option<&mut Setting> {
        debug_assert!(self.is_declared(name), "{name} is not declared");
        let mut settings = self.settings.iter_mut();
        settings.find(|setting| setting.name == name)
    }

    fn is_declared(&self, name: &str) -> bool {
        let mut fields = self.owners.iter().flat_map(|owner| owner.fields);
        fields.any(|field| field.variable() == name)
    }
}

/// The place of the first of some variables among all.
fn place_of(settings: &[Setting], names: &str) -> Option<usize> {
    let first = names.split(',').next().unwrap_or_default();
    settings.iter().position(|setting| setting.name == first)
}

#[cfg(test)]
mod tests {
    use super::super::{Seconds, Secret, Switch};
    use super::*;

    crate::settings! {
        /// What the tests read.
        struct Tested {
            /// A number.
            n: u32 = 3,
            /// A time.
            s: Seconds = Seconds::new(1),
            /// A switch that is on.
            b: Switch = Switch(true),
            /// A secret.
            key: Option<Secret> = None,
            /// A number, on the machine's word.
            machine: usize = 1 + 1 => "as many as there are",
        }
    }

    fn load(pairs: &[(&str, &str)]) -> (Tested, Result<Loaded, Problems>) {
        let env: Env = pairs.iter().copied().collect();
        let mut loader = Loader::new(&env);
        (loader.load(), loader.finish())
    }

    #[test]
    fn what_is_not_set_has_its_default_and_says_so() {
        let (tested, loaded) = load(&[("S", "NA")]);
        assert_eq!(
            (tested.n, tested.s, tested.machine),
            (3, Seconds::new(1), 2)
        );
        assert!(tested.b.0 && tested.key.is_none());
        let settings = loaded.expect("nothing is wrong").settings;
        let all_default = |setting: &Setting| setting.origin == Origin::Default;
        assert!(settings.iter().all(all_default), "{settings:?}");
        assert_eq!(settings[0].text, "A number.");
    }

    #[test]
    fn a_switch_that_is_set_but_empty_is_off() {
        for empty in ["", "NA"] {
            let (tested, loaded) = load(&[("B", empty)]);
            assert!(!tested.b.0, "{empty:?}");
            let settings = loaded.expect("nothing is wrong").settings;
            assert_eq!(settings[2].origin, Origin::Variable("B".to_owned()));
        }
    }

    #[test]
    fn every_mistake_is_reported_by_name_in_one_go_with_value_and_remedy() {
        let (tested, loaded) = load(&[("B", "perhaps"), ("N", "many"), ("S", "-1")]);
        let problems = loaded.expect_err("three variables are wrong");
        let names: Vec<_> = problems
            .0
            .iter()
            .map(|problem| problem.name.as_str())
            .collect();
        assert_eq!(names, ["N", "S", "B"], "in the order of the declaration");
        assert_eq!(
            problems.0[1].to_string(),
            "S: `-1` cannot be used: expected 0 seconds or more"
        );
        assert_eq!(tested.n, 3, "the default stands in");
    }

    #[test]
    fn a_derived_value_names_its_origin() {
        let env: Env = [("OLD", "2")].into_iter().collect();
        let mut loader = Loader::new(&env);
        let _tested: Tested = loader.load();
        loader.derive_from("OLD", "N", 2);
        let settings = loader.finish().expect("nothing is wrong").settings;
        assert_eq!(
            (settings[0].value.as_str(), &settings[0].origin),
            ("2", &Origin::Variable("OLD".to_owned()))
        );
    }

    #[test]
    fn secrets_never_reach_the_table() {
        let (tested, loaded) = load(&[("KEY", "hunter2")]);
        let shown = format!("{tested:?} {loaded:?}");
        assert!(!shown.contains("hunter2") && shown.contains("********"));
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        crate::settings! {
            /// What has an address.
            struct Addresses {
                /// A host.
                host: String = "h".to_owned(),
                /// Hosts.
                hosts: crate::settings::List = crate::settings::List(Vec::new()),
                /// An address.
                address: Option<crate::settings::Parsed<crate::settings::WebAddress>> = None,
                /// A secret.
                key: Option<Secret> = None,
            }
        }
        let env: Env = [
            ("HOST", "user:hunter2@host"),
            ("HOSTS", "a,redis://:hunter2@b"),
            ("ADDRESS", "ftp://user:hunter2@host"),
            ("KEY", "https://user:hunter2@host"),
        ]
        .into_iter()
        .collect();
        let mut loader = Loader::new(&env);
        let addresses: Addresses = loader.load();
        let problems = loader.finish().expect_err("three are wrong");
        let shown = problems.to_string();
        assert_eq!(problems.0.len(), 3, "{shown}");
        assert!(
            !shown.contains("hunter2") && shown.contains("ADDRESS: contains a user"),
            "{shown}"
        );
        let found = (
            &*addresses.host,
            addresses.hosts.0.len(),
            addresses.address.is_none(),
        );
        assert_eq!(found, ("h", 0, true));
        assert!(addresses.key.is_some());
    }

    #[test]
    fn the_declaration_knows_names_texts_and_defaults() {
        let [n, .., machine] = Tested::FIELDS else {
            panic!("there are several fields")
        };
        assert_eq!((n.variable().as_str(), n.line()), ("N", "A number."));
        assert_eq!(((n.default)().as_str(), n.default_in_words), ("3", None));
        assert_eq!(machine.default_in_words, Some("as many as there are"));
    }
}
