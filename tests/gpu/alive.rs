//! A device that is lost before, during and between runs, ours and a host's: a typed error, no panic, no call of the host's
//! handler of uncaught errors, and the same bytes once another device has taken over.

use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use unet_wgpu::frame::{
    FrameInput, FrameModel, FrameOptions, FrameOutput, OutputRequest, OutputTarget, PixelFormat, Roi,
};
use unet_wgpu::low_level::graph::Graph;
use unet_wgpu::low_level::infer::{Image, Pixels, SegmentOptions, Segmentation};
use unet_wgpu::low_level::model::{INPUT, parse, whole_graph};
use unet_wgpu::low_level::ops::{Hyper, OptimiserKind};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::{HostTensor, Shape};
use unet_wgpu::low_level::train::{Augmentation, Augmenter, LossConfig, StepOptions, TARGET, initial, loss_graph};
use unet_wgpu::low_level::weights::{Checkpoint, ModelMetadata, Normalisation};
use unet_wgpu::testing::{gpu_or_skip, lose_at_submission, random_input, random_parameter};
use unet_wgpu::{Backend, Error, Gpu, Model, Result, Segmenter, Trainer};

/// A small network with random weights.
pub(crate) fn model() -> Model {
    let config = json!({ "width": 4, "depth": 2, "padding": "same", "out_channels": 2 });
    let graph = whole_graph(&*parse("unet", &config).unwrap(), 1, 4, 4).unwrap();
    let weights = graph.parameters().map(|(k, d)| (k.to_string(), random_parameter(k, d).unwrap())).collect();
    let metadata = ModelMetadata {
        format: 1,
        arch: "unet".into(),
        config,
        normalisation: Normalisation::ZScore,
        classes: vec![],
        target: None,
        instances: None,
        scale: None,
        recipe: None,
    };
    Model::new("m", Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }).unwrap()
}

pub(crate) fn image(width: usize, height: usize) -> Image {
    let noise = random_input("image", Shape::new(1, 1, height, width)).unwrap();
    let pixels = noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect();
    Image::new(width, height, 1, Pixels::U16(pixels)).unwrap()
}

/// Several tiles.
fn options() -> SegmentOptions {
    SegmentOptions::default().with_tile(Some(64)).with_probabilities(true)
}

fn segment(segmenter: &mut Segmenter) -> Result<Segmentation> {
    segmenter.segment(&image(100, 60), &options(), |_| Ok(()))
}

/// A host's device with default limits, whose uncaught errors are counted.
struct Host {
    gpu: Gpu,
    uncaught: Arc<AtomicUsize>,
}

impl Host {
    fn open() -> Option<Self> {
        gpu_or_skip()?;
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::PRIMARY,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap();
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
        let uncaught = Arc::new(AtomicUsize::new(0));
        let count = uncaught.clone();
        device.on_uncaptured_error(Arc::new(move |e| {
            eprintln!("uncaught: {e}");
            count.fetch_add(1, Ordering::SeqCst);
        }));
        Some(Self { gpu: Gpu::from_wgpu(device, queue).unwrap(), uncaught })
    }

    /// No error reached the host's handler.
    fn quiet(&self, what: &str) {
        assert_eq!(self.uncaught.load(Ordering::SeqCst), 0, "{what}: calls of the host's handler");
    }
}

/// The error of a lost device: it names the device and what was being done.
fn is_lost<T>(gpu: &Gpu, what: &str, result: Result<T>) {
    let Err(e) = result else { panic!("{what}: no error") };
    assert!(matches!(e, Error::DeviceLost(_)), "{what}: {e}");
    let text = e.to_string();
    let named = text.starts_with("the GPU device was lost: ") && text.contains(&gpu.info().name);
    assert!(named && text.contains(", while ") && !text.contains('\n'), "{what}: {text}");
}

fn graph() -> Graph {
    whole_graph(&*model().architecture, 1, 32, 32).unwrap()
}

fn session(gpu: &Gpu) -> Result<Session> {
    Session::new(gpu, Plan::new(&graph(), gpu.target())?, model().stored())
}

