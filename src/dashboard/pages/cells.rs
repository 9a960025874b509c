//! The cells of a job, as a table and as a file.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use tracing::warn;

use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::looks::{Cell, Cells};
use super::super::shown::Link;
use super::super::visit::Visit;
use super::preview::subject;
use super::window::{ROWS, Window};
use crate::compute;
use crate::figures::counted;

/// Channels whose light the page shows; the file has more.
const CHANNELS: usize = 4;

#[derive(Template)]
#[template(path = "cells.html")]
struct CellsPage {
    layout: Layout,
    job: Link,
    count: String,
    csv: String,
    has_images: bool,
    columns: Vec<Column>,
    rows: Vec<Row>,
    window: Window,
}

/// A column, and where the table is sorted by it.
struct Column {
    name: String,
    path: String,
    /// `ascending`, `descending` or nothing, as screen readers are told.
    sorted: &'static str,
}

struct Row {
    image: String,
    values: Vec<(String, String)>,
}

/// How a table is sorted: by which column, and whether the largest come first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Order {
    column: usize,
    is_descending: bool,
}

/// What is told of each cell, and its name in addresses. Means of channels follow.
const COLUMNS: [(&str, &str); 8] = [
    ("label", "Label"),
    ("area", "Area (px)"),
    ("row", "Row"),
    ("column", "Column"),
    ("perimeter", "Perimeter (px)"),
    ("eccentricity", "Eccentricity"),
    ("solidity", "Solidity"),
    ("border", "At the border"),
];

/// `GET /jobs/K/cells`
pub(in super::super) async fn cells(visit: Visit, Path(encoded): Path<String>) -> Response {
    let page = make(&visit, &encoded).await;
    visit.answer(page)
}

/// `GET /jobs/K/cells.csv`
pub(in super::super) async fn cells_csv(visit: Visit, Path(job): Path<String>) -> Response {
    let file = cells_of(&visit, &job).await;
    file.unwrap_or_else(|fault| fault.answer(&visit.site, &visit.user))
}

/// The cells of a job, as a file.
pub(in super::super) async fn cells_of(visit: &Visit, job: &str) -> Result<Response, Fault> {
    let (_, cells) = measured(visit, job).await?;
    Ok(file(cells))
}

async fn measured(visit: &Visit, job: &str) -> Result<(Link, Arc<Cells>), Fault> {
    let (subject, looks) = subject(visit, job).await?;
    let key = subject.key().clone();
    if subject.result().is_none() {
        let text = "this job has no result with labels".to_owned();
        return Err(Fault::Absent(text));
    }
    let cells = looks.cells(subject).await.map_err(|error| {
        let error = format!("{error:#}");
        warn!(%key, error, "no table of cells can be made");
        Fault::Absent(format!(
            "no table of cells can be made of this job: {error}"
        ))
    })?;
    Ok((Link::to_job(&key), cells))
}

async fn make(visit: &Visit, job: &str) -> Result<CellsPage, Fault> {
    let (link, cells) = measured(visit, job).await?;
    let shown = cells.channels().min(CHANNELS);
    let order = Order::of(visit, shown);
    let from = visit.form.number("from");
    let path = format!("{}/cells", link.path);
    let address = format!("{path}?{}&", order.query());
    let columns = (0..COLUMNS.len() + shown).map(|it| column(&path, it, order));
    let (count, has_images) = (cells.count(), cells.has_several_images());
    let rows = compute::run(move || rows(&cells, order, (from, shown))).await;
    Ok(CellsPage {
        layout: visit.layout(&format!("Cells of {}", link.name), ""),
        count: counted(count as u64, "cell"),
        csv: format!("{}/cells.csv", link.path),
        has_images,
        columns: columns.collect(),
        window: Window::new(&address, (from, rows.len()), count as u64),
        rows,
        job: link,
    })
}

impl Order {
    /// That of an address: by label, unless it says something else.
    fn of(visit: &Visit, channels: usize) -> Self {
        let wanted = visit.form.text("sort");
        let columns = 0..COLUMNS.len() + channels;
        let found = columns.into_iter().find(|it| name_of(*it) == wanted);
        Self {
            column: found.unwrap_or(0),
            is_descending: visit.form.text("order") == "down",
        }
    }

    fn query(self) -> String {
        let direction = if self.is_descending { "down" } else { "up" };
        format!("sort={}&order={direction}", name_of(self.column))
    }
}

fn name_of(column: usize) -> String {
    match COLUMNS.get(column) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("channel{}", column - COLUMNS.len()),
    }
}

fn title_of(column: usize) -> String {
    match COLUMNS.get(column) {
        Some((_, title)) => (*title).to_owned(),
        None => format!("Mean ch. {}", column - COLUMNS.len()),
    }
}

/// A column whose link sorts by it; that of the present order turns it around.
fn column(path: &str, column: usize, order: Order) -> Column {
    let is_here = order.column == column;
    let turned = Order {
        column,
        is_descending: is_here && !order.is_descending,
    };
    Column {
        name: title_of(column),
        path: format!("{path}?{}", turned.query()),
        sorted: match (is_here, order.is_descending) {
            (false, _) => "",
            (true, false) => "ascending",
            (true, true) => "descending",
        },
    }
}

/// A part of the table, and how many channels it shows.
fn rows(cells: &Cells, order: Order, (from, channels): (usize, usize)) -> Vec<Row> {
    let mut all: Vec<_> = cells.all().collect();
    // Those that are equal stay by image and label.
    all.sort_by(|a, b| {
        let [a, b] = [a, b].map(|cell| number(cell, order.column));
        match order.is_descending {
            true => b.total_cmp(&a),
            false => a.total_cmp(&b),
        }
    });
    let part = all.iter().skip(from).take(ROWS);
    part.map(|cell| Row {
        image: cell.image.to_owned(),
        values: (0..COLUMNS.len() + channels)
            .map(|column| (title_of(column), text(cell, column)))
            .collect(),
    })
    .collect()
}

/// What a table is sorted by.
fn number(cell: &Cell<'_>, column: usize) -> f64 {
    let region = cell.region;
    match column {
        0 => f64::from(region.label),
        1 => region.area as f64,
        2 => region.centroid[0],
        3 => region.centroid[1],
        4 => region.perimeter,
        5 => region.eccentricity,
        6 => region.solidity(),
        7 => f64::from(u8::from(region.touches_border)),
        _ => cell.mean(column - COLUMNS.len()),
    }
}

fn text(cell: &Cell<'_>, column: usize) -> String {
    let number = number(cell, column);
    match column {
        0 | 1 => number.to_string(),
        7 => (if number > 0.0 { "yes" } else { "no" }).to_owned(),
        5 | 6 => format!("{number:.3}"),
        _ if number.is_finite() => format!("{number:.1}"),
        _ => "–".to_owned(),
    }
}

/// The table as a file that is written while it is sent: no thread waits for a browser.
fn file(cells: Arc<Cells>) -> Response {
    let parts = cells.csv_parts().into_iter().enumerate();
    let text = futures::stream::unfold((cells, parts), |(cells, mut parts)| async {
        let (at, part) = parts.next()?;
        let from = Arc::clone(&cells);
        let text = compute::run(move || from.csv(&part, at == 0)).await;
        Some((text, (cells, parts)))
    });
    let told = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"cells.csv\"",
        ),
    ];
    (told, Body::from_stream(text)).into_response()
}
