//! Tables: a row a line.

use std::io::{BufRead, Read as _};

use serde_json::{Map, Value};

use super::{ListError, Reading};

/// Bytes of a line.
const MAX_LINE: u64 = 1 << 20;

impl Reading<'_> {
    pub(super) fn csv(
        &mut self,
        file: &str,
        bytes: Box<dyn BufRead + '_>,
    ) -> Result<(), ListError> {
        let mut reader = csv::Reader::from_reader(bytes);
        let head = reader
            .headers()
            .map_err(|error| self.csv_error(file, error))?
            .clone();
        let mut record = csv::StringRecord::new();
        let mut vars = Map::new();
        while reader
            .read_record(&mut record)
            .map_err(|error| self.csv_error(file, error))?
        {
            let line = record.position().map_or(0, csv::Position::line);
            for (name, value) in head.iter().zip(&record) {
                vars.insert(name.to_owned(), Value::from(value));
            }
            if vars.len() != head.len() {
                return Err(self.wrong(format!("{file}, line 1"), "two columns have one name"));
            }
            self.push(&vars, || format!("{file}, line {line}"))?;
        }
        Ok(())
    }

    fn csv_error(&self, file: &str, error: csv::Error) -> ListError {
        let line = error.position().map_or(1, csv::Position::line);
        let message = match error.into_kind() {
            csv::ErrorKind::Io(source) => return self.unread(file, source),
            csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text".to_owned(),
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("has {len} columns, and the head has {expected_len}"),
            other => format!("{other:?}"),
        };
        self.wrong(format!("{file}, line {line}"), message)
    }

    pub(super) fn jsonl(
        &mut self,
        file: &str,
        mut bytes: Box<dyn BufRead + '_>,
    ) -> Result<(), ListError> {
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let read = bytes
                .by_ref()
                .take(MAX_LINE + 1)
                .read_until(b'\n', &mut line)
                .map_err(|source| self.unread(file, source))?;
            if read == 0 {
                break;
            }
            let place = || format!("{file}, line {number}");
            if line.len() as u64 > MAX_LINE {
                return Err(self.wrong(place(), "is longer than 1 MiB"));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let vars: Map<String, Value> = serde_json::from_slice(&line)
                .map_err(|error| self.wrong(place(), format!("is no JSON object: {error}")))?;
            self.push(&vars, place)?;
        }
        Ok(())
    }
}
