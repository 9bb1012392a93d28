//! Training steps in the encoders of an application: the same losses and parameters as steps of their own, bit for bit.

use super::host::{Host, blobs};
use super::nuclei_options;
use serde_json::json;
use std::collections::BTreeMap;
use unet_wgpu::Model;
use unet_wgpu::frame::{Budget, FrameInput, FrameModel, FrameOutput, OutputRequest, OutputTarget, Roi};
use unet_wgpu::low_level::model::{self, INPUT};
use unet_wgpu::low_level::ops::{Hyper, OptimiserKind};
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::low_level::train::{
    Augmentation, Augmenter, LossConfig, StepOptions, TARGET, Trainer, initial, loss_graph,
};
use wgpu::TextureFormat as F;

const SIDE: usize = 32;
const STEPS: u64 = 5;

/// A small U-Net in training, and what its steps read.
struct Setup {
    augmenter: Augmenter,
    image: Vec<f32>,
    target: Vec<f32>,
}

impl Setup {
    fn new(host: &Host) -> (Self, Trainer) {
        let network = model::parse("unet", &json!({"width": 4, "depth": 2, "padding": "same", "norm": true})).unwrap();
        let loss: LossConfig = serde_json::from_value(json!({"name": "ce"})).unwrap();
        let augmenter = Augmenter::new(Augmentation::default(), 1, SIDE, network.size_rule().margin, 3).unwrap();
        let graph = loss_graph(&*network, &loss, &augmenter, false, [1, SIDE]).unwrap();
        let optimiser = OptimiserKind::Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };
        let options = StepOptions { optimiser, clip: None, accumulate: false, checkpointing: false, gradients: false };
        let trainer = Trainer::new(&host.gpu, &graph, &network.dropouts(), options, initial(&graph, 7)).unwrap();
        let inside = |i: usize| ((i / SIDE) as f32 - 14.0).hypot((i % SIDE) as f32 - 17.0) < 8.5;
        let target: Vec<f32> = (0..SIDE * SIDE).map(|i| f32::from(u8::from(inside(i)))).collect();
        let image: Vec<f32> = (0..SIDE * SIDE).map(|i| target[i] + ((i * 7919) % 100) as f32 / 200.0).collect();
        (Self { augmenter, image, target }, trainer)
    }

    /// The inputs and the hyperparameters of a step.
    fn with<T>(&self, step: u64, f: impl FnOnce(&[(&str, &[f32])], &Hyper) -> T) -> T {
        let drawn = self.augmenter.draw(step);
        // Each step sees another image.
        let image: Vec<f32> = self.image.iter().map(|v| v * (1.0 + step as f32)).collect();
        let mut inputs = vec![(INPUT, &image[..]), (TARGET, &self.target[..])];
        inputs.extend(drawn.iter().map(|(name, data)| (*name, &data[..])));
        f(&inputs, &Hyper { lr: 1e-2, step: step + 1, scale: 1.0, apply: true, keep: false })
    }
}

fn states(trainer: &Trainer) -> BTreeMap<String, HostTensor> {
    let mut all = trainer.weights().unwrap();
    all.extend(trainer.optimiser_state().unwrap());
    all
}

/// Losses and states of steps that the trainer submits itself.
fn reference(host: &Host) -> (Vec<f32>, BTreeMap<String, HostTensor>) {
    let (setup, mut trainer) = Setup::new(host);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        losses.extend(setup.with(step, |inputs, hyper| trainer.step(step, inputs, hyper)).unwrap().map(|l| l.loss));
    }
    while let Some(late) = trainer.oldest().unwrap() {
        losses.push(late.loss);
    }
    (losses, states(&trainer))
}

#[test]
fn encoded_steps_equal_submitted_ones() {
    let Some(host) = Host::open(true) else { return };
    let expected = reference(&host);
    assert_eq!(expected.0.len(), STEPS as usize);
    assert!(expected.0[4] < expected.0[0], "{:?}", expected.0);
    for (budget, divided) in [
        (Budget::Dispatches(7), false),
        (Budget::Dispatches(1), false),
        (Budget::All, false),
        (Budget::Dispatches(7), true),
    ] {
        let (setup, mut trainer) = Setup::new(&host);
        if divided {
            let (before, total) = (trainer.plan().dispatches.len(), trainer.measure().unwrap());
            trainer.divide(total / 1000.0).unwrap();
            assert!(
                trainer.plan().dispatches.len() > before + 10,
                "{before} dispatches stay {}",
                trainer.plan().dispatches.len()
            );
            assert!(trainer.divide(f64::NAN).is_err());
        }
        let mut losses = Vec::new();
        let mut parts = 0;
        for step in 0..STEPS {
            setup.with(step, |inputs, hyper| trainer.start(step, inputs, hyper)).unwrap();
            loop {
                let mut encoder = host.encoder();
                let progress = trainer.encode_some(&mut encoder, budget).unwrap();
                assert_eq!(progress.of, trainer.plan().dispatches.len());
                host.submit(encoder);
                parts += 1;
                while let Some(loss) = trainer.take_loss().unwrap() {
                    losses.push(loss);
                }
                if progress.finished() {
                    break;
                }
            }
        }
        host.gpu.wait(host.gpu.queue().submit([])).unwrap();
        while let Some(loss) = trainer.take_loss().unwrap() {
            losses.push(loss);
        }
        assert_eq!(losses.iter().map(|l| l.batch).collect::<Vec<_>>(), (0..STEPS).collect::<Vec<_>>());
        assert_eq!(losses.iter().map(|l| l.loss).collect::<Vec<_>>(), expected.0, "{budget:?}, divided: {divided}");
        assert!(states(&trainer) == expected.1, "{budget:?}, divided: {divided}: another state");
        let of = trainer.plan().dispatches.len();
        match budget {
            Budget::Dispatches(n) => assert_eq!(parts, STEPS as usize * of.div_ceil(n)),
            _ => assert_eq!(parts, STEPS as usize),
        }
    }
}

