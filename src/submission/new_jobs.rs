//! What is written for a job: its key and its fields.

use clap::{Args, FromArgMatches as _, ValueEnum};
use sha2::{Digest as _, Sha256};

use crate::figures::{Moment, Span, clock};
use crate::queue::JobKey;
use crate::queue::control::NewEntry;
use crate::refusal::Misuse;
use crate::storage::hexadecimal;
use crate::wire::{self, field, millis, millis_since_1970};

/// Fields that look like bookkeeping and are for submitters all the same.
const FOR_SUBMITTERS: [&str; 5] = [
    field::NOT_BEFORE,
    field::TIMEOUT,
    field::MEMORY,
    field::MAX_ATTEMPTS,
    field::MAX_CRASHES,
];

/// What a job asks for.
#[derive(Args, Clone, Debug)]
pub(crate) struct Wishes {
    /// Which channel goes to which model, such as `0,` or `0,1`.
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    channels: Option<String>,
    /// Pixel size of the image over that of the model; found out if the consumer is told to.
    #[arg(long, value_name = "NUMBER")]
    scale: Option<f64>,
    /// The axes of the image, such as `XYB`.
    #[arg(long, value_name = "AXES")]
    dimension_order: Option<String>,
    /// The model, where jobs may name it.
    #[arg(long, value_name = "NAME:VERSION", value_parser = parse_model)]
    model: Option<(String, String)>,
    /// Which part of cells, where the job type knows several.
    #[arg(long, value_name = "NAME")]
    compartment: Option<String>,
    /// The kind of image, where the job type knows several.
    #[arg(long, value_name = "NUMBER")]
    label: Option<String>,
    /// Any field of the job's hash.
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = parse_pair)]
    fields: Vec<(String, String)>,
    /// Not to be worked before this time: RFC 3339, or how long from now.
    #[arg(long, value_name = "TIME", value_parser = parse_future)]
    not_before: Option<u64>,
}

/// What the key of a job is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Identity {
    /// The object's key, in which the content of an uploaded file is too.
    Name,
    /// The content of the file alone.
    Content,
    /// Nothing: the job is a new one each time.
    Random,
}

/// The input of a job.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Its key in the bucket.
    pub(crate) key: String,
    /// What people call it.
    pub(crate) name: String,
    /// The digest of its content, if that is known.
    pub(crate) sha256: Option<String>,
    pub(crate) url: String,
}

impl Wishes {
    /// What these words of a command line ask for.
    ///
    /// # Errors
    ///
    /// A word that `submit` would not take either, in its words.
    pub(crate) fn parse(words: &[String]) -> Result<Self, Misuse> {
        let command = Self::augment_args(clap::Command::new("submit").no_binary_name(true));
        let wrong = |error: clap::Error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Misuse(line.trim_start_matches("error: ").to_owned())
        };
        let matches = command.try_get_matches_from(words).map_err(wrong)?;
        let wishes = Self::from_arg_matches(&matches).map_err(wrong)?;
        wishes.check()?;
        Ok(wishes)
    }

    /// Refuses fields that are not for submitters.
    pub(crate) fn check(&self) -> Result<(), Misuse> {
        let wrong = self.fields.iter().find(|(name, _)| {
            wire::is_bookkeeping(name) && !FOR_SUBMITTERS.contains(&name.as_str())
        });
        match wrong {
            Some((name, _)) => Err(Misuse(format!(
                "the field {name} says how a job fares: consumers write it"
            ))),
            None => Ok(()),
        }
    }

    /// The value of a field that is given.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let given = self.fields.iter().rev().find(|(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }

    /// The job of an input.
    pub(crate) fn job(
        &self,
        queue: &str,
        input: &Input,
        identity: Identity,
        (stamp, host): (&str, &str),
    ) -> NewEntry {
        let asked = self.asked();
        let key = key(queue, input, identity, &asked);
        let of_input = [
            (field::ORIGINAL_NAME, &input.name),
            (field::INPUT_FILE_NAME, &input.key),
            (field::URL, &input.url),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()));
        let asked = of_input.into_iter().chain(asked);
        NewEntry::new(key, asked, (stamp, host))
    }

    /// The fields that are asked for.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        let scale = self.scale.map(|scale| scale.to_string());
        let model = self.model.as_ref();
        let pairs = [
            (field::CHANNELS, self.channels.clone()),
            (field::SCALE, scale),
            (field::DIMENSION_ORDER, self.dimension_order.clone()),
            (field::MODEL_NAME, model.map(|(name, _)| name.clone())),
            (
                field::MODEL_VERSION,
                model.map(|(_, version)| version.clone()),
            ),
            (field::COMPARTMENT, self.compartment.clone()),
            (field::LABEL, self.label.clone()),
            (field::NOT_BEFORE, self.not_before.map(clock)),
        ];
        let named = pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        named.chain(self.fields.iter().cloned()).collect()
    }
}

