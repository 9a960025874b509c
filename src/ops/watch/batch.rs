//! Batches are followed until they have ended, or stand still until a person does something.

mod followed;
mod report;
mod results;
mod screen;
mod tally;

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::followed::{End, Followed};
use self::results::Results;
use self::screen::BatchScreen;
use self::tally::Tally;
use super::super::desk::Desk;
use super::following::Following;
use super::pace::Pace;
use crate::exit_code;

/// Follows a batch, fetches its results if that is wanted, and gives the exit status.
pub(crate) async fn follow_batch(
    desk: &Desk,
    name: &str,
    following: &Following<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let storage = following.results.map(|(storage, _)| storage);
    let mut it = Followed::begin(desk, name, storage).await?;
    let results = following.results;
    let mut results = results.map(|from_to| Results::new(&desk.admin, from_to, &it.state));
    let mut screen = BatchScreen::begin(&it, following.screen, results.is_some())?;
    let end = it.until_end(&mut screen, &mut results, following, stop);
    let end = end.await?;
    let tally = results.as_ref().map(|results| &results.tally);
    let line = screen.end(&it, tally.map(Tally::handled))?;
    it.report(end, following.screen, line, tally).await?;
    let unfetched = tally.map_or(0, Tally::failed);
    Ok(match end {
        End::Stopped => exit_code::of_signal(),
        End::Late => exit_code::TIMED_OUT,
        End::StandsStill => exit_code::FOUND,
        End::Finished if it.counts.failed + unfetched > 0 => exit_code::FOUND,
        End::Finished => exit_code::SUCCESS,
    })
}

impl Followed<'_> {
    async fn until_end(
        &mut self,
        screen: &mut BatchScreen,
        results: &mut Option<Results<'_>>,
        following: &Following<'_>,
        stop: &CancellationToken,
    ) -> anyhow::Result<End> {
        let mut pace = Pace::new();
        loop {
            let looked = Instant::now();
            let has_changed = self.look().await?;
            let handled = results.as_ref().map(|results| results.tally.handled());
            screen.show(self, handled)?;
            let took = looked.elapsed();
            let more = stop.run_until_cancelled(self.fetch_some(results)).await;
            let more = match more {
                Some(more) => more?,
                None => return Ok(End::Stopped),
            };
            if let Some(end) = self.end().filter(|_| !more) {
                return Ok(end);
            }
            let left = following.left(screen.begun);
            if left.is_zero() {
                return Ok(End::Late);
            }
            let pause = match more {
                true => Duration::ZERO,
                false => pace.pause(has_changed, took).min(left),
            };
            let slept = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            if slept.is_none() {
                return Ok(End::Stopped);
            }
        }
    }

    /// Fetches some results, if any are wanted, and gives whether more are there.
    async fn fetch_some(&mut self, results: &mut Option<Results<'_>>) -> anyhow::Result<bool> {
        match results {
            Some(results) => results.fetch_some(&mut self.loaded, &self.state).await,
            None => Ok(false),
        }
    }
}
