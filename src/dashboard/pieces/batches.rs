//! The table of batches.

use askama::Template;

use super::super::shown::{Link, When, name, text_id};
use super::piece::{Ground, Shape, all_html, html};
use crate::figures::grouped;
use crate::queue::control::BatchState;

/// The pieces of a part of the table.
pub(in super::super) struct BatchesPieces {
    pub(in super::super) rows: Vec<BatchRow>,
    pub(in super::super) shape: Shape,
}

#[derive(Template)]
#[template(path = "pieces/batch_row.html")]
pub(in super::super) struct BatchRow {
    layout: Ground,
    id: String,
    batch: Link,
    state: String,
    /// Stages that are held.
    held: usize,
    stages: usize,
    items: String,
    done: String,
    failed: String,
    percent: u64,
    by: String,
    created: When,
}

impl BatchesPieces {
    /// Of these batches, of so many in all.
    pub(in super::super) fn of(
        ground: &Ground,
        batches: &[(String, BatchState)],
        total: u64,
    ) -> Self {
        let names: Vec<_> = batches.iter().map(|(name, _)| name).collect();
        let rows = batches.iter();
        Self {
            shape: Shape::of((names, total)),
            rows: rows.map(|batch| BatchRow::of(ground, batch)).collect(),
        }
    }

    pub(in super::super) fn html(&self) -> Vec<String> {
        let rows = all_html(&self.rows);
        [html(&self.shape)].into_iter().chain(rows).collect()
    }
}

impl BatchRow {
    fn of(ground: &Ground, (batch, state): &(String, BatchState)) -> Self {
        let (items, done) = (state.sum(|it| it.total), state.sum(|it| it.done));
        Self {
            layout: ground.clone(),
            id: text_id(batch),
            batch: Link::to_batch(batch),
            state: name(state.state.as_bytes()),
            held: state.stages.iter().filter(|it| it.held.is_some()).count(),
            stages: state.stages.len(),
            items: grouped(items),
            done: grouped(done),
            failed: grouped(state.sum(|it| it.failed)),
            percent: done * 100 / items.max(1),
            by: name(state.created_by.as_bytes()),
            created: When::at(state.created * 1000),
        }
    }
}
