//! The loss of the validation images: in evaluation mode, on crops that are not augmented.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, PrecisionChoice};
use crate::graph::Graph;
use crate::model::INPUT;
use crate::session::Backend;
use crate::tensor::HostTensor;
use crate::train::augment::Augmenter;
use crate::train::batch::Batcher;
use crate::train::network::{TARGET, WEIGHT};
use crate::train::step::LOSS;

/// Crops of each validation image.
const CROPS: usize = 4;

/// The loss on the same crops of the validation images in every evaluation.
pub(super) struct ValidationLoss {
    /// The loss of a batch, in evaluation mode.
    pub(super) graph: Graph,
    /// Augmentation that changes nothing.
    pub(super) augmenter: Augmenter,
    pub(super) batcher: Batcher,
    /// Crops per batch.
    pub(super) crops: usize,
}

impl ValidationLoss {
    /// The mean over batches, with these weights.
    pub(super) async fn of(&self, gpu: &Gpu, weights: &BTreeMap<String, HostTensor>) -> Result<f64> {
        let stored = |name: &str, _: &[usize]| {
            weights.get(name).cloned().ok_or_else(|| Error::ParameterMissing { key: name.into(), nearest: None })
        };
        // As the loss in training.
        let backend = Backend::Gpu(gpu.clone()).with_precision(PrecisionChoice::F32)?;
        let mut network = backend.prepare_async(&self.graph, stored).await?;
        let batches = (CROPS * self.batcher.examples().len()).div_ceil(self.crops) as u64;
        let mut sum = 0.0;
        for number in 0..batches {
            let batch = self.batcher.batch(number)?;
            network.write(INPUT, batch.images.data())?;
            network.write(TARGET, batch.targets.data())?;
            if let Some(weights) = &batch.weights {
                network.write(WEIGHT, weights.data())?;
            }
            for (name, data) in self.augmenter.draw(number * self.crops as u64) {
                network.write(name, &data)?;
            }
            network.run_async(|_, _| Ok(())).await?;
            sum += f64::from(network.read_async(LOSS).await?.data()[0]);
        }
        Ok(sum / batches as f64)
    }
}
