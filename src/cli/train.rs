//! `unet train`

use super::arch::ArchArgs;
use super::models::{option, say_assumptions};
use super::reading::{GroundTruthArgs, ReadArgs};
use super::segment::memory;
use super::{Common, hints, output, values};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use unet_wgpu::low_level::model::Model;
use unet_wgpu::low_level::session::{Backend, Recovery};
use unet_wgpu::low_level::train::{
    AugmentationPreset, Elastic, Event, GroundTruthSummary, InstancesConfig, Outcome, Ready, TrainConfig, TrainRun,
};
use unet_wgpu::low_level::weights::InstanceTarget;
use unet_wgpu::{Error, Result};

/// Train a network on your own images with masks
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet train --data nuclei --out run                    U-Net, width 16, 1000 steps of 8 crops of 128x128
  unet train --data nuclei --arch unet++ --width 16 --set out_channels=1 --steps 4000 --out run
  unet train --data nuclei --instances multi --augment microscopy --steps 3000 --out run
  unet train --config run/config.toml --out again       every option is in this file
  unet train --out run --resume                         continue a run
  unet segment -m run/best.safetensors image.png      use the result

A data set is a folder with images/ and masks/ (class ids; black and white for two classes) or labels/ (a number for every
instance) or both, with equal names; docs/training.md has other layouts (imgs/, image/ + label/, nnU-Net's), and colour masks.
--ground-truth states what the numbers are, regardless of the folder's name. A fifth of the images is held out for validation
unless --validation names another folder.

OUT gets config.toml, metrics.csv, metrics.jsonl, curves.svg, predictions_STEP.png, a TensorBoard file, best.safetensors (the
model with the best validation score) and last.safetensors (where --resume continues). Ctrl-C finishes the step and saves.")]
pub(super) struct Train {
    /// The data set
    #[arg(short, long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Another data set for validation
    #[arg(long, value_name = "DIR")]
    validation: Option<PathBuf>,
    /// Options of the run in TOML; the command line takes precedence
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the run
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Continue the run in OUT
    #[arg(long)]
    resume: bool,
    /// Start from the weights of a model (built-in or file)
    #[arg(long, value_name = "MODEL")]
    init: Option<String>,
    /// A setting that the checkpoint of --init does not contain, instead of the assumed one, as `--set` of `unet segment`
    #[arg(long, value_name = "KEY=VALUE", requires = "init")]
    init_set: Vec<String>,
    /// Steps [default: 1000]
    #[arg(long)]
    steps: Option<u64>,
    /// Crops per step [default: 8]
    #[arg(long)]
    batch: Option<usize>,
    /// Rows and columns of a crop [default: 128]
    #[arg(long)]
    crop: Option<usize>,
    /// Learning rate [default: 0.001]
    #[arg(long)]
    lr: Option<f64>,
    /// Steps between evaluations [default: 200]
    #[arg(long, value_name = "STEPS")]
    eval_every: Option<u64>,
    /// Tell touching instances of labels/ apart; output channels follow from what the network predicts for that
    #[arg(long, value_parser = values::named::<InstanceTarget>(), value_name = "TARGET")]
    instances: Option<InstanceTarget>,
    /// Random augmentation of that name, in place of flips and quarter turns
    #[arg(long, value_parser = values::named::<AugmentationPreset>(), value_name = "PRESET")]
    augment: Option<AugmentationPreset>,
    /// Elastic deformation with displacements of this standard deviation in pixels
    #[arg(long, value_name = "PIXELS")]
    elastic: Option<f64>,
    /// Seed of everything random [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// Limit of device memory; a larger batch is divided and its gradients are accumulated [default: 4G]
    #[arg(long, value_parser = memory, value_name = "SIZE")]
    memory: Option<u64>,
    /// Gradient checkpointing: recompute the encoder's activations in the backward pass; less memory, longer steps, the same
    /// result
    #[arg(long)]
    checkpointing: bool,
    #[command(flatten)]
    ground_truth: GroundTruthArgs,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    arch: ArchArgs,
}

impl Train {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let config = self.config()?;
        let Backend::Gpu(mut gpu) = common.backend()? else {
            return Err(Error::invalid("device cpu", "the CPU reference is far too slow to train on; choose a GPU"));
        };
        let mut recovery = Recovery::new(common.recovery());
        let options = self.init_set.iter().map(|pair| option(pair)).collect::<Result<_>>()?;
        let init = self.init.as_deref().map(|name| Model::open_with(name, &options)).transpose()?;
        if let Some(model) = &init {
            say_assumptions(model, common);
        }
        let names = config.data.classes.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let interrupted = stop.clone();
        ctrlc::set_handler(move || {
            // A second Ctrl-C exits at once.
            if interrupted.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        })
        .map_err(|e| Error::invalid("Ctrl-C", e.to_string()))?;
        let checkpoint = self.out.join("last.safetensors");
        if self.resume && !checkpoint.exists() {
            let weights = if init.is_some() { " with the weights of --init" } else { "" };
            common.note(&format!(
                "{}: was stopped before its first checkpoint; it starts again from the beginning{weights}",
                self.out.display()
            ));
        }
        let running = || !stop.load(Ordering::SeqCst);
        let run = loop {
            let run = TrainRun::new_while(&gpu, config.clone(), &self.out, self.resume, init.as_ref(), &running);
            match run {
                Err(Error::Cancelled) => {
                    common.note("interrupted before the first step");
                    return Ok(ExitCode::from(130));
                }
                Err(e @ Error::DeviceLost(_)) => {
                    if let Backend::Gpu(another) = recovery.reopen(e)? {
                        gpu = another;
                    }
                }
                run => break run?,
            }
        };
        let mut run = run.with_recovery(recovery);
        let bar = if common.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} {msg} {elapsed} (about {eta} left)");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        let (mut last, mut findings) = (Vec::new(), Vec::new());
        let (mut mean, mut seen) = (0.0, 0u32);
        let outcome = run.run(|event| {
            match event {
                Event::Ready(ready) => {
                    findings.clone_from(&ready.findings);
                    bar.suspend(|| about(common, ready, &names));
                }
                Event::Step { step, of, loss, lr } => {
                    bar.set_length(of);
                    bar.set_position(step);
                    // A running mean over about 20 steps, since single losses are noisy.
                    seen = (seen + 1).min(20);
                    mean += (f64::from(loss) - mean) / f64::from(seen);
                    bar.set_message(format!("loss {mean:.4} lr {lr:.1e}"));
                }
                Event::Evaluated { step, scores, best } => {
                    last = scores.to_vec();
                    let all: Vec<String> = scores.iter().map(|(name, v)| format!("{name} {v:.4}")).collect();
                    let mark = if best { "  best so far" } else { "" };
                    let line = format!("step {step}: loss {mean:.4}  {}{mark}", all.join("  "));
                    bar.suspend(|| common.note(&line));
                }
            }
            Ok(!stop.load(Ordering::SeqCst))
        });
        bar.finish_and_clear();
        let (outcome, step) = (outcome?, run.step());
        let what = match outcome {
            Outcome::Finished => format!("done after {step} steps"),
            Outcome::Stopped => format!("stopped after {step} steps: no further improvement"),
            Outcome::Interrupted => format!("interrupted after {step} steps; continue with --resume"),
        };
        let times = run.times();
        let [total, waiting] = [times.total, times.waiting].map(|t| t.as_secs_f64());
        if step > 0 {
            let share = 100.0 * times.waiting_share();
            common.note(&format!("steps took {total:.1} s, {waiting:.1} s ({share:.1} %) of it waiting for crops"));
        }
        if common.json {
            let scores: serde_json::Map<_, _> = last.iter().map(|(k, v)| ((*k).to_string(), json!(v))).collect();
            let out = self.out.to_string_lossy();
            let outcome = format!("{outcome:?}").to_lowercase();
            output::json(
                &json!({"outcome": outcome, "steps": step, "out": out, "scores": scores, "findings": findings,
                    "seconds": {"steps": total, "waiting_for_crops": waiting}}),
            )?;
        } else {
            output::line_if_read(&format!("{}: {what}", self.out.display()))?;
        }
        Ok(if outcome == Outcome::Interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS })
    }

    /// The options of the file, or of the run to resume, overridden by those of the command line.
    fn config(&self) -> Result<TrainConfig> {
        let stored = self.out.join("config.toml");
        let mut c = match &self.config {
            Some(path) => TrainConfig::read(path)?,
            None if self.resume && !stored.exists() && self.out.join("last.safetensors").exists() => {
                return Err(Error::file(&stored, "is missing; --config FILE gives the options of the run"));
            }
            None if self.resume && !stored.exists() => {
                return Err(Error::file(&self.out, "holds no run to resume; without --resume one is started there"));
            }
            None if self.resume => TrainConfig::read(&stored)?,
            None => TrainConfig::default(),
        };
        c.instances = self.instances.map(InstancesConfig::new).or(c.instances);
        c.augment = self.augment.map_or(c.augment, AugmentationPreset::augmentation);
        if self.arch.is_given() {
            let config = if c.config.is_null() { c.architecture()?.config() } else { c.config.clone() };
            let network = self.arch.build_over(&c.arch.to_string(), &config)?;
            (c.arch, c.config) = (network.id().parse()?, network.config());
            if let (Some(options), true) = (c.config.as_object_mut(), c.instances.is_some() && self.arch.names_one()) {
                // The target says how many channels there are, and these what becomes of them.
                options.retain(|key, _| !["out_channels", "activation"].contains(&&key[..]) || self.arch.gives(key));
            }
        }
        if let Some(data) = &self.data {
            c.data.folder.clone_from(data);
        }
        if c.data.folder.as_os_str().is_empty() {
            return Err(Error::invalid("--data", "is missing: which images and masks?"));
        }
        c.data.ignore = self.ground_truth.ignore.or(c.data.ignore);
        c.data.ground_truth = self.ground_truth.numbers().or(c.data.ground_truth);
        c.data.colours = self.ground_truth.colours.clone().unwrap_or(c.data.colours);
        c.data.channels = self.read.channels.clone().or(c.data.channels);
        c.data.pages_as_channels |= self.read.pages_as_channels;
        c.data.ignore_orientation |= self.read.ignore_orientation;
        c.data.fill_nan = self.read.fill_nan.or(c.data.fill_nan);
        c.data.validation_folder = self.validation.clone().or(c.data.validation_folder);
        c.steps = self.steps.unwrap_or(c.steps);
        c.batch = self.batch.unwrap_or(c.batch);
        c.crop = self.crop.unwrap_or(c.crop);
        c.optimiser.lr = self.lr.unwrap_or(c.optimiser.lr);
        c.eval_every = self.eval_every.unwrap_or(c.eval_every);
        c.seed = self.seed.unwrap_or(c.seed);
        c.memory = self.memory.unwrap_or(c.memory);
        c.checkpointing |= self.checkpointing;
        if let Some(std) = self.elastic {
            c.augment.elastic = (std > 0.0).then(|| Elastic { std, ..c.augment.elastic.unwrap_or_default() });
        }
        Ok(c)
    }
}

