//! What somebody wants done with an upload.

use super::super::drop::check_upload;
use super::super::form::Form;
use crate::consumers::{Channels, JobOptions};
use crate::refusal::Misuse;
use crate::submission::Wishes;
use crate::wire::field;

/// Fields of a form, and the options of `submit` that say the same.
const OPTIONS: [(&str, &str); 4] = [
    ("scale", "--scale"),
    ("dimension_order", "--dimension-order"),
    ("compartment", "--compartment"),
    ("label", "--label"),
];

/// What has no option of its own.
const FIELDS: [&str; 2] = [field::SEGMENTATION_TYPE, field::DIAMETER];

/// What somebody wants done with an upload.
#[derive(Clone)]
pub(in super::super) struct Request {
    pub(in super::super) upload: String,
    /// The job type, which is the queue of single images.
    pub(in super::super) queue: String,
    /// What the batch is called.
    pub(in super::super) name: String,
    /// What is asked for, as on a command line and as it is read there.
    pub(super) words: Vec<String>,
    pub(super) wishes: Wishes,
    /// Whether it is to be queued whatever the rules say.
    pub(super) skips_rules: bool,
}

impl Request {
    /// What a form says for jobs of this type.
    pub(super) fn of(form: &Form, queue: &str, options: &JobOptions) -> Result<Self, Misuse> {
        let upload = form.text("upload").to_owned();
        check_upload(&upload)?;
        let name = form.given("name").unwrap_or(&upload).trim().to_owned();
        check_upload(&name)?;
        let words = words(form, options);
        if words.iter().any(|word| is_template(word)) {
            let text = "no value may have {{, {% or {# in it, which plans of batches would replace";
            return Err(Misuse(text.to_owned()));
        }
        Ok(Self {
            upload,
            queue: queue.to_owned(),
            name,
            wishes: Wishes::parse(&words)?,
            words,
            skips_rules: form.has("skip"),
        })
    }
}

fn is_template(word: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| word.contains(mark))
}

/// What a form asks for, as on a command line.
fn words(form: &Form, options: &JobOptions) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |option: &str, value: &str| {
        words.extend([option.to_owned(), value.to_owned()]);
    };
    let model = form.given("model").filter(|_| options.model);
    // Channels and axes would have the consumer's own models run.
    let is_alone = model.is_some() && options.model_stands_alone;
    if let Some(channels) = channels(form, options.channels).filter(|_| !is_alone) {
        add("--channels", &channels);
    }
    for (name, option) in OPTIONS {
        let is_wanted = match name {
            "scale" => options.scale.is_some(),
            "dimension_order" => options.dimension_order && !is_alone,
            "compartment" => options.compartment,
            _ => options.label,
        };
        if let Some(value) = form.given(name).filter(|_| is_wanted) {
            add(option, value.trim());
        }
    }
    if let Some(model) = model {
        add("--model", model.trim());
    }
    for name in FIELDS {
        let is_wanted = match name {
            field::DIAMETER => options.diameter,
            _ => options.segmentation_type,
        };
        if let Some(value) = form.given(name).filter(|_| is_wanted) {
            add("--field", &format!("{name}={}", value.trim()));
        }
    }
    words
}

/// The channels, as jobs name them; nothing if none is chosen.
fn channels(form: &Form, channels: Channels) -> Option<String> {
    match channels {
        Channels::None => None,
        Channels::List => form.given("channels").map(|text| text.replace(' ', "")),
        Channels::Parts(parts, _) => {
            let numbers = (0..parts.len()).map(|part| form.text(&format!("channel-{part}")).trim());
            let numbers: Vec<_> = numbers.collect();
            let is_any = numbers.iter().any(|number| !number.is_empty());
            is_any.then(|| numbers.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumers::options;

    fn words_of(kind: &str, form: &str) -> String {
        words(&Form::parse(form.as_bytes()), &options(kind)).join(" ")
    }

    #[test]
    fn each_type_is_asked_for_what_it_takes() {
        let all = "channel-0=0&channel-1=&scale=1&dimension_order=CXY&compartment=nuclear&label=2&diameter=30";
        let expected = "--channels 0, --scale 1 --dimension-order CXY --label 2";
        assert_eq!(words_of("image", all), expected);
        assert_eq!(
            words_of("mesmer", all),
            "--channels 0, --scale 1 --compartment nuclear"
        );
        assert_eq!(words_of("exec", all), "");
        assert_eq!(
            words_of("cellpose", all),
            "--channels 0, --field diameter=30"
        );
        assert_eq!(
            words_of("stardist", "channels=0,+1&model=A:1"),
            "--channels 0,1 --model A:1"
        );
        assert_eq!(
            words_of("image", "channel-0=0&scale=1&model=A:1"),
            "--scale 1 --model A:1"
        );
    }

    #[test]
    fn what_submit_would_not_take_is_refused() {
        let of = |form: &str| Request::of(&Form::parse(form.as_bytes()), "q", &options("image"));
        assert!(of("upload=a-1&channel-0=0&scale=0.5").is_ok());
        for wrong in [
            "",
            "upload=../a",
            "upload=a&scale=large",
            "upload=a&model=A",
            "upload=a&channel-0=%7B%7B1",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
