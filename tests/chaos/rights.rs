//! The user of Redis that the consumers are: that of `docs/security.md`, whose rights go and come back.

use super::QUEUE;
use super::peers::redis::Redis;

pub(crate) const USER: &str = "consumer";
pub(crate) const PASSWORD: &str = "w0rk-pass";

/// What the consumers' user loses for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// A command.
    Right(&'static str),
    /// Keys of one kind.
    Keys(u64),
    /// It is deleted.
    User,
    /// It has another password, and its connections end.
    Password,
}

/// Commands whose loss is felt.
const RIGHTS: [&str; 16] = [
    "-del",
    "-hmset",
    "-hset",
    "-hmget",
    "-hdel",
    "-hincrby",
    "-zadd",
    "-zrem",
    "-lrem",
    "-rpoplpush",
    "-blmove",
    "-sadd",
    "-expire",
    "-persist",
    "-time",
    "-evalsha",
];

/// What movies and commands need besides: the page says "likewise".
const OTHERS: &str = "~tracking ~tracking:* ~processing-tracking:* ~rc:*:tracking \
    ~rc:pending:tracking:* ~NuclearTrackingNE:* ~NuclearTrackingInf:* \
    ~commands ~commands:* ~processing-commands:* ~rc:*:commands ~rc:pending:commands:* \
    ~rc:batch:* +setbit +getbit +bitfield +getrange +get +unlink +hlen +hsetnx";

impl Loss {
    pub(crate) fn right(pick: u64) -> Self {
        Self::Right(RIGHTS[pick as usize % RIGHTS.len()])
    }

    /// Takes it away, and tells whether it was there.
    pub(crate) fn take_from(self, redis: &Redis) -> bool {
        let taken = match self {
            Self::Right(right) => set_user(redis, &[right]),
            Self::Keys(pick) => {
                let mut keys = keys();
                keys.remove(pick as usize % keys.len());
                keys.insert(0, "resetkeys".to_owned());
                let words: Vec<_> = keys.iter().map(String::as_str).collect();
                set_user(redis, &words)
            }
            Self::User => redis.try_ask::<u32>(&["ACL", "DELUSER", USER]).map(drop),
            Self::Password => {
                let other = set_user(redis, &["resetpass", ">another-pass"]);
                let kill = ["CLIENT", "KILL", "USER", USER];
                other.and_then(|()| redis.try_ask::<u32>(&kill).map(drop))
            }
        };
        taken.is_ok()
    }
}

/// Gives the user everything back.
pub(crate) fn give_back(redis: &Redis) {
    let rule = rule();
    let mut words = vec!["reset"];
    words.extend(rule.iter().map(String::as_str));
    // A server that is away has it when it comes back.
    let _ = set_user(redis, &words);
}

/// Arguments of a server that has the user from its start.
pub(crate) fn arguments() -> Vec<String> {
    let mut words = vec!["--user".to_owned(), USER.to_owned()];
    words.extend(rule());
    words
}

fn set_user(redis: &Redis, words: &[&str]) -> redis::RedisResult<()> {
    redis.try_ask(&[&["ACL", "SETUSER", USER], words].concat())
}

/// The words that make the user.
fn rule() -> Vec<String> {
    let text = include_str!("../../docs/security.md");
    let start = text.find("ACL SETUSER").expect("a user is proposed");
    let length = text[start..].find("```").expect("the block ends");
    let text = text[start..start + length].replace("PASSWORD", PASSWORD);
    let words = text.split_whitespace().skip(3).chain(OTHERS.split(' '));
    words.map(str::to_owned).collect()
}

/// The patterns of its keys, but for that of the queue of images, without which nothing at all would go on.
fn keys() -> Vec<String> {
    let mut words = rule();
    words.retain(|word| word.starts_with('~') && word[1..] != *QUEUE);
    words
}
