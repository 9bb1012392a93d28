//! Training on the GPU: networks overfit, and the same steps give the same bytes.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::low_level::graph::DROPOUT_SEED;
use unet_wgpu::low_level::model::{self, INPUT};
use unet_wgpu::low_level::ops::{Dropout, Hyper, OptimiserKind};
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::low_level::train::{
    Augmentation, Augmenter, Elastic, LossConfig, StepOptions, TARGET, Trainer, WEIGHT, initial, loss_graph,
};
use unet_wgpu::testing::gpu_or_skip;

const SIDE: usize = 32;
const ADAM: OptimiserKind = OptimiserKind::Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };
const SGD: OptimiserKind = OptimiserKind::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };

/// A bright disc on a dark, uneven background, and its mask.
fn pair(number: usize) -> [Vec<f32>; 2] {
    let (cy, cx, r) = (14.0 + number as f32, 17.0 - 2.0 * number as f32, 8.5);
    let inside = |i: usize| ((i / SIDE) as f32 - cy).hypot((i % SIDE) as f32 - cx) < r;
    let mask: Vec<f32> = (0..SIDE * SIDE).map(|i| f32::from(u8::from(inside(i)))).collect();
    let uneven = |i: usize| ((i * 7919 + i * i % 1013 + number) % 100) as f32 / 200.0;
    [mask.iter().enumerate().map(|(i, m)| 0.6 * m + uneven(i)).collect(), mask]
}

/// A network, its loss and its batches.
struct Setup {
    arch: &'static str,
    config: Value,
    loss: Value,
    weighted: bool,
    crops: usize,
    augment: Augmentation,
    options: StepOptions,
}

impl Setup {
    fn new(arch: &'static str, config: Value, loss: Value) -> Self {
        let options =
            StepOptions { optimiser: ADAM, clip: None, accumulate: false, checkpointing: false, gradients: false };
        let augment = Augmentation::default();
        Self { arch, config, loss, weighted: false, crops: 1, augment, options }
    }

    /// A trainer with initial weights from `seed`.
    fn trainer(&self, gpu: &Gpu, seed: u64) -> Run {
        let network = model::parse(self.arch, &self.config).unwrap();
        let loss: LossConfig = serde_json::from_value(self.loss.clone()).unwrap();
        let augmenter = Augmenter::new(self.augment.clone(), self.crops, SIDE, network.size_rule().margin, 3).unwrap();
        let graph = loss_graph(&*network, &loss, &augmenter, self.weighted, [self.crops, SIDE]).unwrap();
        let trainer = Trainer::new(gpu, &graph, &network.dropouts(), self.options, initial(&graph, seed)).unwrap();
        Run { trainer, augmenter, weighted: self.weighted, crops: self.crops, losses: Vec::new() }
    }
}

/// A network in training.
struct Run {
    trainer: Trainer,
    augmenter: Augmenter,
    weighted: bool,
    crops: usize,
    losses: Vec<f32>,
}

impl Run {
    /// One step on the pairs from `first`; `draw` selects the random numbers.
    fn step(&mut self, first: usize, draw: u64, hyper: &Hyper) {
        let pairs: Vec<_> = (first..first + self.crops).map(pair).collect();
        let [images, targets] = [0, 1].map(|i| pairs.iter().flat_map(|p| p[i].clone()).collect::<Vec<f32>>());
        // Larger weights near the middle row.
        let weights: Vec<f32> = (0..targets.len()).map(|i| if i / SIDE % SIDE / 8 == 1 { 3.0 } else { 1.0 }).collect();
        let (drawn, seed) = (self.augmenter.draw(draw), Dropout::seed(draw));
        let mut inputs = vec![(INPUT, &images[..]), (TARGET, &targets)];
        if self.weighted {
            inputs.push((WEIGHT, &weights));
        }
        inputs.extend(drawn.iter().map(|(name, data)| (*name, &data[..])));
        if self.trainer.plan().io_binding(DROPOUT_SEED).is_some() {
            inputs.push((DROPOUT_SEED, &seed));
        }
        let loss = self.trainer.step(draw, &inputs, hyper).unwrap();
        self.losses.extend(loss.map(|l| l.loss));
    }

    fn drain(&mut self) {
        while let Some(loss) = self.trainer.oldest().unwrap() {
            self.losses.push(loss.loss);
        }
    }

    /// All persistent variables.
    fn states(&self) -> BTreeMap<String, HostTensor> {
        let mut all = self.trainer.weights().unwrap();
        all.extend(self.trainer.optimiser_state().unwrap());
        assert_eq!(all.len(), self.trainer.plan().variables.len());
        all
    }

    fn weights(&self) -> Vec<f32> {
        self.trainer.weights().unwrap().into_values().flat_map(HostTensor::into_data).collect()
    }
}

fn hyper(lr: f64, step: u64) -> Hyper {
    Hyper { lr, step, scale: 1.0, apply: true, keep: false }
}

fn same_bytes(a: &BTreeMap<String, HostTensor>, b: &BTreeMap<String, HostTensor>) -> bool {
    let bits = |t: &HostTensor| t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| bits(a) == bits(b))
}

