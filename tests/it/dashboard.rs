//! The web page, as a process, as browsers see it.

/// Pages by keyboard, for eyes and for programs that read them aloud.
mod access;

/// The API of a Kiosk, as its clients call it.
mod api;

/// What is done on pages, against the commands that do the same.
mod actions;

/// Plans that run.
mod batches;

/// Pages in a real browser.
mod browser;

/// What pages cost where there is a lot.
mod costs;

/// Other programs, and peers.
mod elsewhere;

/// Files that pages hand out.
mod exports;

/// Objects as everybody fetches them.
mod files;

/// Names of strangers on every page.
mod hostile;

/// Keys, themes and marks.
mod keys;

/// Pages of an ordinary day.
mod lab;

/// Which models there are.
mod models;

/// What changes while somebody looks.
mod live;

/// What is seen of a job.
mod looks;

/// What the pages show.
mod pages;

/// Who may do what.
mod rights;

/// Pictures of all pages.
mod screenshots;

/// What is in a result, and how others open it.
mod result;

/// Answers as they are described.
mod schema;

/// How long the stages of jobs took.
mod stages;

/// The API for scripts.
mod v1;

/// What changes, for scripts.
mod v1_events;

/// Files of others.
mod vendored;

/// What is seen of a job from near and far.
mod viewer;

/// The same in a real browser.
mod viewer_browser;

/// The same in a real browser.
mod drop;

/// Files that are uploaded, and what becomes of them.
mod upload;

/// The same with a bucket on a server.
mod upload_to_s3;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::peers::cluster::Cluster;
use crate::peers::redis::Redis;

/// A key as addresses and forms have it.
fn encoded(key: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(key)
}

/// A Redis and a bucket, with nothing in them.
async fn empty() -> Cluster {
    Cluster::with(Redis::start_in_memory(), Vec::new()).await
}

/// Jobs in every place of a queue, a batch, something purged and something recorded.
fn furnish(redis: &Redis) {
    let now = 1_790_000_000_000_u64;
    let script = "
        local now = tonumber(ARGV[1])
        redis.call('SADD', 'rc:queues', 'segmentation', 'tracking')
        for i = 1, 3 do
            redis.call('HSET', 'segmentation:wait:' .. i, 'status', 'new', 'input_file_name', 'uploads/w' .. i .. '.tif')
            redis.call('LPUSH', 'segmentation', 'segmentation:wait:' .. i)
        end
        for i = 1, 7 do
            local job = 'segmentation:bad:' .. i
            local why = i % 2 == 0 and 'ValueError: the image has 3 channels' or 'StorageError: `a` is not there'
            redis.call('HSET', job, 'status', 'failed', 'reason', 'while started\\n' .. why,
                'error_class', i % 2 == 0 and 'invalid_input' or 'storage_read', 'input_file_name', 'uploads/b' .. i .. '.tif')
            redis.call('ZADD', 'rc:failed:segmentation', now + i, job)
        end
        redis.call('HSET', 'segmentation:late:1', 'status', 'new')
        redis.call('ZADD', 'rc:delayed:segmentation', now * 2, 'segmentation:late:1')
        redis.call('HSET', 'segmentation:parent:1', 'status', 'waiting', 'children', 'segmentation:wait:1,segmentation:bad:1')
        redis.call('ZADD', 'rc:parked:segmentation', now * 2, 'segmentation:parent:1')
        redis.call('HSET', 'segmentation:run:1', 'status', 'predicting', 'progress', '40',
            'rc_token', 't', 'rc_owner', 'processing-segmentation:pod-1')
        redis.call('LPUSH', 'processing-segmentation:pod-1', 'segmentation:run:1')
        redis.call('ZADD', 'rc:lease:segmentation', now * 2, 'segmentation:run:1')
        redis.call('ZADD', 'rc:workers:segmentation', now * 2, 'pod-1')
        redis.call('ZADD', 'rc:workers:segmentation', 1, 'pod-0')
        redis.call('HSET', 'rc:worker:segmentation:pod-1', 'version', '9.9', 'type', 'image', 'slots', '4')";
    let now = now.to_string();
    let _: Option<String> = redis.ask(&["EVAL", script, "0", &now]);
}
