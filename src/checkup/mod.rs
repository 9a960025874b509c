//! What is right and wrong with the settings of a consumer and with each peer that it needs.

mod redis_server;
mod report;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::report::{Checked, Report};
use crate::configuration::Configuration;
use crate::consumer::{Clients, Finding, ModelInputs, ModelRequirement, Registry};
use crate::memory::MemoryBudget;
use crate::queue::Queue;
use crate::serving::{self, ServingSettings, Signature};
use crate::settings::{Env, Loaded, Problems};
use crate::storage::{self, Storage, StorageSettings};
use crate::submission::{PATIENCE, PROBE, PROBE_KEY, ask_for_models, asked, write_probe};

/// What was found; and whether the settings could be read, without which there is nothing to be asked.
pub(crate) async fn check_up(registry: &Registry, env: &Env) -> (Report, bool) {
    let mut report = Report::default();
    match Configuration::load(registry, env) {
        Err(Problems(problems)) => {
            problems
                .iter()
                .for_each(|problem| report.wrong(&problem.name, &problem.message));
            (report, false)
        }
        Ok(configuration) => {
            look(configuration, &mut report).await;
            (report, true)
        }
    }
}

async fn look(configuration: Configuration, report: &mut Report) {
    let Configuration {
        loaded,
        kind,
        build,
        queue,
        storage,
        serving,
        ..
    } = configuration;
    look_at_settings(loaded, (kind, &queue.queue), report);
    let queue = Queue::new(queue);
    redis_server::look_at(&queue, report).await;
    // Only a consumer knows its models, and there is none without a bucket.
    if let Some(storage) = look_at_bucket(storage, report).await {
        let clients = clients(storage, serving);
        let consumer = build(&clients);
        add(consumer.findings(), report);
        let needs = consumer.models();
        look_at_models(&clients.serving, &needs, report).await;
        add(consumer.rehearse().await, report);
        redis_server::look_at_cache(&queue, &needs, report).await;
    }
}

fn look_at_settings(loaded: Loaded, (kind, queue): (&str, &str), report: &mut Report) {
    let Loaded { settings, warnings } = loaded;
    let set = settings.iter().filter(|setting| setting.is_set()).count();
    let count = settings.len();
    report.ok(
        "settings",
        format!("consumer `{kind}`, queue `{queue}`; {set} settings of {count} are set"),
    );
    for warning in warnings {
        report.warn("settings", warning);
    }
}

/// What a consumer works with, if it waits for no model server and reserves no memory.
fn clients(storage: Storage, mut serving: ServingSettings) -> Clients {
    serving.unavailable_timeout = Some(Duration::ZERO);
    serving.max_retries = Some(0);
    Clients::new(storage, serving, MemoryBudget::new(0), None)
}

fn add(findings: Vec<Finding>, report: &mut Report) {
    for finding in findings {
        report.add(finding.part, finding.verdict, finding.text);
    }
}

async fn look_at_models(
    serving: &serving::Client,
    needs: &[ModelRequirement],
    report: &mut Report,
) {
    let server = serving.place();
    if needs.is_empty() {
        return report.ok("models", "this consumer asks none itself");
    }
    let models: Vec<_> = needs.iter().map(|need| need.model.clone()).collect();
    match ask_for_models(serving, &models).await {
        Ok(answers) => {
            report.ok("model server", &server);
            for (need, answer) in needs.iter().zip(answers) {
                let about = serving.about(&need.model).await;
                judge_model(serving, need, answer, report);
                if let Some(about) = about {
                    report.ok(format!("model {}", need.model), about);
                }
            }
        }
        Err(absent) => {
            let text = format!("{server}: {absent}; jobs wait until it is there");
            report.wrong("model server", text);
        }
    }
}

async fn look_at_bucket(mut settings: StorageSettings, report: &mut Report) -> Option<Storage> {
    let bucket = settings.bucket.to_string();
    settings.retry_limit = Some(Duration::ZERO);
    let storage = match Storage::open(&settings) {
        Ok(storage) => storage,
        Err(error) => {
            report.wrong("bucket", error);
            return None;
        }
    };
    match write_probe(&storage).await {
        Ok(url) => {
            report.ok("bucket", format!("{bucket}: wrote `{PROBE_KEY}`"));
            read_back(&storage, report).await;
            look_at_results(&url, report).await;
        }
        Err(error) => report.wrong("bucket", format!("writing: {error}")),
    }
    Some(storage)
}

