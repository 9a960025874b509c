//! What can be said about an upload before it is submitted: the job type, and its options.

use askama::Template;
use axum::response::Response;

use super::super::assets;
use super::super::drop::check_upload;
use super::super::fault::Fault;
use super::super::form::Form;
use super::super::layout::Layout;
use super::super::looks::MOST_CHANNELS;
use super::super::shown::{escaped, message, name};
use super::super::site::Site;
use super::super::visit::Visit;
use super::files::{Files, bucket};
use super::inspected::{Inspected, USUAL_ORDER};
use super::kinds::{chosen, kind_of};
use crate::consumers::{Channels, JobOptions, options as options_of};
use crate::figures::{counted, size};

/// Kinds of cells that `polaris` knows, as frontends offer them.
const SEGMENTATION_TYPES: [&str; 3] = ["cell culture", "tissue", "none"];
const COMPARTMENTS: [(&str, &str); 4] = [
    ("", "as the consumer is set"),
    ("whole-cell", "whole cells"),
    ("nuclear", "nuclei"),
    ("both", "both"),
];
const LABELS: [(&str, &str); 4] = [
    ("", "as the consumer is set"),
    ("0", "nuclear"),
    ("1", "phase"),
    ("2", "cytoplasm"),
];

#[derive(Template)]
#[template(path = "submit.html")]
struct OptionsPage {
    layout: Layout,
    upload: String,
    files: String,
    types: Vec<Choice>,
    /// What the job type does.
    about: String,
    image: Option<ImageShown>,
    /// Why the first file cannot be looked at.
    trouble: String,
    parts: Vec<Part>,
    /// Whether channels are named in a list.
    has_list: bool,
    channels: String,
    orders: Vec<Choice>,
    scale: Option<String>,
    has_model: bool,
    model: String,
    model_stands_alone: bool,
    compartments: Vec<Choice>,
    labels: Vec<Choice>,
    segmentation_types: Vec<Choice>,
    has_diameter: bool,
    diameter: String,
    /// What the batch is called; nothing for one file.
    name: Option<String>,
}

/// Something that can be chosen.
struct Choice {
    value: String,
    label: String,
    is_chosen: bool,
}

/// What the first image is like.
struct ImageShown {
    name: String,
    facts: String,
    takes: String,
    /// Its channels: numbers, and where their pictures are.
    channels: Vec<(usize, String)>,
}

/// A part of a job that takes a channel.
struct Part {
    field: String,
    label: &'static str,
    choices: Vec<Choice>,
}

impl Choice {
    fn new(value: &str, label: &str, chosen: &str) -> Self {
        Self {
            value: value.to_owned(),
            label: label.to_owned(),
            is_chosen: value == chosen,
        }
    }

    fn all(pairs: &[(&str, &str)], chosen: &str) -> Vec<Self> {
        let pairs = pairs.iter();
        pairs
            .map(|(value, label)| Self::new(value, label, chosen))
            .collect()
    }
}

/// `GET /submit?upload=U`
pub(in super::super) async fn options(visit: Visit) -> Response {
    let page = make(&visit).await;
    visit.answer(page)
}

/// `POST /inspect`: the same, with what was chosen so far.
pub(in super::super) async fn inspect(visit: Visit) -> Response {
    let page = make(&visit).await;
    visit.answer(page)
}

async fn make(visit: &Visit) -> Result<OptionsPage, Fault> {
    let (site, form) = (&visit.site, &visit.form);
    let upload = form.text("upload");
    check_upload(upload)?;
    let files = Files::of(site, upload).await?;
    let (types, queue) = chosen(site, form.text("type")).await?;
    let kind = kind_of(site, &queue).await?;
    let options = options_of(kind.map_or("", |kind| kind.name));
    let order = form.given("dimension_order");
    let (inspected, trouble) = first_image(site, &files, (order, form.has("chosen"))).await?;
    let image = inspected
        .as_ref()
        .map(|it| image_shown(visit, &files, it, order));
    let text = |name: &str| form.text(name).to_owned();
    Ok(OptionsPage {
        layout: visit.layout("Submit", "/").with_script(&assets::DROP),
        upload: upload.to_owned(),
        files: format!(
            "{}, {}",
            counted(files.count, "file"),
            size(files.bytes as f64)
        ),
        types: types.iter().map(|it| Choice::new(it, it, &queue)).collect(),
        about: kind.map_or_else(String::new, |kind| {
            format!("A job of this type {}.", kind.summary)
        }),
        image,
        trouble,
        parts: parts(form, &options, inspected.as_ref()),
        has_list: options.channels == Channels::List,
        channels: text("channels"),
        orders: orders(&options, inspected.as_ref(), order),
        scale: options.scale.map(|usual| match form.has("chosen") {
            true => text("scale"),
            false => usual.to_owned(),
        }),
        has_model: options.model,
        model: text("model"),
        model_stands_alone: options.model_stands_alone,
        compartments: shown(options.compartment, &COMPARTMENTS, form.text("compartment")),
        labels: shown(options.label, &LABELS, form.text("label")),
        segmentation_types: shown(
            options.segmentation_type,
            &SEGMENTATION_TYPES.map(|it| (it, it)),
            form.given("segmentation_type")
                .unwrap_or(SEGMENTATION_TYPES[0]),
        ),
        has_diameter: options.diameter,
        diameter: text("diameter"),
        name: (files.count > 1).then(|| form.given("name").unwrap_or(upload).to_owned()),
    })
}

