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
use super::super::looks::{Cell, Cells, Looks, Subject};
use super::super::shown::Link;
use super::super::visit::Visit;
use super::measures::Measure;
use super::preview::subject;
use super::viewer::Viewer;
use super::window::{ROWS, Window};
use crate::compute;
use crate::figures::counted;

#[derive(Template)]
#[template(path = "cells.html")]
struct CellsPage {
    layout: Layout,
    viewer: Viewer,
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
    id: String,
    image: String,
    values: Vec<(String, String)>,
}

/// How a table is sorted: by which column, and whether the largest come first.
#[derive(Clone, Copy, PartialEq)]
struct Order {
    measure: Measure,
    is_descending: bool,
}

/// `GET /jobs/K/cells`
pub(in super::super) async fn cells(visit: Visit, Path(encoded): Path<String>) -> Response {
    let page = make(&visit, &encoded).await;
    visit.answer(page)
}

/// `GET /jobs/K/cells.csv`
pub(in super::super) async fn cells_csv(visit: Visit, Path(job): Path<String>) -> Response {
    let file = cells_file(&visit, &job).await;
    file.unwrap_or_else(|fault| fault.answer(&visit.site, &visit.user))
}

/// The cells of a job, as a file.
pub(in super::super) async fn cells_file(visit: &Visit, job: &str) -> Result<Response, Fault> {
    let (_, cells) = measured(visit, job).await?;
    Ok(file(cells))
}

async fn measured(visit: &Visit, job: &str) -> Result<(Subject, Arc<Cells>), Fault> {
    let (subject, looks) = subject(visit, job).await?;
    let cells = cells_of(&looks, &subject).await?;
    Ok((subject, cells))
}

/// The cells of a job.
pub(super) async fn cells_of(looks: &Looks, subject: &Subject) -> Result<Arc<Cells>, Fault> {
    let key = subject.key();
    if subject.result().is_none() {
        let text = "this job has no result with labels".to_owned();
        return Err(Fault::Absent(text));
    }
    looks.cells(subject.clone()).await.map_err(|error| {
        let error = format!("{error:#}");
        warn!(%key, error, "no table of cells can be made");
        Fault::Absent(format!(
            "no table of cells can be made of this job: {error}"
        ))
    })
}

async fn make(visit: &Visit, job: &str) -> Result<CellsPage, Fault> {
    let (subject, cells) = measured(visit, job).await?;
    let link = Link::to_job(subject.key());
    let measures = Measure::of(&cells);
    let order = Order::of(visit, &measures);
    let from = visit.form.number("from");
    let path = format!("{}/cells", link.path);
    let address = format!("{path}?{}&", order.query());
    let is_movie = cells.is_movie();
    let columns = measures
        .iter()
        .map(|it| column(&path, (*it, is_movie), order));
    let columns = columns.collect();
    let (count, has_images) = (cells.count(), cells.has_several_images());
    let rows = compute::run(move || rows(&cells, order, (from, &measures))).await;
    let layout = visit.layout(&format!("Cells of {}", link.name), "");
    Ok(CellsPage {
        layout: Viewer::add_scripts(layout),
        viewer: Viewer::of(&subject, &link.name),
        count: counted(count as u64, "cell"),
        csv: format!("{}/cells.csv", link.path),
        has_images,
        columns,
        window: Window::new(&address, (from, rows.len()), count as u64),
        rows,
        job: link,
    })
}

impl Order {
    /// That of an address: by label, unless it says something else.
    fn of(visit: &Visit, measures: &[Measure]) -> Self {
        let wanted = visit.form.text("sort");
        let found = measures.iter().find(|it| it.name() == wanted);
        Self {
            measure: found.copied().unwrap_or(Measure::Label),
            is_descending: visit.form.text("order") == "down",
        }
    }

    fn query(self) -> String {
        let direction = if self.is_descending { "down" } else { "up" };
        format!("sort={}&order={direction}", self.measure.name())
    }
}

/// A column whose link sorts by it; that of the present order turns it around.
fn column(path: &str, (measure, is_movie): (Measure, bool), order: Order) -> Column {
    let is_here = order.measure == measure;
    let turned = Order {
        measure,
        is_descending: is_here && !order.is_descending,
    };
    Column {
        name: measure.title(is_movie),
        path: format!("{path}?{}", turned.query()),
        sorted: match (is_here, order.is_descending) {
            (false, _) => "",
            (true, false) => "ascending",
            (true, true) => "descending",
        },
    }
}

/// A part of the table with these columns.
fn rows(cells: &Cells, order: Order, (from, measures): (usize, &[Measure])) -> Vec<Row> {
    let mut all: Vec<_> = cells.all().collect();
    // Those that are equal stay by image and label.
    all.sort_by(|a, b| {
        let [a, b] = [a, b].map(|cell| order.measure.number(cell));
        match order.is_descending {
            true => b.total_cmp(&a),
            false => a.total_cmp(&b),
        }
    });
    let part = all.iter().skip(from).take(ROWS);
    part.map(|cell| Row {
        id: id_of(cell),
        image: cell.image.to_owned(),
        values: values_of(cell, (measures, cells.is_movie())),
    })
    .collect()
}

/// A cell as addresses have it behind `#`: its kind, frame and label.
pub(super) fn id_of(cell: &Cell<'_>) -> String {
    format!("cell={}.{}.{}", cell.feature, cell.frame, cell.region.label)
}

/// Names and values of a cell.
pub(super) fn values_of(
    cell: &Cell<'_>,
    (measures, is_movie): (&[Measure], bool),
) -> Vec<(String, String)> {
    let measures = measures.iter();
    measures
        .map(|it| (it.title(is_movie), it.text(cell)))
        .collect()
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