/// Several steps wait in one encoder, each with its own batch; a network's frame lies between their parts.
#[test]
fn steps_and_frames_share_an_encoder() {
    let Some(host) = Host::open(true) else { return };
    let expected = reference(&host);
    let frames = FrameModel::new(&host.gpu, Model::open("nuclei").unwrap());
    let mut frame = frames.prepare(&nuclei_options(64, vec![OutputRequest::texture(FrameOutput::Mask)])).unwrap();
    let input = host.texture(F::R8Unorm, 64, 64, &blobs(64, 64));
    let [alone, between] = [0, 1].map(|_| host.target(F::R8Uint, 64, 64));
    let mut encoder = host.encoder();
    let roi = Roi::of_size(64, 64);
    frame.encode(&mut encoder, FrameInput::Texture(&input), &[OutputTarget::texture(&alone)], roi).unwrap();
    host.submit(encoder);

    let (setup, mut trainer) = Setup::new(&host);
    let mut encoder = host.encoder();
    frame.start(FrameInput::Texture(&input), &[OutputTarget::texture(&between)], roi).unwrap();
    for step in 0..STEPS {
        setup.with(step, |inputs, hyper| trainer.start(step, inputs, hyper)).unwrap();
        while !trainer.encode_some(&mut encoder, Budget::Dispatches(20)).unwrap().finished() {
            frame.encode_some(&mut encoder, Budget::Dispatches(3)).unwrap();
        }
    }
    frame.encode_some(&mut encoder, Budget::All).unwrap();
    assert!(trainer.take_loss().unwrap().is_none(), "nothing is submitted yet");
    host.submit(encoder);
    host.gpu.wait(host.gpu.queue().submit([])).unwrap();
    for loss in expected.0 {
        assert_eq!(trainer.take_loss().unwrap().map(|l| l.loss), Some(loss));
    }
    assert!(trainer.take_loss().unwrap().is_none());
    assert!(states(&trainer) == expected.1, "another state");
    let mask = host.read_texture(&alone);
    assert!(mask.contains(&1) && host.read_texture(&between) == mask);
}

#[test]
fn measuring_changes_nothing_and_halves_are_protected() {
    let Some(host) = Host::open(true) else { return };
    let (setup, mut trainer) = Setup::new(&host);
    let mut encoder = host.encoder();
    let e = trainer.encode_some(&mut encoder, Budget::All).unwrap_err().to_string();
    assert!(e.contains("was not started"), "{e}");
    let before = states(&trainer);
    setup.with(0, |inputs, hyper| trainer.start(0, inputs, hyper)).unwrap();
    let e = trainer.encode_some(&mut encoder, Budget::Milliseconds(1.0)).unwrap_err().to_string();
    assert!(e.contains("need the times of `measure`"), "{e}");
    trainer.cancel();
    let total = trainer.measure().unwrap();
    assert!(total > 0.0 && total.is_finite());
    assert!(states(&trainer) == before, "measuring trained");

    setup.with(0, |inputs, hyper| trainer.start(0, inputs, hyper)).unwrap();
    assert_eq!(trainer.progress().map(|p| p.done), Some(0));
    let mut encoder = host.encoder();
    let part = trainer.encode_some(&mut encoder, Budget::Milliseconds(total / 4.0)).unwrap();
    assert!(part.done > 0 && !part.finished(), "{part:?}");
    let again = setup.with(1, |inputs, hyper| trainer.start(1, inputs, hyper)).unwrap_err().to_string();
    assert!(again.contains("batch 0 is not recorded whole"), "{again}");
    for e in [trainer.weights().unwrap_err(), trainer.optimiser_state().unwrap_err(), trainer.measure().unwrap_err()] {
        assert!(e.to_string().contains("batch 0"), "{e}");
    }
    let e = setup.with(1, |inputs, hyper| trainer.step(1, inputs, hyper)).unwrap_err().to_string();
    assert!(e.contains("batch 0"), "{e}");
    let short = [(INPUT, &[0.0f32][..])];
    trainer.cancel();
    let e = setup.with(1, |_, hyper| trainer.start(1, &short, hyper)).unwrap_err().to_string();
    assert!(e.contains("1 elements, shape"), "{e}");
    let e = setup.with(1, |inputs, hyper| trainer.start(1, &inputs[..1], hyper)).unwrap_err().to_string();
    assert!(e.contains("input `target`: is missing"), "{e}");
}