/// Adds up the counts of equal items.
fn tally<'a, T: PartialEq>(texts: impl Iterator<Item = &'a (T, usize)>) -> Vec<(&'a T, usize)> {
    let mut found: Vec<(&T, usize)> = Vec::new();
    for (text, n) in texts {
        match found.iter_mut().find(|f| f.0 == text) {
            Some(f) => f.1 += n,
            None => found.push((text, *n)),
        }
    }
    found
}

fn about(common: &Common, r: &Ready, names: &[String]) {
    let parts = if r.parts > 1 { format!(", {} parts per step", r.parts) } else { String::new() };
    common.note(&format!(
        "{} parameters, {} crops at a time{parts}, {} on the device",
        r.parameters,
        r.crops,
        output::bytes(r.memory)
    ));
    common.note(&format!("{} images to train on, {} to validate on", r.training.images, r.validation.images));
    let [training, validation] = &r.ground_truth;
    let mut readings = training.readings.clone();
    readings.extend(validation.readings.iter().filter(|r| !training.readings.contains(r)).cloned());
    common.note(&format!("ground truth: {}", readings.join(", ")));
    for class in 0..training.pixels.len() {
        let name = names.get(class).map(|n| format!(" ({n})")).unwrap_or_default();
        let of = |t: &GroundTruthSummary| {
            format!(
                "{:.2}% of pixels, in {} of {}",
                100.0 * t.share(class),
                t.occurs_in.get(class).unwrap_or(&0),
                t.images
            )
        };
        common.note(&format!("  class {class}{name}: {}; to validate on {}", of(training), of(validation)));
    }
    let ignored = training.ignored + validation.ignored;
    if ignored > 0 {
        common.note(&format!("  {ignored} pixels are ignored"));
    }
    for finding in &r.findings {
        common.note(&format!("warning: {finding}"));
    }
    let channels = if r.channels == 1 { "1 channel".into() } else { format!("{} channels", r.channels) };
    let kinds = tally(r.training.kinds.iter().chain(&r.validation.kinds));
    let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    common.note(&format!("the network takes {channels}; images: {}", kinds.join(", ")));
    let all = r.training.images + r.validation.images;
    for (note, n) in tally(r.training.notes.iter().chain(&r.validation.notes)) {
        common.note(&format!("{n} of {all} images: {}", hints::text(note)));
    }
    if r.channels == 1 && kinds.iter().any(|k| k.contains("RGB")) {
        common.note("to train on colours, use --arch unet --in-channels 3");
    }
    if r.resumed > 0 {
        common.note(&format!("resuming after step {}", r.resumed));
    }
}
