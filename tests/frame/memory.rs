//! Memory of frames: shared by those that never overlap, and limited.

use super::host::{Host, blobs};
use super::nuclei_options;
use unet_wgpu::frame::{Budget, Frame, FrameInput, FrameModel, FrameOptions, FrameOutput, OutputRequest, OutputTarget};
use unet_wgpu::frame::{PlaneFormat, Roi, Scratch};
use unet_wgpu::{Error, Model};
use wgpu::TextureFormat as F;

fn requests() -> Vec<OutputRequest> {
    let probability = FrameOutput::Probability { class: 1, format: PlaneFormat::F32 };
    vec![OutputRequest::texture(FrameOutput::Mask), OutputRequest::texture(probability)]
}

/// Class ids and probabilities of an image.
fn run(host: &Host, frame: &mut Frame, size: usize) -> (Vec<u8>, Vec<u8>) {
    let input = host.texture(F::R8Unorm, size, size, &blobs(size, size));
    let (ids, p) = (host.target(F::R8Uint, size, size), host.target(F::R32Float, size, size));
    let targets = [OutputTarget::texture(&ids), OutputTarget::texture(&p)];
    let mut encoder = host.encoder();
    let roi = Roi::of_size(size as u32, size as u32);
    frame.encode(&mut encoder, FrameInput::Texture(&input), &targets, roi).unwrap();
    host.submit(encoder);
    (host.read_texture(&ids), host.read_texture(&p))
}

/// Frames of two models and three sizes in one scratch memory give what frames with memory of their own give, bit for bit,
/// whatever the memory held before.
#[test]
fn scratch_memory_is_shared_and_its_content_does_not_matter() {
    let Some(host) = Host::open(true) else { return };
    let buffers = host.gpu.target().clone().with_storage(unet_wgpu::low_level::kernel::TensorStorage::Buffers);
    let plain = host.gpu.with_target(buffers);
    let scratch = Scratch::default();
    let mut cases = Vec::new();
    for name in ["nuclei-unet3+", "nuclei"] {
        let model = Model::open(name).unwrap();
        let (own, shared) = (FrameModel::new(&plain, model.clone()), FrameModel::new(&host.gpu, model));
        for size in [128, 96, 64] {
            let options = nuclei_options(size, requests());
            let (mut alone, before) = (own.prepare(&options).unwrap(), scratch.device_bytes());
            let frame = shared.prepare_in(&options, &scratch).unwrap();
            assert!(cases.is_empty() || scratch.device_bytes() < before + before / 8, "{name} {size} grew it");
            assert!(frame.device_bytes() < alone.device_bytes());
            let expected = run(&host, &mut alone, size);
            assert!(expected.0.contains(&1) && expected.0.contains(&0));
            cases.push((name, size, frame, expected));
        }
    }
    let largest = cases[0].2.plans().next().unwrap().memory.slots;
    assert!(scratch.device_bytes() < largest + largest / 4, "{} for {largest}", scratch.device_bytes());
    // Zeros, ones, NaN.
    for word in [0, 0x3f80_0000, 0x7fc0_0000] {
        for (name, size, frame, expected) in &mut cases {
            scratch.fill(&host.gpu, word);
            assert!(run(&host, frame, *size) == *expected, "{name} {size} after {word:#x}");
        }
    }
    for (name, size, frame, expected) in cases.iter_mut().rev() {
        assert!(run(&host, frame, *size) == *expected, "{name} {size} after another network");
    }
}

#[test]
fn frames_that_share_scratch_memory_cannot_overlap() {
    let Some(host) = Host::open(true) else { return };
    let (scratch, model) = (Scratch::default(), FrameModel::new(&host.gpu, Model::open("nuclei").unwrap()));
    let options = nuclei_options(64, requests());
    let mut first = model.prepare_in(&options, &scratch).unwrap();
    let mut second = model.prepare_in(&options, &scratch).unwrap();
    let input = host.texture(F::R8Unorm, 64, 64, &blobs(64, 64));
    let (ids, p) = (host.target(F::R8Uint, 64, 64), host.target(F::R32Float, 64, 64));
    let targets = [OutputTarget::texture(&ids), OutputTarget::texture(&p)];
    let (input, roi) = (FrameInput::Texture(&input), Roi::of_size(64, 64));
    let mut encoder = host.encoder();
    first.start(input, &targets, roi).unwrap();
    first.encode_some(&mut encoder, Budget::Dispatches(5)).unwrap();
    for e in [second.encode(&mut encoder, input, &targets, roi).unwrap_err(), second.measure().unwrap_err()] {
        assert!(e.to_string().contains("shares its memory with a frame that is recorded in part"), "{e}");
    }
    // The first goes on, and then the second may.
    first.encode_some(&mut encoder, Budget::All).unwrap();
    second.encode(&mut encoder, input, &targets, roi).unwrap();
    // A frame that is cancelled, begun anew, or dropped frees the memory.
    for free in [Frame::cancel, |f: &mut Frame| assert!(f.progress().is_some())] {
        first.start(input, &targets, roi).unwrap();
        first.encode_some(&mut encoder, Budget::Dispatches(5)).unwrap();
        free(&mut first);
        first.start(input, &targets, roi).unwrap();
        second.encode(&mut encoder, input, &targets, roi).unwrap();
    }
    first.start(input, &targets, roi).unwrap();
    first.encode_some(&mut encoder, Budget::Dispatches(5)).unwrap();
    drop(first);
    second.encode(&mut encoder, input, &targets, roi).unwrap();
    host.submit(encoder);
}

#[test]
fn a_frame_takes_no_more_memory_than_it_is_given() {
    let Some(host) = Host::open(true) else { return };
    let model = FrameModel::new(&host.gpu, Model::open("nuclei").unwrap());
    let limited = |memory| FrameOptions { memory: Some(memory), ..nuclei_options(128, requests()) };
    let e = model.prepare(&limited(1 << 20)).unwrap_err();
    assert!(matches!(e, Error::Limit { .. }), "{e}");
    assert!(
        e.to_string().contains("a frame of 128x128") && e.to_string().contains("the limit is 1.0 MiB of memory"),
        "{e}"
    );
    assert_eq!(model.weight_bytes(), 0, "something was allocated");
    let bytes = model.prepare(&nuclei_options(128, requests())).unwrap().device_bytes();
    // The weights are there by now; the rest must fit, with room for alignment.
    let rest = bytes - model.weight_bytes();
    let frame = model.prepare(&limited(rest)).unwrap();
    assert!(frame.device_bytes() <= rest, "{} of {rest}", frame.device_bytes());
    assert!(model.prepare(&limited(rest * 9 / 10)).is_err());
}

/// Kernels compile ahead, without memory; preparing then compiles none.
#[test]
fn a_model_warms_up_without_memory() {
    let Some(host) = Host::open(true) else { return };
    let frames = FrameModel::new(&host.gpu, Model::open("nuclei").unwrap());
    let options = nuclei_options(64, requests());
    frames.warm_up(&options).unwrap();
    let compiled = host.gpu.pipelines_compiled();
    assert!(compiled > 10 && frames.weight_bytes() == 0, "{compiled} kernels");
    let mut frame = frames.prepare(&options).unwrap();
    assert_eq!(host.gpu.pipelines_compiled(), compiled);
    assert!(run(&host, &mut frame, 64).0.contains(&1));
}
