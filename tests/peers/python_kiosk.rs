//! What else is at work in a Kiosk, as small programs that issue the same commands: a Python-shaped consumer, the Python
//! janitor, the autoscaler's counting and the exporter's.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use redis::Commands as _;

/// The exporter's script: entries waiting and in progress.
const EXPORTER: &str = r"
local total = redis.call('LLEN', KEYS[1])
local cursor = '0'
repeat
  local found = redis.call('SCAN', cursor, 'MATCH', 'processing-' .. KEYS[1] .. ':*', 'COUNT', 1000)
  cursor = found[1]
  for _, list in ipairs(found[2]) do total = total + redis.call('LLEN', list) end
until cursor == '0'
return total";

fn now() -> String {
    Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00")
        .to_string()
}

/// What the autoscaler takes for the length of a queue: its entries, and the number of processing lists.
pub(crate) fn autoscaler_count(connection: &mut redis::Connection, queue: &str) -> usize {
    let waiting: usize = connection.llen(queue).expect("a list");
    let lists: Vec<String> = connection
        .keys(format!("processing-{queue}:*"))
        .expect("keys");
    waiting + lists.len()
}

/// What the exporter tells Prometheus.
pub(crate) fn exporter_count(connection: &mut redis::Connection, queue: &str) -> usize {
    redis::Script::new(EXPORTER)
        .key(queue)
        .invoke(connection)
        .expect("the script runs")
}

/// One round of the Python janitor: entries older than 15 s of pods that do not run go back, in two steps.
pub(crate) fn janitor_round(
    connection: &mut redis::Connection,
    queue: &str,
    running: &HashSet<String>,
) -> usize {
    let mut requeued = 0;
    let lists: Vec<String> = connection
        .keys(format!("processing-{queue}:*"))
        .expect("keys");
    for list in lists {
        let jobs: Vec<String> = connection.lrange(&list, 0, -1).expect("entries");
        for job in jobs {
            let (status, updated_at, updated_by): (Option<String>, Option<String>, Option<String>) =
                connection
                    .hmget(&job, &["status", "updated_at", "updated_by"])
                    .expect("fields");
            if status.is_none() && updated_at.is_none() && updated_by.is_none() {
                let _: usize = connection.lrem(&list, 1, &job).expect("removed");
                continue;
            }
            let Some(updated_at) = updated_at else {
                continue;
            };
            let updated_at: Timestamp = updated_at
                .parse()
                .expect("a time stamp with an offset: the janitor would end");
            let pod = list.rsplit(':').next().expect("a name").to_owned();
            if updated_at.duration_until(Timestamp::now()).as_secs() <= 15 || running.contains(&pod)
            {
                continue;
            }
            let removed: usize = connection.lrem(&list, 1, &job).expect("removed");
            if removed > 0 && !matches!(status.as_deref(), Some("done" | "failed")) {
                let _: usize = connection.lpush(queue, &job).expect("queued");
                requeued += 1;
            }
        }
    }
    requeued
}

/// A consumer that moves jobs as the Python one does, and whose work is to wait.
pub(crate) struct PythonConsumer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl PythonConsumer {
    /// Starts one that takes so long for a job, and whose every result is `output/python.zip`.
    pub(crate) fn start(
        connection: redis::Connection,
        queue: &str,
        name: &str,
        work: Duration,
    ) -> Self {
        Self::run(Python {
            connection,
            queue: queue.to_owned(),
            name: name.to_owned(),
            output: "output/python.zip",
            work,
        })
    }

    /// Starts one whose every result is this object.
    pub(crate) fn start_with_result(
        connection: redis::Connection,
        queue: &str,
        output: &'static str,
    ) -> Self {
        let name = format!("pod-python-{queue}");
        Self::run(Python {
            connection,
            queue: queue.to_owned(),
            name,
            output,
            work: Duration::ZERO,
        })
    }

    fn run(mut python: Python) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut done = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                done.extend(python.iteration().expect("redis answers"));
            }
            done
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it and gives the keys of the jobs that it has finished.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .expect("it was started")
            .join()
            .expect("it ended well")
    }
}

