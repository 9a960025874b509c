//! What is known at present of what open pages follow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::topic::Wish;

/// The pieces of a topic, as HTML, always in the same order for the same shape of the page; or its object alone, as JSON.
pub(super) type Sheet = Vec<String>;

/// What is known at present.
#[derive(Clone, Default)]
pub(super) struct Board {
    /// Grows with every answer of Redis.
    pub(super) number: u64,
    pub(super) sheets: HashMap<Wish, Arc<Sheet>>,
    /// Why Redis does not tell, and since when what is here is old.
    pub(super) away: Option<(&'static str, Instant)>,
}

impl Board {
    /// Nobody looks any more.
    pub(super) fn forget(&mut self) {
        self.sheets.clear();
        self.away = None;
    }
}

/// What one stream has been sent.
#[derive(Default)]
pub(super) struct Sent(HashMap<Wish, Arc<Sheet>>);

impl Sent {
    /// The pieces of these topics that are not as they were sent.
    pub(super) fn changes(&mut self, board: &Board, wishes: &[Wish]) -> Vec<String> {
        let mut changed = Vec::new();
        for wish in wishes {
            let Some(sheet) = board.sheets.get(wish) else {
                continue;
            };
            let before = self.0.insert(wish.clone(), Arc::clone(sheet));
            let before = before.as_ref();
            if before.is_some_and(|before| Arc::ptr_eq(before, sheet)) {
                continue;
            }
            let pieces = sheet.iter().enumerate();
            let new = pieces.filter(|(at, piece)| {
                let old = before.and_then(|before| before.get(*at));
                old != Some(*piece)
            });
            changed.extend(new.map(|(_, piece)| piece.clone()));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::super::topic::{Telling, Topic};
    use super::*;

    fn wish(topic: Topic) -> Wish {
        let telling = Telling::Pieces;
        Wish { topic, telling }
    }

    fn board(pieces: &[&str]) -> Board {
        let sheet: Sheet = pieces.iter().map(|&piece| piece.to_owned()).collect();
        Board {
            sheets: [(wish(Topic::Workers), Arc::new(sheet))].into(),
            ..Board::default()
        }
    }

    #[test]
    fn the_first_time_everything_is_sent_and_then_what_has_changed() {
        let mut sent = Sent::default();
        let topics = [Topic::Overview, Topic::Workers].map(wish);
        assert_eq!(sent.changes(&board(&["a", "b"]), &topics), ["a", "b"]);
        assert_eq!(sent.changes(&board(&["a", "b"]), &topics), [""; 0]);
        assert_eq!(sent.changes(&board(&["a", "c"]), &topics), ["c"]);
        assert_eq!(sent.changes(&board(&["a", "c", "d"]), &topics), ["d"]);
        // What is not known for a moment is not sent again when it is.
        assert_eq!(sent.changes(&Board::default(), &topics), [""; 0]);
        assert_eq!(sent.changes(&board(&["a", "c"]), &topics), [""; 0]);
    }
}