/// What the first image is like, or why that cannot be told.
async fn first_image(
    site: &Site,
    files: &Files,
    order: (Option<&str>, bool),
) -> Result<(Option<Inspected>, String), Fault> {
    let Some(key) = files.first_image.as_deref() else {
        let why = match files.archives {
            0 => NO_IMAGE,
            _ => ARCHIVES,
        };
        return Ok((None, why.to_owned()));
    };
    Ok(match Inspected::of(bucket(site)?, key, order).await {
        Ok(inspected) => (Some(inspected), String::new()),
        Err(why) => {
            let (file, why) = (name(files.name(key).as_bytes()), message(&why));
            (None, format!("{file} cannot be read as an image: {why}"))
        }
    })
}

fn shown(is_wanted: bool, pairs: &[(&str, &str)], chosen: &str) -> Vec<Choice> {
    match is_wanted {
        true => Choice::all(pairs, chosen),
        false => Vec::new(),
    }
}

fn image_shown(visit: &Visit, files: &Files, image: &Inspected, order: Option<&str>) -> ImageShown {
    let key = files.first_image.as_deref().unwrap_or_default();
    let path = files.name(key);
    let parts: Vec<_> = path.split('/').map(escaped).collect();
    let address = format!("/upload/{}/{}", visit.form.text("upload"), parts.join("/"));
    let order = order.or(image.is_usual.then_some(USUAL_ORDER));
    let order = order.map_or_else(String::new, |order| format!("&order={}", escaped(order)));
    let numbers = 0..MOST_CHANNELS.min(image.channels as usize);
    let axes = image.order.as_ref();
    let axes = axes.map_or_else(
        || "axes that cannot be told".to_owned(),
        |it| format!("axes {it}"),
    );
    let frames = match image.frames {
        0 | 1 => String::new(),
        frames => format!(", {frames} frames or slices"),
    };
    ImageShown {
        name: name(path.as_bytes()),
        facts: format!(
            "{} of {}, {axes}: {}{frames}",
            image.shape,
            image.sample,
            counted(image.channels, "channel")
        ),
        takes: image.takes.clone(),
        channels: numbers
            .map(|number| (number, format!("{address}?channel={number}{order}")))
            .collect(),
    }
}

/// What takes channels, each with those that there are.
fn parts(form: &Form, options: &JobOptions, image: Option<&Inspected>) -> Vec<Part> {
    let Channels::Parts(names, filled) = options.channels else {
        return Vec::new();
    };
    // Without an image, as many as frontends offer.
    let there = image.map_or(names.len(), |image| image.channels as usize);
    let part = |(number, label): (usize, &&'static str)| {
        let field = format!("channel-{number}");
        let usual = match number < filled.min(there) {
            true => number.to_string(),
            false => String::new(),
        };
        let chosen = match form.has("chosen") {
            true => form.text(&field).to_owned(),
            false => usual,
        };
        let channels = (0..there).map(|it| {
            let value = it.to_string();
            Choice::new(&value, &format!("channel {it}"), &chosen)
        });
        Part {
            label,
            choices: std::iter::once(Choice::new("", "none", &chosen))
                .chain(channels)
                .collect(),
            field,
        }
    };
    names.iter().enumerate().map(part).collect()
}

/// Orders of axes. Each file's own stands first, for files of an upload may differ, and goes before the usual one.
fn orders(options: &JobOptions, image: Option<&Inspected>, chosen: Option<&str>) -> Vec<Choice> {
    let Some(image) = image.filter(|_| options.dimension_order) else {
        return Vec::new();
    };
    let usual = if image.is_usual { USUAL_ORDER } else { "" };
    let chosen = chosen.unwrap_or(usual);
    let guess = match (&image.order, chosen) {
        (Some(order), "") => format!("as each file says (this one: {order})"),
        _ => "as each file says".to_owned(),
    };
    let known = image.orders.iter().map(|it| Choice::new(it, it, chosen));
    std::iter::once(Choice::new("", &guess, chosen))
        .chain(known)
        .collect()
}

const ARCHIVES: &str = "Each image of an archive becomes a job of its own.";
const NO_IMAGE: &str = "No file is called like an image, so there is nothing to show of them.";
