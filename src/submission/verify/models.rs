//! Whether the model server has the models that a stage names.

use std::time::Duration;

use batch_plan::Resolved;

use super::super::probes::ask_for_models;
use super::super::wanted::Wanted;
use super::fault::{Fault, Kind};
use super::rules::need_models;
use crate::serving::{Client, ModelId, ServingSettings};
use crate::settings::Loader;

/// The model server.
pub(crate) struct ModelPeer {
    client: Client,
    address: String,
}

impl ModelPeer {
    /// The one that the settings name, if a rule of the plans asks it.
    pub(crate) fn load(
        plans: &[Resolved],
        wanted: &Wanted,
        loader: &mut Loader<'_>,
    ) -> Option<Self> {
        if wanted.skip_verify || !plans.iter().any(need_models) {
            return None;
        }
        let mut settings = ServingSettings::load(loader);
        settings.unavailable_timeout = Some(Duration::ZERO);
        settings.max_retries = Some(0);
        Some(Self {
            address: format!("{}:{}", settings.host, settings.port),
            client: Client::new(settings, None),
        })
    }

    /// How many of these models are there, and what is wrong with the others. Names that are none were found before.
    pub(super) async fn look(&self, names: &[String]) -> (usize, Vec<Fault>) {
        let models: Vec<ModelId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let wrong = |about: String, why: String| Fault::new(Kind::Model, about, why);
        match ask_for_models(&self.client, &models).await {
            Err(why) => (0, vec![wrong(self.address.clone(), why)]),
            Ok(answers) => {
                let answers = models.iter().zip(answers);
                let errors = answers.filter_map(|(model, answer)| Some((model, answer.err()?)));
                let faults = errors.map(|(model, why)| wrong(model.to_string(), why));
                let faults: Vec<_> = faults.collect();
                (models.len() - faults.len(), faults)
            }
        }
    }
}
