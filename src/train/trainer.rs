//! Training on a device, where parameters, running statistics and the optimiser's moments stay.

use super::encoded::Encoded;
use super::step::{ACCUMULATED, HYPER, LOSS, StepOptions, moment, step_graph};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::graph::{DropoutAt, Graph};
use crate::ops::Hyper;
use crate::plan::Plan;
use crate::session::{Pending, Session};
use crate::tensor::HostTensor;
use std::collections::{BTreeMap, VecDeque};

/// A training step resident on a device.
///
/// Steps are queued. A loss is read [`Trainer::LATE`] steps after its step was submitted, so that the device never
/// waits for the host.
#[derive(Debug)]
pub struct Trainer {
    /// The step, to be planned again on another device.
    graph: Graph,
    pub(super) session: Session,
    pub(super) options: StepOptions,
    /// Names of the checkpoint's tensors: parameters and running statistics.
    parameters: Vec<String>,
    pending: VecDeque<(u64, Pending)>,
    pub(super) encoded: Encoded,
}

/// The loss of a finished step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLoss {
    /// Number of the batch, as given to [`Trainer::step`].
    pub batch: u64,
    /// Its loss value.
    pub loss: f32,
}

impl Trainer {
    /// Steps in flight before the oldest loss is awaited.
    pub const LATE: usize = 2;

    /// Prepares the training step of `network`, a graph in evaluation mode whose output `loss` is the loss. `initial`
    /// returns parameters and running statistics by name and dimensions; moments start at zero.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(
        gpu: &Gpu,
        network: &Graph,
        dropouts: &[DropoutAt],
        options: StepOptions,
        initial: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<Self> {
        block_on(Self::new_async(gpu, network, dropouts, options, initial))
    }

    /// [`Self::new`] as a future.
    pub async fn new_async(
        gpu: &Gpu,
        network: &Graph,
        dropouts: &[DropoutAt],
        options: StepOptions,
        mut initial: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<Self> {
        let parameters: Vec<String> = network.parameters().map(|p| p.0.to_string()).collect();
        let graph = step_graph(network, dropouts, &options)?;
        let plan = Plan::new(&graph, gpu.target())?;
        let first = |name: &str, dims: &[usize]| match is_optimiser_state(name) {
            true => HostTensor::new(dims, vec![0.0; dims.iter().product()]),
            false => initial(name, dims),
        };
        let session = Session::new_async(gpu, plan, first).await?;
        // The loss may not depend on all parameters; the plan has no variable for the others.
        let trained: Vec<String> =
            parameters.into_iter().filter(|p| session.plan().variables.iter().any(|s| s.name == *p)).collect();
        let encoded = Encoded::default();
        Ok(Self { graph, session, options, parameters: trained, pending: VecDeque::new(), encoded })
    }

    /// The plan of a step.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// The session of a step.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Device memory, bytes.
    pub fn device_bytes(&self) -> u64 {
        self.session.device_bytes()
    }

    /// Queues a step on a batch with inputs by name, NCHW. Returns the loss of an earlier batch once enough are queued.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn step(&mut self, batch: u64, inputs: &[(&str, &[f32])], hyper: &Hyper) -> Result<Option<StepLoss>> {
        block_on(self.step_async(batch, inputs, hyper))
    }

    /// [`Self::step`] as a future.
    pub async fn step_async(
        &mut self,
        batch: u64,
        inputs: &[(&str, &[f32])],
        hyper: &Hyper,
    ) -> Result<Option<StepLoss>> {
        self.check_idle()?;
        for (name, data) in inputs {
            self.session.write(name, data)?;
        }
        self.session.write(HYPER, &hyper.words(&self.options.optimiser))?;
        let pending = self.session.start_async(LOSS).await?;
        self.pending.push_back((batch, pending));
        if self.pending.len() > Self::LATE { self.oldest_async().await } else { Ok(None) }
    }

    /// Waits for the oldest step in flight; `None` if there is none.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn oldest(&mut self) -> Result<Option<StepLoss>> {
        block_on(self.oldest_async())
    }

    /// [`Self::oldest`] as a future.
    pub async fn oldest_async(&mut self) -> Result<Option<StepLoss>> {
        let Some((batch, pending)) = self.pending.pop_front() else { return Ok(None) };
        let loss = self.session.finish_async(pending).await?;
        Ok(Some(StepLoss { batch, loss: loss[0] }))
    }

    /// Parameters and running statistics after all queued steps.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weights(&self) -> Result<BTreeMap<String, HostTensor>> {
        block_on(self.weights_async())
    }

    /// [`Self::weights`] as a future.
    pub async fn weights_async(&self) -> Result<BTreeMap<String, HostTensor>> {
        self.states(self.parameters.iter()).await
    }

    /// The optimiser's moments and accumulated gradients, by prefixed names.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn optimiser_state(&self) -> Result<BTreeMap<String, HostTensor>> {
        block_on(self.optimiser_state_async())
    }

    /// [`Self::optimiser_state`] as a future.
    pub async fn optimiser_state_async(&self) -> Result<BTreeMap<String, HostTensor>> {
        let states = self.session.plan().variables.iter().map(|s| &s.name);
        self.states(states.filter(|n| is_optimiser_state(n))).await
    }

    async fn states<'a>(&self, names: impl Iterator<Item = &'a String>) -> Result<BTreeMap<String, HostTensor>> {
        self.check_idle()?;
        let mut states = BTreeMap::new();
        for name in names {
            states.insert(name.clone(), self.session.read_state_async(name).await?);
        }
        Ok(states)
    }

    /// Goes on with another device after [`Error::DeviceLost`], from the tensors of [`Trainer::weights`] and
    /// [`Trainer::optimiser_state`] as they were last read, or as a checkpoint has them. Steps in flight are lost: repeat those
    /// since then, and [`Trainer::measure`] before a budget in milliseconds. On an error nothing has changed.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn recover(&mut self, gpu: &Gpu, tensors: &BTreeMap<String, HostTensor>) -> Result<()> {
        block_on(self.recover_async(gpu, tensors))
    }

    /// [`Self::recover`] as a future.
    pub async fn recover_async(&mut self, gpu: &Gpu, tensors: &BTreeMap<String, HostTensor>) -> Result<()> {
        let plan = Plan::new(&self.graph, gpu.target())?;
        let missing = |name: &str| Error::ParameterMissing { key: name.into(), nearest: None };
        let stored = |name: &str, _: &[usize]| tensors.get(name).cloned().ok_or_else(|| missing(name));
        self.session = Session::new_async(gpu, plan, stored).await?;
        self.pending.clear();
        self.encoded = Encoded::default();
        Ok(())
    }

    /// Restores the tensors of [`Trainer::weights`] and [`Trainer::optimiser_state`]. Errors if one is missing.
    pub fn restore(&self, tensors: &BTreeMap<String, HostTensor>) -> Result<()> {
        self.check_idle()?;
        for state in &self.session.plan().variables {
            let missing = || Error::ParameterMissing { key: state.name.clone(), nearest: None };
            self.session.write_state(&state.name, tensors.get(&state.name).ok_or_else(missing)?)?;
        }
        Ok(())
    }
}

/// Whether a variable belongs to the optimiser, not to the network.
pub(super) fn is_optimiser_state(name: &str) -> bool {
    [moment(1, ""), moment(2, ""), ACCUMULATED.into()].iter().any(|prefix| name.starts_with(prefix.as_str()))
}
