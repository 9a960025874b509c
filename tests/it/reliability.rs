//! Jobs under trouble, and those who look after them.

/// What a job is asked of Redis.
mod asking;

/// Retries, deadlines, deaths and leases.
mod attempts;

/// Peers that are absent, old or risky.
mod peers_in_trouble;

/// A Kiosk's Python programs on the same queue.
mod python_programs;

/// Jobs that nobody would come back to.
mod reclaiming;

/// The janitor, `fsck`, and what else operators run.
mod maintenance;

use redis_consumer::queue::{Queue, QueueSettings, RedisSettings};

use crate::peers::cluster::Cluster;
use crate::peers::redis::Redis;

/// When jobs were last heard of that nobody works any more.
const OLD: &str = "2023-07-12T16:31:13.123456+00:00";

/// A queue of the name `segmentation`, without a process.
fn queue(redis: &Redis) -> Queue {
    let server = RedisSettings::plain("127.0.0.1", redis.port());
    Queue::new(QueueSettings::new(server, "segmentation", "survivor"))
}

async fn cluster() -> Cluster {
    Cluster::with_nuclei(Redis::start()).await
}
