//! Training steps inside the frames of an application, in its command encoders.

use super::step::{HYPER, LOSS};
use super::trainer::{StepLoss, Trainer};
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::ops::Hyper;
use crate::session::{Budget, EncodeProgress, Longest, Profile};

/// Runs that [`Trainer::measure`] takes the minimum of.
const RUNS: u32 = 3;

impl Trainer {
    /// Begins a step on a batch with inputs by name, NCHW, that [`Self::encode_some`] records part by part. The batch is copied
    /// into a buffer of its own, the only allocation of a step. Errors if another step is begun and not recorded whole.
    pub fn start(&mut self, batch: u64, inputs: &[(&str, &[f32])], hyper: &Hyper) -> Result<()> {
        self.check_idle()?;
        let hyper = hyper.words(&self.options.optimiser);
        let mut all = inputs.to_vec();
        all.push((HYPER, &hyper));
        self.encoded.current = Some((batch, self.session.begin(&all, LOSS)?));
        Ok(())
    }

    /// Records the next part of the step that [`Self::start`] began. Submits nothing and waits for nothing. Parts may go into
    /// encoders of different submissions, in order; every part must be submitted, since a later one builds upon it. The
    /// parameters change with the last parts.
    ///
    /// [`Budget::Milliseconds`] needs the times of [`Self::measure`] or [`Self::divide`].
    pub fn encode_some(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<EncodeProgress> {
        if matches!(budget, Budget::Milliseconds(_)) && self.encoded.times.is_empty() {
            return Err(Error::invalid("budget", "milliseconds need the times of `measure`"));
        }
        let Some((batch, mut recording)) = self.encoded.current.take() else {
            return Err(Error::invalid("training step", "was not started"));
        };
        let progress = self.session.encode_some(&mut recording, encoder, budget, &self.encoded.times)?;
        match progress.finished() {
            true => self.encoded.losses.push_back((batch, recording.into_readback())),
            false => self.encoded.current = Some((batch, recording)),
        }
        Ok(progress)
    }

    /// Drops the step that is begun. If parts of it were submitted, parameters may be half updated: restore them with
    /// [`Self::restore`].
    pub fn cancel(&mut self) {
        self.encoded.current = None;
    }

    /// How far the step that is begun is recorded; `None` without one.
    pub fn progress(&self) -> Option<EncodeProgress> {
        let (_, recording) = self.encoded.current.as_ref()?;
        Some(EncodeProgress { done: recording.done(), of: self.plan().dispatches.len() })
    }

    /// The loss of the oldest step that was recorded whole; `None` until its commands are done. Never waits: the application
    /// polls its device, or submits.
    pub fn take_loss(&mut self) -> Result<Option<StepLoss>> {
        let Some((batch, readback)) = self.encoded.losses.front_mut() else { return Ok(None) };
        let batch = *batch;
        let Some(loss) = self.session.try_read(readback)? else { return Ok(None) };
        self.encoded.losses.pop_front();
        Ok(Some(StepLoss { batch, loss: loss[0] }))
    }

    /// Measures the time of every dispatch, for [`Budget::Milliseconds`]: runs the step three times, waits for it, and restores
    /// parameters, running statistics and moments. Returns the milliseconds of a step.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn measure(&mut self) -> Result<f64> {
        block_on(self.measure_async())
    }

    /// [`Self::measure`] as a future.
    pub async fn measure_async(&mut self) -> Result<f64> {
        self.measure_dividing(None).await
    }

    /// Divides every dispatch that takes longer than so many milliseconds on this device, and measures as [`Self::measure`] does. A
    /// budget is kept only if no dispatch takes longer: a fourth of the budget is a good choice. Losses and parameters are the same
    /// bit for bit. The first time it compiles a kernel for each kernel that is divided. Dispatches that were divided stay so.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn divide(&mut self, longest: f64) -> Result<f64> {
        block_on(self.divide_async(longest))
    }

    /// [`Self::divide`] as a future.
    pub async fn divide_async(&mut self, longest: f64) -> Result<f64> {
        self.measure_dividing(Some(Longest::new(longest)?)).await
    }

    async fn measure_dividing(&mut self, longest: Option<Longest>) -> Result<f64> {
        self.check_idle()?;
        let mut tensors = self.weights_async().await?;
        tensors.append(&mut self.optimiser_state_async().await?);
        // Those of other dispatches, should an error end this early.
        self.encoded.times.clear();
        let profile = self.profile_dividing(longest).await;
        self.restore(&tensors)?;
        self.encoded.times = profile?.dispatches;
        Ok(self.encoded.times.iter().sum())
    }

    async fn profile_dividing(&mut self, longest: Option<Longest>) -> Result<Profile> {
        if let Some(longest) = longest {
            self.session.divide_longer_async(longest, RUNS).await?;
        }
        self.session.profile_async(RUNS).await
    }

    /// Errors while a step is recorded in part: whatever ran in between would read its half of the memory.
    pub(super) fn check_idle(&self) -> Result<()> {
        match &self.encoded.current {
            Some((batch, _)) => {
                Err(Error::invalid("training step", format!("batch {batch} is not recorded whole; call `encode_some`")))
            }
            None => Ok(()),
        }
    }
}
