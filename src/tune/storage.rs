//! Whether what kernels read is better a storage texture than a buffer on a device. Some have a faster way to read textures, or
//! check the bounds of buffers in code.

use super::{Outcome, choose, convolutions, fault, first_runs, in_rounds, small};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::Graph;
use crate::kernel::{Target, TensorStorage, Tuning};
use crate::ops::FusedConv2d;
use crate::plan::Plan;
use crate::session::Session;
use crate::tensor::Precision;
use crate::testing::{check_case_with, random_input, random_parameter};

/// What became of one way to store tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageCandidate {
    /// What tensors lie in.
    pub storage: TensorStorage,
    /// Milliseconds of the network's fastest run, or why it was dropped: it fails on the device, or a result is wrong.
    pub outcome: std::result::Result<f64, String>,
}

/// All ways to store tensors on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageMeasurement {
    /// The usual one first.
    pub candidates: Vec<StorageCandidate>,
    /// What tensors lie in from now on; none if no candidate is right.
    pub chosen: Option<TensorStorage>,
}

impl StorageMeasurement {
    /// For [`Tuning::set_textures`]: the choice, where it is not the usual.
    pub fn choice(&self) -> Option<TensorStorage> {
        self.chosen.filter(|&c| self.candidates.first().is_some_and(|usual| usual.storage != c))
    }
}

/// Measures a graph (after rewrites) with tensors in buffers and in textures, its kernels chosen by `tuning`. Every kind of
/// convolution is checked against the CPU reference first.
pub fn tune_storage(gpu: &Gpu, graph: &Graph, tuning: &Tuning) -> Result<StorageMeasurement> {
    let gpu = gpu.with_tuning(tuning.clone());
    // Tensors of f16 plans are always in buffers: there is nothing to choose, and noise must not.
    let all = if gpu.target().options.precision == Precision::F16 {
        vec![gpu.target().options.storage]
    } else {
        gpu.storages().to_vec()
    };
    let (mut outcomes, mut sessions) = (Vec::new(), Vec::new());
    for &storage in &all {
        let target = gpu.target().clone().with_storage(storage);
        let (outcome, session): (Outcome, _) = match first_fault(&gpu, &target, graph)? {
            Some(why) => (Err(why), None),
            None => first_runs(whole(&gpu, &target, graph)),
        };
        outcomes.push(outcome);
        sessions.push(session);
    }
    in_rounds(&mut outcomes, &mut sessions)?;
    let chosen = choose(&outcomes, Some(0)).map(|i| all[i]);
    let candidates =
        all.into_iter().zip(outcomes).map(|(storage, outcome)| StorageCandidate { storage, outcome }).collect();
    Ok(StorageMeasurement { candidates, chosen })
}

fn first_fault(gpu: &Gpu, target: &Target, graph: &Graph) -> Result<Option<String>> {
    for (_, case) in convolutions(graph)?.into_values() {
        let op = FusedConv2d::of(&*case.op).ok_or_else(|| Error::op(&case.name, "is no convolution"))?;
        let why = fault(target, &small(&op, &case), &|target, case| check_case_with(gpu, target, case));
        if let Some(why) = why {
            return Ok(Some(format!("{}: {why}", case.name)));
        }
    }
    Ok(None)
}

/// The network with random weights and inputs.
fn whole(gpu: &Gpu, target: &Target, graph: &Graph) -> Result<Session> {
    let session = Session::new(gpu, Plan::new(graph, target)?, random_parameter)?;
    for (name, value) in graph.inputs() {
        session.write(name, random_input(name, graph.shape(value))?.data())?;
    }
    Ok(session)
}