fn input() -> BTreeMap<String, HostTensor> {
    BTreeMap::from([(INPUT.to_string(), random_input("x", Shape::new(1, 1, 32, 32)).unwrap())])
}

const SIDE: usize = 32;

pub(crate) fn trainer(gpu: &Gpu) -> Result<Trainer> {
    let network = parse("unet", &json!({"width": 4, "depth": 1, "padding": "same", "out_channels": 2})).unwrap();
    let loss: LossConfig = serde_json::from_value(json!({ "name": "ce_dice" })).unwrap();
    let augmenter = Augmenter::new(Augmentation::default(), 1, SIDE, 0, 3).unwrap();
    let graph = loss_graph(&*network, &loss, &augmenter, false, [1, SIDE]).unwrap();
    let optimiser = OptimiserKind::Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };
    let options = StepOptions { optimiser, clip: None, accumulate: false, checkpointing: false, gradients: false };
    Trainer::new(gpu, &graph, &network.dropouts(), options, initial(&graph, 2))
}

/// Steps `from` up to `to`, all of them finished.
fn train(trainer: &mut Trainer, from: u64, to: u64) -> Result<()> {
    let augmenter = Augmenter::new(Augmentation::default(), 1, SIDE, 0, 3).unwrap();
    let image = random_input("x", Shape::new(1, 1, SIDE, SIDE)).unwrap();
    let target: Vec<f32> = image.data().iter().map(|v| f32::from(u8::from(*v > 0.3))).collect();
    for step in from..to {
        let hyper = Hyper { lr: 0.01, step: step + 1, scale: 1.0, apply: true, keep: false };
        let drawn = augmenter.draw(step);
        let mut inputs = vec![(INPUT, image.data()), (TARGET, &target[..])];
        inputs.extend(drawn.iter().map(|(name, data)| (*name, &data[..])));
        trainer.step(step, &inputs, &hyper)?;
    }
    while trainer.oldest()?.is_some() {}
    Ok(())
}

fn state(trainer: &Trainer) -> Result<BTreeMap<String, HostTensor>> {
    let mut all = trainer.weights()?;
    all.extend(trainer.optimiser_state()?);
    Ok(all)
}

/// Everything that begins on a device that is lost already.
fn all_is_refused(gpu: &Gpu) {
    is_lost(gpu, "session", session(gpu));
    is_lost(gpu, "trainer", trainer(gpu));
    is_lost(gpu, "segmenter", segment(&mut Segmenter::new(Backend::Gpu(gpu.clone()), model())));
    is_lost(gpu, "frame", FrameModel::new(gpu, model()).prepare(&frame_options()));
    is_lost(gpu, "peak", gpu.measure_peak());
    is_lost(gpu, "again", Gpu::from_wgpu(gpu.device().clone(), gpu.queue().clone()));
}

fn frame_options() -> FrameOptions {
    let outputs = vec![OutputRequest::texture(FrameOutput::Mask)];
    let input = PixelFormat::of_texture(wgpu::TextureFormat::R8Unorm).unwrap();
    FrameOptions::new([32, 32], input, outputs)
}

#[test]
fn a_device_destroyed_before_is_an_error() {
    let Some(own) = gpu_or_skip() else { return };
    assert!(!own.is_lost());
    own.device().destroy();
    assert!(own.is_lost());
    all_is_refused(&own);
    let host = Host::open().unwrap();
    assert!(!host.gpu.is_lost());
    host.gpu.device().destroy();
    all_is_refused(&host.gpu);
    host.quiet("before");
}

