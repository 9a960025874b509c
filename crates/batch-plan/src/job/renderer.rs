//! Renders the items of one stage.

use std::fmt::Write as _;
use std::sync::Arc;

use super::compile::Compiler;
use super::error::RenderError;
use super::expect::Compiled;
use super::hash::Job;
use super::key::job_key;
use super::quantity::Quantity;
use crate::layout::Units;
use crate::problem::shown;
use crate::resolved::{Items, Resolved};
use crate::row::Row;
use crate::scope::{Item, Scope, Shared};
use crate::template::{Engine, Text};
use crate::units;
use crate::work::{Rerun, Work};

/// Bytes that the identity of an item has at most.
const MAX_ID: usize = 1000;

/// Renders the items of one stage; everything that is the same for all is rendered once, when it is made.
pub struct Renderer {
    plan: Arc<Resolved>,
    stage: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) engine: Engine,
    id: Id,
    input: Input,
    fields: Vec<(String, Text)>,
    timeout: Quantity<u64>,
    memory: Quantity<u64>,
    attempts: Quantity<u32>,
    crashes: Quantity<u32>,
    pub(super) expect: Vec<Compiled>,
    /// What goes before the path of a file to make its key.
    upload_prefix: Option<String>,
}

enum Id {
    /// Coordinates, joined by `_`; the key of an object; the name of a group; `id`, `key` or `item` of a row.
    Usual,
    Text(Text),
}

enum Input {
    None,
    Key,
    Manifest,
    Text(Text),
}

impl Compiler<'_> {
    fn id(&mut self, work: &Work) -> Result<Id, RenderError> {
        match &work.id {
            Some(text) => Ok(Id::Text(self.text("id", text)?)),
            None => Ok(Id::Usual),
        }
    }

    fn input(&mut self, work: &Work, source: Option<&Items>) -> Result<Input, RenderError> {
        match &work.input {
            _ if work.manifest => Ok(Input::Manifest),
            Some(text) => Ok(Input::Text(self.text("input", text)?)),
            None if source.is_some_and(Items::have_keys) => Ok(Input::Key),
            None => Ok(Input::None),
        }
    }

    fn fields(&mut self, work: &Work) -> Result<Vec<(String, Text)>, RenderError> {
        let compiled = work.fields.iter().map(|(name, text)| {
            let text = self.text(&format!("fields.{name}"), text)?;
            Ok((name.clone(), text))
        });
        compiled.collect()
    }

    fn crashes(&mut self, work: &Work) -> Result<Quantity<u32>, RenderError> {
        match work.rerun {
            Rerun::Never => Ok(Quantity::Fixed(1)),
            Rerun::Always => self.quantity("crashes", work.crashes.as_deref(), units::count),
        }
    }
}

impl Renderer {
    /// Compiles the texts of a stage.
    ///
    /// # Errors
    ///
    /// There is no such stage, or one of its texts is no template.
    pub fn new(plan: Arc<Resolved>, stage: usize) -> Result<Self, RenderError> {
        let Some(of) = plan.stages.get(stage) else {
            return Err(RenderError {
                stage: stage.to_string(),
                item: None,
                field: "stage".to_owned(),
                message: "the plan has no such stage".to_owned(),
            });
        };
        let shared = Arc::new(Shared::of(&plan).of_stage(&of.vars, Some(&of.name)));
        let mut compiler = Compiler {
            engine: Engine::new(),
            shared: &shared,
            stage: &of.name,
        };
        let work = &of.work;
        let source = plan.row_source(stage);
        Ok(Self {
            id: compiler.id(work)?,
            input: compiler.input(work, source)?,
            fields: compiler.fields(work)?,
            timeout: compiler.quantity("timeout", work.timeout.as_deref(), units::seconds)?,
            memory: compiler.quantity("memory", work.memory.as_deref(), units::bytes)?,
            attempts: compiler.quantity("attempts", work.attempts.as_deref(), units::count)?,
            crashes: compiler.crashes(work)?,
            expect: compiler.expects(&work.expect)?,
            upload_prefix: source.and_then(Items::upload_prefix).map(str::to_owned),
            engine: compiler.engine,
            stage,
            shared,
            plan,
        })
    }

    /// The job of an item. Items of lists and groups by a text have their row, those of grids none.
    ///
    /// # Errors
    ///
    /// The item is none of the stage, its row is missing, or a text cannot be rendered.
    pub fn job(&self, item: u64, row: Option<&Row>) -> Result<Job, RenderError> {
        let point = self.point(item);
        let scope = self.scope(item, row, &point)?;
        let id = self.id(item, row, &point, &scope)?;
        let render = |field: &str, text: &Text| self.render(item, field, text, &scope);
        let input = match &self.input {
            Input::None => String::new(),
            Input::Key => {
                let mut key = String::new();
                if !scope.write("key", &mut key) {
                    return Err(self.error(item, "input", "the row has no key"));
                }
                key
            }
            Input::Manifest => self.manifest_key(&id),
            Input::Text(text) => render("input", text)?,
        };
        let mut fields = Vec::with_capacity(self.fields.len());
        for (name, text) in &self.fields {
            let value = self
                .engine
                .render(text, &scope)
                .map_err(|message| self.error(item, &format!("fields.{name}"), message))?;
            fields.push((name.clone(), value));
        }
        let stage = &self.plan.stages[self.stage];
        Ok(Job {
            stage: self.stage,
            item,
            key: job_key(&stage.queue, self.plan.name(), &stage.name, &id),
            id,
            input,
            fields,
            timeout: self.quantity(item, "timeout", &self.timeout, &scope)?,
            memory: self.quantity(item, "memory", &self.memory, &scope)?,
            attempts: self.quantity(item, "attempts", &self.attempts, &scope)?,
            crashes: self.quantity(item, "crashes", &self.crashes, &scope)?,
            ups: self.plan.ups(self.stage, item, row),
        })
    }

