//! The cells of all items of a batch, as one file.

use std::sync::Arc;

use axum::extract::Path;
use axum::response::Response;
use tracing::warn;

use super::super::download::{Parts, download};
use super::super::fault::Fault;
use super::super::looks::{Cells, ItemRows, Looks, Subject};
use super::super::visit::Visit;
use crate::batch::{self, DoneItem, done_items};
use crate::compute;
use crate::queue::Admin;
use crate::wire::RawFields;

/// Items of a file.
const MOST: usize = 100_000;

/// Jobs whose fields are in memory.
const STEP: usize = 100;

/// `GET /batches/B/cells.csv`
pub(in super::super) async fn batch_cells(visit: Visit, Path(name): Path<String>) -> Response {
    match items(&visit, &name).await {
        Ok((looks, items)) => {
            let admin = visit.site.admin.clone();
            let file = format!("{name}-cells.csv");
            download(&file, "text/csv; charset=utf-8", |parts| {
                write(admin, looks, items, parts)
            })
        }
        Err(fault) => fault.answer(&visit.site, &visit.user),
    }
}

/// The items that are done, in their order.
async fn items(visit: &Visit, name: &str) -> Result<(Looks, Vec<DoneItem>), Fault> {
    let site = &visit.site;
    let looks = site.looks.clone();
    let text = "cells need a bucket: STORAGE_BUCKET";
    let looks = looks.ok_or_else(|| Fault::Absent(text.to_owned()))?;
    let state = batch::known(&site.admin, name).await;
    let state = state.map_err(|error| match Fault::from(error) {
        Fault::Misuse(text) => Fault::Absent(text),
        fault => fault,
    })?;
    let from = (&site.admin, site.storage.clone());
    Ok((looks, done_items(from, (name, &state), MOST).await?))
}

/// Writes item by item. What cannot be measured is a row with the reason alone.
async fn write(
    admin: Admin,
    looks: Looks,
    items: Vec<DoneItem>,
    parts: Parts,
) -> anyhow::Result<()> {
    // The first table decides what the columns are; until it is there, reasons wait.
    let (mut rows, mut early) = (None, Vec::new());
    for step in items.chunks(STEP) {
        let keys: Vec<_> = step.iter().map(|item| item.key.clone()).collect();
        let fields = admin.looked_fields(&keys).await?;
        for (item, fields) in step.iter().zip(&fields) {
            match (measured(&looks, item, fields).await, &rows) {
                (Ok(cells), None) => {
                    let begun = ItemRows::like(&cells);
                    parts.send(begun.names()?).await?;
                    for (id, why) in early.drain(..) {
                        parts.send(begun.reason(id, why)).await?;
                    }
                    send(&parts, &begun, item, cells).await?;
                    rows = Some(begun);
                }
                (Ok(cells), Some(rows)) => send(&parts, rows, item, cells).await?,
                (Err(why), None) => early.push((&item.id, why)),
                (Err(why), Some(rows)) => parts.send(rows.reason(&item.id, why)).await?,
            }
        }
    }
    if rows.is_none() {
        let none = ItemRows::without_cells();
        parts.send(none.names()?).await?;
        for (id, why) in early {
            parts.send(none.reason(id, why)).await?;
        }
    }
    Ok(())
}

/// The cells of an item, or why there are none.
async fn measured(
    looks: &Looks,
    item: &DoneItem,
    fields: &RawFields,
) -> Result<Arc<Cells>, String> {
    if fields.is_empty() {
        return Err("Redis has forgotten its job".to_owned());
    }
    let subject = Subject::of(&item.key, fields).ok_or("the input is no image")?;
    subject.result().ok_or("it has no result with labels")?;
    looks.cells(subject).await.map_err(|error| {
        let error = format!("{error:#}");
        warn!(key = %item.key, error, "an item is left out of a table of cells");
        error
    })
}

async fn send(
    parts: &Parts,
    rows: &ItemRows,
    item: &DoneItem,
    cells: Arc<Cells>,
) -> anyhow::Result<()> {
    if cells.channels() != rows.channels() {
        let (own, all) = (cells.channels(), rows.channels());
        let why = format!(
            "its image has {own} channels, the first one of this table {all}: see its own table"
        );
        return Ok(parts.send(rows.reason(&item.id, why)).await?);
    }
    for part in cells.csv_parts() {
        let (cells, id) = (Arc::clone(&cells), item.id.clone());
        let rows = rows.clone();
        let text = compute::run(move || rows.of(&cells, &part, &id)).await?;
        parts.send(text).await?;
    }
    Ok(())
}