/// `<queue>:<name>:<32 digits>`. The same input with other wishes is another job.
fn key(queue: &str, input: &Input, identity: Identity, asked: &[(String, String)]) -> JobKey {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    };
    match identity {
        Identity::Name => add(&input.key),
        Identity::Content => add(input.sha256.as_deref().unwrap_or_default()),
        Identity::Random => add(&format!("{:032x}", fastrand::u128(..))),
    }
    add(queue);
    for (name, value) in asked.iter().filter(|(name, _)| name != field::NOT_BEFORE) {
        add(name);
        add(value);
    }
    let digest = hexadecimal(&digest.finalize()[..16]);
    // By its content alone a file is the same whatever it is called.
    let name = match identity {
        Identity::Content => "content",
        Identity::Name | Identity::Random => &input.name,
    };
    JobKey(format!("{queue}:{name}:{digest}").into_bytes())
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

fn parse_model(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once(':') {
        Some((name, version)) if !name.is_empty() && version.parse::<u64>().is_ok() => {
            Ok((name.to_owned(), version.to_owned()))
        }
        _ => Err(format!(
            "`{text}` is not NAME:VERSION, such as `NuclearSegmentation:6`"
        )),
    }
}

fn parse_future(text: &str) -> Result<u64, String> {
    if let Ok(Span(span)) = text.parse() {
        return Ok(millis_since_1970().saturating_add(millis(span)));
    }
    text.parse().map(|Moment(time)| time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(arguments: &[&str]) -> Wishes {
        let words: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        Wishes::parse(&words).expect("wishes")
    }

    fn job(arguments: &[&str], identity: Identity) -> NewEntry {
        let input = Input {
            key: "uploads/0a/a b.tif".to_owned(),
            name: "a b.tif".to_owned(),
            sha256: Some("0a".to_owned()),
            url: "https://bucket/a".to_owned(),
        };
        wishes(arguments).job("q", &input, identity, ("now", "host"))
    }

    #[test]
    fn a_job_has_the_fields_of_a_frontend_and_what_is_asked_for() {
        let arguments = [
            "--channels",
            "0,",
            "--model",
            "Nuclear:6",
            "--field",
            "x_note=a=b",
        ];
        let NewEntry { key, fields } = job(&arguments, Identity::Name);
        let value = |name: &str| {
            let mut values = fields.iter().filter(|field| field.0 == name);
            let value = values.next().map(|field| field.1.as_str());
            assert!(values.next().is_none(), "{name} is there twice");
            value
        };
        assert_eq!(value("input_file_name"), Some("uploads/0a/a b.tif"));
        assert_eq!(value("original_name"), Some("a b.tif"));
        assert_eq!((value("channels"), value("scale")), (Some("0,"), Some("")));
        assert_eq!(
            (value("model_name"), value("model_version")),
            (Some("Nuclear"), Some("6"))
        );
        assert_eq!(
            (value("status"), value("x_note")),
            (Some("new"), Some("a=b"))
        );
        assert_eq!(
            (value("identity_upload"), value("updated_at")),
            (Some("host"), Some("now"))
        );
        let key = String::from_utf8(key.0).expect("text");
        let (name, digest) = key.rsplit_once(':').expect("three parts");
        assert_eq!((name, digest.len()), ("q:a b.tif", 32));
    }

    #[test]
    fn keys_are_the_same_for_the_same_wishes_only() {
        let of = |arguments: &[&str], identity| job(arguments, identity).key;
        assert_eq!(
            of(&[], Identity::Name),
            of(&["--not-before", "1h"], Identity::Name)
        );
        assert_ne!(
            of(&[], Identity::Name),
            of(&["--channels", "1"], Identity::Name)
        );
        assert_eq!(of(&[], Identity::Content), of(&[], Identity::Content));
        assert_ne!(of(&[], Identity::Content), of(&[], Identity::Name));
        assert_ne!(of(&[], Identity::Random), of(&[], Identity::Random));
    }

    #[test]
    fn bookkeeping_is_refused_but_for_limits_of_one_job() {
        let check = |field: &str| Wishes::parse(&["--field", field].map(str::to_owned)).is_ok();
        assert!(
            check("rc_timeout=60") && check("not_before=2026-01-01T00:00:00Z") && check("x_a=b")
        );
        assert!(!check("status=done") && !check("rc_token=1") && !check("children=a"));
    }
}
