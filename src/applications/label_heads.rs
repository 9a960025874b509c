//! Models that answer labels, such as InstanSeg or CellSAM with their post-processing: tiles that overlap, joined object by
//! object.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures::TryStreamExt as _;
use ndarray::{Array2, Array4, ArrayD, ArrayView2, Axis, Ix3, Ix4};

use super::cells::check_values;
use super::overlapping::Windows;
use super::tiled_inference::{Answer, Model, answers};
use crate::compute;
use cell_analysis::segmentation::LabelMosaic;
use cell_analysis::stardist::{PercentileNormalization, pad_to_multiple};

/// How a model that answers labels is given an image.
#[derive(Clone, Debug)]
pub struct LabelHeads {
    /// What happens to values before.
    pub normalization: PercentileNormalization,
    /// Side of tiles for a model that takes any size, in pixels.
    pub tile: usize,
    /// Pixels around the part of a tile that counts: wider than half of the widest object.
    pub halo: usize,
    /// Output that holds the labels, in byte order of names.
    pub output: usize,
    /// Channel of that output, for models that label nuclei and cells.
    pub channel: usize,
}

impl LabelHeads {
    /// Labels `[row, column]` of an image `[1, row, column, channel]`.
    ///
    /// # Errors
    ///
    /// Values that are not finite, a model that answers no labels, and what [`Model`] fails with.
    pub async fn segment(&self, model: &Model, image: Array4<f32>) -> anyhow::Result<Array2<u32>> {
        let (_, rows, columns, _) = image.dim();
        let (plan, fixed) = (self.clone(), model.fixed_tile());
        let prepared = compute::run(move || plan.prepare(image, fixed));
        let (image, windows) = prepared.await?;
        let (image, windows) = (Arc::new(image), Arc::new(windows));
        let cut = {
            let windows = Arc::clone(&windows);
            move |tiles: Range<usize>| windows.cut(image.view(), tiles)
        };
        let batches = answers(model, windows.len(), model.batch_size(), cut);
        let mut batches = std::pin::pin!(batches);
        let mut mosaic = LabelMosaic::new(windows.size(), self.halo / 4);
        while let Some(answer) = batches.try_next().await? {
            let (plan, windows) = (self.clone(), Arc::clone(&windows));
            mosaic =
                compute::run(move || plan.add(mosaic, &windows, &answer.into_arrays())).await?;
        }
        Ok(compute::run(move || {
            let mut labels = mosaic.finish();
            labels.slice_axis_inplace(Axis(0), (..rows).into());
            labels.slice_axis_inplace(Axis(1), (..columns).into());
            cell_analysis::segmentation::relabel_sequential(
                labels.as_standard_layout().into_owned(),
            )
        })
        .await)
    }

    /// The image as the model sees it, and where it is cut.
    fn prepare(
        &self,
        image: Array4<f32>,
        fixed: [Option<usize>; 2],
    ) -> anyhow::Result<(Array4<f32>, Windows)> {
        check_values(image.view())?;
        let image = self.normalization.normalize(image);
        let (_, rows, columns, _) = image.dim();
        let multiple = Windows::multiple([rows, columns], fixed);
        let padded = pad_to_multiple(image.view(), multiple);
        let size = [padded.dim().1, padded.dim().2];
        let windows = Windows::new(size, fixed.map(|fixed| fixed.unwrap_or(self.tile)), |_| {
            self.halo
        });
        Ok((padded, windows))
    }

    fn add(
        &self,
        mut mosaic: LabelMosaic,
        windows: &Windows,
        answer: &Answer<ArrayD<f32>>,
    ) -> anyhow::Result<LabelMosaic> {
        for (place, tile) in answer.tiles.clone().enumerate() {
            let labels = self.labels(answer, place, windows.tile_shape())?;
            mosaic.add(labels.view(), &windows.place(tile));
        }
        Ok(mosaic)
    }

    /// The labels of one tile of an answer: whole numbers, whatever type they came in.
    fn labels(
        &self,
        answer: &Answer<ArrayD<f32>>,
        place: usize,
        shape: [usize; 2],
    ) -> anyhow::Result<Array2<u32>> {
        let count = answer.outputs.len();
        let output = answer.outputs.get(self.output);
        let output = output.with_context(|| {
            format!(
                "the model has {count} outputs, and LABELS_OUTPUT asks for {}",
                self.output
            )
        })?;
        let plane: ArrayView2<'_, f32> = match output.ndim() {
            3 => output
                .view()
                .into_dimensionality::<Ix3>()?
                .index_axis_move(Axis(0), place),
            4 => {
                let image = output.view().into_dimensionality::<Ix4>()?;
                let channels = image.dim().3;
                ensure!(
                    self.channel < channels,
                    "the labels have {channels} channels, and LABELS_CHANNEL asks for {}",
                    self.channel
                );
                image
                    .index_axis_move(Axis(0), place)
                    .index_axis_move(Axis(2), self.channel)
            }
            _ => anyhow::bail!(
                "the model answers shape {:?}, which is no label image",
                output.shape()
            ),
        };
        ensure!(
            <[usize; 2]>::from(plane.dim()) == shape,
            "the model answered labels of {:?} for tiles of {shape:?} pixels",
            plane.dim()
        );
        let is_label = |value: &f32| *value >= 0.0 && value.fract() == 0.0 && *value < 4e9;
        ensure!(
            plane.iter().all(is_label),
            "output {} of the model holds other values than labels",
            self.output
        );
        Ok(plane.mapv(|value| value as u32))
    }
}
