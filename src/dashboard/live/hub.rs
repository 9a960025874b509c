//! Who follows what, and the one poller that asks for all of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::super::pieces::piece::Ground;
use super::board::{Board, Sheet};
use super::poll::Poll;
use super::topic::{Telling, Topic, Wish};
use crate::queue::{Admin, Error};

/// Streams at the same time. Each is a connection.
pub(in super::super) const MOST_STREAMS: usize = 500;

/// How often Redis is asked.
const EVERY: Duration = Duration::from_secs(1);

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// So many times in a row it may be silent before anybody is told: the first command after a restart meets a dead connection.
const SILENCES: u32 = 2;

const AWAY: &str = "Redis does not answer.";
const REFUSED: &str = "Redis refuses what this page asks: see the log of the dashboard.";

/// Knows who follows what. Clones are handles on the same.
#[derive(Clone)]
pub(in super::super) struct Hub(Arc<Inner>);

struct Inner {
    admin: Admin,
    ground: Ground,
    followed: Mutex<Followed>,
    board: watch::Sender<Board>,
    stop: CancellationToken,
}

/// What is followed, by how many streams.
#[derive(Default)]
struct Followed {
    wishes: HashMap<Wish, usize>,
    streams: usize,
    /// Whether the poller runs, and when it has begun to ask last.
    is_asked: bool,
    asked: Option<Instant>,
}

/// A stream's part in it, which ends with the value.
pub(super) struct Follower {
    hub: Arc<Inner>,
    pub(super) wishes: Vec<Wish>,
    pub(super) telling: Telling,
    pub(super) board: watch::Receiver<Board>,
}

impl Hub {
    /// Nobody follows anything. Streams end when `stop` says so.
    pub(in super::super) fn new(admin: Admin, base: &str, stop: CancellationToken) -> Self {
        let base = base.to_owned();
        Self(Arc::new(Inner {
            admin: admin.impatient(),
            ground: Ground { base },
            followed: Mutex::default(),
            board: watch::Sender::default(),
            stop,
        }))
    }

    /// Follows these topics; nothing if there are too many streams already.
    pub(super) fn follow(&self, topics: HashSet<Topic>, telling: Telling) -> Option<Follower> {
        let mut followed = self.0.followed();
        if followed.streams >= MOST_STREAMS {
            return None;
        }
        followed.streams += 1;
        let wishes = topics.into_iter().map(|topic| Wish { topic, telling });
        let wishes: Vec<_> = wishes.collect();
        for wish in &wishes {
            *followed.wishes.entry(wish.clone()).or_default() += 1;
        }
        if !std::mem::replace(&mut followed.is_asked, true) {
            tokio::spawn(Arc::clone(&self.0).ask());
        }
        Some(Follower {
            hub: Arc::clone(&self.0),
            wishes,
            telling,
            board: self.0.board.subscribe(),
        })
    }
}

impl Follower {
    /// Until streams are to end.
    pub(super) async fn until_stopped(&self) {
        self.hub.stop.cancelled().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut followed = self.hub.followed();
        followed.streams -= 1;
        for wish in &self.wishes {
            if let Some(count) = followed.wishes.get_mut(wish) {
                *count -= 1;
            }
        }
        followed.wishes.retain(|_, count| *count > 0);
    }
}

impl Inner {
    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks as long as anybody follows anything.
    async fn ask(self: Arc<Self>) {
        let mut poll = Poll::new(self.admin.clone(), self.ground.clone());
        let mut silences = 0;
        while let Some(wishes) = self.next_wishes().await {
            let looked = tokio::time::timeout(PATIENCE, Box::pin(poll.look(&wishes)));
            match self.stop.run_until_cancelled(looked).await {
                None => {}
                Some(Ok(Ok(sheets))) => {
                    silences = 0;
                    self.tell(sheets);
                }
                Some(failed) => {
                    silences += 1;
                    if silences == SILENCES {
                        self.tell_absence(failed.ok().and_then(Result::err));
                    }
                }
            }
        }
    }

    /// What is to be asked, when it is time; nothing if nobody is there any more, and then the poller has ended.
    async fn next_wishes(&self) -> Option<HashSet<Wish>> {
        let asked = self.followed().asked;
        if let Some(wait) = asked.and_then(|asked| EVERY.checked_sub(asked.elapsed())) {
            tokio::time::sleep(wait).await;
        }
        let mut followed = self.followed();
        if followed.streams == 0 || self.stop.is_cancelled() {
            followed.is_asked = false;
            // What is followed next is not to be shown what was known now.
            self.board.send_modify(|board| board.forget());
            return None;
        }
        followed.asked = Some(Instant::now());
        Some(followed.wishes.keys().cloned().collect())
    }

    fn tell(&self, sheets: HashMap<Wish, Arc<Sheet>>) {
        self.board.send_modify(|board| {
            if board.away.is_some() {
                info!("Redis answers open pages again");
            }
            *board = Board {
                number: board.number + 1,
                sheets,
                away: None,
            };
        });
    }

    /// What is known stays, and is old from now on.
    fn tell_absence(&self, error: Option<Error>) {
        let words = match &error {
            Some(error) if !error.is_away() => REFUSED,
            _ => AWAY,
        };
        let error = error.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
        warn!(error, "Redis does not tell open pages what changes");
        let since = Instant::now() - EVERY * (SILENCES - 1);
        self.board
            .send_modify(|board| board.away = Some((words, since)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RedisSettings;
    use crate::settings::{Env, Loader};

    fn hub() -> Hub {
        let settings = RedisSettings::load(&mut Loader::new(&Env::default()));
        Hub::new(Admin::new(&settings), "", CancellationToken::new())
    }

    #[tokio::test]
    async fn so_many_streams_may_follow_and_no_more() {
        let hub = hub();
        let follow = || hub.follow([Topic::Workers].into(), Telling::Object);
        let mut all: Vec<_> = (0..MOST_STREAMS).map_while(|_| follow()).collect();
        assert_eq!(all.len(), MOST_STREAMS);
        assert!(follow().is_none());
        let wishes: Vec<_> = hub.0.followed().wishes.values().copied().collect();
        assert_eq!(wishes, [MOST_STREAMS]);
        all.pop();
        assert!(follow().is_some());
        all.clear();
        assert!(hub.0.followed().wishes.is_empty());
    }
}
