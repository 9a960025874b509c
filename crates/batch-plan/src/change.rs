//! Changes of a plan whose batch runs.

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
        let whole = format!("stages.{stage}.{path}");
        let wrong = |message: String| PlanError::from(Problem::new(&whole, message));
        let k = self
            .stage_number(stage)
            .ok_or_else(|| wrong(format!("there is no stage `{}`", shown(stage))))?;
        let names: Vec<&str> = path.split('.').collect();
        if is_hard(&[&["stages", stage], names.as_slice()].concat()) {
            return Err(wrong("may not change while the batch runs".to_owned()));
        }
        // Read as if it stood in a file, so that it has the units and the errors of one.
        let mut spot = yaml::parse(text.as_bytes())?;
        for name in names.iter().rev() {
            let at = spot.at;
            let name = (*name).to_owned();
            let node = Node::Map(vec![(Key { name, at }, spot)]);
            spot = Spot { node, at };
        }
        let mut reader = Reader::default();
        let read = Fields::of(&mut reader, &spot, "").map(|mut fields| {
            let work = work(&mut reader, &mut fields);
            fields.end(&mut reader);
            work
        });
        for problem in &mut reader.problems {
            problem.at = None;
            problem.path = format!("stages.{stage}.{}", problem.path);
        }
        PlanError::unless_empty(reader.problems)?;
        let json = |error: serde_json::Error| wrong(error.to_string());
        let mut new = &serde_json::to_value(read.unwrap_or_default()).map_err(json)?;
        for name in &names {
            new = &new[*name];
        }
        let mut value = self.to_value()?;
        let mut place = &mut value["stages"][k];
        let (last, folders) = names.split_last().unwrap_or((&"", &[]));
        for name in folders {
            place = &mut place[*name];
            if place.is_null() {
                *place = serde_json::json!({});
            }
        }
        // What is as usual is not written.
        match place.as_object_mut() {
            Some(members) if new.is_null() => _ = members.remove(*last),
            Some(members) => _ = members.insert((*last).to_owned(), new.clone()),
            None => return Err(wrong("is not there".to_owned())),
        }
        let changed: Self = serde_json::from_value(value).map_err(json)?;
        let changed = Self::from_json(&changed.to_json()?)?;
        Renderer::new(changed.clone().into(), k).map_err(|error| wrong(error.message))?;
        let differences = diff(self, &changed)?;
        *self = changed;
        Ok(differences)
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