#[test]
fn a_device_destroyed_between_is_an_error() {
    type Act = fn(&Gpu, &mut Session) -> Result<()>;
    let acts: &[(&str, Act)] = &[
        ("run", |_, s| s.run()),
        ("run_all", |_, s| s.run_all(&input()).map(drop)),
        ("read", |_, s| s.read(&s.plan().outputs[0].clone()).map(drop)),
        ("start", |_, s| s.start(&s.plan().outputs[0].clone()).and_then(|pending| s.finish(pending)).map(drop)),
        ("warm_up", |_, s| s.warm_up()),
        ("profile", |_, s| s.profile(1).map(drop)),
        ("bind and run", |gpu, s| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let size = 4 * 32 * 32;
            let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
            // The host's own call, on a lost device.
            let buffer = gpu.scoped("the host", || Ok(gpu.device().create_buffer(&descriptor)))?;
            s.bind_buffer(INPUT, &buffer, 0)?;
            s.run()
        }),
        ("write and run", |_, s| {
            s.write(INPUT, input()[INPUT].data())?;
            s.run()
        }),
    ];
    for own in [true, false] {
        for (name, act) in acts {
            let Some(host) = Host::open() else { return };
            let gpu = if own { gpu_or_skip().unwrap() } else { host.gpu.clone() };
            let mut s = session(&gpu).unwrap();
            let expected = s.run_all(&input()).unwrap();
            gpu.device().destroy();
            is_lost(&gpu, name, act(&gpu, &mut s));
            is_lost(&gpu, "another run", s.run());
            host.quiet(name);
            // A session on another device of the same kind has the same result.
            let another = if own { gpu_or_skip().unwrap() } else { Host::open().unwrap().gpu };
            assert_eq!(session(&another).unwrap().run_all(&input()).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn a_frame_on_a_lost_device_is_an_error() {
    let Some(host) = Host::open() else { return };
    let device = host.gpu.device();
    let texture = |format| {
        device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: wgpu::Extent3d { width: 32, height: 32, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        })
    };
    let (input, mask) = (texture(wgpu::TextureFormat::R8Unorm), texture(wgpu::TextureFormat::R8Uint));
    let mut frame = FrameModel::new(&host.gpu, model()).prepare(&frame_options()).unwrap();
    let mut record = |size: u32, encoder: &mut wgpu::CommandEncoder| {
        frame.encode(encoder, FrameInput::Texture(&input), &[OutputTarget::texture(&mask)], Roi::of_size(size, size))
    };
    let encoder = || device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    // Recorded before, submitted after.
    let mut before = encoder();
    record(32, &mut before).unwrap();
    device.destroy();
    host.gpu.queue().submit([before.finish()]);
    host.quiet("recorded before");
    // Recording touches no device: a size that is ready is recorded into nothing.
    let mut after = encoder();
    record(32, &mut after).unwrap();
    host.gpu.queue().submit([after.finish()]);
    host.quiet("recorded after");
    is_lost(&host.gpu, "a new size", record(20, &mut encoder()));
    is_lost(&host.gpu, "measure", frame.measure());
    host.quiet("a new size");
}

/// On our device, with a way to open another: the bytes of an undisturbed run, wherever the device is lost.
#[test]
fn a_segmenter_goes_on_at_its_tile() {
    let Some(gpu) = gpu_or_skip() else { return };
    let expected = segment(&mut Segmenter::new(Backend::Gpu(gpu), model())).unwrap();
    let tiles = expected.tiles.iter().product::<usize>() as u64;
    assert!(tiles > 3, "{tiles} tiles");
    for n in 1.. {
        let (gpu, opened) = (gpu_or_skip().unwrap(), Arc::new(AtomicUsize::new(0)));
        lose_at_submission(&gpu, n);
        let count = opened.clone();
        let mut segmenter = Segmenter::new(Backend::Gpu(gpu), model()).with_recovery(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Backend::Gpu(gpu_or_skip().unwrap()))
        });
        let result = segment(&mut segmenter).unwrap();
        assert!(result == expected, "lost at submission {n}");
        match opened.load(Ordering::SeqCst) {
            0 => {
                assert!(n > 3 * tiles, "only {n} submissions for {tiles} tiles");
                break;
            }
            count => assert_eq!(count, 1, "lost at submission {n}"),
        }
        // The next image runs on the device that was opened.
        assert!(segment(&mut segmenter).unwrap() == expected);
    }
}