    /// The identity of an item alone.
    ///
    /// # Errors
    ///
    /// As [`job`](Self::job).
    pub fn item_id(&self, item: u64, row: Option<&Row>) -> Result<String, RenderError> {
        let point = self.point(item);
        let scope = self.scope(item, row, &point)?;
        self.id(item, row, &point, &scope)
    }

    /// Where the list of a group's children is kept, by the group's identity.
    pub fn manifest_key(&self, id: &str) -> String {
        let stage = &self.plan.stages[self.stage].name;
        format!("plans/{}/{stage}/m/{id}.json", self.plan.name())
    }

    pub(super) fn point(&self, item: u64) -> Vec<u64> {
        match &self.plan.layouts[self.stage].units {
            Units::Grid(range) => range.point(item),
            Units::Rows => Vec::new(),
        }
    }

    pub(super) fn scope<'a>(
        &'a self,
        item: u64,
        row: Option<&'a Row>,
        point: &'a [u64],
    ) -> Result<Scope<'a>, RenderError> {
        let outside = self.plan.size(self.stage).is_some_and(|size| item >= size);
        let item_of = match (&self.plan.layouts[self.stage].units, row) {
            _ if outside => {
                return Err(self.error(item, "item", "the stage has no such item"));
            }
            (Units::Grid(range), _) => Item::Point(range, point),
            (Units::Rows, Some(row)) => Item::Row(row, self.upload_prefix.as_deref()),
            (Units::Rows, None) => {
                return Err(self.error(item, "item", "an item of a list needs its row"));
            }
        };
        Ok(Scope::new(&self.shared, item_of))
    }

    fn id(
        &self,
        item: u64,
        row: Option<&Row>,
        point: &[u64],
        scope: &Scope<'_>,
    ) -> Result<String, RenderError> {
        let id = match (&self.id, row) {
            (Id::Text(text), _) => self.render(item, "id", text, scope)?,
            (Id::Usual, None) => coordinates(point),
            (Id::Usual, Some(row)) => {
                let names = self.id_names(row);
                let mut id = String::new();
                if !names.iter().any(|name| scope.write(name, &mut id)) {
                    let message = format!(
                        "missing: the items have no {} that could be one",
                        names.join(", ")
                    );
                    return Err(self.error(item, "id", message));
                }
                id
            }
        };
        match self.refuse_id(&id) {
            Some(message) => Err(self.error(item, "id", message)),
            None => Ok(id),
        }
    }

    /// Variables of a row of which the first that it has is its usual identity.
    fn id_names(&self, row: &Row) -> &'static [&'static str] {
        let source = self.plan.row_source(self.stage);
        if row.first.is_some() {
            &["group"]
        } else if source.is_some_and(Items::have_keys) {
            &["key"]
        } else {
            &["id", "key", "item"]
        }
    }

    /// Why an item cannot have this identity.
    fn refuse_id(&self, id: &str) -> Option<String> {
        if id.is_empty() || id.len() > MAX_ID {
            let (shown, len) = (shown(id), id.len());
            return Some(format!(
                "`{shown}` has {len} bytes, allowed are 1 to {MAX_ID}"
            ));
        }
        let is_part = |part| !["", ".", ".."].contains(&part);
        if self.plan.stages[self.stage].work.manifest && !id.split('/').all(is_part) {
            let shown = shown(id);
            return Some(format!("`{shown}` cannot be a part of the manifest's key"));
        }
        None
    }

    pub(super) fn render(
        &self,
        item: u64,
        field: &str,
        text: &Text,
        scope: &Scope<'_>,
    ) -> Result<String, RenderError> {
        self.engine
            .render(text, scope)
            .map_err(|message| self.error(item, field, message))
    }

    pub(super) fn quantity<T: Copy>(
        &self,
        item: u64,
        field: &str,
        quantity: &Quantity<T>,
        scope: &Scope<'_>,
    ) -> Result<Option<T>, RenderError> {
        match quantity {
            Quantity::None => Ok(None),
            Quantity::Fixed(value) => Ok(Some(*value)),
            Quantity::Text(text, parse) => {
                let text = self.render(item, field, text, scope)?;
                parse(&text)
                    .map(Some)
                    .map_err(|error| self.error(item, field, error.to_string()))
            }
        }
    }

    pub(super) fn error(&self, item: u64, field: &str, message: impl Into<String>) -> RenderError {
        RenderError {
            stage: self.plan.stages[self.stage].name.clone(),
            item: Some(item),
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

/// The usual identity of an item of a grid.
fn coordinates(point: &[u64]) -> String {
    let mut id = String::new();
    for (index, at) in point.iter().enumerate() {
        let separator = if index == 0 { "" } else { "_" };
        let _ = write!(id, "{separator}{at}");
    }
    id
}
