//! How the items of a stage are worked.

use std::collections::BTreeMap;

use crate::reader::{Fields, Reader};
use crate::units::{self, Amount};
use crate::work::{
    Bounds, Expect, ExpectKey, ExpectPrefix, ImageRule, Keep, Limit, OnFailure, Ramp, Rerun,
    ResultWord, StopAfter, Trigger, Verify, Work,
};
use crate::yaml::{Node, Spot};

/// What a stage says about its items' work.
pub(crate) fn work(reader: &mut Reader, f: &mut Fields<'_>) -> Work {
    Work {
        id: f.get(reader, "id", Reader::scalar),
        input: f.get(reader, "input", Reader::scalar),
        fields: f.get(reader, "fields", fields).unwrap_or_default(),
        timeout: f.get(reader, "timeout", quantity(units::seconds)),
        memory: f.get(reader, "memory", quantity(units::bytes)),
        attempts: f.get(reader, "attempts", quantity(units::count)),
        crashes: f.get(reader, "crashes", quantity(units::count)),
        rerun: f.get(reader, "rerun", one_of(RERUN)).unwrap_or_default(),
        expect: f.get(reader, "expect", each(expect)).unwrap_or_default(),
        verify: f.get(reader, "verify", each(verify)).unwrap_or_default(),
        limit: f.get(reader, "limit", limit).unwrap_or_default(),
        stop_after: f.get(reader, "stop_after", stop_after).unwrap_or_default(),
        on_failure: f
            .get(reader, "on_failure", one_of(ON_FAILURE))
            .unwrap_or_default(),
        allow_failed: f
            .get(reader, "allow_failed", Reader::parsed)
            .unwrap_or_default(),
        trigger: f
            .get(reader, "trigger", one_of(TRIGGER))
            .unwrap_or_default(),
        first: f.get(reader, "first", Reader::truth).unwrap_or_default(),
        keep: f.get(reader, "keep", keep).unwrap_or_default(),
        manifest: f.get(reader, "manifest", Reader::truth).unwrap_or_default(),
        sort: f.get(reader, "sort", Reader::text),
        late: f.get(reader, "late", Reader::truth).unwrap_or_default(),
    }
}

/// Words of the form, and what they mean.
type Words<T> = &'static [(&'static str, T)];

const RERUN: Words<Rerun> = &[("always", Rerun::Always), ("never", Rerun::Never)];
const ON_FAILURE: Words<OnFailure> = &[("wait", OnFailure::Wait), ("go_on", OnFailure::GoOn)];
const TRIGGER: Words<Trigger> = &[("auto", Trigger::Auto), ("manual", Trigger::Manual)];

fn one_of<T: Copy>(words: Words<T>) -> impl Fn(&mut Reader, &Spot, &str) -> Option<T> {
    move |reader, spot, path| reader.word(spot, path, words)
}

fn each<T>(
    read: fn(&mut Reader, &Spot, &str) -> Option<T>,
) -> impl Fn(&mut Reader, &Spot, &str) -> Option<Vec<T>> {
    move |reader, spot, path| reader.list(spot, path, read)
}

/// A quantity, or a template of one: what can be judged now is.
fn quantity<T>(
    parse: fn(&str) -> Result<T, units::UnitError>,
) -> impl Fn(&mut Reader, &Spot, &str) -> Option<String> {
    move |reader, spot, path| {
        let text = reader.scalar(spot, path)?;
        if !text.contains('{') {
            reader.unit(spot, path, parse)?;
        }
        Some(text)
    }
}

fn bytes(reader: &mut Reader, spot: &Spot, path: &str) -> Option<u64> {
    reader.unit(spot, path, units::bytes)
}

fn fields(reader: &mut Reader, spot: &Spot, path: &str) -> Option<BTreeMap<String, String>> {
    let fields = reader.map(spot, path, Reader::scalar)?;
    Some(fields.into_iter().collect())
}