/// A loss's minimum, given the fraction of pixels in the mask.
type Minimum = fn(f32) -> f32;

/// Every family of losses, with its number of channels and its minimum.
fn losses() -> Vec<(&'static str, usize, Minimum)> {
    let zero: Minimum = |_| 0.0;
    vec![
        ("weighted_ce", 2, zero),
        ("ce_dice", 2, zero),
        ("focal_softmax", 2, zero),
        // Also called `bce_dice`.
        ("unetpp_hybrid", 1, zero),
        // Dice 1, cross entropy 0.
        ("unetpp_dlmia", 1, |_| -1.0),
        // 1 for every pixel of the mask, 0 for the others.
        ("unetpp_tmi", 1, |share| -share),
        ("focal_bce", 1, zero),
        ("ms_ssim", 1, zero),
        ("iou", 1, zero),
        ("unet3p", 1, zero),
    ]
}

/// Every loss falls to a few percent of its initial distance from its minimum.
fn overfits(arch: &'static str, config: fn(usize) -> Value) {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut wrong = Vec::new();
    for (name, channels, min) in losses() {
        let begin = std::time::Instant::now();
        let setup =
            Setup { weighted: name == "weighted_ce", ..Setup::new(arch, config(channels), json!({ "name": name })) };
        // With so few channels, most of a layer may start dead, as with seed 1.
        let mut run = setup.trainer(&gpu, 2);
        let mask = &pair(0)[1];
        let min = min(mask.iter().sum::<f32>() / mask.len() as f32);
        let above = |loss: f32| loss - min;
        for step in 1..=300 {
            run.step(0, step, &hyper(0.01, step));
            if run.losses.last().is_some_and(|&l| above(l) < 0.04 * above(run.losses[0])) {
                break;
            }
        }
        run.drain();
        let (first, last) = (run.losses[0], run.losses[run.losses.len() - 1]);
        println!("{arch} {name}: {first} to {last}, {} steps, {:?}", run.losses.len(), begin.elapsed());
        // A value below the minimum is an error of the loss.
        let fits = above(last) < 0.05 * above(first) && above(last) > -1e-4;
        if !fits || above(first) < 1e-3 {
            wrong.push(format!("{arch} with {name}: {first} to {last}, minimum {min}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unet_overfits_with_every_loss() {
    overfits("unet", |k| json!({"width": 4, "depth": 2, "padding": "same", "out_channels": k}));
}

#[test]
fn unet_plus_plus_overfits_with_every_loss() {
    overfits("unetpp", |k| json!({"width": 4, "depth": 2, "out_channels": k}));
}

#[test]
fn unet_3_plus_overfits_with_every_loss() {
    overfits("unet3p", |k| json!({"width": 4, "depth": 2, "cat": 4, "out_channels": k}));
}

/// All random features at once: dropout, noise, deformation; an unpadded network.
fn random() -> Setup {
    let augment = Augmentation {
        elastic: Some(Elastic { std: 2.0, grid: 3, probability: 0.7 }),
        flips: true,
        gain: [0.8, 1.2],
        noise: [0.0, 0.1],
        ..Augmentation::default()
    };
    let config = json!({"width": 4, "depth": 1, "dropout": 0.5});
    let mut setup =
        Setup { weighted: true, crops: 2, augment, ..Setup::new("unet", config, json!({"name": "weighted_ce"})) };
    setup.options.clip = Some(1.0);
    setup
}

#[test]
fn the_same_steps_give_the_same_bytes() {
    let Some(gpu) = gpu_or_skip() else { return };
    let run = |draws: u64| {
        let mut run = random().trainer(&gpu, 5);
        (1..=5).for_each(|step| run.step(0, draws + step, &hyper(0.01, step)));
        run.drain();
        (run.states(), run.losses.iter().map(|l| l.to_bits()).collect::<Vec<_>>())
    };
    let (states, losses) = run(0);
    let (again, same_losses) = run(0);
    assert!(same_bytes(&states, &again) && losses == same_losses);
    let (other, other_losses) = run(100);
    assert!(!same_bytes(&states, &other) && losses != other_losses, "the random numbers have no effect");
    assert_eq!(losses.len(), 5);
}

/// Recomputed activations, and so gradients, have the same bits, and take less memory. The U-Net has dropout here, so a
/// recomputed dropout mask must be the same.
#[test]
fn checkpointing_gives_the_same_bytes_in_less_memory() {
    let Some(gpu) = gpu_or_skip() else { return };
    let unet = || {
        let config = json!({"width": 4, "depth": 2, "padding": "same", "dropout": 0.5});
        Setup { weighted: true, crops: 2, ..Setup::new("unet", config, json!({"name": "weighted_ce"})) }
    };
    let nested =
        || Setup::new("unetpp", json!({"width": 4, "depth": 2, "out_channels": 1}), json!({"name": "unetpp_hybrid"}));
    let full_scale =
        || Setup::new("unet3p", json!({"width": 4, "depth": 2, "out_channels": 1, "cat": 4}), json!({"name": "iou"}));
    for setup in [&unet as &dyn Fn() -> Setup, &nested, &full_scale] {
        let run = |checkpointing: bool| {
            let mut setup = setup();
            setup.options.checkpointing = checkpointing;
            let mut run = setup.trainer(&gpu, 5);
            (1..=3).for_each(|step| run.step(0, step, &hyper(0.01, step)));
            run.drain();
            let again = run.trainer.plan().nodes.iter().filter(|n| n.label.ends_with(".again")).count();
            (run.states(), run.trainer.plan().memory.live, again, setup.arch)
        };
        let ((plain, live, none, arch), (checkpointed, less, again, _)) = (run(false), run(true));
        assert!(none == 0 && again > 0, "{arch}: {none} and {again} nodes are recomputed");
        assert!(same_bytes(&plain, &checkpointed), "{arch}");
        assert!(less < live, "{arch}: {less} bytes live, {live} without checkpointing");
    }
}

/// A network without batch normalisation, so that crops are independent.
fn plain(crops: usize, optimiser: OptimiserKind, accumulate: bool) -> Setup {
    let config = json!({"width": 4, "depth": 2, "padding": "same", "norm": false});
    let mut setup = Setup { crops, ..Setup::new("unet", config, json!({"name": "ce_dice"})) };
    setup.options = StepOptions { optimiser, accumulate, ..setup.options };
    setup
}

#[test]
fn two_parts_make_one_batch() {
    let Some(gpu) = gpu_or_skip() else { return };
    let momentum = OptimiserKind::Sgd { momentum: 0.9, nesterov: true, weight_decay: 1e-3 };
    let mut whole = plain(2, momentum, false).trainer(&gpu, 2);
    let mut parts = plain(1, momentum, true).trainer(&gpu, 2);
    let mut half = plain(1, momentum, false).trainer(&gpu, 2);
    let begin = whole.weights();
    for step in 1..=3 {
        whole.step(0, step, &hyper(0.02, step));
        half.step(0, step, &hyper(0.02, step));
        for part in [0, 1] {
            let hyper = Hyper { scale: 0.5, apply: part == 1, keep: part == 1, ..hyper(0.02, step) };
            parts.step(part, step, &hyper);
        }
    }
    let moved = |run: &Run| run.weights().iter().zip(&begin).map(|(a, b)| a - b).collect::<Vec<_>>();
    let (expected, got, half) = (moved(&whole), moved(&parts), moved(&half));
    let largest = expected.iter().fold(0f32, |a, v| a.max(v.abs()));
    let off = |got: &[f32]| got.iter().zip(&expected).fold(0f32, |a, (g, w)| a.max((g - w).abs())) / largest;
    assert!(largest > 1e-3 && off(&got) < 1e-4, "{} of {largest}", off(&got));
    assert!(off(&half) > 0.01, "both crops have the same effect: {}", off(&half));
}

#[test]
fn a_clipped_step_is_as_long_as_allowed() {
    let Some(gpu) = gpu_or_skip() else { return };
    let length = |clip: Option<f32>| {
        let mut setup = plain(1, SGD, true);
        setup.options.clip = clip;
        let mut run = setup.trainer(&gpu, 4);
        let begin = run.weights();
        // The same crop twice, as one batch: the mean is clipped.
        for keep in [false, true] {
            run.step(0, 1, &Hyper { scale: 0.5, apply: keep, keep, ..hyper(1.0, 1) });
        }
        run.weights().iter().zip(begin).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    let free = length(None);
    assert!(free > 0.02, "{free}");
    let clipped = length(Some(0.01));
    assert!((clipped / 0.01 - 1.0).abs() < 1e-3, "{clipped}");
    assert!((length(Some(2.0 * free as f32)) / free - 1.0).abs() < 1e-3);
}

#[test]
fn a_restored_trainer_continues_bit_exactly() {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut setup = random();
    setup.options.accumulate = true;
    // Three batches per step: interrupted within the second step.
    let batch = |run: &mut Run, i: u64| {
        let hyper = Hyper { scale: 1.0 / 3.0, apply: i % 3 == 2, keep: !i.is_multiple_of(3), ..hyper(0.01, i / 3 + 1) };
        run.step(i as usize % 2, i, &hyper);
    };
    let mut first = setup.trainer(&gpu, 6);
    (0..5).for_each(|i| batch(&mut first, i));
    let saved = first.states();
    (5..9).for_each(|i| batch(&mut first, i));
    let mut second = setup.trainer(&gpu, 7);
    second.trainer.restore(&saved).unwrap();
    assert!(same_bytes(&second.states(), &saved));
    (5..9).for_each(|i| batch(&mut second, i));
    let (expected, got) = (first.states(), second.states());
    assert!(same_bytes(&expected, &got) && !same_bytes(&expected, &saved));
    let mut less = saved;
    less.pop_first();
    assert!(second.trainer.restore(&less).unwrap_err().to_string().contains("accumulated/"), "of another run");
}
