//! Chooses between storage textures and buffers for the tensors that kernels read. Some devices read textures faster,
//! or check buffer bounds in shader code.

use super::{Outcome, choose, convolutions, fault, first_runs, in_rounds, small};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::graph::Graph;
use crate::kernel::{Target, TensorStorage, Tuning};
use crate::ops::FusedConv2d;
use crate::plan::Plan;
use crate::session::Session;
use crate::tensor::Precision;
use crate::testing::{check_case_with_async, random_input, random_parameter};

/// Result of one tensor storage.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageCandidate {
    /// The storage of tensors.
    pub storage: TensorStorage,
    /// The network's fastest run in milliseconds, or why it was rejected: it fails on the device, or a result is wrong.
    pub outcome: std::result::Result<f64, String>,
}

/// Measurements of all tensor storages of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageMeasurement {
    /// The candidates, default first.
    pub candidates: Vec<StorageCandidate>,
    /// The chosen storage; `None` if no candidate is correct.
    pub chosen: Option<TensorStorage>,
}

impl StorageMeasurement {
    /// For [`Tuning::set_storage`]: the choice, if it is not the default.
    pub fn choice(&self) -> Option<TensorStorage> {
        self.chosen.filter(|&c| self.candidates.first().is_some_and(|usual| usual.storage != c))
    }
}

/// Measures a graph (after rewrites) with tensors in buffers and in textures, its kernels chosen by `tuning`. Every
/// class of convolution is checked against the CPU reference first.
#[cfg(not(target_arch = "wasm32"))]
pub fn tune_storage(gpu: &Gpu, graph: &Graph, tuning: &Tuning) -> Result<StorageMeasurement> {
    block_on(tune_storage_async(gpu, graph, tuning))
}

/// [`tune_storage`] as a future.
pub async fn tune_storage_async(gpu: &Gpu, graph: &Graph, tuning: &Tuning) -> Result<StorageMeasurement> {
    let gpu = gpu.with_tuning(tuning.clone());
    // Tensors of f16 plans are always in buffers: no choice, and noise must not make one.
    let all = if gpu.target().options.precision == Precision::F16 {
        vec![gpu.target().options.storage]
    } else {
        gpu.storages().to_vec()
    };
    let (mut outcomes, mut sessions) = (Vec::new(), Vec::new());
    for &storage in &all {
        let target = gpu.target().clone().with_storage(storage);
        let (outcome, session): (Outcome, _) = match first_fault(&gpu, &target, graph).await? {
            Some(why) => (Err(why), None),
            None => first_runs(whole(&gpu, &target, graph).await).await,
        };
        outcomes.push(outcome);
        sessions.push(session);
    }
    in_rounds(&mut outcomes, &mut sessions).await?;
    let chosen = choose(&outcomes, Some(0)).map(|i| all[i]);
    let candidates =
        all.into_iter().zip(outcomes).map(|(storage, outcome)| StorageCandidate { storage, outcome }).collect();
    Ok(StorageMeasurement { candidates, chosen })
}

async fn first_fault(gpu: &Gpu, target: &Target, graph: &Graph) -> Result<Option<String>> {
    for (_, case) in convolutions(graph)?.into_values() {
        let op = FusedConv2d::of(&*case.op).ok_or_else(|| Error::op(&case.name, "is not a convolution"))?;
        let small = small(&op, &case);
        let compared = check_case_with_async(gpu, target, &small).await;
        if let Some(why) = fault(target, &small, compared) {
            return Ok(Some(format!("{}: {why}", case.name)));
        }
    }
    Ok(None)
}

/// The network with random weights and inputs.
async fn whole(gpu: &Gpu, target: &Target, graph: &Graph) -> Result<Session> {
    let session = Session::new_async(gpu, Plan::new(graph, target)?, random_parameter).await?;
    for (name, value) in graph.inputs() {
        session.write(name, random_input(name, graph.shape(value))?.data())?;
    }
    Ok(session)
}
