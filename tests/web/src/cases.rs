//! What is computed in the browser and, by `examples/web_reference.rs`, natively.

use unet_wgpu::low_level::infer::Ids;
use unet_wgpu::low_level::model::{self, INPUT};
use unet_wgpu::low_level::ops::{Hyper, OptimiserKind};
use unet_wgpu::low_level::train::{
    Augmentation, Augmenter, LossConfig, StepOptions, TARGET, Trainer, initial, loss_graph,
};
use unet_wgpu::{Backend, Gpu, Image, Model, Result, SegmentOptions, Segmenter};

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
    let loss: LossConfig = serde_json::from_value(serde_json::json!({"name": "ce"}))
        .map_err(|e| unet_wgpu::Error::invalid("loss", e.to_string()))?;
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
