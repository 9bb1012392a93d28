//! A training run: batches, steps, evaluations, checkpoints and reports.

mod begun;
mod evaluation;
mod init;
mod prepare;
mod recover;
mod times;
mod validation_loss;

use super::augment::Augmenter;
use super::batch::{Batch, Batcher};
use super::checkpoint::{TrainState, save_state};
use super::config::TrainConfig;
use super::dataset::Dataset;
use super::example::DataSummary;
use super::network::{TARGET, WEIGHT};
use super::prefetch::Prefetch;
use super::report::Report;
use super::scan::GroundTruthSummary;
use super::schedule::Plateau;
use super::trainer::{StepLoss, Trainer};
use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::graph::DROPOUT_SEED;
use crate::infer::read_image;
use crate::io::fs;
use crate::model::{Architecture, INPUT};
use crate::ops::{Dropout, Hyper};
use crate::parallel::threads;
use crate::session::Recovery;
use crate::tensor::HostTensor;
use crate::weights::ModelMetadata;
use recover::out_of_memory;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
pub use times::StepTimes;
use validation_loss::ValidationLoss;

/// Batches prepared ahead, besides those that workers are at.
const AHEAD: usize = 3;

/// Progress events of a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// All data is read and checked; the first step follows.
    Ready(&'a Ready),
    /// The loss of a step has arrived.
    Step {
        /// Steps done.
        step: u64,
        /// Total steps.
        of: u64,
        /// Loss of the step.
        loss: f32,
        /// Learning rate of the step.
        lr: f64,
    },
    /// The network was evaluated on the validation images.
    Evaluated {
        /// Steps done.
        step: u64,
        /// Measures by name.
        scores: &'a [(&'static str, f64)],
        /// Whether the network was saved as the best so far.
        best: bool,
    },
}

/// Summary of a run before its first step.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Description of the device.
    pub device: String,
    /// Number of trainable parameters.
    pub parameters: usize,
    /// Input channels of the network.
    pub channels: usize,
    /// Training images.
    pub training: DataSummary,
    /// Validation images.
    pub validation: DataSummary,
    /// Ground truth of the training and the validation data.
    pub ground_truth: [GroundTruthSummary; 2],
    /// Warnings for users: about the ground truth, and parameters that the model to begin with does not give.
    pub findings: Vec<String>,
    /// Crops on the device at once.
    pub crops: usize,
    /// Parts that a step's batch is divided into.
    pub parts: usize,
    /// Device memory, bytes.
    pub memory: u64,
    /// Steps done before resuming.
    pub resumed: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// The score stopped improving.
    Stopped,
    /// The observer requested it.
    Interrupted,
}

/// Files of a run directory.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// The directory.
    pub dir: PathBuf,
}

impl RunFiles {
    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// The model with the best score.
    pub fn best(&self) -> PathBuf {
        self.dir.join("best.safetensors")
    }

    /// The state that the run resumes from.
    pub fn last(&self) -> PathBuf {
        self.dir.join("last.safetensors")
    }
}

/// State of the loop apart from tensors.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Progress {
    plateau: Plateau,
    /// Evaluations since the best score.
    waited: u32,
    /// Loss of the validation images at the best score, if it was computed.
    #[serde(default)]
    best_loss: Option<f64>,
}

/// A training run, ready to start.
pub struct TrainRun {
    config: TrainConfig,
    files: RunFiles,
    gpu: Gpu,
    architecture: Arc<dyn Architecture>,
    metadata: ModelMetadata,
    validation: Dataset,
    batcher: Batcher,
    validation_loss: Option<ValidationLoss>,
    augmenter: Augmenter,
    trainer: Trainer,
    report: Report,
    ready: Ready,
    /// Steps done.
    step: u64,
    best: Option<f64>,
    progress: Progress,
    /// Sum of the losses of the current step's parts so far.
    sum: f64,
    /// Image names of batches whose loss is pending.
    crops: VecDeque<(u64, Vec<String>)>,
    recovery: Recovery,
    times: StepTimes,
}

impl TrainRun {
    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Where the time of the steps went.
    pub fn times(&self) -> StepTimes {
        self.times
    }

