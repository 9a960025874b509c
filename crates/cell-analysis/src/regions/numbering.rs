//! Numbers for labels: 0, 1, 2, … in their order.

use super::runs::Run;

/// Labels up to this many times the number of runs are looked up in a table.
const DENSE: usize = 16;

/// The labels of a plane, ascending, and the way from a label to its place among them.
pub(crate) struct Numbering {
    pub(crate) labels: Vec<u32>,
    /// The place of each label up to the largest, if they are not too sparse.
    table: Option<Vec<u32>>,
}

impl Numbering {
    pub(crate) fn of(runs: &[Run<u32>]) -> Self {
        let largest = runs.iter().map(|run| run.label as usize).max().unwrap_or(0);
        if largest > DENSE * runs.len() {
            let mut labels: Vec<u32> = runs.iter().map(|run| run.label).collect();
            labels.sort_unstable();
            labels.dedup();
            return Self {
                labels,
                table: None,
            };
        }
        let mut table = vec![u32::MAX; largest + 1];
        runs.iter().for_each(|run| table[run.label as usize] = 0);
        let mut labels = Vec::new();
        for (label, place) in table.iter_mut().enumerate().filter(|(_, at)| **at == 0) {
            *place = labels.len() as u32;
            labels.push(label as u32);
        }
        Self {
            labels,
            table: Some(table),
        }
    }

    /// The place of a label that is among them.
    pub(crate) fn place(&self, label: u32) -> usize {
        match &self.table {
            Some(table) => table[label as usize] as usize,
            None => self.labels.partition_point(|&other| other < label),
        }
    }

    /// The runs by their labels, each label's row by row, and where those of each label end.
    pub(super) fn sort(&self, runs: Vec<Run<u32>>) -> (Vec<Run<u32>>, Vec<usize>) {
        let mut ends = vec![0; self.labels.len()];
        runs.iter().for_each(|run| ends[self.place(run.label)] += 1);
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut runs = runs;
        // Stable, so that rows stay in their order.
        runs.sort_by_key(|run| run.label);
        (runs, ends)
    }
}
