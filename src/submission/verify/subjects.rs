//! The items of a stage that are looked at, and where their inputs are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use batch_plan::{Items, Job, List, Lists, RenderError, Renderer, Resolved, Row};

use crate::storage::Storage;

/// The items of a stage that are looked at.
pub(super) struct Subjects<'a> {
    plan: &'a Arc<Resolved>,
    stage: usize,
    renderer: Renderer,
    list: Option<&'a List>,
    /// Of items that are files: their folder, and what goes before their paths in the bucket.
    uploads: Option<(&'a Path, &'a str)>,
}

/// An item that is looked at.
pub(super) struct Subject {
    pub(super) job: Job,
    pub(super) row: Option<Row>,
    /// What the job names as its input, a line each.
    pub(super) inputs: Vec<Input>,
}

/// An input, and where it is before the batch runs.
pub(super) struct Input {
    pub(super) reference: String,
    pub(super) place: Place,
}

/// Where an input is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the bucket.
    Object(String),
    /// On this machine, from where it will be uploaded.
    File(PathBuf),
    /// Nowhere, because its name is none.
    Nowhere(String),
}

impl<'a> Subjects<'a> {
    pub(super) fn of(
        plan: &'a Arc<Resolved>,
        lists: &'a Lists,
        stage: usize,
    ) -> Result<Self, RenderError> {
        let base = plan.rows_of(stage);
        let source = base.and_then(|base| plan.stages()[base].items.as_ref());
        Ok(Self {
            plan,
            stage,
            renderer: Renderer::new(Arc::clone(plan), stage)?,
            list: base.and_then(|base| lists.get(base)),
            uploads: match source {
                Some(Items::Files { path, to, .. }) => Some((Path::new(path), to)),
                _ => None,
            },
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.plan.looked_at(self.stage, false).len() as u64
    }

    /// The items as they would be submitted.
    pub(super) fn jobs(&self) -> impl Iterator<Item = Result<(Job, Option<Row>), RenderError>> {
        self.plan.looked_at(self.stage, false).map(|item| {
            let row = self.list.and_then(|list| list.row(item));
            Ok((self.renderer.job(item, row.as_ref())?, row))
        })
    }

    /// The same with the places of their inputs.
    pub(super) fn iter(
        &self,
        storage: Option<&Storage>,
    ) -> impl Iterator<Item = Result<Subject, RenderError>> {
        self.jobs().map(move |found| {
            let (job, row) = found?;
            let inputs = references(&job).map(|reference| Input {
                place: self.place(reference, row.as_ref(), storage),
                reference: reference.to_owned(),
            });
            let inputs = inputs.collect();
            Ok(Subject { job, row, inputs })
        })
    }

    fn place(&self, reference: &str, row: Option<&Row>, storage: Option<&Storage>) -> Place {
        let path = row.and_then(|row| row.vars.get("path")?.as_str());
        if let (Some((folder, to)), Some(path)) = (self.uploads, path)
            && reference.strip_prefix(to) == Some(path)
        {
            return Place::File(folder.join(path));
        }
        match storage.map(|storage| storage.key_of(reference)) {
            None => Place::Object(reference.to_owned()),
            Some(Ok(key)) => Place::Object(key),
            Some(Err(error)) => Place::Nowhere(error.to_string()),
        }
    }
}

/// What a job names as its input: a key, or several on lines of their own.
pub(super) fn references(job: &Job) -> impl Iterator<Item = &str> {
    let lines = job.input.lines().map(str::trim);
    lines.filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io;

    use batch_plan::{Entries, Entry, Overrides, Plan, Supply};

    use super::*;

    /// A folder with one file.
    struct Folder;

    impl Supply for Folder {
        fn folder(&mut self, _path: &str) -> io::Result<Entries<'_>> {
            let name = "m1/t1.tif".to_owned();
            Ok(Box::new([Ok(Entry { name, size: 3 })].into_iter()))
        }
    }

    const PLAN: &str = r#"
plan: 1
name: b
stages:
  - name: seg
    queue: q
    items: {files: {path: ./images, match: "**/*.tif"}}
  - name: detect
    queue: q
    after: seg
    input: "made/{{ stem }}.csv"
"#;

    #[test]
    fn files_are_looked_at_where_they_are_before_they_are_uploaded() {
        let plan = Plan::parse(PLAN.as_bytes()).expect("a plan");
        let mut plan = plan.resolve(&Overrides::default()).expect("a plan");
        let lists = plan.read_lists(&mut Folder).expect("a list");
        let plan = Arc::new(plan);
        let places = (0..2).map(|stage| {
            let subjects = Subjects::of(&plan, &lists, stage).expect("a stage");
            let subject = subjects.iter(None).next().expect("an item");
            let mut inputs = subject.expect("it renders").inputs.into_iter();
            let Input { reference, place } = inputs.next().expect("an input");
            (reference, place)
        });
        let expected = [
            (
                "uploads/b/m1/t1.tif".to_owned(),
                Place::File("./images/m1/t1.tif".into()),
            ),
            (
                "made/t1.csv".to_owned(),
                Place::Object("made/t1.csv".to_owned()),
            ),
        ];
        assert_eq!(places.collect::<Vec<_>>(), expected);
    }
}