impl Drop for PythonConsumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A Python consumer's hands while it waits for jobs of its own: it knows of no set, no script and no lease.
pub(crate) struct PythonParent {
    connection: redis::Connection,
    children: Vec<String>,
}

impl PythonParent {
    pub(crate) fn new(connection: redis::Connection) -> Self {
        Self {
            connection,
            children: Vec::new(),
        }
    }

    /// Creates a child for a file that it has uploaded below `output/`, and queues it.
    pub(crate) fn create(&mut self, queue: &str, file: &str, fields: &[(&str, &str)]) {
        let key = format!("{queue}:{file}:{:032x}", self.children.len() + 1);
        let (object, now) = (format!("output/{file}"), now());
        let mut hash = vec![
            ("identity_upload", "pod-python"),
            ("input_file_name", object.as_str()),
            ("original_name", file),
            ("status", "new"),
            ("created_at", now.as_str()),
            ("updated_at", now.as_str()),
            ("url", "https://example.invalid/input"),
        ];
        hash.extend(fields);
        self.connection
            .hset_multiple::<_, _, _, ()>(&key, &hash)
            .expect("the hash is written");
        let _: usize = self.connection.lpush(queue, &key).expect("queued");
        self.children.push(key);
    }

    /// Polls every child until it is final: the keys of the results, or the reason of the first that has failed.
    pub(crate) fn wait(&mut self) -> Result<Vec<String>, String> {
        let children = std::mem::take(&mut self.children);
        children.iter().map(|child| self.wait_for(child)).collect()
    }

    fn wait_for(&mut self, child: &str) -> Result<String, String> {
        for _ in 0..600 {
            let status: String = self.connection.hget(child, "status").expect("a status");
            match status.as_str() {
                "done" => {
                    return Ok(self
                        .connection
                        .hget(child, "output_file_name")
                        .expect("a result"));
                }
                "failed" => return Err(self.connection.hget(child, "reason").expect("a reason")),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        panic!("waited in vain for {child}");
    }
}

/// What a Python consumer knows.
struct Python {
    connection: redis::Connection,
    queue: String,
    name: String,
    output: &'static str,
    work: Duration,
}

impl Python {
    /// One iteration of its loop, command by command.
    fn iteration(&mut self) -> redis::RedisResult<Option<String>> {
        let Self {
            connection,
            queue,
            name,
            output,
            work,
        } = self;
        let list = format!("processing-{queue}:{name}");
        while connection
            .rpoplpush::<_, _, Option<String>>(&list, &*queue)?
            .is_some()
        {}
        if connection.llen::<_, usize>(&*queue)? == 0 {
            std::thread::sleep(Duration::from_millis(50));
            return Ok(None);
        }
        let Some(job) = connection.rpoplpush::<_, _, Option<String>>(&*queue, &list)? else {
            return Ok(None);
        };
        let touch = |connection: &mut redis::Connection, status: &str| {
            let fields = [
                ("status", status.to_owned()),
                ("updated_at", now()),
                ("updated_by", name.clone()),
            ];
            connection.hset_multiple::<_, _, _, ()>(&job, &fields)
        };
        connection.hset_multiple::<_, _, _, ()>(
            &job,
            &[("updated_at", now()), ("updated_by", name.clone())],
        )?;
        let _: Option<String> = connection.hget(&job, "input_file_name")?;
        let hash: std::collections::HashMap<String, String> = connection.hgetall(&job)?;
        if matches!(
            hash.get("status").map(String::as_str),
            Some("done" | "failed")
        ) {
            let _: usize = connection.lrem(&list, 1, &job)?;
            return Ok(None);
        }
        touch(connection, "started")?;
        std::thread::sleep(*work);
        touch(connection, "predicting")?;
        let result = [
            ("status", "done".to_owned()),
            ("output_url", format!("https://example.invalid/{output}")),
            ("output_file_name", (*output).to_owned()),
            ("finished_at", now()),
            ("updated_at", now()),
            ("updated_by", name.clone()),
            ("total_jobs", "1".to_owned()),
            ("total_time", "0.1".to_owned()),
        ];
        connection.hset_multiple::<_, _, _, ()>(&job, &result)?;
        let _: usize = connection.lrem(&list, 1, &job)?;
        Ok(Some(job))
    }
}
