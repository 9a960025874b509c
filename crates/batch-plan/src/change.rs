//! Changes of a plan whose batch runs.

use serde_json::Value;

use crate::diff::{Difference, diff};
use crate::digest::is_hard;
use crate::form::work::work;
use crate::job::Renderer;
use crate::problem::{PlanError, Problem, shown};
use crate::reader::{Fields, Reader};
use crate::resolved::Resolved;
use crate::yaml::{self, Key, Node, Spot};

impl Resolved {
    /// Changes something soft of a stage, such as `limit.at_once` to `200`, in the form of the file, and gives what differs.
    ///
    /// # Errors
    ///
    /// There is no such stage; what stands there may not change while the batch runs, is unknown, or cannot be that.
    pub fn change(
        &mut self,
        stage: &str,
        path: &str,
        text: &str,
    ) -> Result<Vec<Difference>, PlanError> {
        let change = Change {
            stage,
            path,
            names: path.split('.').collect(),
        };
        let Some(k) = self.stage_number(stage) else {
            return Err(change.wrong(format!("there is no stage `{}`", shown(stage))));
        };
        if is_hard(&[&["stages", stage], change.names.as_slice()].concat()) {
            return Err(change.wrong("may not change while the batch runs"));
        }
        let new = change.read(text)?;
        let changed = change.apply(self, k, new)?;
        let differences = diff(self, &changed)?;
        *self = changed;
        Ok(differences)
    }
}

/// A change of one value of a stage.
struct Change<'a> {
    stage: &'a str,
    path: &'a str,
    /// The parts of the path.
    names: Vec<&'a str>,
}

impl Change<'_> {
    fn wrong(&self, message: impl Into<String>) -> PlanError {
        let path = format!("stages.{}.{}", self.stage, self.path);
        Problem::new(path, message).into()
    }

    /// The new value as it is stored; null if it is the usual one.
    fn read(&self, text: &str) -> Result<Value, PlanError> {
        let spot = self.nested(yaml::parse(text.as_bytes())?);
        let mut reader = Reader::default();
        let read = Fields::of(&mut reader, &spot, "").map(|mut fields| {
            let work = work(&mut reader, &mut fields);
            fields.end(&mut reader);
            work
        });
        for problem in &mut reader.problems {
            problem.at = None;
            problem.path = format!("stages.{}.{}", self.stage, problem.path);
        }
        PlanError::unless_empty(reader.problems)?;
        let work = serde_json::to_value(read.unwrap_or_default())
            .map_err(|error| self.wrong(error.to_string()))?;
        let new = self.names.iter().fold(&work, |value, name| &value[*name]);
        Ok(new.clone())
    }

    /// The value as if it stood in a file, so that it has the units and the errors of one.
    fn nested(&self, value: Spot) -> Spot {
        self.names.iter().rev().fold(value, |spot, name| {
            let at = spot.at;
            let name = (*name).to_owned();
            let node = Node::Map(vec![(Key { name, at }, spot)]);
            Spot { node, at }
        })
    }

    /// The plan with the new value, checked as one that is loaded.
    fn apply(&self, plan: &Resolved, k: usize, new: Value) -> Result<Resolved, PlanError> {
        let mut stored = plan.to_value()?;
        self.write(&mut stored["stages"][k], new)?;
        let changed: Resolved =
            serde_json::from_value(stored).map_err(|error| self.wrong(error.to_string()))?;
        let changed = Resolved::from_json(&changed.to_json()?)?;
        Renderer::new(changed.clone().into(), k).map_err(|error| self.wrong(error.message))?;
        Ok(changed)
    }

    /// Puts the value into a stored stage. What is as usual is not written.
    fn write(&self, stage: &mut Value, new: Value) -> Result<(), PlanError> {
        let mut place = stage;
        let (last, folders) = self.names.split_last().unwrap_or((&"", &[]));
        for name in folders {
            place = &mut place[*name];
            if place.is_null() {
                *place = serde_json::json!({});
            }
        }
        match place.as_object_mut() {
            Some(members) if new.is_null() => _ = members.remove(*last),
            Some(members) => _ = members.insert((*last).to_owned(), new),
            None => return Err(self.wrong("is not there")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Overrides, Plan, Resolved};

    fn plan() -> Resolved {
        let text = "plan: 1\nname: p\nstages:\n  - {name: a, queue: q, items: {range: {x: 4}}, limit: {at_once: 5}}\n";
        let plan = Plan::parse(text.as_bytes()).unwrap();
        plan.resolve(&Overrides::default()).unwrap()
    }

    #[test]
    fn what_is_soft_changes() {
        let mut plan = plan();
        let digest = plan.digest();
        for (path, text, line) in [
            ("limit.at_once", "200", "stages.a.limit.at_once: 5 → 200"),
            ("limit.at_once", "0", "stages.a.limit.at_once: 200 → –"),
            ("timeout", "3m", "stages.a.timeout: – → \"3m\""),
            (
                "limit.ramp",
                "{from: 1, by: 2, every: 1m}",
                "stages.a.limit.ramp.by: – → 2",
            ),
            (
                "stop_after.failed",
                "10%",
                "stages.a.stop_after.failed: – → \"10%\"",
            ),
            ("trigger", "manual", "stages.a.trigger: – → \"manual\""),
        ] {
            let differences = plan.change("a", path, text).unwrap();
            assert_eq!(differences[0].to_string(), line);
        }
        assert_eq!(plan.digest(), digest);
        assert_eq!(plan.change("a", "timeout", "3m"), Ok(vec![]));
    }

    #[test]
    fn what_is_hard_or_wrong_does_not() {
        for (stage, path, text, expected) in [
            ("b", "timeout", "3m", "no stage `b`"),
            ("a", "queue", "r", "may not change"),
            ("a", "fields.x", "1", "may not change"),
            ("a", "timeout", "3", "not a duration"),
            ("a", "timeout", "'{{ x '", "syntax error"),
            ("a", "atempts", "3", "did you mean `attempts`?"),
            ("a", "limit.at_one", "3", "did you mean `at_once`?"),
            ("a", "allow_failed", "5", "waits for a whole stage"),
            ("a", "", "5", "unknown"),
        ] {
            let mut plan = plan();
            let error = plan.change(stage, path, text).unwrap_err().to_string();
            assert!(error.contains(expected), "{path}: {error}");
            assert_eq!(plan, self::plan());
        }
    }
}
