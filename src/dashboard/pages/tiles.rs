//! What a viewer asks for: what there is to see, its tiles, and the cell at a point.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use cell_pictures::ChannelStatistics;
use serde_json::{Value, json};
use tracing::warn;

use super::super::fault::Fault;
use super::super::looks::{Layer, Looks, Palette, Scene, Subject, TILE};
use super::super::visit::Visit;
use super::cells::{cells_of, id_of, values_of};
use super::measures::Measure;
use super::preview::{Known, subject};
use super::view::{channel_views, place, whole};

/// The colors of channels that have a part of their own: nuclei and membranes, and those of pictures in colors.
const ROLES: [(&str, &str); 2] = [("Nuclei", "466eff"), ("Membranes", "3cdc50")];
const PRIMARIES: [&str; 3] = ["ff0000", "00ff00", "0000ff"];
const GRAY: &str = "ffffff";

/// `GET /jobs/K/image.json`
pub(in super::super) async fn scene(
    visit: Visit,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let (subject, looks) = subject(&visit, &job).await?;
        let known = Known::of(&subject, "");
        if known.is_at(&headers) {
            return Ok(known.unchanged());
        }
        let scene = scene_of(&looks, &subject).await?;
        Ok(known.answer("application/json", described(&scene).to_string()))
    };
    or_said(&visit, answer.await)
}

/// `GET /jobs/K/tile/<frame>/<level>/<x>_<y>.png?c=0:low:high:hex,…&g=1.0`
pub(in super::super) async fn tile(
    visit: Visit,
    Path((job, frame, level, tile)): Path<(String, String, String, String)>,
    about: (Uri, HeaderMap),
) -> Response {
    let draw = || {
        let place = place([&frame, &level, &tile])?;
        let views = channel_views(visit.form.text("c"), visit.form.given("g"))?;
        Ok(move |scene: &Scene| scene.tile(place, &views))
    };
    drawn(&visit, &job, about, draw()).await
}

/// `GET /jobs/K/labels/<n>/<frame>/<level>/<x>_<y>.png?mode=outline|fill&palette=bright|safe|yellow`
pub(in super::super) async fn label_tile(
    visit: Visit,
    Path((job, layer, frame, level, tile)): Path<(String, String, String, String, String)>,
    about: (Uri, HeaderMap),
) -> Response {
    let draw = || {
        let layer = whole("the number of the labels", &layer)?;
        let place = place([&frame, &level, &tile])?;
        let look = (mode(&visit)?, palette(&visit)?);
        Ok(move |scene: &Scene| scene.labels(place, layer, look))
    };
    drawn(&visit, &job, about, draw()).await
}

/// `GET /jobs/K/spots/<frame>/<level>/<x>_<y>.png`
pub(in super::super) async fn spot_tile(
    visit: Visit,
    Path((job, frame, level, tile)): Path<(String, String, String, String)>,
    about: (Uri, HeaderMap),
) -> Response {
    let place = place([&frame, &level, &tile]);
    let draw = place.map(|place| move |scene: &Scene| scene.spots(place));
    drawn(&visit, &job, about, draw).await
}

/// `GET /jobs/K/label?n=0&frame=0&x=&y=`, or `label=` in place of a point.
pub(in super::super) async fn label(visit: Visit, Path(job): Path<String>) -> Response {
    let answer = async {
        let (subject, looks) = subject(&visit, &job).await?;
        let found = cell(&visit, &looks, &subject).await?;
        let kind = [(header::CONTENT_TYPE, "application/json")];
        Ok((kind, found.to_string()).into_response())
    };
    or_said(&visit, answer.await)
}

/// The row of a cell; a label of 0 if there is none at that point.
async fn cell(visit: &Visit, looks: &Looks, subject: &Subject) -> Result<Value, Fault> {
    let number = |name: &str| match visit.form.given(name) {
        Some(text) => whole(name, text).map(Some),
        None => Ok(None),
    };
    let (layer, frame) = (number("n")?.unwrap_or(0), number("frame")?.unwrap_or(0));
    let (wanted, x, y) = (number("label")?, number("x")?, number("y")?);
    let scene = scene_of(looks, subject).await?;
    let kind = scene.layers().get(layer);
    let kind = kind.ok_or_else(|| Fault::Absent(format!("there are no labels {layer}")))?;
    let label = match (wanted, x, y) {
        (Some(label), ..) => u32::try_from(label).ok(),
        (None, Some(x), Some(y)) => scene.label((frame, layer), [y, x]),
        _ => {
            let text = "say which point, as x= and y=, or which label=".to_owned();
            return Err(Fault::Misuse(text));
        }
    };
    let label = label.ok_or_else(|| Fault::Absent("this is not within the image".to_owned()))?;
    if label == 0 {
        return Ok(json!({ "label": 0 }));
    }
    let cells = cells_of(looks, subject).await?;
    let found = cells.find(kind.feature, frame, label);
    let found = found.ok_or_else(|| Fault::Absent(format!("there is no cell {label}")))?;
    let values = values_of(&found, (&Measure::of(&cells), cells.is_movie()));
    let region = found.region;
    Ok(json!({
        "label": label,
        "id": id_of(&found),
        "left": region.columns.start,
        "top": region.rows.start,
        "right": region.columns.end,
        "bottom": region.rows.end,
        "values": values,
    }))
}

