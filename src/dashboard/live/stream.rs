//! `GET /events`: what changes, as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | *none* | JSON: a list of the pieces that are new, as HTML, each with an `id`; for scripts one `topic` and its `data`, as the API has it |
//! | `away` | JSON: `text`, why nothing is told, and `age`, of what was told last in milliseconds |
//! | `back` | `{}`: what is told is new again |
//! | `full` | `{}`: too many streams; ask again later, and load the page anew meanwhile |

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, Stream, StreamExt as _};
use serde_json::json;

use super::super::form::Form;
use super::super::visit::Visit;
use super::board::{Board, Sent};
use super::hub::{Follower, Hub};
use super::topic::{Telling, Topic};

/// Topics of one stream.
const MOST_TOPICS: usize = 64;

/// A comment is sent when nothing else was for so long, that proxies keep the connection and browsers know that it lives.
const ALIVE: Duration = Duration::from_secs(15);

/// How long browsers wait before they connect again.
const RETRY: Duration = Duration::from_secs(3);

/// `GET /events?t=TOPIC&t=TOPIC`
pub(in super::super) async fn events(visit: Visit) -> Response {
    let Some(topics) = topics(&visit.form) else {
        return (StatusCode::BAD_REQUEST, WRONG).into_response();
    };
    let full = || {
        let full = Event::default().event("full").data(NOTHING);
        answer(stream::iter([Ok(full)]))
    };
    follow(&visit.site.hub, topics, Telling::Pieces).unwrap_or_else(full)
}

/// The topics of an address; nothing if they are none, too many, or unknown.
pub(in super::super) fn topics(form: &Form) -> Option<HashSet<Topic>> {
    let topics: Option<HashSet<_>> = form.all("t").map(Topic::read).collect();
    topics.filter(|topics| (1..=MOST_TOPICS).contains(&topics.len()))
}

/// A stream of what changes of these topics; nothing if there are too many streams already.
pub(in super::super) fn follow(
    hub: &Hub,
    topics: HashSet<Topic>,
    telling: Telling,
) -> Option<Response> {
    let follower = hub.follow(topics, telling)?;
    Some(answer(changes(follower)))
}

/// Browsers hand on no event without data.
const NOTHING: &str = "{}";

const WRONG: &str = "name 1 to 64 topics as t=…: overview, queues, queue:NAME, chart:HOURS:NAME, job:KEY, row:KEY, batches, batch:NAME \
    or workers\n";

fn answer(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let first = Event::default().retry(RETRY).comment("what changes");
    let events = stream::iter([Ok(first)]).chain(events);
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        // Else nginx and its like hand on nothing until their buffer is full.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE));
    (headers, events).into_response()
}

/// What one stream has been told.
struct Told {
    follower: Follower,
    sent: Sent,
    is_away: bool,
    /// What is to be told before anything else.
    waiting: VecDeque<Event>,
}

fn changes(mut follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    // What is known already is news for this one.
    follower.board.mark_changed();
    let told = Told {
        follower,
        sent: Sent::default(),
        is_away: false,
        waiting: VecDeque::new(),
    };
    stream::unfold(told, async |mut told| {
        let event = told.next().await?;
        Some((Ok(event), told))
    })
}

impl Told {
    /// Waits for something to tell; nothing if the stream is to end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let stopped = self.follower.until_stopped();
            let mut board = self.follower.board.clone();
            tokio::select! {
                () = stopped => return None,
                changed = board.changed() => changed.ok()?,
            }
            self.waiting = self.news(&board.borrow_and_update());
            self.follower.board = board;
        }
    }

    fn news(&mut self, board: &Board) -> VecDeque<Event> {
        let was_away = std::mem::replace(&mut self.is_away, board.away.is_some());
        if let Some((text, since)) = board.away {
            let away = (!was_away).then(|| away(text, since));
            return away.into_iter().collect();
        }
        let pieces = self.sent.changes(board, &self.follower.wishes);
        if pieces.is_empty() {
            let back = was_away.then(|| Event::default().event("back").data(NOTHING));
            return back.into_iter().collect();
        }
        let event = |data: String| Event::default().id(board.number.to_string()).data(data);
        match self.follower.telling {
            // One by one, as a row of a table is none behind something else.
            Telling::Pieces => [event(json!(pieces).to_string())].into(),
            Telling::Object => pieces.into_iter().map(event).collect(),
        }
    }
}

fn away(text: &str, since: Instant) -> Event {
    let age = since.elapsed().as_millis();
    let data = json!({"text": text, "age": age as u64});
    Event::default().event("away").data(data.to_string())
}
