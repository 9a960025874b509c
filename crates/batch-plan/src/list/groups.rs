//! Items of a list that become one item of the stage above.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use minijinja::Value;
use serde_json::Map;

use super::arena::Arena;
use super::rows::List;
use crate::job::RenderError;
use crate::layout::Link;
use crate::problem::shown;
use crate::resolved::{Items, Resolved};
use crate::row::Row;
use crate::scope::{Item, Scope, Shared};
use crate::source::ListError;
use crate::template::{Engine, evaluate};

/// The longest text of a group.
const MAX_GROUP: usize = 1000;

/// Makes the lists of all stages that group items of these by a text.
pub(super) fn group(
    plan: &Arc<Resolved>,
    lists: &mut BTreeMap<usize, List>,
) -> Result<(), ListError> {
    for k in 0..plan.stages.len() {
        let Some((below, text)) = text_link(plan, k) else {
            continue;
        };
        let base = plan.layouts[below].base;
        if let Some(same) = sibling(plan, lists, k, base) {
            lists.insert(k, same);
            continue;
        }
        let Some(list) = lists.get(&base) else {
            continue;
        };
        let grouping = Grouping {
            plan,
            stage: k,
            below,
            list,
            shared: Arc::new(
                Shared::of(plan).of_stage(&plan.stages[below].vars, Some(&plan.stages[below].name)),
            ),
        };
        let (members, groups) = grouping.make(text)?;
        let inverse = inverse(&members.positions);
        if let Some(list) = lists.get_mut(&base) {
            list.order = members
                .positions
                .iter()
                .map(|&position| list.order[position as usize])
                .collect();
            list.groups = Some(members.groups);
            list.counts = members.counts;
        }
        // The groups that are grouped now have other numbers than their members know.
        if let Some((lower, _)) = text_link(plan, base) {
            let lower = plan.layouts[lower].base;
            if let Some(list) = lists.get_mut(&lower) {
                let renumber = |number: u32| inverse[number as usize];
                let numbers = list.groups.take();
                list.groups = numbers.map(|numbers| numbers.into_iter().map(renumber).collect());
                let mut counts = list.counts.clone();
                for (old, &count) in list.counts.iter().enumerate() {
                    counts[inverse[old] as usize] = count;
                }
                list.counts = counts;
            }
        }
        lists.insert(k, groups);
    }
    Ok(())
}

/// The stage below whose items a stage groups by a text, and the text.
pub(crate) fn text_link(plan: &Resolved, stage: usize) -> Option<(usize, &str)> {
    plan.layouts[stage]
        .below
        .iter()
        .find_map(|(j, link)| match link {
            Link::Text(text) => Some((*j, text.as_str())),
            Link::Same | Link::Grid(_) => None,
        })
}

/// The list of a stage that groups the same items in the same way, if there is one already.
pub(crate) fn sibling(
    plan: &Resolved,
    lists: &BTreeMap<usize, List>,
    stage: usize,
    base: usize,
) -> Option<List> {
    (0..stage)
        .filter(|&other| text_link(plan, other).is_some_and(|(j, _)| plan.layouts[j].base == base))
        .find_map(|other| lists.get(&other).cloned())
}

/// For each old position the new one.
fn inverse(positions: &[u32]) -> Vec<u32> {
    let mut inverse = vec![0; positions.len()];
    for (new, &old) in (0_u32..).zip(positions) {
        inverse[old as usize] = new;
    }
    inverse
}

struct Grouping<'a> {
    plan: &'a Resolved,
    stage: usize,
    below: usize,
    list: &'a List,
    shared: Arc<Shared>,
}

/// Items in the order of their groups.
struct Members {
    /// Old positions, by the new one.
    positions: Vec<u32>,
    /// Groups, by the new position.
    groups: Vec<u32>,
    counts: Vec<u32>,
}