/// All that can be seen of a job.
async fn scene_of(looks: &Looks, subject: &Subject) -> Result<Arc<Scene>, Fault> {
    let key = subject.key();
    looks.scene(subject.clone()).await.map_err(|error| {
        let error = format!("{error:#}");
        warn!(%key, error, "no picture can be made");
        Fault::Absent(format!("no picture can be made of this job: {error}"))
    })
}

/// A tile, unless the browser has it, or what is wrong with the address of it.
async fn drawn<D>(
    visit: &Visit,
    job: &str,
    (uri, headers): (Uri, HeaderMap),
    draw: Result<D, Fault>,
) -> Response
where
    D: FnOnce(&Scene) -> Option<Vec<u8>> + Send + 'static,
{
    let answer = async {
        let draw = draw?;
        let (subject, looks) = subject(visit, job).await?;
        let known = Known::of(&subject, &uri.to_string());
        if known.is_at(&headers) {
            return Ok(known.unchanged());
        }
        let scene = scene_of(&looks, &subject).await?;
        let picture = looks.draw(scene, draw).await;
        let absent = || Fault::Absent("there is no such tile: see image.json".to_owned());
        Ok(known.answer("image/png", picture.ok_or_else(absent)?))
    };
    answer
        .await
        .unwrap_or_else(|fault: Fault| fault.answer(&visit.site, &visit.user))
}

fn mode(visit: &Visit) -> Result<Layer, Fault> {
    match visit.form.text("mode") {
        "" | "outline" => Ok(Layer::Outline),
        "fill" => Ok(Layer::Fill),
        _ => Err(Fault::Misuse("mode is outline or fill".to_owned())),
    }
}

fn palette(visit: &Visit) -> Result<Palette, Fault> {
    match visit.form.text("palette") {
        "" | "bright" => Ok(Palette::Bright),
        "safe" => Ok(Palette::ColorBlind),
        "yellow" => Ok(Palette::Single),
        _ => {
            let text = "palette is bright, safe or yellow".to_owned();
            Err(Fault::Misuse(text))
        }
    }
}

/// What there is to see, for a script.
fn described(scene: &Scene) -> Value {
    let (height, width) = scene.dim();
    let labels = scene.layers().iter();
    let labels: Vec<_> = labels
        .map(|layer| json!({ "name": layer.name, "max": layer.max, "feature": layer.feature }))
        .collect();
    json!({
        "width": width,
        "height": height,
        "scale": scene.scale(),
        "tile": TILE,
        "levels": scene.levels(),
        "frames": scene.frames(),
        "channels": channels(scene),
        "labels": labels,
        "spots": scene.has_spots(),
        "kind": match (scene.is_movie(), scene.has_spots()) {
            (true, _) => "movie",
            (false, true) => "spots",
            (false, false) => "2d",
        },
        "problem": scene.problem(),
    })
}

/// Names, ranges, and how they are shown at first: those that were worked, else the first three.
fn channels(scene: &Scene) -> Vec<Value> {
    let all = scene.channels();
    let worked = scene.worked().iter().copied();
    let mut shown: Vec<usize> = worked.filter(|channel| *channel < all.len()).collect();
    let has_roles = shown.len() == ROLES.len();
    if shown.is_empty() {
        shown = (0..all.len().min(PRIMARIES.len())).collect();
    }
    let channel = |(at, range): (usize, &ChannelStatistics)| {
        let place = shown.iter().position(|channel| *channel == at);
        let role = place
            .and_then(|place| ROLES.get(place))
            .filter(|_| has_roles);
        let color = match (role, place) {
            (Some((_, color)), _) => *color,
            (None, Some(place)) if shown.len() > 1 => PRIMARIES.get(place).unwrap_or(&GRAY),
            _ => GRAY,
        };
        json!({
            "name": role.map_or_else(|| format!("Channel {at}"), |(name, _)| (*name).to_owned()),
            "low": range.low,
            "high": range.high,
            "min": range.min,
            "max": range.max,
            "color": color,
            "shown": place.is_some(),
        })
    };
    all.iter().enumerate().map(channel).collect()
}

/// What went wrong as JSON, for a script that tells it.
fn or_said(visit: &Visit, answer: Result<Response, Fault>) -> Response {
    let said = |status: StatusCode, text: String| {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let text = super::super::shown::message(&text);
        (status, kind, json!({ "error": text }).to_string()).into_response()
    };
    match answer {
        Ok(answer) => answer,
        Err(Fault::Absent(text)) => said(StatusCode::NOT_FOUND, text),
        Err(Fault::Misuse(text)) => said(StatusCode::BAD_REQUEST, text),
        Err(fault) => fault.answer(&visit.site, &visit.user),
    }
}
