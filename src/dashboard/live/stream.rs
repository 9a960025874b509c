//! `GET /events`: what changes, as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | *none* | JSON: a list of the pieces that are new, as HTML, each with an `id` |
//! | `away` | JSON: `text`, why nothing is told, and `age`, of what was told last in milliseconds |
//! | `back` | `{}`: what is told is new again |
//! | `full` | `{}`: too many streams; ask again later, and load the page anew meanwhile |

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, Stream, StreamExt as _};
use serde_json::json;

use super::super::visit::Visit;
use super::board::{Board, Sent};
use super::hub::Follower;
use super::topic::Topic;

/// Topics of one stream.
const MOST_TOPICS: usize = 64;

/// A comment is sent when nothing else was for so long, that proxies keep the connection and browsers know that it lives.
const ALIVE: Duration = Duration::from_secs(15);

/// How long browsers wait before they connect again.
const RETRY: Duration = Duration::from_secs(3);

/// `GET /events?t=TOPIC&t=TOPIC`
pub(in super::super) async fn events(visit: Visit) -> Response {
    let topics: Option<HashSet<_>> = visit.form.all("t").map(Topic::read).collect();
    let topics = match topics {
        Some(topics) if (1..=MOST_TOPICS).contains(&topics.len()) => topics,
        _ => return (StatusCode::BAD_REQUEST, WRONG).into_response(),
    };
    let first = Event::default().retry(RETRY).comment("what changes");
    let first = stream::iter([Ok(first)]);
    match visit.site.hub.follow(topics) {
        Some(follower) => answer(first.chain(changes(follower))),
        None => {
            let full = Event::default().event("full").data(NOTHING);
            answer(first.chain(stream::iter([Ok(full)])))
        }
    }
}

/// Browsers hand on no event without data.
const NOTHING: &str = "{}";

const WRONG: &str = "name 1 to 64 topics as t=…: overview, queues, queue:NAME, chart:HOURS:NAME, job:KEY, row:KEY, batches, batch:NAME \
    or workers\n";

fn answer(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
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
}

fn changes(mut follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    // What is known already is news for this one.
    follower.board.mark_changed();
    let told = Told {
        follower,
        sent: Sent::default(),
        is_away: false,
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
            let stopped = self.follower.until_stopped();
            let mut board = self.follower.board.clone();
            tokio::select! {
                () = stopped => return None,
                changed = board.changed() => changed.ok()?,
            }
            let event = self.event(&board.borrow_and_update());
            self.follower.board = board;
            if event.is_some() {
                return event;
            }
        }
    }

    fn event(&mut self, board: &Board) -> Option<Event> {
        let was_away = std::mem::replace(&mut self.is_away, board.away.is_some());
        if let Some((text, since)) = board.away {
            return (!was_away).then(|| away(text, since));
        }
        let pieces = self.sent.changes(board, &self.follower.topics);
        if pieces.is_empty() {
            return was_away.then(|| Event::default().event("back").data(NOTHING));
        }
        let id = board.number.to_string();
        // One by one, as a row of a table is none behind something else.
        Some(Event::default().id(id).data(json!(pieces).to_string()))
    }
}

fn away(text: &str, since: Instant) -> Event {
    let age = since.elapsed().as_millis();
    let data = json!({"text": text, "age": age as u64});
    Event::default().event("away").data(data.to_string())
}
