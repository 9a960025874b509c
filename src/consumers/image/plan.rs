//! Which models a job asks for: the rule between the two generations, and `channels`.

use anyhow::ensure;

use super::settings::{ImageSettings, ModelSelection};
use crate::applications::Application;
use crate::applications::by_name::Pipeline;
use crate::consumers::recipe;
use crate::error_class::InvalidInput;
use crate::job::Job;
use crate::serving::ModelId;

/// What is to be done with the image.
pub(super) enum Plan {
    /// Each pass takes one image channel through one model of the environment.
    Channels(Vec<Pass>),
    /// One model with functions by name.
    Named(NamedPlan),
}

/// One image channel, and the model that segments it.
pub(super) struct Pass {
    pub(super) channel: usize,
    pub(super) model: ModelId,
    pub(super) application: Application,
}

/// Where the model and the functions of an older job come from.
pub(super) enum NamedPlan {
    /// From the job itself.
    Model(ModelId, Pipeline),
    /// From the settings, by the job's label.
    Label(usize),
    /// From the settings, by a label still to be detected.
    Detect,
}

impl Plan {
    /// The channels that are segmented, in the order of the results; nothing if all may be.
    pub(super) fn channels(&self) -> Option<Vec<usize>> {
        match self {
            Self::Channels(passes) => Some(passes.iter().map(|pass| pass.channel).collect()),
            Self::Named(_) => None,
        }
    }
}

/// The plan for a job.
pub(super) fn of(job: &Job, settings: &ImageSettings) -> anyhow::Result<Plan> {
    let named = job.named_model()?;
    let silent = job.channels()?.is_empty() && job.dimension_order()?.is_empty();
    match (settings.selection, named) {
        (ModelSelection::Hash, Some(model)) => of_named_model(job, model),
        (ModelSelection::Auto, Some(model)) if silent => of_named_model(job, model),
        (ModelSelection::Auto | ModelSelection::Hash, None) if silent && settings.detect_label => {
            of_label(job)
        }
        _ => Ok(Plan::Channels(passes(job, settings)?)),
    }
}

fn of_named_model(job: &Job, (name, version): (&str, &str)) -> anyhow::Result<Plan> {
    let id = recipe::named(name, version)?;
    let pipeline = Pipeline::parse(job.preprocess_function()?, job.postprocess_function()?)?;
    Ok(Plan::Named(NamedPlan::Model(id, pipeline)))
}

fn of_label(job: &Job) -> anyhow::Result<Plan> {
    let Some(text) = job.label()? else {
        return Ok(Plan::Named(NamedPlan::Detect));
    };
    let label = text.trim().parse::<usize>().ok().filter(|&label| label < 3);
    let label = label.ok_or_else(|| {
        InvalidInput(format!(
            "label `{text}` is none of 0 (nuclear), 1 (phase), 2 (cytoplasm)"
        ))
    })?;
    Ok(Plan::Named(NamedPlan::Label(label)))
}

/// The passes that `channels` asks for: its position names the model, its number the image channel. Empty means `0`.
fn passes(job: &Job, settings: &ImageSettings) -> anyhow::Result<Vec<Pass>> {
    let channels = job.channels()?;
    let positions = if channels.trim().is_empty() {
        vec![Some(0)]
    } else {
        job.channel_positions()?
    };
    let models: [(_, fn() -> Application); 3] = [
        (&settings.nuclear, Application::nuclear),
        (&settings.cytoplasm, Application::cytoplasm),
        (&settings.phase, Application::cytoplasm),
    ];
    let mut passes = Vec::new();
    for (position, channel) in positions.into_iter().enumerate() {
        let Some(channel) = channel else { continue };
        let (model, application) = models.get(position).ok_or_else(|| {
            InvalidInput(format!(
                "channels `{channels}` names position {position}, but there are 3 models: nuclear, cytoplasm, phase"
            ))
        })?;
        passes.push(Pass {
            channel,
            model: ModelId::clone(model),
            application: application(),
        });
    }
    ensure!(
        !passes.is_empty(),
        InvalidInput(format!("channels `{channels}` selects no channel"))
    );
    Ok(passes)
}

/// Refuses passes that ask for more than the image has.
pub(super) fn check_channels(passes: &[Pass], available: usize) -> Result<(), InvalidInput> {
    if passes.len() > available {
        return Err(InvalidInput(format!(
            "{} channels are selected, the image has {available}",
            passes.len()
        )));
    }
    match passes.iter().find(|pass| pass.channel >= available) {
        Some(pass) => Err(InvalidInput(format!(
            "channel {} is selected, the image has channels 0 to {}",
            pass.channel,
            available.saturating_sub(1)
        ))),
        None => Ok(()),
    }
}
