//! The Redis of the settings, for every command.

use crate::queue::{Admin, QueueName, RedisSettings, WorkQueue};
use crate::settings::{Env, Loader, Problems};

crate::settings! {
    /// The queues that commands look after.
    struct QueuesVariables {
        /// Queues that `janitor` and `promote-delayed` look after, each with its `-zip`.
        queues: Option<String> = None => "that of `QUEUE`",
        /// What separates the names in `QUEUES`.
        queue_delimiter: String = ",".to_owned(),
    }
}

/// The Redis of the settings, and the settings of a command.
pub(super) struct Connected<T> {
    pub(super) server: RedisSettings,
    pub(super) admin: Admin,
    pub(super) settings: T,
    pub(super) warnings: Vec<String>,
}

/// Reads the environment, and connects to the Redis that it names; `load` loads what the command needs beside it.
pub(super) fn connect<T>(
    load: impl FnOnce(&mut Loader<'_>) -> T,
) -> Result<Connected<T>, Problems> {
    let env = Env::from_process();
    let mut loader = Loader::new(&env);
    let server = RedisSettings::load(&mut loader);
    let settings = load(&mut loader);
    let warnings = loader.finish()?.warnings;
    Ok(Connected {
        admin: Admin::new(&server),
        server,
        settings,
        warnings,
    })
}

/// The queues that a command looks after, each with the one of its archives.
pub(super) fn queues(loader: &mut Loader<'_>) -> Vec<String> {
    let queue = WorkQueue::load(loader);
    let variables: QueuesVariables = loader.load();
    if variables.queues.is_none() {
        loader.fall_back("QUEUES", "QUEUE");
    }
    let names = variables.queues.unwrap_or(queue);
    let mut queues = Vec::new();
    for name in names.split(&variables.queue_delimiter).map(str::trim) {
        match name.parse() {
            _ if name.is_empty() => {}
            Ok(QueueName(name)) => queues.extend([format!("{name}-zip"), name]),
            Err(message) => loader.refuse("QUEUES", name, message),
        }
    }
    queues
}
