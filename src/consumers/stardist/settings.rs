//! What the environment says of StarDist models.

use serde::Deserialize;

use super::export::Exports;
use crate::applications::star_convex::StarConvex;
use crate::consumers::recipe::{self, model};
use crate::serving::{Client, ModelId};
use crate::settings::{List, Loader, Parsed};
use cell_analysis::stardist::{PercentileNormalization, StarDist};

/// Name of the file with a model's thresholds, as stardist writes it beside the weights.
const THRESHOLDS: &str = "thresholds.json";

crate::settings! {
    /// Segmentation with models of StarDist.
    struct StarDistVariables {
        /// Model whose cells are star-convex polygons, as `name:version`.
        stardist_model: Parsed<ModelId> = model("StarNuclei:1"),
        /// Probability that a polygon exceeds, from 0 to 1.
        stardist_prob_threshold: Option<f64> = None => "that of `STARDIST_THRESHOLDS`, else 0.5",
        /// Share of the smaller of two polygons that they may have in common, from 0 to 1.
        stardist_nms_threshold: Option<f64> = None => "that of `STARDIST_THRESHOLDS`, else 0.4",
        /// File with both thresholds, as stardist writes it.
        stardist_thresholds: Option<String> = None => "`thresholds.json` beside a model of `MODEL_DIR`",
        /// Percentiles of an image that become 0 and 1, separated by a comma.
        stardist_percentiles: List = List(vec!["1".to_owned(), "99.8".to_owned()]),
        /// Side of tiles for models that take any size, in pixels.
        stardist_tile_size: usize = 512,
        /// Pixels of a tile that only surround the part that counts.
        stardist_halo: Option<usize> = None => "an eighth of the tile",
        /// Also puts polygons into results: `geojson` (QuPath), `imagej` (a ZIP of ROIs), or both, separated by a comma.
        stardist_export: List = List(Vec::new()),
    }
}

/// Model, thresholds and exports for models of StarDist.
#[derive(Debug)]
pub struct StarDistSettings {
    pub(super) model: ModelId,
    pub(super) exports: Exports,
    application: StarConvex,
    prob: Option<f64>,
    nms: Option<f64>,
    file: Option<Thresholds>,
}

/// What `thresholds.json` says.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Thresholds {
    prob: f64,
    nms: f64,
}

impl Thresholds {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let found: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if is_share(found.prob) && is_share(found.nms) {
            Ok(found)
        } else {
            Err(format!("{found:?} are not both from 0 to 1"))
        }
    }
}

fn is_share(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

impl StarDistSettings {
    /// Loads `STARDIST_MODEL`, `STARDIST_PROB_THRESHOLD` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: StarDistVariables = loader.load();
        let thresholds = [
            ("STARDIST_PROB_THRESHOLD", variables.stardist_prob_threshold),
            ("STARDIST_NMS_THRESHOLD", variables.stardist_nms_threshold),
        ];
        for (name, value) in thresholds {
            if let Some(value) = value.filter(|value| !is_share(*value)) {
                loader.refuse(name, value, "expected a number from 0 to 1");
            }
        }
        let percentiles = &variables.stardist_percentiles;
        let [low, high] = recipe::percentiles(loader, "STARDIST_PERCENTILES", percentiles);
        let exports = Exports::parse(&variables.stardist_export.0).unwrap_or_else(|expected| {
            loader.problem("STARDIST_EXPORT", expected);
            Exports::default()
        });
        Self {
            file: variables.file(loader),
            model: variables.stardist_model.0,
            exports,
            application: StarConvex {
                options: StarDist::default(),
                normalization: PercentileNormalization {
                    low,
                    high,
                    ..PercentileNormalization::default()
                },
                tile: variables.stardist_tile_size.max(1),
                halo: variables.stardist_halo,
            },
            prob: variables.stardist_prob_threshold,
            nms: variables.stardist_nms_threshold,
        }
    }

    /// What is done for a model: its thresholds are those of the settings, else of the file that they name, else of the file
    /// beside the model, else those of stardist.
    ///
    /// # Errors
    ///
    /// A file beside the model that holds no thresholds.
    pub(in crate::consumers) async fn application(
        &self,
        serving: &Client,
        model: &ModelId,
    ) -> anyhow::Result<StarConvex> {
        let mut file = self.file;
        if file.is_none() && (self.prob.is_none() || self.nms.is_none()) {
            file = match serving.file_beside(model, THRESHOLDS).await? {
                None => None,
                Some(bytes) => Some(Thresholds::read(&bytes).map_err(|why| {
                    anyhow::anyhow!("`{THRESHOLDS}` of model `{model}` cannot be used: {why}")
                })?),
            };
        }
        let mut application = self.application.clone();
        let options = &mut application.options;
        if let Some(prob) = self.prob.or(file.map(|file| file.prob)) {
            options.probability_threshold = prob;
        }
        if let Some(nms) = self.nms.or(file.map(|file| file.nms)) {
            options.overlap_threshold = nms;
        }
        Ok(application)
    }
}

impl StarDistVariables {
    fn file(&self, loader: &mut Loader<'_>) -> Option<Thresholds> {
        let path = self.stardist_thresholds.as_ref()?;
        let read = std::fs::read(path).map_err(|error| error.to_string());
        match read.and_then(|bytes| Thresholds::read(&bytes)) {
            Ok(thresholds) => Some(thresholds),
            Err(why) => {
                loader.refuse("STARDIST_THRESHOLDS", path, why);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Env, Problems};

    fn load(pairs: &[(&str, &str)]) -> Result<StarDistSettings, Problems> {
        let env: Env = pairs.iter().copied().collect();
        let mut loader = Loader::new(&env);
        let settings = StarDistSettings::load(&mut loader);
        loader.finish().map(|_| settings)
    }

    #[test]
    fn numbers_that_are_no_shares_or_percentiles_are_mistakes() {
        let names = [
            ("STARDIST_PROB_THRESHOLD", "1.5"),
            ("STARDIST_NMS_THRESHOLD", "-0.1"),
            ("STARDIST_PERCENTILES", "99,1"),
            ("STARDIST_EXPORT", "geojson,svg"),
            ("STARDIST_THRESHOLDS", "/nowhere/thresholds.json"),
        ];
        for (name, value) in names {
            let problems = load(&[(name, value)]).expect_err(name);
            assert_eq!(problems.0[0].name, name);
        }
        assert!(
            load(&[
                ("STARDIST_PERCENTILES", "0, 100"),
                ("STARDIST_EXPORT", "imagej")
            ])
            .is_ok()
        );
    }

    #[test]
    fn thresholds_are_read_as_stardist_writes_them() {
        let text = br#"{"prob": 0.479071463157368, "nms": 0.3}"#;
        let thresholds = Thresholds::read(text).expect("both are there");
        assert_eq!(
            (thresholds.prob, thresholds.nms),
            (0.479_071_463_157_368, 0.3)
        );
        assert!(Thresholds::read(br#"{"prob": 2, "nms": 0.3}"#).is_err());
        assert!(Thresholds::read(b"{}").is_err());
    }
}
