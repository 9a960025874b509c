//! `redis-consumer submit`: jobs of files, which are uploaded first, of objects in the bucket, or of fields alone.

mod archive;
mod content;
mod context;
mod enqueuer;
mod objects;
mod options;
mod plans;
mod uploader;
mod uploads;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use globset::GlobMatcher;
use tokio_util::sync::CancellationToken;

use self::context::Context;
use self::enqueuer::Enqueuer;
use self::options::Options;
use self::plans::PlanArguments;
use super::desk::Misuse;
use super::watch::{Following, follow};
use crate::exit_code;
use crate::queue::control::host_name;
use crate::queue::{QueueName, WorkQueue};
use crate::settings::Loader;
use crate::storage::{Storage, StorageSettings};
use crate::submission::{Identity, Wishes};
use crate::wire::field;

#[derive(Args)]
pub(crate) struct SubmitArguments {
    /// Files and folders, which are uploaded; folders are walked.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Objects that are in the bucket already, by their keys.
    #[arg(long = "key", value_name = "KEY", num_args = 1.., conflicts_with_all = ["paths", "prefix"])]
    keys: Vec<String>,
    /// Objects that are in the bucket already, by what their keys begin with.
    #[arg(long, value_name = "TEXT", conflicts_with = "paths")]
    prefix: Option<String>,
    /// Of those, the ones whose keys match from the last `/` of the prefix on, such as `*.tif`.
    #[arg(long = "match", value_name = "GLOB", requires = "prefix", value_parser = parse_glob)]
    pattern: Option<GlobMatcher>,
    /// The queue, in place of `QUEUE`; `.zip` files go to that of archives.
    #[arg(long, value_name = "NAME")]
    queue: Option<QueueName>,
    #[command(flatten)]
    plans: PlanArguments,
    #[command(flatten)]
    wishes: Wishes,
    /// What the jobs' keys are made of: jobs whose keys are known are not queued again. For one input `random`, else `name`.
    #[arg(long, value_enum, value_name = "WHAT")]
    id: Option<Identity>,
    /// Wait while the queue is longer than this.
    #[arg(long, value_name = "N")]
    max_queue: Option<u64>,
    /// So many inputs at most.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Uploads at the same time.
    #[arg(long, value_name = "N", default_value = "8")]
    jobs: std::num::NonZero<u16>,
    /// Pack all files into one archive, which is one job.
    #[arg(long, requires = "paths")]
    archive: bool,
    #[command(flatten)]
    options: Options,
}

/// Submits what is named, and follows it if it is told to.
pub(crate) async fn submit(
    arguments: SubmitArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    if arguments.plans.is_wanted() {
        let at_once = usize::from(arguments.jobs.get());
        return plans::submit(&arguments.plans, &arguments.options, at_once, &stop).await;
    }
    arguments.check()?;
    let context = arguments.context()?;
    let mut enqueuer = Enqueuer::new(&context);
    let work = take(&context, &arguments, &mut enqueuer);
    let ended = stop.run_until_cancelled(work).await;
    // What was begun in parts is taken back.
    context.storage.close().await;
    match ended {
        Some(ended) => ended?,
        None => {
            writeln!(
                io::stderr(),
                "interrupted: {}; the same command goes on",
                enqueuer.summary()
            )?;
            return Ok(ExitCode::from(exit_code::of_signal()));
        }
    }
    let status = enqueuer.end().await?;
    if !context.follows || context.is_dry {
        return Ok(ExitCode::from(status));
    }
    let following = arguments.following(&context);
    let end = follow(&context.desk, enqueuer.into_keys(), &following, &stop).await?;
    Ok(ExitCode::from(end.status().max(status)))
}

/// Takes what the command line names, and hands it to the queue.
async fn take(
    context: &Context,
    arguments: &SubmitArguments,
    enqueuer: &mut Enqueuer<'_>,
) -> anyhow::Result<()> {
    if arguments.archive {
        archive::submit(context, &arguments.paths, enqueuer).await
    } else if !arguments.paths.is_empty() {
        uploads::submit(context, &arguments.paths, enqueuer).await
    } else if let Some(prefix) = &arguments.prefix {
        objects::by_prefix(context, prefix, arguments.pattern.as_ref(), enqueuer).await
    } else {
        objects::by_key(context, &arguments.inputs(), enqueuer).await
    }
}

impl SubmitArguments {
    fn check(&self) -> Result<(), Misuse> {
        self.wishes.check()?;
        let input = self.wishes.field(field::INPUT_FILE_NAME);
        let has_inputs = !self.paths.is_empty() || !self.keys.is_empty() || self.prefix.is_some();
        let text = match (has_inputs, input) {
            _ if self.plans.lacks_plan() => {
                "--verify-only, --paused, --update, --replace, --set, --sample and the like are for plans: add --plan FILE"
            }
            (true, Some(_)) => "input_file_name is told by the inputs; leave it out of --field",
            (false, None | Some("")) => {
                "say what to submit: files and folders, --key, --prefix, or --field input_file_name=KEY"
            }
            _ if self.id == Some(Identity::Content) && (self.paths.is_empty() || self.archive) => {
                "--id content is for files that are uploaded one by one"
            }
            _ => return Ok(()),
        };
        Err(Misuse(text.to_owned()))
    }

    /// How the jobs are followed.
    fn following<'f>(&'f self, context: &'f Context) -> Following<'f> {
        let to = self.options.download.as_deref();
        Following {
            screen: context.screen,
            timeout: self.options.timeout.map(Into::into),
            results: to.map(|to| (&context.storage, to)),
        }
    }

    /// The keys of objects that are named.
    fn inputs(&self) -> Vec<String> {
        let field = self.wishes.field(field::INPUT_FILE_NAME);
        let field = field.filter(|_| self.keys.is_empty()).map(str::to_owned);
        self.keys.iter().cloned().chain(field).collect()
    }

    fn context(&self) -> anyhow::Result<Context> {
        let load =
            |loader: &mut Loader<'_>| (WorkQueue::load(loader), StorageSettings::load(loader));
        let options = &self.options;
        let (desk, (queue, storage)) = options.desk.open_with(load)?;
        let is_one = match (&self.paths[..], self.prefix.is_some()) {
            (_, true) => false,
            ([], false) => self.inputs().len() == 1,
            ([path], false) => !path.is_dir() || self.archive,
            _ => self.archive,
        };
        Ok(Context {
            screen: options.screen(&desk),
            storage: Storage::open(&storage)?,
            desk,
            wishes: self.wishes.clone(),
            queue: self
                .queue
                .as_ref()
                .map_or(queue, |QueueName(name)| name.clone()),
            identity: self.id.unwrap_or(if is_one {
                Identity::Random
            } else {
                Identity::Name
            }),
            host: host_name(),
            is_dry: options.dry_run,
            json: options.json,
            max_queue: self.max_queue,
            follows: options.follows(),
            at_once: usize::from(self.jobs.get()),
            limit: self.limit.unwrap_or(usize::MAX),
        })
    }
}

fn parse_glob(text: &str) -> Result<GlobMatcher, String> {
    let glob = globset::Glob::new(text).map_err(|error| error.to_string())?;
    Ok(glob.compile_matcher())
}