impl Grouping<'_> {
    fn make(&self, text: &str) -> Result<(Members, List), ListError> {
        let (of_item, names) = self.assign(text)?;
        let mut counts = vec![0_u32; names.len()];
        for &group in &of_item {
            counts[group as usize] += 1;
        }
        let mut next = 0;
        let firsts: Vec<u32> = counts
            .iter()
            .map(|count| {
                let first = next;
                next += count;
                first
            })
            .collect();
        let mut places = firsts.clone();
        let mut positions = vec![0_u32; of_item.len()];
        for (position, &group) in (0_u32..).zip(&of_item) {
            let place = &mut places[group as usize];
            positions[*place as usize] = position;
            *place += 1;
        }
        self.sort(&mut positions, &firsts, &counts)?;
        let mut arena = Arena::default();
        for (name, count) in names.iter().zip(&counts) {
            let vars = Map::from_iter([
                ("group".to_owned(), name.as_str().into()),
                ("count".to_owned(), (*count).into()),
            ]);
            arena
                .push(&vars)
                .map_err(|message| self.error(0, "after", message))?;
        }
        let groups = List {
            firsts: Some(firsts),
            ..List::new(arena)
        };
        let by_position = positions
            .iter()
            .map(|&position| of_item[position as usize])
            .collect();
        let members = Members {
            positions,
            groups: by_position,
            counts,
        };
        Ok((members, groups))
    }

    /// The group of each item, and their names in the order of their first members.
    fn assign(&self, text: &str) -> Result<(Vec<u32>, Vec<String>), ListError> {
        let mut engine = Engine::new();
        let compiled = engine
            .compile(text)
            .map_err(|message| self.error(0, "after", message))?;
        // Names are told apart by 128 bits, so that none has to be kept twice.
        let mut numbers: HashMap<(u64, u64), u32> = HashMap::new();
        let mut names = Vec::new();
        let mut of_item = Vec::with_capacity(self.list.order.len());
        for item in 0..self.list.len() {
            let row = self.row(item);
            let name = engine
                .render(&compiled, &self.scope(&row))
                .map_err(|message| self.error(item, "after", message))?;
            if name.is_empty() || name.len() > MAX_GROUP {
                let message = format!(
                    "`{}` is no name of a group: it is empty or long",
                    shown(&name)
                );
                return Err(self.error(item, "after", message));
            }
            let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
            let number = match numbers.entry((hash(0, &name), hash(1, &name))) {
                Entry::Occupied(number) => *number.get(),
                Entry::Vacant(vacant) => {
                    names.push(name);
                    *vacant.insert(next)
                }
            };
            of_item.push(number);
        }
        Ok((of_item, names))
    }

    /// Orders the members of each group by `sort`, if there is one.
    fn sort(&self, positions: &mut [u32], firsts: &[u32], counts: &[u32]) -> Result<(), ListError> {
        let Some(source) = &self.plan.stages[self.stage].work.sort else {
            return Ok(());
        };
        let wrong = |item: u64| move |message| self.error(item, "sort", message);
        let mut engine = Engine::new();
        let text = engine.compile(source).map_err(wrong(0))?;
        let expression = engine.expression(source).transpose().map_err(wrong(0))?;
        for (&first, &count) in firsts.iter().zip(counts) {
            let members = &mut positions[first as usize..][..count as usize];
            let mut keys = Vec::with_capacity(members.len());
            for &position in &*members {
                let item = u64::from(position);
                let row = self.row(item);
                let scope = self.scope(&row);
                let key = match &expression {
                    Some(expression) => evaluate(expression, &scope),
                    None => engine.render(&text, &scope).map(Value::from),
                };
                keys.push((key.map_err(wrong(item))?, position));
            }
            keys.sort_by(|(one, _), (other, _)| one.cmp(other));
            for (member, (_, position)) in members.iter_mut().zip(keys) {
                *member = position;
            }
        }
        Ok(())
    }

    fn row(&self, item: u64) -> Row {
        self.list.row(item).unwrap_or_default()
    }

    fn scope<'a>(&'a self, row: &'a Row) -> Scope<'a> {
        let base = self.plan.layouts[self.below].base;
        let to = match &self.plan.stages[base].items {
            Some(Items::Files { to, .. }) => Some(to.as_str()),
            _ => None,
        };
        Scope::new(&self.shared, Item::Row(row, to))
    }

    fn error(&self, item: u64, field: &str, message: String) -> ListError {
        ListError::Render(RenderError {
            stage: self.plan.stages[self.stage].name.clone(),
            item: Some(item),
            field: field.to_owned(),
            message,
        })
    }
}

fn hash(salt: u8, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    salt.hash(&mut hasher);
    text.hash(&mut hasher);
    hasher.finish()
}