    /// Trains. `watch` gets every event and returns whether to continue; on false, steps in flight are finished and
    /// saved.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, watch: impl FnMut(Event) -> Result<bool>) -> Result<Outcome> {
        block_on(self.run_async(watch))
    }

    /// [`Self::run`] as a future.
    pub async fn run_async(&mut self, mut watch: impl FnMut(Event) -> Result<bool>) -> Result<Outcome> {
        let going = watch(Event::Ready(&self.ready))?;
        loop {
            match self.train(going, &mut watch).await {
                Err(e @ Error::DeviceLost(_)) => self.recover(e).await?,
                outcome => return outcome.map_err(out_of_memory),
            }
        }
    }

    /// Trains from the step that the run is at.
    async fn train(&mut self, mut going: bool, watch: &mut impl FnMut(Event) -> Result<bool>) -> Result<Outcome> {
        let parts = self.ready.parts as u64;
        let steps = self.config.steps;
        let batcher = self.batcher.clone();
        // One core is left to feed the device. Without augmentation on the host a batch is little work.
        let workers = if self.config.on_host() { threads().saturating_sub(1).max(1) } else { 1 };
        let numbers = self.step * parts..steps * parts;
        let mut batches = Prefetch::new([AHEAD + workers, workers], numbers, move |b| batcher.batch(b))?;
        while going && self.step < steps {
            let begun = Instant::now();
            let lr = self.lr(self.step);
            for part in 0..parts {
                let asked = Instant::now();
                let batch = batches.next().ok_or_else(|| Error::invalid("batches", "ended before training did"))??;
                self.times.waiting += asked.elapsed();
                let hyper = Hyper {
                    lr,
                    step: self.step + 1,
                    scale: 1.0 / parts as f64,
                    apply: part + 1 == parts,
                    keep: part > 0,
                };
                let arrived = self.queue(batch, &hyper).await?;
                going &= self.arrived(arrived, watch)?;
            }
            self.step += 1;
            self.times.total += begun.elapsed();
            if self.step.is_multiple_of(self.config.eval_every) || self.step == steps {
                going &= self.drain(watch).await?;
                going &= self.evaluate(watch).await?;
                self.save().await?;
                if self.config.patience > 0 && self.progress.waited >= self.config.patience {
                    return Ok(Outcome::Stopped);
                }
            }
        }
        if self.step < steps {
            self.drain(watch).await?;
            if let Some(pair) = self.validation.pairs().first() {
                let (image, _) = read_image(&pair.image, &self.config.data.read())?;
                let mut segmenter = self.segmenter(&self.weights().await?)?;
                self.predict(&mut segmenter, pair, &image).await?;
            }
            self.save().await?;
            return Ok(Outcome::Interrupted);
        }
        Ok(Outcome::Finished)
    }

    /// Queues a batch; returns the loss of an earlier batch.
    async fn queue(&mut self, batch: Batch, hyper: &Hyper) -> Result<Option<StepLoss>> {
        let drawn = self.augmenter.draw(batch.step * self.ready.crops as u64);
        let dropout = Dropout::seed(self.config.seed.rotate_left(17) ^ batch.step);
        let mut inputs = vec![(INPUT, batch.images.data()), (TARGET, batch.targets.data())];
        inputs.extend(batch.weights.as_ref().map(|w| (WEIGHT, w.data())));
        inputs.extend(drawn.iter().map(|(name, data)| (*name, &data[..])));
        if self.trainer.plan().io_binding(DROPOUT_SEED).is_some() {
            inputs.push((DROPOUT_SEED, &dropout));
        }
        self.crops.push_back((batch.step, batch.crops.iter().map(|c| c.name.clone()).collect()));
        self.trainer.step_async(batch.step, &inputs, hyper).await
    }

    /// Handles the loss of a batch. A loss that is not finite ends the run with an error that names its images.
    fn arrived(&mut self, loss: Option<StepLoss>, watch: &mut impl FnMut(Event) -> Result<bool>) -> Result<bool> {
        let Some(StepLoss { batch, loss }) = loss else { return Ok(true) };
        let crops = self.crops.pop_front().map(|c| c.1).unwrap_or_default();
        let (parts, step) = (self.ready.parts as u64, batch / self.ready.parts as u64);
        if !loss.is_finite() {
            let what = format!("the loss of step {} is {loss}; its crops are of {}", step + 1, crops.join(", "));
            return Err(self.diverged(&what));
        }
        self.sum += f64::from(loss);
        if batch % parts + 1 < parts {
            return Ok(true);
        }
        let loss = (std::mem::take(&mut self.sum) / parts as f64) as f32;
        let lr = self.lr(step);
        self.report.train(step + 1, &[("loss", f64::from(loss)), ("lr", lr)])?;
        watch(Event::Step { step: step + 1, of: self.config.steps, loss, lr })
    }

    /// Error for a diverged run (NaN or infinity).
    fn diverged(&self, what: &str) -> Error {
        let last = self.files.last();
        let left = if fs::exists(&last) {
            format!("{} has the state before", last.display())
        } else {
            "nothing is saved".into()
        };
        Error::invalid("training", format!("{what}; {left}; try a lower learning rate, or `clip`"))
    }

    /// Parameters and running statistics. Errors if a value, or its square, is not finite: the next step would
    /// overflow.
    async fn weights(&self) -> Result<BTreeMap<String, HostTensor>> {
        let weights = self.trainer.weights_async().await?;
        let lost = |v: &f32| !(v * v).is_finite();
        match weights.iter().find_map(|(name, t)| Some((name, t.data().iter().find(|v| lost(v))?))) {
            Some((name, value)) => {
                Err(self.diverged(&format!("after step {}, {name} holds the value {value:e}", self.step)))
            }
            None => Ok(weights),
        }
    }

    async fn drain(&mut self, watch: &mut impl FnMut(Event) -> Result<bool>) -> Result<bool> {
        let (mut going, begun) = (true, Instant::now());
        while let Some(loss) = self.trainer.oldest_async().await? {
            going &= self.arrived(Some(loss), watch)?;
        }
        self.times.total += begun.elapsed();
        Ok(going)
    }

    fn lr(&self, step: u64) -> f64 {
        let TrainConfig { schedule, steps, warmup, ref optimiser, .. } = self.config;
        schedule.lr(optimiser.lr, step, steps, warmup, &self.progress.plateau)
    }

    async fn save(&mut self) -> Result<()> {
        let mut tensors = self.weights().await?;
        tensors.extend(self.trainer.optimiser_state_async().await?);
        let extra = serde_json::to_value(self.progress).map_err(|e| Error::invalid("training state", e.to_string()))?;
        let state = TrainState { step: self.step, best: self.best, extra, tensors };
        save_state(self.files.last(), &state, &self.metadata)?;
        self.recovery.progressed();
        Ok(())
    }
}