/// On a host's device, without a way to open another: an error at any place, and the host hands over a new device.
#[test]
fn a_host_is_told_and_recovers_by_itself() {
    let Some(host) = Host::open() else { return };
    let expected = segment(&mut Segmenter::new(Backend::Gpu(host.gpu.clone()), model())).unwrap();
    for n in (1..).step_by(3) {
        let host = Host::open().unwrap();
        lose_at_submission(&host.gpu, n);
        let mut segmenter = Segmenter::new(Backend::Gpu(host.gpu.clone()), model());
        let result = segment(&mut segmenter);
        host.quiet(&format!("lost at submission {n}"));
        match result {
            Ok(result) => {
                assert!(n > 9 && result == expected);
                break;
            }
            lost => is_lost(&host.gpu, "segment", lost),
        }
        is_lost(&host.gpu, "segment again", segment(&mut segmenter));
        segmenter.recover(Backend::Gpu(Host::open().unwrap().gpu));
        assert!(segment(&mut segmenter).unwrap() == expected, "lost at submission {n}");
        host.quiet("afterwards");
    }
}

#[test]
fn a_device_that_is_lost_again_and_again_is_an_error() {
    let Some(gpu) = gpu_or_skip() else { return };
    gpu.device().destroy();
    let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), model()).with_recovery(move || {
        let gpu = gpu_or_skip().unwrap();
        lose_at_submission(&gpu, 1);
        Ok(Backend::Gpu(gpu))
    });
    let e = segment(&mut segmenter).unwrap_err();
    assert!(matches!(e, Error::DeviceLost(_)), "{e}");
    assert!(e.to_string().contains("it was opened 3 times in a row without progress"), "{e}");
}

/// From tensors that were read before, a trainer repeats its steps with the same bytes, wherever the device is lost.
#[test]
fn a_trainer_goes_on_from_its_tensors() {
    let Some(host) = Host::open() else { return };
    let mut undisturbed = trainer(&host.gpu).unwrap();
    train(&mut undisturbed, 0, 3).unwrap();
    let kept = state(&undisturbed).unwrap();
    train(&mut undisturbed, 3, 6).unwrap();
    let expected = state(&undisturbed).unwrap();
    for (losses, n) in (1..).step_by(4).enumerate() {
        let host = Host::open().unwrap();
        let mut trainer = trainer(&host.gpu).unwrap();
        trainer.restore(&kept).unwrap();
        lose_at_submission(&host.gpu, n);
        let outcome = train(&mut trainer, 3, 6).and_then(|()| state(&trainer));
        host.quiet(&format!("lost at submission {n}"));
        match outcome {
            Ok(all) => {
                assert!(all == expected && losses > 2);
                break;
            }
            lost => is_lost(&host.gpu, "training", lost),
        }
        is_lost(&host.gpu, "weights", trainer.weights());
        let _ = trainer.restore(&kept);
        host.quiet("restoring on a lost device");
        trainer.recover(&Host::open().unwrap().gpu, &kept).unwrap();
        train(&mut trainer, 3, 6).unwrap();
        assert!(state(&trainer).unwrap() == expected, "lost at submission {n}");
    }
}

/// The error of a wait that takes too long names the dispatches, and the device is not lost.
#[test]
fn a_wait_has_a_limit() {
    let Some(gpu) = gpu_or_skip() else { return };
    let network = parse("unet", &json!({"width": 32, "depth": 3, "padding": "same", "out_channels": 2})).unwrap();
    let graph = whole_graph(&*network, 1, 512, 512).unwrap();
    let mut large = Session::new(&gpu, Plan::new(&graph, gpu.target()).unwrap(), random_parameter).unwrap();
    gpu.set_wait_limit(Duration::from_millis(1));
    let e = large.run().unwrap_err();
    assert!(matches!(e, Error::Timeout { .. }), "{e}");
    let text = e.to_string();
    assert!(text.starts_with("the GPU device did not finish `") && text.ends_with("within 0.001 s"), "{text}");
    assert!(text.contains("(dispatch"), "{text}");
    assert!(!gpu.is_lost());
    gpu.set_wait_limit(Duration::from_secs(600));
    large.run().unwrap();
    let mut small = session(&gpu).unwrap();
    small.run_all(&input()).unwrap();
}
