//! What is computed in the browser and, by `examples/web_reference.rs`, natively.

use std::path::Path;

use unet_wgpu::low_level::infer::{Ids, write_mask};
use unet_wgpu::low_level::io::fs;
use unet_wgpu::low_level::model::{self, INPUT};
use unet_wgpu::low_level::ops::{Hyper, OptimiserKind};
use unet_wgpu::low_level::train::{
    Augmentation, Augmenter, Event, LossConfig, RunFiles, StepOptions, TARGET, Trainer, initial, loss_graph,
};
use unet_wgpu::{Backend, Error, Gpu, Image, Model, Result, SegmentOptions, Segmenter, TrainConfig, TrainRun};

/// Training steps.
pub(crate) const STEPS: u64 = 5;
/// Rows and columns of the training image.
const SIDE: usize = 32;

/// Class ids and probabilities of an image.
pub(crate) async fn segment(backend: Backend, model: Model, image: &Image) -> Result<(Vec<u8>, Vec<f32>)> {
    let mut segmenter = Segmenter::new(backend, model);
    let options = SegmentOptions::default().with_probabilities(true);
    let result = segmenter.segment_async(image, &options, |_| Ok(())).await?;
    let ids = match result.mask.ids() {
        Ids::U8(ids) => ids.clone(),
        Ids::U16(ids) => ids.iter().map(|&id| id as u8).collect(),
    };
    Ok((ids, result.probabilities.unwrap_or_default()))
}

/// The losses of a few steps of a small U-Net.
pub(crate) async fn losses(gpu: &Gpu) -> Result<Vec<f32>> {
    let config = serde_json::json!({"width": 4, "depth": 2, "padding": "same", "out_channels": 2});
    let network = model::parse("unet", &config)?;
    let loss: LossConfig =
        serde_json::from_value(serde_json::json!({"name": "ce"})).map_err(|e| Error::invalid("loss", e.to_string()))?;
    let augmenter = Augmenter::new(Augmentation::default(), 1, SIDE, network.size_rule().margin, 3)?;
    let graph = loss_graph(&*network, &loss, &augmenter, false, [1, SIDE])?;
    let optimiser = OptimiserKind::Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };
    let options = StepOptions { optimiser, clip: None, accumulate: false, checkpointing: false, gradients: false };
    let mut trainer = Trainer::new_async(gpu, &graph, &[], options, initial(&graph, 7)).await?;
    // A bright disc on a dark, uneven ground, and which pixels are in it.
    let inside = |i: usize| ((i / SIDE) as f32 - 14.0).hypot((i % SIDE) as f32 - 17.0) < 8.5;
    let target: Vec<f32> = (0..SIDE * SIDE).map(|i| f32::from(u8::from(inside(i)))).collect();
    let image: Vec<f32> = (0..SIDE * SIDE).map(|i| target[i] + ((i * 7919) % 100) as f32 / 200.0).collect();
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let drawn = augmenter.draw(step);
        let mut inputs = vec![(INPUT, &image[..]), (TARGET, &target[..])];
        inputs.extend(drawn.iter().map(|(name, data)| (*name, &data[..])));
        let hyper = Hyper { lr: 1e-2, step: step + 1, scale: 1.0, apply: true, keep: false };
        losses.extend(trainer.step_async(step, &inputs, &hyper).await?.map(|l| l.loss));
    }
    while let Some(late) = trainer.oldest_async().await? {
        losses.push(late.loss);
    }
    Ok(losses)
}

/// What a run in a folder leaves.
pub(crate) struct Trained {
    /// The loss of every step.
    pub(crate) losses: Vec<f32>,
    /// Probabilities of an image by the best model, read from its file.
    pub(crate) probabilities: Vec<f32>,
    /// The files below the folder, a line each. That of events, which is named by the time, is `events`.
    pub(crate) files: String,
}

/// A training run on a data set that is written into `folder` before, stopped half-way and resumed from its files.
pub(crate) async fn train(gpu: &Gpu, folder: &Path) -> Result<Trained> {
    const SIDE: usize = 96;
    const STEPS: u64 = 10;
    let data = folder.join("data");
    let write = |kind: &str, name: &str, pixels: Vec<u8>| {
        let path = data.join(kind).join(name);
        let bytes = [format!("P5\n{SIDE} {SIDE}\n255\n").into_bytes(), pixels].concat();
        fs::create_dir_all(data.join(kind)).and_then(|()| fs::write(&path, bytes)).map_err(|e| Error::io(path, e))
    };
    for (name, discs) in [("a.pgm", [[24, 30], [62, 66]]), ("b.pgm", [[60, 26], [30, 70]])] {
        // The number of the disc that a pixel is in.
        let disc = |i: usize| {
            let inside = |[y, x]: &[usize; 2]| (i / SIDE).abs_diff(*y).pow(2) + (i % SIDE).abs_diff(*x).pow(2) < 300;
            discs.iter().position(inside).map_or(0, |at| at as u8 + 1)
        };
        write("labels", name, (0..SIDE * SIDE).map(disc).collect())?;
        let bright = |i: usize| u8::from(disc(i) > 0) * 120 + ((i * 7919) % 100) as u8;
        write("images", name, (0..SIDE * SIDE).map(bright).collect())?;
    }
    let files = RunFiles { dir: folder.join("run") };
    let mut losses = Vec::new();
    for (resume, until) in [(false, STEPS / 2), (true, STEPS)] {
        // Where an activation is zero up to rounding, its slope is 0 on one device and 1 on another. With this seed and rate the losses
        // of ten steps fall by a fifth and kernels for 4, 8 and 16 lanes agree to 1e-4, browsers to 4e-4; at 1e-3 with other seeds to 3e-3.
        let config = serde_json::json!({
            "batch": 2, "crop": 64, "steps": STEPS, "eval_every": STEPS, "seed": 1, "optimiser": {"lr": 3e-4},
            "config": {"width": 4, "padding": "same"}, "data": {"folder": data},
        });
        let config: TrainConfig =
            serde_json::from_value(config).map_err(|e| Error::invalid("configuration", e.to_string()))?;
        let mut run = TrainRun::new_while_async(gpu, config, &files.dir, resume, None, &|| true).await?;
        let watch = |event: Event| {
            if let Event::Step { loss, step, .. } = event {
                losses.push(loss);
                return Ok(step < until);
            }
            Ok(true)
        };
        run.run_async(watch).await?;
    }
    let model = Model::open(&files.best().to_string_lossy())?;
    let image = Image::open(data.join("images/b.pgm"))?;
    let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), model);
    let options = SegmentOptions::default().with_probabilities(true);
    let result = segmenter.segment_async(&image, &options, |_| Ok(())).await?;
    write_mask(folder.join("new/mask.png"), &result.mask)?;
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).map_err(|e| Error::io(&at, e))? {
            let path = entry.map_err(|e| Error::io(&at, e))?.path();
            if fs::is_dir(&path) {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap_or(&path).display().to_string().replace('\\', "/"));
            }
        }
    }
    found.sort();
    let plain = |name: String| if name.contains("tfevents") { "run/events".into() } else { name };
    let files = found.into_iter().map(plain).collect::<Vec<_>>().join("\n");
    Ok(Trained { losses, probabilities: result.probabilities.unwrap_or_default(), files })
}
