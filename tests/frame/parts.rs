//! A frame in parts, over several submissions, equals a frame at once, bit for bit.

use super::host::{Host, blobs};
use super::nuclei_options;
use unet_wgpu::Model;
use unet_wgpu::frame::{Budget, FrameInput, FrameModel, FrameOutput, OutputRequest, OutputTarget, PlaneFormat, Roi};
use wgpu::TextureFormat as F;

#[test]
fn parts_equal_the_whole() {
    let Some(host) = Host::open(true) else { return };
    let probability = FrameOutput::Probability { class: 1, format: PlaneFormat::F32 };
    let outputs = vec![OutputRequest::texture(FrameOutput::Mask), OutputRequest::texture(probability)];
    let frames = FrameModel::new(&host.gpu, Model::open("nuclei").unwrap());
    let mut frame = frames.prepare(&nuclei_options(128, outputs)).unwrap();
    let (w, h) = (127, 119);
    let input = host.texture(F::R8Unorm, w, h, &blobs(w, h));
    let (ids, p) = (host.target(F::R8Uint, w, h), host.target(F::R32Float, w, h));
    let targets = [OutputTarget::texture(&ids), OutputTarget::texture(&p)];
    let roi = Roi::of_size(w as u32, h as u32);
    let mut encoder = host.encoder();
    frame.encode(&mut encoder, FrameInput::Texture(&input), &targets, roi).unwrap();
    host.submit(encoder);
    let whole = (host.read_texture(&ids), host.read_texture(&p));
    assert!(whole.0.contains(&1));

    let mut encoder = host.encoder();
    let e = frame.encode_some(&mut encoder, Budget::Milliseconds(1.0)).unwrap_err().to_string();
    assert!(e.contains("need the times of `measure`"), "{e}");
    let total = frame.measure().unwrap();
    assert!(total > 0.0 && total.is_finite());
    let whole_dispatches = frame.plans().next().unwrap().dispatches.len();
    for divided in [false, true] {
        if divided {
            let e = frame.divide(0.0).unwrap_err().to_string();
            assert!(e.contains("more than 0"), "{e}");
            let total = frame.divide(total / 100.0).unwrap();
            assert!(total > 0.0 && total.is_finite());
            let dispatches = frame.plans().next().unwrap().dispatches.len();
            assert!(dispatches > whole_dispatches + 10, "{dispatches} dispatches of {whole_dispatches}");
        }
        for budget in [Budget::Dispatches(1), Budget::Dispatches(7), Budget::Milliseconds(total / 5.0), Budget::All] {
            let (ids, p) = (host.target(F::R8Uint, w, h), host.target(F::R32Float, w, h));
            let targets = [OutputTarget::texture(&ids), OutputTarget::texture(&p)];
            frame.start(FrameInput::Texture(&input), &targets, roi).unwrap();
            let (mut done, mut calls) = (0, 0);
            loop {
                let mut encoder = host.encoder();
                let progress = frame.encode_some(&mut encoder, budget).unwrap();
                host.submit(encoder);
                assert!(progress.done > done && progress.done <= progress.of, "{progress:?}");
                assert_eq!(frame.progress(), Some(progress));
                (done, calls) = (progress.done, calls + 1);
                if progress.finished() {
                    break;
                }
                // Results appear with the last part.
                assert!(calls > 1 || host.read_texture(&ids).iter().all(|&id| id == 0));
            }
            let expected = match budget {
                Budget::All => 1..=1,
                Budget::Dispatches(n) => done.div_ceil(n)..=done.div_ceil(n),
                Budget::Milliseconds(_) => 3..=20,
            };
            assert!(expected.contains(&calls), "{budget:?}: {calls} calls");
            assert!((host.read_texture(&ids), host.read_texture(&p)) == whole, "{budget:?}");
        }
    }
}

#[test]
fn a_frame_that_is_cancelled_leaves_no_trace() {
    let Some(host) = Host::open(true) else { return };
    let frames = FrameModel::new(&host.gpu, Model::open("nuclei").unwrap());
    let mut frame = frames.prepare(&nuclei_options(64, vec![OutputRequest::texture(FrameOutput::Mask)])).unwrap();
    let input = host.texture(F::R8Unorm, 64, 64, &blobs(64, 64));
    let dark = host.texture(F::R8Unorm, 64, 64, &[1; 64 * 64]);
    let roi = Roi::of_size(64, 64);
    let mut run = |other: bool| {
        let (ids, untouched) = (host.target(F::R8Uint, 64, 64), host.target(F::R8Uint, 64, 64));
        let mut encoder = host.encoder();
        if other {
            frame.start(FrameInput::Texture(&dark), &[OutputTarget::texture(&untouched)], roi).unwrap();
            frame.encode_some(&mut encoder, Budget::Dispatches(30)).unwrap();
            frame.cancel();
            assert_eq!(frame.progress(), None);
            assert!(frame.encode_some(&mut encoder, Budget::All).is_err(), "nothing is left to record");
        }
        frame.encode(&mut encoder, FrameInput::Texture(&input), &[OutputTarget::texture(&ids)], roi).unwrap();
        host.submit(encoder);
        assert!(host.read_texture(&untouched).iter().all(|&id| id == 0));
        host.read_texture(&ids)
    };
    let alone = run(false);
    assert!(alone.contains(&1));
    assert_eq!(run(true), alone);
    assert_eq!(run(false), alone);
}

/// Frames of different images and sizes, in one encoder and in several, without a wait between them.
#[test]
fn frames_in_flight_do_not_disturb_each_other() {
    let Some(host) = Host::open(true) else { return };
    let frames = FrameModel::new(&host.gpu, Model::open("nuclei").unwrap());
    let mut frame = frames.prepare(&nuclei_options(64, vec![OutputRequest::texture(FrameOutput::Mask)])).unwrap();
    let sizes = [(64, 64), (63, 50), (51, 64)];
    let inputs = sizes.map(|(w, h)| host.texture(F::R8Unorm, w, h, &blobs(w, h)));
    let mut run = |per_encoder: usize, waits: bool| {
        let targets = sizes.map(|(w, h)| host.target(F::R8Uint, w, h));
        let each: Vec<_> = inputs.iter().zip(&targets).collect();
        for part in each.chunks(per_encoder) {
            let mut encoder = host.encoder();
            for (input, target) in part {
                let roi = Roi::of_size(input.width(), input.height());
                frame.encode(&mut encoder, FrameInput::Texture(input), &[OutputTarget::texture(target)], roi).unwrap();
            }
            host.submit(encoder);
            if waits {
                host.read_texture(&targets[0]);
            }
        }
        targets.map(|t| host.read_texture(&t))
    };
    let alone = run(1, true);
    assert!(alone.iter().all(|mask| mask.contains(&1)));
    assert_eq!(run(1, false), alone);
    assert_eq!(run(3, false), alone);
}
