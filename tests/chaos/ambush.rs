//! Blows that are to hit a consumer of archives while it expands one: after it has claimed the archive, and before its images
//! are jobs.

use std::collections::VecDeque;
use std::time::Duration;

use super::fleet::Fleet;
use super::peers::redis::Redis;
use super::schedule::Blow;
use super::servers::Servers;

/// The blows that have not hit yet.
#[derive(Default)]
pub(crate) struct Ambush {
    waiting: VecDeque<(Blow, Duration)>,
}

/// An archive that is claimed and has no children, and the list of whoever expands it.
struct Expanding {
    job: String,
    list: String,
}

impl Ambush {
    pub(crate) fn prepare(&mut self, blow: Blow, after: Duration) {
        self.waiting.push_back((blow, after));
    }

    /// Looks once, and gives the blow and the consumer it is for, if one expands an archive now.
    pub(crate) async fn look(&self, servers: &Servers, fleet: &Fleet) -> Option<(Blow, Target)> {
        let &(blow, after) = self.waiting.front()?;
        let found = expanding(servers.master()?).ok()?;
        let target = found.into_iter().find_map(|expanding| {
            let pod = fleet.pod_of(&expanding.list)?;
            Some(Target { pod, expanding })
        })?;
        tokio::time::sleep(after).await;
        Some((blow, target))
    }

    /// Whether the archive was still being expanded when the consumer was hit. If not, the blow is kept for another.
    pub(crate) async fn has_hit(&mut self, servers: &Servers, target: &Target) -> bool {
        // What was sent before has arrived by then.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let found = servers.master().and_then(|master| expanding(master).ok());
        let Target { expanding, .. } = target;
        let is_hit = found.is_some_and(|found| {
            found
                .iter()
                .any(|other| other.job == expanding.job && other.list == expanding.list)
        });
        if is_hit {
            self.waiting.pop_front();
        }
        is_hit
    }
}

/// Whom a blow is for.
pub(crate) struct Target {
    pub(crate) pod: usize,
    expanding: Expanding,
}

fn expanding(master: &Redis) -> redis::RedisResult<Vec<Expanding>> {
    const LOOK: &str = "local found = {}
        for _, job in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
          local record = redis.call('HMGET', job, 'rc_owner', 'children', 'status')
          if record[1] and not record[2] and record[3] ~= 'done' and record[3] ~= 'failed' then
            table.insert(found, job)
            table.insert(found, record[1])
          end
        end
        return found";
    let found: Vec<String> = master.try_ask(&["EVAL", LOOK, "1", "rc:lease:segmentation-zip"])?;
    let found = found.chunks_exact(2).map(|pair| Expanding {
        job: pair[0].clone(),
        list: pair[1].clone(),
    });
    Ok(found.collect())
}
