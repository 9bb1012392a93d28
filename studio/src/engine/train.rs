//! Training on the labelled images of a project, always from the base model that was chosen, never from the last attempt.

use super::model::{ModelFile, Models};
use super::reporter::Reporter;
use super::score::UNLABELLED;
use super::{Event, SelectedChannels};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use unet_wgpu::low_level::io::fs;
use unet_wgpu::low_level::model::ArchitectureId;
use unet_wgpu::low_level::train::{
    AugmentationPreset, Event as RunEvent, InstancesConfig, Monitor, Outcome, Ready, TrainConfig, TrainRun,
};
use unet_wgpu::low_level::weights::InstanceTarget;
use unet_wgpu::{Error, Gpu, Model, Result};

/// Evaluations of a run, about: as often the preview is renewed.
const EVALUATIONS: u64 = 10;

/// What to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainJob {
    /// The data set to train on.
    pub data: PathBuf,
    /// That of the images that are held out; without it, the scores are those of the images trained on.
    pub held_out: Option<PathBuf>,
    /// Class names, background first.
    pub classes: Vec<String>,
    /// Whether some pixels are unlabelled.
    pub partial: bool,
    /// Where to start; a network of its own without it.
    pub base: Option<ModelFile>,
    /// Steps.
    pub steps: u64,
    /// Crops per step.
    pub batch: usize,
    /// Learning rate.
    pub lr: f64,
    /// Random seed.
    pub seed: u64,
    /// What the network gets of the images.
    pub channels: SelectedChannels,
    /// The folder of the run; its name is the model's. It must not exist.
    pub out: PathBuf,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// The folder of the run.
    pub folder: PathBuf,
    /// The model with the best score.
    pub model: PathBuf,
    /// Steps done.
    pub steps: u64,
    /// Whether it was stopped before its last step.
    pub stopped: bool,
}

impl TrainJob {
    /// Good parameters without touching anything: a fine-tuning of some minutes on software, of one on a GPU.
    pub fn new(data: PathBuf, classes: Vec<String>, base: Option<ModelFile>, out: PathBuf) -> Self {
        let (held_out, channels) = (None, None);
        Self { data, held_out, classes, partial: true, base, steps: 200, batch: 8, lr: 5e-4, seed: 0, channels, out }
    }

    /// The configuration of the run, as `unet train --config` takes it.
    pub fn config(&self, base: Option<&Model>) -> Result<TrainConfig> {
        let mut config = TrainConfig::default();
        if let Some(base) = base {
            let network = &*base.architecture;
            let foreign = |_| Error::file(&base.name, "cannot be trained further: its network is not one of ours");
            config.arch = network.id().parse::<ArchitectureId>().map_err(foreign)?;
            config.config = network.config();
            if let Some(options) = config.config.as_object_mut() {
                // These follow from what the network learns for instances.
                options.retain(|key, _| !["out_channels", "activation"].contains(&key.as_str()));
            }
            config.data.normalisation = base.metadata.normalisation.clone();
        }
        config.instances = Some(InstancesConfig::new(InstanceTarget::Multi));
        config.steps = self.steps;
        config.batch = self.batch;
        config.seed = self.seed;
        config.optimiser.lr = self.lr;
        config.warmup = (self.steps / 20).min(20);
        config.eval_every = (self.steps / EVALUATIONS).max(10).min(self.steps.max(1));
        // Instances found where nothing is labelled are neither right nor wrong, so their F1 says little.
        config.monitor = Some(if self.partial || self.held_out.is_none() { Monitor::Loss } else { Monitor::F1 });
        config.augment = AugmentationPreset::Microscopy.augmentation();
        config.data.folder = self.data.clone();
        config.data.validation_folder = Some(self.held_out.as_ref().unwrap_or(&self.data).clone());
        config.data.channels = self.channels.clone();
        config.data.ignore = Some(UNLABELLED);
        config.data.classes = self.classes.clone();
        Ok(config)
    }
}

pub(super) async fn train(gpu: &Gpu, models: &Models, job: TrainJob, reporter: &Reporter) -> Result<Event> {
    let base = match &job.base {
        Some(file) => Some(models.get(file).await?),
        None => None,
    };
    let config = job.config(base.as_ref())?;
    let going = reporter.going();
    let mut run = TrainRun::new_while_async(gpu, config, &job.out, false, base.as_ref(), &going).await?;
    let [best, last] = ["best", "last"].map(|name| job.out.join(format!("{name}.safetensors")));
    // The network is saved after its scores are reported, so they are passed on with the step that follows.
    let mut scored: Option<(u64, Vec<(String, f64)>)> = None;
    let watch = |event: RunEvent| {
        match event {
            RunEvent::Ready(ready) => reporter.send(Event::Training(about(ready))),
            RunEvent::Step { step, of, loss, .. } => {
                if let Some((step, scores)) = scored.take() {
                    reporter.send(Event::Evaluated { step, scores, file: last.clone() });
                }
                reporter.send(Event::Step { step, of, loss });
            }
            RunEvent::Evaluated { step, scores, .. } => {
                scored = Some((step, scores.iter().map(|&(name, value)| (name.to_string(), value)).collect()));
            }
        }
        Ok(!reporter.stopped())
    };
    let outcome = run.run_async(watch).await?;
    if let Some((step, scores)) = scored {
        reporter.send(Event::Evaluated { step, scores, file: last.clone() });
    }
    // A run that was stopped before its first evaluation has no best model.
    let model = if fs::exists(&best) { best } else { last };
    let stopped = outcome == Outcome::Interrupted;
    Ok(Event::Trained(Box::new(Trained { folder: job.out, model, steps: run.step(), stopped })))
}

fn about(ready: &Ready) -> Vec<String> {
    let [training, _] = &ready.ground_truth;
    let mut lines = vec![
        format!("{} images to train on, {} for scores", ready.training.images, ready.validation.images),
        format!("{} parameters, {} crops at a time", ready.parameters, ready.crops),
    ];
    let labelled: u64 = training.pixels.iter().sum();
    if training.ignored > 0 {
        let share = labelled as f64 / (labelled + training.ignored) as f64;
        lines.push(format!("{:.1} % of the pixels are labelled; the others are ignored", 100.0 * share));
    }
    lines.extend(ready.findings.iter().map(|finding| format!("warning: {finding}")));
    lines
}
