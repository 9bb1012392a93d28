//! What a training run needs before its first step: data that is read and checked, and the step on the device.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::begun::Begun;
use super::init::Init;
use super::recover::out_of_memory;
use super::validation_loss::ValidationLoss;
use super::{Progress, Ready, RunFiles, StepTimes, TrainRun};
use crate::error::{Error, Hint, Message, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::infer::paths::is_image_file;
use crate::infer::write_atomically;
use crate::io::fs;
use crate::model::{Architecture, Model};
use crate::session::Recovery;
use crate::train::augment::{Augmentation, Augmenter};
use crate::train::batch::Batcher;
use crate::train::checkpoint::load_state;
use crate::train::config::{InstancesConfig, Monitor, TrainConfig};
use crate::train::crop::CropOptions;
use crate::train::dataset::Dataset;
use crate::train::example::{ExampleOptions, Examples};
use crate::train::fit::{Fit, fit};
use crate::train::host_crop::HostCrops;
use crate::train::network::{initial, loss_graph};
use crate::train::report::Report;
use crate::train::scan::{findings, scan};
use crate::train::step::StepOptions;
use crate::train::trainer::Trainer;
use crate::weights::{ModelMetadata, TrainedScale};

/// Host memory for cached examples, bytes. A browser's page has 4 GiB for everything.
const EXAMPLES: u64 = if cfg!(target_arch = "wasm32") { 1 << 30 } else { 4 << 30 };

impl TrainRun {
    /// Reads and checks all data, and prepares the step on the device. With `resume`, continues the run in `dir`, or starts it
    /// again if it was stopped before its first checkpoint; with `init`, starts from a model's weights, of which only those that
    /// depend on the number of input or output channels may differ in shape. Errors if `dir` holds a run and `resume` is not set.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(gpu: &Gpu, config: TrainConfig, dir: &Path, resume: bool, init: Option<&Model>) -> Result<Self> {
        Self::new_while(gpu, config, dir, resume, init, &|| true)
    }

    /// [`Self::new`], with cancellation: [`Error::Cancelled`] if `go_on` returns false while ground truth is scanned.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new_while(
        gpu: &Gpu,
        config: TrainConfig,
        dir: &Path,
        resume: bool,
        init: Option<&Model>,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self> {
        block_on(Self::new_while_async(gpu, config, dir, resume, init, go_on))
    }

    /// [`Self::new_while`] as a future. It awaits the device only; files are read on the calling thread.
    pub async fn new_while_async(
        gpu: &Gpu,
        config: TrainConfig,
        dir: &Path,
        resume: bool,
        init: Option<&Model>,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self> {
        config.validate()?;
        let files = RunFiles { dir: dir.into() };
        // A run that is still at its beginning has nothing to lose.
        if !resume && fs::exists(files.last()) && !load_state(files.last()).is_ok_and(|(state, _)| state.step == 0) {
            let reason = Message::from("there is a run here; resume it (");
            return Err(Error::file(files.last(), reason.then(Hint::Resume).then(") or choose another folder")));
        }
        if !resume && let Some(image) = image_in(dir) {
            let reason = format!("holds images ({image}): a run gets a folder of its own");
            return Err(Error::file(dir, reason));
        }
        let [begun, saved] = [fs::exists(files.config()), fs::exists(files.last())];
        if resume && !begun && !saved {
            return Err(Error::file(dir, "holds no run to resume"));
        }
        let resume = resume && saved;
        let text = config.to_toml()?;
        // Reading data and compiling may take minutes. A run that is killed meanwhile can be resumed, unless it begins with weights
        // that its configuration does not name.
        let early = !begun && !saved && init.is_none();
        let folder = if early { Some(Begun::new(dir, files.config(), &text)?) } else { None };
        let architecture: Arc<dyn Architecture> = config.architecture()?.into();
        let init = init.map(|model| Init::new(model, &*architecture)).transpose()?;
        let loss = config.loss(&*architecture)?;
        let weight_map = config.weight_map(&loss)?;
        let weighted = weight_map.is_some();
        let margin = architecture.size_rule().margin;
        let open = |folder: &PathBuf| Dataset::open_as(folder, config.data.ground_truth);
        let (training, validation) = match &config.data.validation_folder {
            Some(folder) => (open(&config.data.folder)?, open(folder)?),
            None => open(&config.data.folder)?.split(config.split()?, config.seed)?,
        };
        let options = ExampleOptions {
            channels: architecture.in_channels(),
            classes: match config.instances {
                Some(_) => config.data.instance_classes() + 1,
                None => architecture.out_channels().max(2),
            },
            normalisation: config.data.normalisation.clone(),
            labels: config.data.labels(),
            separate_touching: config.data.separate_touching,
            read: config.data.read(),
            weight_map: weight_map.clone().filter(|_| !config.on_host()),
            instances: config.instances.is_some(),
            diameters: config.augment.scale_by_size.is_some(),
        };
        if config.monitor() == Monitor::F1 && validation.pairs().iter().all(|p| p.labels.is_none()) {
            return Err(Error::file(validation.folder(), "has no labels/, which monitor `f1` needs"));
        }
        // Every file is read before the first step; ground truth first, since it is small and may stop the run.
        let ground_truth_of = |data| scan(data, options.classes, &options.labels, go_on);
        let ground_truth = [ground_truth_of(&training)?, ground_truth_of(&validation)?];
        if ground_truth[0].ignored > 0 && !loss.ignores(weighted) {
            let reason = format!(
                "{} pixels to train on are ignored, but {:?} counts every pixel; take weighted_ce, ce_dice, focal_softmax, or \
                 bce with a weight map",
                ground_truth[0].ignored, loss.loss
            );
            return Err(Error::invalid("loss", reason));
        }
        let names = (0..options.classes).map(|i| config.data.classes.get(i).cloned().unwrap_or_else(|| i.to_string()));
        let mut findings = findings(&ground_truth[0], &ground_truth[1], &names.collect::<Vec<_>>());
        findings.extend(init.iter().flat_map(Init::findings));
        let summary = Examples::new(validation.clone(), ExampleOptions { weight_map: None, ..options.clone() }, 0);
        let validation_summary = summary.check()?;
        let validation_examples = Examples::new(validation.clone(), options.clone(), EXAMPLES);
        let examples = Arc::new(Examples::new(training, options, EXAMPLES));
        let training_summary = examples.check()?;
        let step_options = StepOptions {
            optimiser: config.optimiser.kind()?,
            clip: (config.clip > 0.0).then_some(config.clip),
            accumulate: true,
            checkpointing: config.checkpointing,
            gradients: false,
        };
        let build = |crops: usize, augmentation: &Augmentation| {
            let augmenter = match config.on_host() {
                true => Augmenter::on_host(crops, config.crop, margin),
                false => Augmenter::new(augmentation.clone(), crops, config.crop, margin, config.seed)?,
            };
            let graph = loss_graph(&*architecture, &loss, &augmenter, weighted, [crops, config.crop])?;
            Ok((graph, augmenter))
        };
        let fit = fit(gpu, &config, &*architecture, &step_options, |crops| build(crops, &config.augment))?;
        let Fit { graph, augmenter, crops, parts } = fit;
        let metadata = ModelMetadata {
            format: 1,
            arch: architecture.id().into(),
            config: architecture.config(),
            normalisation: config.data.normalisation.clone(),
            classes: config.data.classes.clone(),
            target: config.instances.map(|i| i.target),
            instances: config.instances.map(InstancesConfig::settings),
            scale: ground_truth[0].diameter.map(|d| TrainedScale::default().with_diameter((d * 10.0).round() / 10.0)),
            recipe: recipe(&text),
        };
        let begin = initial(&graph, config.seed);
        let options = StepOptions { accumulate: parts > 1, ..step_options };
        let first = |name: &str, dims: &[usize]| match &init {
            Some(Init { model, at_random, .. }) if !at_random.iter().any(|n| n == name) => {
                model.weights().require(name, dims).cloned()
            }
            _ => begin(name, dims),
        };
        let trainer = Trainer::new_async(gpu, &graph, &architecture.dropouts(), options, first).await;
        let trainer = trainer.map_err(out_of_memory)?;
        let crop = CropOptions { height: config.crop, width: config.crop, margin };
        let batches = |examples: Arc<Examples>, options: &Augmentation| {
            let batcher = Batcher::new(examples, crops, crop, config.seed)?;
            if !config.on_host() {
                return Ok(batcher);
            }
            let (target, weight_map) = (config.instances.map(|i| i.target), weight_map.clone());
            let mirrored = !loss.needs_classes();
            batcher.augmented(HostCrops { options: options.clone(), target, weight_map, mirrored })
        };
        let batcher = batches(examples, &config.augment)?;
        let validation_loss = match config.instances.is_some() || config.monitor() == Monitor::Loss {
            true => {
                let none = Augmentation::default();
                let (graph, augmenter) = build(crops, &none)?;
                let batcher = batches(Arc::new(validation_examples), &none)?;
                Some(ValidationLoss { graph, augmenter, batcher, crops })
            }
            false => None,
        };
        let (mut step, mut best, mut progress) = (0, None, Progress::default());
        if resume {
            let (state, _) = load_state(files.last())?;
            trainer.restore(&state.tensors).map_err(|e| Error::file(files.last(), e.message()))?;
            (step, best) = (state.step, state.best);
            progress = serde_json::from_value(state.extra).map_err(|e| Error::file(files.last(), e.to_string()))?;
        }
        fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        if let Some(folder) = folder {
            folder.keep();
        }
        let config_file = files.config();
        let write_config = || write_atomically(&config_file, |w| w.write_all(text.as_bytes()));
        if !resume {
            // What is left of an earlier run goes, so that configuration and checkpoint are of the same run wherever this one is
            // stopped.
            remove(&files.last())?;
            if init.is_some() {
                remove(&config_file)?;
            }
        }
        if resume || init.is_none() {
            write_config()?;
        }
        let report = if resume { Report::resume(dir, step)? } else { Report::create(dir)? };
        let ready = Ready {
            device: gpu.describe(),
            parameters: crate::model::parameter_count(&graph),
            channels: architecture.in_channels(),
            training: training_summary,
            validation: validation_summary,
            ground_truth,
            findings,
            crops,
            parts,
            memory: trainer.device_bytes(),
            resumed: step,
        };
        let mut run = Self {
            config,
            files,
            gpu: gpu.clone(),
            architecture,
            metadata,
            validation,
            batcher,
            validation_loss,
            augmenter,
            trainer,
            report,
            ready,
            step,
            best,
            progress,
            sum: 0.0,
            crops: VecDeque::new(),
            recovery: Recovery::default(),
            times: StepTimes::default(),
        };
        if !resume {
            // The first checkpoint, so that a run can be resumed wherever it is stopped.
            run.save().await.map_err(out_of_memory)?;
            if init.is_some() {
                write_config()?;
            }
        }
        Ok(run)
    }
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(file, e)),
        _ => Ok(()),
    }
}

/// The name of an image in a folder, or of a folder of images there.
fn image_in(dir: &Path) -> Option<String> {
    let names = fs::read_dir(dir).ok()?.flatten();
    names.map(|entry| entry.path()).find_map(|path| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let folder = fs::is_dir(&path) && ["images", "masks", "labels"].contains(&&name[..]);
        (folder || fs::is_file(&path) && is_image_file(&path)).then_some(name)
    })
}

/// The configuration for the model's file, as its TOML reads back: equal runs give equal bytes. Without the folders of the data, whose
/// names are nobody's business who is given the model.
fn recipe(config: &str) -> Option<serde_json::Value> {
    let mut recipe: serde_json::Value = toml::from_str(config).ok()?;
    if let Some(data) = recipe.get_mut("data").and_then(serde_json::Value::as_object_mut) {
        data.retain(|key, _| !["folder", "validation_folder"].contains(&key.as_str()));
    }
    Some(recipe)
}