async fn read_back(storage: &Storage, report: &mut Report) {
    match asked::<_, storage::Error>(storage.download(PROBE_KEY)).await {
        Ok(found) if found == PROBE => report.ok("bucket", "read it again"),
        Ok(_) => report.wrong("bucket", "read other bytes than were written"),
        Err(error) => report.wrong("bucket", format!("reading: {error}")),
    }
}

/// Whether users can fetch a result from its public URL.
async fn look_at_results(url: &str, report: &mut Report) {
    if !url.starts_with("http") {
        return;
    }
    match asked(fetch(url)).await {
        Ok(()) => report.ok("results", format!("anybody can fetch {url}")),
        Err(error) => {
            let text = format!(
                "{url}: {error}: users and the label tool could not fetch results (STORAGE_ACL, STORAGE_PUBLIC_URL)"
            );
            report.warn("results", text);
        }
    }
}

/// Fetches a page as somebody without rights.
async fn fetch(url: &str) -> Result<(), String> {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    let answer = client
        .get(url)
        .send()
        .await
        .map_err(|error| error.without_url().to_string())?;
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

fn judge_model(
    serving: &serving::Client,
    need: &ModelRequirement,
    answer: Result<Arc<Signature>, String>,
    report: &mut Report,
) {
    let part = format!("model {}", need.model);
    let found = answer.and_then(|signature| fits(serving, &signature, need).map(|()| signature));
    match found {
        Ok(signature) => {
            let inputs: Vec<_> = signature
                .inputs
                .iter()
                .map(|input| format!("{} {:?}", input.name, input.shape))
                .collect();
            let newest = if serving.can_have(&need.model) {
                ""
            } else {
                "; there is no version 0 on such a server, the newest is used"
            };
            let text = format!(
                "takes {}{}{newest}",
                inputs.join(", "),
                batches(serving, &signature)
            );
            report.ok(part, text);
        }
        Err(error) if need.is_optional => {
            report.warn(part, format!("{error}; jobs that ask for it would fail"))
        }
        Err(error) => report.wrong(part, error),
    }
}

/// How much goes into a request, where it is the server that says so.
fn batches(serving: &serving::Client, signature: &Signature) -> String {
    let most = signature.max_batch_size;
    most.filter(|most| *most == serving.batch_size(signature))
        .map(|most| format!("; at most {most} at once, as the server says"))
        .unwrap_or_default()
}

/// Whether a model takes what it will be given.
fn fits(
    serving: &serving::Client,
    signature: &Signature,
    need: &ModelRequirement,
) -> Result<(), String> {
    match &need.inputs {
        ModelInputs::Image { channels } => fits_images(serving, signature, Some(*channels)),
        ModelInputs::AnyImage => fits_images(serving, signature, None),
        ModelInputs::AsItsPackageSays => Ok(()),
        ModelInputs::Tensors(names) => fits_tensors(signature, names),
    }
}

fn fits_images(
    serving: &serving::Client,
    signature: &Signature,
    channels: Option<usize>,
) -> Result<(), String> {
    let Some(input) = serving.image_input(signature) else {
        let names = input_names(signature);
        return Err(format!(
            "it takes several inputs ({names}); name the one that takes the image in TF_TENSOR_NAME"
        ));
    };
    match input.shape.as_slice() {
        [_, _, _, found] => match channels {
            Some(given) if *found >= 0 && usize::try_from(*found) != Ok(given) => Err(format!(
                "it takes images of {found} channels, and is given {given}"
            )),
            _ => Ok(()),
        },
        shape => Err(format!(
            "it takes input of shape {shape:?}, an image model takes [batch, row, column, channel]"
        )),
    }
}

fn fits_tensors(signature: &Signature, wanted: &[&str]) -> Result<(), String> {
    let has_all = wanted.iter().all(|name| signature.input(name).is_some());
    if has_all && signature.inputs.len() == wanted.len() {
        return Ok(());
    }
    let (takes, given) = (input_names(signature), wanted.join(", "));
    Err(format!("it takes {takes}, and is given {given}"))
}

fn input_names(signature: &Signature) -> String {
    let names = signature.inputs.iter().map(|input| input.name.as_str());
    names.collect::<Vec<_>>().join(", ")
}
