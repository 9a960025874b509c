//! Elements of lists in YAML files.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;

use serde_json::{Map, Value};

use super::{ListError, Reading, Supply};
use crate::problem::{hint, shown};
use crate::yaml;

/// The values of a file by their names.
type Values = BTreeMap<String, Value>;

impl Reading<'_> {
    /// Takes the elements of the list `each` in every file, without those of its list `except`.
    pub(super) fn yaml(
        &mut self,
        pattern: &str,
        each: &str,
        except: Option<&str>,
        supply: &mut dyn Supply,
    ) -> Result<(), ListError> {
        let files = supply
            .glob(pattern)
            .map_err(|source| self.unread(pattern, source))?;
        for file in files {
            let mut values = self.read_values(&file, supply)?;
            let mut elements = self.elements(&file, each, &mut values)?;
            if let Some(except) = except {
                let left_out = self.exceptions(&file, except, &mut values)?;
                self.all_there(&format!("{file}, {except}"), &left_out, &elements)?;
                elements.retain(|element| !left_out.contains(&element.to_string()));
            }
            let mut vars: Map<_, _> = values.into_iter().collect();
            for element in elements {
                vars.insert("item".to_owned(), element);
                self.push(&vars, || file.clone())?;
            }
        }
        Ok(())
    }

    fn read_values(&self, file: &str, supply: &mut dyn Supply) -> Result<Values, ListError> {
        let mut bytes = Vec::new();
        // One byte more than is allowed, so that a file that is too long is found out.
        let limit = yaml::MAX_BYTES as u64 + 1;
        supply
            .open(file)
            .and_then(|open| open.take(limit).read_to_end(&mut bytes))
            .map_err(|source| self.unread(file, source))?;
        yaml::parse_values(&bytes).map_err(|problem| self.wrong(file, problem.to_string()))
    }

    fn elements(
        &self,
        file: &str,
        each: &str,
        values: &mut Values,
    ) -> Result<Vec<Value>, ListError> {
        let Some(Value::Array(elements)) = values.remove(each) else {
            let near = hint(each, values.keys().map(String::as_str));
            return Err(self.wrong(file, format!("has no list `{each}`{near}")));
        };
        Ok(elements)
    }

    /// The elements to leave out, as JSON. A file may have none.
    fn exceptions(
        &self,
        file: &str,
        except: &str,
        values: &mut Values,
    ) -> Result<HashSet<String>, ListError> {
        match values.remove(except) {
            Some(Value::Array(left_out)) => Ok(left_out.iter().map(Value::to_string).collect()),
            None | Some(Value::Null) => Ok(HashSet::new()),
            Some(_) => Err(self.wrong(file, "the exceptions are no list")),
        }
    }

    /// An exception that is no element is most likely misspelled.
    fn all_there(
        &self,
        list: &str,
        left_out: &HashSet<String>,
        elements: &[Value],
    ) -> Result<(), ListError> {
        let there: HashSet<_> = elements.iter().map(Value::to_string).collect();
        let missing = left_out.difference(&there).map(|name| shown(name));
        self.unless_missing(list, missing.collect())
    }
}
