//! `unet bench --train`: a training step, timed.

use super::bench_layers::clock;
use super::output::ms;
use super::{Common, bench_layers, output};
use serde_json::{Value, json};
use std::time::Instant;
use unet_wgpu::low_level::graph::DROPOUT_SEED;
use unet_wgpu::low_level::model::{Architecture, INPUT, parameter_count};
use unet_wgpu::low_level::ops::{Dropout, Hyper};
use unet_wgpu::low_level::tensor::Shape;
use unet_wgpu::low_level::train::{
    Augmentation, Augmenter, StepOptions, TARGET, TrainConfig, Trainer, WEIGHT, initial, loss_graph,
};
use unet_wgpu::testing::random_input;
use unet_wgpu::{Error, Result};

/// The training step to time.
pub(super) struct Step<'a> {
    pub architecture: &'a dyn Architecture,
    pub size: [usize; 2],
    pub batch: usize,
    pub repeat: u32,
    pub per_layer: bool,
    pub checkpointing: bool,
}

impl Step<'_> {
    /// Times forward pass, loss, backward pass and Adam's step on random crops, without augmentation, and prints the result.
    /// Waits for every step; the first, which compiles kernels, is not counted.
    pub(super) fn run(&self, common: &Common) -> Result<()> {
        let Self { architecture, batch, .. } = *self;
        let [side, width] = self.size;
        if side != width {
            return Err(Error::invalid("--size", format!("{side}x{width}: training crops are square")));
        }
        let backend = common.backend()?;
        let Some(gpu) = backend.gpu() else {
            return Err(Error::invalid("device cpu", "the CPU reference is far too slow to train on; choose a GPU"));
        };
        let mut config = TrainConfig::default();
        (config.batch, config.crop) = (batch, side);
        let loss = config.loss(architecture)?;
        let weighted = config.weight_map(&loss)?.is_some();
        let margin = architecture.size_rule().margin;
        let augmenter = Augmenter::new(Augmentation::default(), batch, side, margin, 0)?;
        let graph = loss_graph(architecture, &loss, &augmenter, weighted, [batch, side])?;
        let options = StepOptions {
            optimiser: config.optimiser.kind()?,
            clip: None,
            accumulate: false,
            checkpointing: self.checkpointing,
            gradients: false,
        };
        let start = Instant::now();
        let mut trainer = Trainer::new(gpu, &graph, &architecture.dropouts(), options, initial(&graph, 0))?;
        let load_ms = ms(start);
        let map = Shape::new(batch, 1, side, side);
        let image = random_input("bench", map.with_c(architecture.in_channels()))?;
        // With half of the pixels in each class gradients are largest.
        let target: Vec<f32> =
            random_input("target", map)?.data().iter().map(|v| f32::from(u8::from(*v > 0.0))).collect();
        let weights = vec![1.0; target.len()];
        let mut times = Vec::new();
        let mut last = f32::NAN;
        for step in 0..=u64::from(self.repeat) {
            let seed = Dropout::seed(step);
            let drawn = augmenter.draw(step);
            let mut inputs = vec![(INPUT, image.data()), (TARGET, &target[..])];
            inputs.extend(weighted.then_some((WEIGHT, &weights[..])));
            inputs.extend(drawn.iter().map(|(name, data)| (*name, &data[..])));
            if trainer.plan().io_binding(DROPOUT_SEED).is_some() {
                inputs.push((DROPOUT_SEED, &seed));
            }
            let hyper = Hyper { lr: 1e-3, step: step + 1, scale: 1.0, apply: true, keep: false };
            let start = Instant::now();
            let mut loss = trainer.step(step, &inputs, &hyper)?;
            while let Some(late) = trainer.oldest()? {
                loss = Some(late);
            }
            times.push(ms(start));
            last = loss.map_or(last, |l| l.loss);
        }
        let first_ms = times.remove(0);
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        let (median, min) = (sorted[sorted.len() / 2], sorted[0]);
        let parameters = parameter_count(&graph);
        let (macs, device_bytes, live) = (trainer.plan().macs, trainer.device_bytes(), trainer.plan().memory.live);
        let layers = match self.per_layer {
            true => {
                let profile = trainer.session().profile(self.repeat)?;
                Some((bench_layers::layers(trainer.plan(), &profile.dispatches), clock(profile.device_clock)))
            }
            false => None,
        };
        if common.json {
            let document: Value = json!({
                "arch": architecture.id(), "config": architecture.config(), "size": self.size, "batch": batch,
                "adapter": backend.describe(), "loss": loss, "checkpointing": self.checkpointing,
                "parameters": parameters, "load_ms": load_ms, "first_step_ms": first_ms, "steps_ms": times,
                "median_ms": median, "min_ms": min, "macs": macs, "device_bytes": device_bytes, "live_bytes": live,
                "last_loss": last,
                "layers": layers.as_ref().map(|l| bench_layers::document(&l.0, None)),
                "clock": layers.as_ref().map(|l| l.1),
            });
            return output::json(&document);
        }
        let rate = 2.0 * macs as f64 / (median * 1e6);
        let [device, live] = [device_bytes, live].map(output::bytes);
        output::line(&format!(
            "training {} {side}x{side} batch {batch}, {parameters} parameters",
            architecture.name()
        ))?;
        output::line(&format!("time      median {median:.1} ms per step, min {min:.1} ms of {} steps", times.len()))?;
        output::line(&format!("start     load {load_ms:.0} ms, first step {first_ms:.0} ms"))?;
        output::line(&format!("rate      {rate:.1} GFLOP/s; {:.2} GMAC", macs as f64 / 1e9))?;
        output::line(&format!("memory    {device} on the device, {live} of activations and gradients live at once"))?;
        output::line(&format!("loss      {last:.4} after {} steps", times.len() + 1))?;
        if let Some((layers, clock)) = &layers {
            output::line(&bench_layers::text(layers, clock, None))?;
        }
        Ok(())
    }
}
