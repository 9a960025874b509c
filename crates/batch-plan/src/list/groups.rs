//! Groups by a template: rows of a list that become one item of the stage above.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use minijinja::Value;
use serde_json::Map;

use super::arena::Arena;
use super::members::Members;
use super::rows::List;
use crate::fingerprint::fingerprint;
use crate::job::RenderError;
use crate::problem::shown;
use crate::resolved::{Items, Resolved, Stage};
use crate::row::Row;
use crate::scope::{Item, Scope, Shared};
use crate::source::ListError;
use crate::template::{Engine, evaluate};

/// Bytes of the longest name of a group.
const MAX_NAME: usize = 1000;

/// Makes the lists of all stages that group rows by a template.
pub(super) fn group(plan: &Resolved, lists: &mut BTreeMap<usize, List>) -> Result<(), ListError> {
    for k in 0..plan.stages.len() {
        let Some((below, text)) = plan.layouts[k].text_link() else {
            continue;
        };
        let rows_of = plan.layouts[below].base;
        if let Some(same) = sibling(plan, lists, k) {
            lists.insert(k, same);
            continue;
        }
        let Some(list) = lists.get(&rows_of) else {
            continue;
        };
        let grouping = Grouping {
            stage: &plan.stages[k],
            list,
            shared: Arc::new(
                Shared::of(plan).of_stage(&plan.stages[below].vars, Some(&plan.stages[below].name)),
            ),
            upload_prefix: plan.row_source(below).and_then(Items::upload_prefix),
        };
        let (groups, members) = grouping.make(text)?;
        // What is grouped may be groups itself. Their members have to know their new numbers.
        let lower = plan.grouped_rows(rows_of);
        if let Some(list) = lower.and_then(|lower| lists.get_mut(&lower)) {
            members.renumber_groups(list);
        }
        if let Some(list) = lists.get_mut(&rows_of) {
            members.arrange(list);
        }
        lists.insert(k, groups);
    }
    Ok(())
}

/// The list of an earlier stage that groups the same rows, which it does in the same way.
pub(crate) fn sibling(
    plan: &Resolved,
    lists: &BTreeMap<usize, List>,
    stage: usize,
) -> Option<List> {
    plan.groupings(plan.grouped_rows(stage)?)
        .take_while(|&other| other < stage)
        .find_map(|other| lists.get(&other).cloned())
}

/// Makes the groups of one stage.
struct Grouping<'a> {
    stage: &'a Stage,
    list: &'a List,
    shared: Arc<Shared>,
    upload_prefix: Option<&'a str>,
}

impl Grouping<'_> {
    /// The groups, in the order of their first members, and the members of each.
    fn make(&self, text: &str) -> Result<(List, Members), ListError> {
        let (group_of, names) = self.assign(text)?;
        let mut members = Members::new(&group_of, names.len());
        self.sort(&mut members)?;
        let mut arena = Arena::default();
        for (name, count) in names.iter().zip(&members.counts) {
            let vars = Map::from_iter([
                ("group".to_owned(), name.as_str().into()),
                ("count".to_owned(), (*count).into()),
            ]);
            arena
                .push(&vars)
                .map_err(|message| self.error(None, "after", message))?;
        }
        let groups = List {
            firsts: Some(members.firsts.clone()),
            ..List::new(arena)
        };
        Ok((groups, members))
    }

    /// The group of each row, and the names of the groups in the order of their first members.
    fn assign(&self, text: &str) -> Result<(Vec<u32>, Vec<String>), ListError> {
        let mut engine = Engine::new();
        let compiled = engine
            .compile(text)
            .map_err(|message| self.error(None, "after", message))?;
        let mut numbers = HashMap::new();
        let mut names = Vec::new();
        let mut group_of = Vec::with_capacity(self.list.order.len());
        for item in 0..self.list.len() {
            let row = self.row(item);
            let name = engine
                .render(&compiled, &self.scope(&row))
                .and_then(legal_name)
                .map_err(|message| self.error(Some(item), "after", message))?;
            let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
            group_of.push(match numbers.entry(fingerprint(&name)) {
                Entry::Occupied(number) => *number.get(),
                Entry::Vacant(vacant) => {
                    names.push(name);
                    *vacant.insert(next)
                }
            });
        }
        Ok((group_of, names))
    }

    /// Orders the members of each group by `sort`, if there is one.
    fn sort(&self, members: &mut Members) -> Result<(), ListError> {
        let Some(source) = &self.stage.work.sort else {
            return Ok(());
        };
        let wrong = |item: Option<u64>| move |message| self.error(item, "sort", message);
        let mut engine = Engine::new();
        let text = engine.compile(source).map_err(wrong(None))?;
        let expression = engine.expression(source).transpose().map_err(wrong(None))?;
        members.sort_by_key(|item| {
            let row = self.row(item);
            let scope = self.scope(&row);
            let key = match &expression {
                Some(expression) => evaluate(expression, &scope),
                None => engine.render(&text, &scope).map(Value::from),
            };
            key.map_err(wrong(Some(item)))
        })
    }

    fn row(&self, item: u64) -> Row {
        self.list.row(item).unwrap_or_default()
    }

    fn scope<'a>(&'a self, row: &'a Row) -> Scope<'a> {
        Scope::new(&self.shared, Item::Row(row, self.upload_prefix))
    }

    fn error(&self, item: Option<u64>, field: &str, message: String) -> ListError {
        ListError::Render(RenderError {
            stage: self.stage.name.clone(),
            item,
            field: field.to_owned(),
            message,
        })
    }
}

fn legal_name(name: String) -> Result<String, String> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!(
            "`{}` is no name of a group: it is empty or long",
            shown(&name)
        ));
    }
    Ok(name)
}
