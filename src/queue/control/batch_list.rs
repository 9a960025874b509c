//! All batches, or some of them.

use std::collections::HashMap;

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use super::batches::BatchState;
use crate::wire::{self, batch};

impl Admin {
    /// The names of all batches, the latest first. Those of batches that have expired stay for a while.
    pub(crate) async fn batches(&self) -> Result<Vec<String>, Error> {
        let all = Cmd::zrevrange(wire::BATCHES, 0, -1);
        self.command("look for batches", &all).await
    }

    /// All batches, the latest first.
    pub(crate) async fn all_batches(&self) -> Result<Vec<(String, BatchState)>, Error> {
        let names = self.batches().await?;
        self.batches_of(names).await
    }

    /// Some batches, so many after so many that are later.
    pub(crate) async fn some_batches(
        &self,
        (offset, count): (usize, usize),
    ) -> Result<Vec<(String, BatchState)>, Error> {
        let (first, last) = (offset as isize, (offset + count) as isize - 1);
        let some = Cmd::zrevrange(wire::BATCHES, first, last);
        let names = self.command("look for batches", &some).await?;
        self.batches_of(names).await
    }

    /// How many batches there are.
    pub(crate) async fn count_batches(&self) -> Result<u64, Error> {
        self.command("count the batches", &Cmd::zcard(wire::BATCHES))
            .await
    }

    /// Those of these batches that there are.
    pub(crate) async fn batches_of(
        &self,
        names: Vec<String>,
    ) -> Result<Vec<(String, BatchState)>, Error> {
        let heads: Vec<_> = names
            .iter()
            .map(|name| batch::head(name).into_bytes())
            .collect();
        let read = self.ask_each::<HashMap<String, String>>(&heads, |head| Cmd::hgetall(head));
        let all = names.into_iter().zip(read.await?);
        let found = all.filter_map(|(name, fields)| {
            let fields = fields.filter(|fields| !fields.is_empty())?;
            Some((name, BatchState::read(&fields)))
        });
        Ok(found.collect())
    }
}
