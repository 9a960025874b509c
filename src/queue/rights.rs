//! Whether the user of the settings may do all that consumers do. Each command and each key is tried on its own, because the
//! answer to a script does not say which of its commands was refused.

use redis::{Cmd, RedisError, RedisResult};

use super::client::Queue;
use super::error::{Error, is_want_of_right, words};
use crate::wire::{self, Keys};

/// Every command of the scripts and of consumers, with arguments that change nothing: `KEY` is a key of our own that holds a
/// string, which most of them refuse. It is made before the first and removed by the last.
const COMMANDS: [&str; 45] = [
    "EVAL return 0",
    "EVALSHA 0 0",
    "SCRIPT LOAD return",
    "TIME",
    "SCAN 0",
    "TYPE KEY",
    "EXISTS KEY",
    "PTTL KEY",
    "HGET KEY f",
    "HMGET KEY f",
    "HGETALL KEY",
    "HEXISTS KEY f",
    "HKEYS KEY",
    "HSET KEY f v",
    "HMSET KEY f v",
    "HDEL KEY f",
    "HINCRBY KEY f 1",
    "LINDEX KEY 0",
    "LLEN KEY",
    "LPOS KEY v",
    "LPUSH KEY v",
    "LRANGE KEY 0 0",
    "LREM KEY 1 v",
    "RPUSH KEY v",
    "RPOP KEY",
    "RPOPLPUSH KEY KEY",
    "BLMOVE KEY KEY RIGHT LEFT 0.01",
    "SADD KEY v",
    "SCARD KEY",
    "SRANDMEMBER KEY",
    "SREM KEY v",
    "ZADD KEY 1 v",
    "ZCARD KEY",
    "ZCOUNT KEY 0 1",
    "ZRANGE KEY 0 0",
    "ZRANGEBYSCORE KEY 0 1",
    "ZREM KEY v",
    "ZREMRANGEBYRANK KEY 0 0",
    "ZREMRANGEBYSCORE KEY 0 1",
    "ZSCORE KEY v",
    "PERSIST KEY",
    "EXPIRE KEY 30",
    "SET KEY 1 XX PX 30000",
    "INFO server",
    "DEL KEY",
];

/// The same for queues that batches feed.
const COMMANDS_OF_BATCHES: [&str; 8] = [
    "SETBIT KEY 0 0",
    "GETBIT KEY 0",
    "BITFIELD KEY GET u8 0",
    "GETRANGE KEY 0 0",
    "GET KEY",
    "HLEN KEY",
    "HSETNX KEY f v",
    "UNLINK KEY",
];

/// A right that the user lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingRight {
    /// What gives it, as `ACL SETUSER` takes it: `+blmove`, `~rc:*:segmentation`.
    pub(crate) rule: String,
    /// What Redis says without it.
    pub(crate) answer: String,
}

impl Queue {
    /// The rights over commands and over the keys of the queue that are missing. Asks once.
    ///
    /// # Errors
    ///
    /// What Redis says if it takes no writes for another reason than a right.
    pub(crate) async fn missing_rights(&self) -> Result<Vec<MissingRight>, Error> {
        let keys = &self.inner.keys;
        let mut missing = self
            .missing_keys(&keys_and_patterns(keys, self.consumer()))
            .await;
        let key = keys.trial(fastrand::u64(..));
        // Without it, commands would make keys of other types.
        let trial = command_of("SET KEY 1 PX 30000", &key);
        match self.inner.commands.command::<redis::Value>(&trial).await {
            Ok(_) => {
                let of_batches = match self.is_fed().await {
                    true => &COMMANDS_OF_BATCHES[..],
                    false => &[],
                };
                for line in COMMANDS.iter().chain(of_batches) {
                    let answer = self.refused_right(&command_of(line, &key)).await;
                    missing.extend(answer.map(|answer| lacks(rule_for(line), answer)));
                }
            }
            Err(error) if !is_want_of_right(&error) => {
                return Err(Error::refused("write")(error));
            }
            Err(error) if is_about_command(&error) => {
                missing.push(lacks("+set".to_owned(), words(&error)));
            }
            // The pattern is among the missing already.
            Err(_) => {}
        }
        Ok(missing)
    }

