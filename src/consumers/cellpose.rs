//! Cells by the flows that a model of Cellpose predicts (`CONSUMER_TYPE` `cellpose`).

use std::sync::Arc;

use async_trait::async_trait;
use ndarray::{Array3, Array4, Axis};
use serde::{Deserialize, Serialize};

use super::input::Input;
use super::limits::Limits;
use super::preview::Previews;
use super::recipe::{self, Entries, model};
use crate::applications::Model;
use crate::applications::cell_flows::CellFlows;
use crate::consumer::{Clients, Consumer, ConsumerKind, ModelRequirement, Outcome};
use crate::consumers::output::ResultName;
use crate::error_class::InvalidInput;
use crate::job::{Job, Step};
use crate::serving::ModelId;
use crate::settings::{Loader, Parsed, Word};
use cell_analysis::cellpose::{Cellpose as Dynamics, Network};

/// Segments cells by flows.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "cellpose",
    aliases: &[],
    summary: "segments the cells of one image with a model of Cellpose",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(CellposeSettings::load(loader));
        Box::new(|clients| {
            Box::new(Cellpose {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

/// The networks of Cellpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NetworkKind {
    /// U-Nets of versions 1 to 3 for cells.
    Cyto,
    /// The one for nuclei.
    Nuclei,
    /// Version 4.
    Sam,
}

impl NetworkKind {
    fn network(self) -> Network {
        match self {
            Self::Cyto => Network::cyto(),
            Self::Nuclei => Network::nuclei(),
            Self::Sam => Network::sam(),
        }
    }
}

crate::settings! {
    /// Segmentation with models of Cellpose.
    struct CellposeVariables {
        /// Model that predicts flows, as `name:version`.
        cellpose_model: Parsed<ModelId> = model("Cellpose:1"),
        /// What the model is: `cyto` or `nuclei` (versions 1 to 3, two channels), `sam` (version 4, three channels).
        cellpose_network: Word<NetworkKind> = Word(NetworkKind::Cyto),
        /// Side of the tiles that the model takes, in pixels.
        cellpose_tile_size: Option<usize> = None => "224, for `sam` 256",
        /// Diameter of the cells of an image if the job does not say it, in pixels; without one, images are not scaled.
        cellpose_diameter: Option<f64> = None,
        /// Cell probability, a logit, that pixels of cells exceed.
        cellpose_cellprob_threshold: f64 = Dynamics::default().cellprob_threshold,
        /// Largest error of a cell's flows; 0 checks nothing.
        cellpose_flow_threshold: f64 = Dynamics::default().flow_threshold,
        /// Cells of fewer pixels are dropped; 0 keeps all.
        cellpose_min_size: usize = Dynamics::default().min_size,
    }
}

/// Model, parameters and limits of the cellpose consumer.
#[derive(Debug)]
pub struct CellposeSettings {
    model: ModelId,
    application: CellFlows,
    diameter: Option<f64>,
    limits: Limits,
    previews: Previews,
}

impl CellposeSettings {
    /// Loads `CELLPOSE_MODEL`, `CELLPOSE_NETWORK` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: CellposeVariables = loader.load();
        let diameter = variables.cellpose_diameter;
        if diameter.is_some_and(|diameter| !is_diameter(diameter)) {
            let found = diameter.unwrap_or_default();
            loader.refuse("CELLPOSE_DIAMETER", found, "expected more than 0 pixels");
        }
        let mut network = variables.cellpose_network.0.network();
        match variables.cellpose_tile_size {
            None => loader.derive("CELLPOSE_TILE_SIZE", network.tile),
            Some(tile) if tile >= 32 && tile % 16 == 0 => network.tile = tile,
            Some(tile) => {
                let expected = "expected a multiple of 16 from 32 on";
                loader.refuse("CELLPOSE_TILE_SIZE", tile, expected);
            }
        }
        Self {
            model: variables.cellpose_model.0,
            application: CellFlows {
                network,
                options: Dynamics {
                    cellprob_threshold: variables.cellpose_cellprob_threshold,
                    flow_threshold: variables.cellpose_flow_threshold,
                    min_size: variables.cellpose_min_size,
                    ..Dynamics::default()
                },
            },
            diameter,
            limits: Limits::load(loader),
            previews: Previews::load(loader),
        }
    }
}

fn is_diameter(diameter: f64) -> bool {
    diameter > 0.0 && diameter.is_finite()
}

struct Cellpose {
    settings: Arc<CellposeSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Cellpose {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        recipe::refuse_archives(job)
    }

    fn models(&self) -> Vec<ModelRequirement> {
        let CellposeSettings {
            model, application, ..
        } = &*self.settings;
        vec![ModelRequirement::of_images(
            model,
            application.network.channels,
        )]
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Download);
        let CellposeSettings {
            limits,
            application,
            ..
        } = &*self.settings;
        let id = recipe::model_of(job, &self.settings.model)?;
        let diameter = self.diameter(job)?;
        let channels = job.channel_positions()?;
        let input = Input::fetch(job, limits, &self.clients).await?;

        job.step(Step::Preprocess);
        let decoded = input.decode(job, limits).await?;
        let (type_maximum, _memory) = (decoded.type_maximum, decoded.memory);
        let image = recipe::with_axes_in_order(job, decoded.image, decoded.container).await?;
        let model = Model::load(&self.clients.serving, &id).await?;
        limits.check_size(&image)?;
        let named: Vec<usize> = channels.iter().copied().flatten().collect();
        let chosen = (!named.is_empty()).then_some(&named[..]);
        let (preview, image) = self
            .settings
            .previews
            .see(image, chosen, type_maximum)
            .await;
        let images = planes(image, &channels, application.network.channels)?;

        job.step(Step::Predict);
        let name = ResultName::new(job.original_name()?);
        let mut entries = Entries::new();
        for (item, image) in images.into_iter().enumerate() {
            let labels = application.segment(&model, image, diameter).await?;
            let name = name.batch_feature(item, 0);
            let tiff = recipe::shown_label_tiff(labels, &preview).await;
            entries.push((name, tiff));
        }

        job.step(Step::Upload);
        recipe::store(job, &self.clients.storage, entries, &preview).await
    }
}

impl Cellpose {
    /// The diameter of cells that makes up for the job's `scale`, or that of its `diameter`, or of the settings.
    fn diameter(&self, job: &Job) -> anyhow::Result<Option<f64>> {
        match job.diameter()? {
            None => Ok(self.settings.diameter),
            Some(diameter) if is_diameter(diameter) => Ok(Some(diameter)),
            Some(diameter) => {
                let text = format!("diameter {diameter} is not a number of pixels above 0");
                Err(InvalidInput(text).into())
            }
        }
    }
}

/// The channels of each batch item in the order that the network wants them, `[channel, row, column]`: those that the job
/// names by position, where an empty position is zeros, or the first ones of the image.
fn planes(
    image: Array4<f32>,
    positions: &[Option<usize>],
    wanted: usize,
) -> Result<Vec<Array3<f32>>, InvalidInput> {
    let (_, rows, columns, available) = image.dim();
    let named = positions.iter().any(Option::is_some);
    let chosen: Vec<_> = if named {
        positions.iter().copied().take(wanted).collect()
    } else {
        (0..available.min(wanted)).map(Some).collect()
    };
    let beyond = positions.iter().skip(wanted).any(Option::is_some);
    if beyond {
        return Err(InvalidInput(format!(
            "{} channels are selected, the network takes {wanted}",
            positions.iter().flatten().count()
        )));
    }
    if let Some(missing) = chosen
        .iter()
        .flatten()
        .find(|channel| **channel >= available)
    {
        return Err(InvalidInput(format!(
            "channel {missing} is selected, the image has channels 0 to {}",
            available.saturating_sub(1)
        )));
    }
    let items = image.outer_iter().map(|item| {
        let mut planes = Array3::zeros((chosen.len(), rows, columns));
        for (mut plane, channel) in planes.outer_iter_mut().zip(&chosen) {
            if let Some(channel) = channel {
                plane.assign(&item.index_axis(Axis(2), *channel));
            }
        }
        planes
    });
    Ok(items.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_picked_by_position() {
        let image = Array4::from_shape_fn((1, 2, 2, 3), |(_, _, _, channel)| channel as f32 + 1.0);
        let first = |positions: &[Option<usize>], wanted| {
            let planes = planes(image.clone(), positions, wanted).expect("they are there");
            planes[0]
                .map_axis(Axis(2), |row| row[0])
                .index_axis(Axis(1), 0)
                .to_vec()
        };
        assert_eq!(first(&[], 2), [1.0, 2.0]);
        assert_eq!(first(&[None], 3), [1.0, 2.0, 3.0]);
        assert_eq!(first(&[Some(2), Some(0)], 2), [3.0, 1.0]);
        assert_eq!(first(&[Some(2), None], 2), [3.0, 0.0]);
        let error = planes(image.clone(), &[Some(3)], 2).expect_err("no such channel");
        assert_eq!(
            error.0,
            "channel 3 is selected, the image has channels 0 to 2"
        );
        let error = planes(image, &[Some(0), Some(1), Some(2)], 2).expect_err("too many");
        assert_eq!(error.0, "3 channels are selected, the network takes 2");
    }
}