fn expect(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Expect> {
    match &spot.node {
        Node::Text(word) if word == "result" => return Some(Expect::Result(ResultWord::Result)),
        Node::Text(key) => {
            return Some(Expect::Key(ExpectKey {
                key: key.clone(),
                min_size: None,
            }));
        }
        Node::Map(_) => {}
        _ => return reader.wrong(spot, path, "`result`, a key, {key: …} or {prefix: …}"),
    }
    let mut f = Fields::of(reader, spot, path)?;
    let expect = if f.has("prefix") {
        let prefix = f.need(reader, "prefix", Reader::text);
        let count = f.need(reader, "count", quantity(units::count));
        let matches = f.get(reader, "match", Reader::text);
        prefix.zip(count).map(|(prefix, count)| {
            Expect::Prefix(ExpectPrefix {
                prefix,
                count,
                matches,
            })
        })
    } else {
        let key = f.need(reader, "key", Reader::text);
        let min_size = f.get(reader, "min_size", bytes);
        key.map(|key| Expect::Key(ExpectKey { key, min_size }))
    };
    f.end(reader);
    expect
}

fn verify(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Verify> {
    match &spot.node {
        Node::Text(_) => {
            let words = [
                ("exists", &Verify::Exists),
                ("workers", &Verify::Workers),
                ("room", &Verify::Room),
            ];
            reader.word(spot, path, &words).cloned()
        }
        Node::Map(members) if members.len() == 1 => rule(reader, spot, path),
        _ => reader.wrong(
            spot,
            path,
            "exists, workers, room, or one of all, size, suffix, image, model, command with its value",
        ),
    }
}

/// A check that has a value.
fn rule(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Verify> {
    let mut f = Fields::of(reader, spot, path)?;
    let texts = each(Reader::scalar);
    // All are asked for, so that they are known where there is none of them.
    let rules = [
        f.get(reader, "all", Reader::truth).map(Verify::All),
        f.get(reader, "size", bounds).map(Verify::Size),
        f.get(reader, "suffix", &texts).map(Verify::Suffix),
        f.get(reader, "image", image).map(Verify::Image),
        f.get(reader, "model", &texts).map(Verify::Model),
        f.get(reader, "command", &texts).map(Verify::Command),
    ];
    f.end(reader);
    rules.into_iter().flatten().next()
}

fn bounds(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Bounds> {
    let mut f = Fields::of(reader, spot, path)?;
    let min = f.get(reader, "min", bytes);
    let max = f.get(reader, "max", bytes);
    f.end(reader);
    Some(Bounds { min, max })
}

fn image(reader: &mut Reader, spot: &Spot, path: &str) -> Option<ImageRule> {
    let mut f = Fields::of(reader, spot, path)?;
    let texts = each(Reader::scalar);
    let rule = ImageRule {
        axes: f.get(reader, "axes", &texts).unwrap_or_default(),
        channels: f.get(reader, "channels", Reader::parsed),
        frames: f.get(reader, "frames", Reader::parsed),
        types: f.get(reader, "type", &texts).unwrap_or_default(),
    };
    f.end(reader);
    Some(rule)
}

fn limit(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Limit> {
    let mut f = Fields::of(reader, spot, path)?;
    let queue = f.get(reader, "queue", positive);
    let at_once = f.get(reader, "at_once", Reader::number);
    let ramp = f.get(reader, "ramp", |reader, spot, path| {
        let mut f = Fields::of(reader, spot, path)?;
        let from = f.need(reader, "from", positive);
        let by = f.need(reader, "by", positive);
        let every = f.need(reader, "every", |reader, spot, path| {
            reader.unit(spot, path, units::seconds)
        });
        f.end(reader);
        Some(Ramp {
            from: from?,
            by: by?,
            every: every?,
        })
    });
    f.end(reader);
    Some(Limit {
        queue: queue.unwrap_or(Limit::default().queue),
        at_once: at_once.unwrap_or_default(),
        ramp,
    })
}

fn stop_after(reader: &mut Reader, spot: &Spot, path: &str) -> Option<StopAfter> {
    let mut f = Fields::of(reader, spot, path)?;
    let same_cause = f.get(reader, "same_cause", positive);
    let failed = f.get(reader, "failed", |reader, spot, path| {
        let amount: Amount = reader.parsed(spot, path)?;
        if amount == Amount::Count(0) || amount == Amount::Share(0) {
            return reader.wrong(spot, path, "more than 0");
        }
        Some(amount)
    });
    f.end(reader);
    Some(StopAfter { same_cause, failed })
}

fn keep(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Keep> {
    let mut f = Fields::of(reader, spot, path)?;
    let done = f.get(reader, "done", Reader::number);
    f.end(reader);
    Some(done.map(|done| Keep { done }).unwrap_or_default())
}

fn positive(reader: &mut Reader, spot: &Spot, path: &str) -> Option<u64> {
    let number = reader.number(spot, path)?;
    if number == 0 {
        reader.problem(spot.at, path, "expected a whole number of 1 or more");
        return None;
    }
    Some(number)
}
