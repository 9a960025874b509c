//! Rows of lists, which are kept in the bucket: ten thousand a file, read back by their numbers.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use batch_plan::{List, ROWS_PER_FILE, Row};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::compute;
use crate::storage::Storage;

/// Files that are kept unpacked.
const KEPT: usize = 4;

/// Bytes of a file at most, unpacked.
const LONGEST: u64 = 256 << 20;

/// Below what a batch has all that is kept of it.
pub(super) fn folder(batch: &str) -> String {
    format!("plans/{batch}/")
}

/// Where the rows of a stage are, from the row `ROWS_PER_FILE * file` on.
fn rows_key(batch: &str, stage: &str, file: u64) -> String {
    format!("{}{stage}/{file:05}.jsonl.gz", folder(batch))
}

/// Stores the rows of a stage.
pub(super) async fn write_rows(
    storage: &Storage,
    batch: &str,
    stage: &str,
    list: &List,
) -> anyhow::Result<()> {
    let files = list.len().div_ceil(ROWS_PER_FILE);
    for file in 0..files {
        let first = file * ROWS_PER_FILE;
        let last = list.len().min(first + ROWS_PER_FILE);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        for item in first..last {
            let line = list.line(item).unwrap_or_default();
            writeln!(packed, "{line}")?;
        }
        let packed = packed.finish()?;
        storage
            .upload(&rows_key(batch, stage, file), packed.into())
            .await?;
    }
    Ok(())
}

/// The files that were read last.
#[derive(Default)]
pub(super) struct Rows(VecDeque<(String, Arc<Vec<String>>)>);

impl Rows {
    /// The row of an item.
    pub(super) async fn row(
        &mut self,
        storage: &Storage,
        batch: &str,
        stage: &str,
        item: u64,
    ) -> anyhow::Result<Row> {
        let key = rows_key(batch, stage, item / ROWS_PER_FILE);
        let lines = match self.0.iter().find(|(known, _)| *known == key) {
            Some((_, lines)) => Arc::clone(lines),
            None => self.read(storage, key).await?,
        };
        let line = lines.get((item % ROWS_PER_FILE) as usize);
        let line = line.with_context(|| format!("the list of {stage} has no item {item}"))?;
        Ok(Row::from_line(line)?)
    }

    async fn read(&mut self, storage: &Storage, key: String) -> anyhow::Result<Arc<Vec<String>>> {
        let packed = storage.download(&key).await?;
        let lines = compute::run(move || {
            let mut text = String::new();
            let mut unpacked = GzDecoder::new(&packed[..]).take(LONGEST);
            unpacked.read_to_string(&mut text)?;
            std::io::Result::Ok(text.lines().map(str::to_owned).collect::<Vec<_>>())
        });
        let lines = Arc::new(lines.await?);
        self.0.push_front((key, Arc::clone(&lines)));
        self.0.truncate(KEPT);
        Ok(lines)
    }
}