    /// Whether a batch has something for the queue.
    async fn is_fed(&self) -> bool {
        let waiting = Cmd::zcard(self.inner.keys.feed());
        let waiting = self.inner.commands.command::<u64>(&waiting).await;
        waiting.is_ok_and(|waiting| waiting > 0)
    }

    /// The patterns of those keys that may not be written to.
    pub(crate) async fn missing_keys(&self, keys: &[(String, String)]) -> Vec<MissingRight> {
        let mut missing: Vec<MissingRight> = Vec::new();
        for (key, pattern) in keys {
            // A key of another type refuses it after the right has been looked at.
            let answer = self.attempt(&Cmd::hdel(key, "rc-check")).await.err();
            let refused =
                answer.filter(|error| is_want_of_right(error) && !is_about_command(error));
            let rule = format!("~{pattern}");
            if let Some(error) = refused
                && missing.iter().all(|known| known.rule != rule)
            {
                missing.push(lacks(rule, words(&error)));
            }
        }
        missing
    }

    /// What Redis says if the user has no right to this command.
    async fn refused_right(&self, command: &Cmd) -> Option<String> {
        let error = self.attempt(command).await.err()?;
        (is_want_of_right(&error) && is_about_command(&error)).then(|| words(&error))
    }

    async fn attempt(&self, command: &Cmd) -> RedisResult<redis::Value> {
        self.inner.commands.command(command).await
    }
}

fn lacks(rule: String, answer: String) -> MissingRight {
    MissingRight { rule, answer }
}

/// Whether the command is refused; else it is one of its keys.
fn is_about_command(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|text| text.contains("to run the"))
}

/// A key of each kind that belongs to a queue, and the pattern that permits it.
fn keys_and_patterns(keys: &Keys, consumer: &str) -> Vec<(String, String)> {
    let queue = keys.queue();
    let ours = format!("rc:*:{queue}");
    let mut all = vec![
        (queue.to_owned(), queue.to_owned()),
        (format!("{queue}:rc-check"), format!("{queue}:*")),
    ];
    for slot in [0, 1] {
        let pattern = format!("{}*", keys.processing_prefix());
        all.push((keys.processing(consumer, slot), pattern));
    }
    all.extend(keys.all_ours().map(|key| (key, ours.clone())));
    all.push((keys.worker(consumer), format!("{ours}:*")));
    all.extend([wire::QUEUES, wire::TRASH].map(|key| (key.to_owned(), key.to_owned())));
    all
}

/// A line of [`COMMANDS`] with its key.
fn command_of(line: &str, key: &str) -> Cmd {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    for word in words {
        command.arg(if word == "KEY" { key } else { word });
    }
    command
}

/// The rule that permits a line of [`COMMANDS`].
fn rule_for(line: &str) -> String {
    let mut words = line.split(' ');
    let command = words.next().unwrap_or_default().to_lowercase();
    match (command.as_str(), words.next()) {
        ("script", Some(part)) => format!("+script|{}", part.to_lowercase()),
        _ => format!("+{command}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn rules() -> BTreeSet<String> {
        let all = COMMANDS.iter().chain(&COMMANDS_OF_BATCHES);
        all.map(|line| rule_for(line)).collect()
    }

    #[test]
    fn every_command_of_the_scripts_is_tried() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/queue/scripts");
        let mut found = 0;
        for entry in fs::read_dir(folder).expect("the folder of scripts") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("scripts are text");
            for call in text.split("call('").skip(1) {
                let command = call.split('\'').next().expect("a command").to_lowercase();
                let is_tried = rules().contains(&format!("+{command}"));
                assert!(is_tried, "{}: {command}", path.display());
                found += 1;
            }
        }
        assert!(found > 100, "only {found} calls were found");
    }

    #[test]
    fn the_documented_user_has_every_right_that_is_tried() {
        let text = include_str!("../../docs/security.md");
        let blocks = text
            .split("```")
            .filter(|block| block.contains("ACL SETUSER"));
        let words: BTreeSet<_> = blocks.flat_map(str::split_whitespace).collect();
        for rule in rules() {
            assert!(words.contains(rule.as_str()), "{rule}");
        }
    }
}
