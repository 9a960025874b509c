//! Faults that a server of objects meets requests with, and its memory of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hyper::Request;

/// What happens to a request instead of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// An error answer with this status.
    Status(u16),
    /// The connection ends without an answer.
    HangUp,
    /// The same, but what was asked for is done.
    LoseAnswer,
    /// Nothing, for ever.
    Silence,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query, still encoded.
    pub(crate) target: String,
    /// Header values by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Seen {
    /// Whether it has this method and this in its path or query.
    pub(crate) fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target.contains(target)
    }

    fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers().iter();
        Self {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            headers: headers
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    (name.to_string(), value.into_owned())
                })
                .collect(),
        }
    }
}

/// The faults to come and the requests so far; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: VecDeque<Fault>,
    until: Option<(Instant, Fault)>,
    rule: Option<(Rule, Fault)>,
    seen: Vec<Seen>,
}

type Rule = Box<dyn FnMut(&Seen) -> bool + Send>;

impl Faults {
    /// The next `count` requests meet this fault.
    pub(crate) fn fail_next(&self, count: usize, fault: Fault) {
        let again = std::iter::repeat_n(fault, count);
        self.state().next.extend(again);
    }

    /// Requests meet this fault until the time is over.
    pub(crate) fn fail_for(&self, time: Duration, fault: Fault) {
        self.state().until = Some((Instant::now() + time, fault));
    }

    /// Requests for which this holds meet this fault, until [`heal`](Self::heal).
    pub(crate) fn fail_if(&self, fault: Fault, rule: impl FnMut(&Seen) -> bool + Send + 'static) {
        self.state().rule = Some((Box::new(rule), fault));
    }

    /// The first `count` requests for which this holds meet this fault. The answer tells how many are still to come.
    pub(crate) fn fail_first(
        &self,
        count: usize,
        fault: Fault,
        mut rule: impl FnMut(&Seen) -> bool + Send + 'static,
    ) -> Arc<AtomicUsize> {
        let left = Arc::new(AtomicUsize::new(count));
        let to_come = Arc::clone(&left);
        self.fail_if(fault, move |seen| {
            let hit = to_come.load(Ordering::Relaxed) > 0 && rule(seen);
            to_come.fetch_sub(usize::from(hit), Ordering::Relaxed);
            hit
        });
        left
    }

    /// Ends what [`fail_if`](Self::fail_if) began.
    pub(crate) fn heal(&self) {
        self.state().rule = None;
    }

    /// Forgets the requests so far, of which a long run has too many.
    pub(crate) fn forget(&self) {
        self.state().seen = Vec::new();
    }

    /// Every request so far, those that met a fault included.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Their methods.
    pub(crate) fn methods(&self) -> Vec<String> {
        let requests = self.requests().into_iter();
        requests.map(|seen| seen.method).collect()
    }

    /// Those with this method and this in their path or query.
    pub(crate) fn count(&self, method: &str, target: &str) -> usize {
        let requests = self.requests().into_iter();
        requests.filter(|seen| seen.is(method, target)).count()
    }

    /// Remembers the request, and says which fault it meets.
    pub(super) fn meet<B>(&self, request: &Request<B>) -> Option<Fault> {
        let mut state = self.state();
        let seen = Seen::of(request);
        let lasting = state.until.filter(|(end, _)| Instant::now() < *end);
        let rule = state.rule.as_mut();
        let ruled = rule.and_then(|(rule, fault)| rule(&seen).then_some(*fault));
        state.seen.push(seen);
        let next = state.next.pop_front();
        next.or(lasting.map(|(_, fault)| fault)).or(ruled)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no poison")
    }
}
