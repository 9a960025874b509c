//! What may be set of the tracking of cells.

use crate::applications::cell_tracking::{
    BirthDeathCost, CropMode, CropOptions, EmptyFrames, Tracker,
};
use crate::consumers::limits;
use crate::consumers::preview::Previews;
use crate::consumers::recipe::model;
use crate::serving::ModelId;
use crate::settings::{Loader, Parsed, Switch};
use bioimage::FrameLimits;

crate::settings! {
    /// Tracking of cells.
    struct TrackingVariables {
        /// Model that compares cells, as `name:version`.
        caliban_model: Option<Parsed<ModelId>> = None => "that of `TRACKING_MODEL`",
        /// Older name of `CALIBAN_MODEL`.
        tracking_model: Parsed<ModelId> = model("NuclearTrackingInf:6"),
        /// Model that describes cells, as `name:version`.
        neighborhood_encoder: Parsed<ModelId> = model("NuclearTrackingNE:6"),
        /// Side of the crop of a cell, in pixels.
        appearance_dim: usize = Tracker::default().appearance.side,
        /// How a cell is cropped: `resize` scales its bounding box, `fixed` cuts a square around its centroid.
        crop_mode: Parsed<CropMode> = Parsed(Tracker::default().appearance.crop),
        /// Normalize fixed crops.
        caliban_norm: Switch = Switch(Tracker::default().appearance.norm),
        /// Largest distance between neighboring cells, in pixels.
        max_distance: f64 = Tracker::default().max_distance,
        /// Observations of a track that are compared with a cell; at least 1.
        track_length: usize = Tracker::default().track_length,
        /// Cost of a cell without a track.
        birth: f32 = Tracker::default().borders.birth,
        /// Cost of a track without a cell.
        death: f32 = Tracker::default().borders.death,
        /// Probability from which a new cell is a daughter, from 0 to 1.
        division: f64 = Tracker::default().division_threshold,
        /// Largest number of frames in a movie.
        max_image_frames: usize = 60,
        /// Largest number of frames without labels in a movie that a batch has gathered; they are left out.
        max_gaps: usize = 0,
        /// Queue to which the frames of a movie are submitted for segmentation; turned into lower case.
        segmentation_queue: String = "predict".to_owned(),
        /// What becomes of a movie in which some frames have no cells: `refuse` fails it, as the Python consumer does; `allow` leaves them empty and tracks the cells on both sides.
        empty_frames: Parsed<EmptyFrames> = Parsed(Tracker::default().empty_frames),
        /// Also write `res_track.txt` and masks (Cell Tracking Challenge).
        isbi_output: Switch = Switch(false),
    }
}

/// Models, tracker and limits of the tracking consumer.
#[derive(Debug)]
pub struct TrackingSettings {
    pub(super) encoder: ModelId,
    pub(super) inference: ModelId,
    pub(super) tracker: Tracker,
    pub(super) frames: FrameLimits,
    pub(super) max_gaps: usize,
    pub(super) decoding: bioimage::Limits,
    pub(super) segmentation_queue: String,
    pub(super) isbi: bool,
    pub(super) previews: Previews,
}

impl TrackingSettings {
    /// Loads `CALIBAN_MODEL`, `NEIGHBORHOOD_ENCODER`, `MAX_DISTANCE` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: TrackingVariables = loader.load();
        let tracker = variables.tracker(loader);
        if variables.caliban_model.is_none() {
            loader.fall_back("CALIBAN_MODEL", "TRACKING_MODEL");
        }
        let Parsed(inference) = variables.caliban_model.unwrap_or(variables.tracking_model);
        Self {
            encoder: variables.neighborhood_encoder.0,
            inference,
            tracker,
            // Requests to the models are cut to size, so that only the movie itself is limited.
            frames: FrameLimits {
                batch: usize::MAX,
                movie: variables.max_image_frames,
            },
            max_gaps: variables.max_gaps,
            decoding: limits::decoding(loader),
            segmentation_queue: variables.segmentation_queue.to_lowercase(),
            isbi: variables.isbi_output.0,
            previews: Previews::load(loader),
        }
    }
}

impl TrackingVariables {
    fn tracker(&self, loader: &mut Loader<'_>) -> Tracker {
        let tracker = Tracker {
            appearance: CropOptions {
                side: self.appearance_dim,
                crop: self.crop_mode.0,
                norm: self.caliban_norm.0,
            },
            max_distance: self.max_distance,
            track_length: self.track_length,
            borders: BirthDeathCost {
                birth: self.birth,
                death: self.death,
            },
            division_threshold: self.division,
            empty_frames: self.empty_frames.0,
        };
        if self.track_length == 0 {
            loader.refuse("TRACK_LENGTH", 0, "expected at least 1");
        }
        if let Err(message) = tracker.appearance.check() {
            loader.refuse("APPEARANCE_DIM", self.appearance_dim, message);
        }
        tracker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Env;

    #[test]
    fn what_no_movie_can_be_tracked_with_is_named_by_its_variable() {
        let env = Env::from_iter([
            ("TRACK_LENGTH", "0"),
            ("APPEARANCE_DIM", "33"),
            ("CROP_MODE", "fixed"),
        ]);
        let mut loader = Loader::new(&env);
        TrackingSettings::load(&mut loader);
        let problems = loader.finish().expect_err("two are unusable").to_string();
        for expected in [
            "TRACK_LENGTH: `0` cannot be used: expected at least 1",
            "APPEARANCE_DIM: `33` cannot be used: the side of an appearance must be even for crop mode `fixed`",
        ] {
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
