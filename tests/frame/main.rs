//! The frame API on a device that the test opens as a host does: its textures and buffers in and out, one encoder, and the
//! same class ids as the segmenter. Needs a GPU.

mod allocations;
mod costs;
mod formats;
mod host;
mod memory;
mod pace;
mod parts;
mod statistics;
mod training;

use host::{Host, blobs};
use unet_wgpu::Model;
use unet_wgpu::frame::{FrameInput, FrameModel, FrameOptions, FrameOutput, OutputRequest, OutputTarget, PixelFormat};
use unet_wgpu::frame::{PlaneFormat, Roi, requirements};
use unet_wgpu::low_level::gpu::FEATURES;
use unet_wgpu::low_level::infer::{Image, Pixels, Tileability};
use wgpu::TextureFormat as F;

fn nuclei_options(size: usize, outputs: Vec<OutputRequest>) -> FrameOptions {
    FrameOptions::new([size, size], PixelFormat::of_texture(F::R8Unorm).unwrap(), outputs)
}

/// One object for all sizes that the network rounds up to 256; the others in a frame of their own, with the same weights.
#[test]
fn texture_in_mask_texture_out_equals_the_segmenter() {
    let Some(host) = Host::open(true) else { return };
    let model = Model::open("nuclei").unwrap();
    let frames = FrameModel::new(&host.gpu, model.clone());
    let probability = FrameOutput::Probability { class: 1, format: PlaneFormat::F32 };
    let outputs = vec![OutputRequest::texture(FrameOutput::Mask), OutputRequest::texture(probability)];
    let mut frame = frames.prepare(&nuclei_options(256, outputs.clone())).unwrap();
    let bytes = frames.weight_bytes();
    let mut segmenter = host.segmenter(&model);
    for (w, h) in [(256, 256), (251, 243), (241, 255)] {
        let image = Image::new(w, h, 1, Pixels::U8(blobs(w, h))).unwrap();
        let (mask, planes) = host.segment(&mut segmenter, &image);
        assert!(mask.iter().filter(|&&id| id == 1).count() > 500, "the image has nuclei");
        let input = host.texture(F::R8Unorm, w, h, &blobs(w, h));
        let (ids, p) = (host.target(F::R8Uint, w, h), host.target(F::R32Float, w, h));
        let roi = Roi::of_size(w as u32, h as u32);
        let mut encoder = host.encoder();
        let targets = [OutputTarget::texture(&ids), OutputTarget::texture(&p)];
        frame.encode(&mut encoder, FrameInput::Texture(&input), &targets, roi).unwrap();
        host.submit(encoder);
        assert_eq!(host.read_texture(&ids), mask, "{w}x{h}");
        let p: Vec<f32> = bytemuck::pod_collect_to_vec(&host.read_texture(&p));
        assert_eq!(p, planes, "{w}x{h}: probabilities");
    }
    assert_eq!(frames.weight_bytes(), bytes, "no size uploads weights");
}

/// The weights of a model are on the device once, whatever the sizes and outputs of its frames.
#[test]
fn frames_share_their_weights() {
    let Some(host) = Host::open(true) else { return };
    let frames = FrameModel::new(&host.gpu, Model::open("nuclei").unwrap());
    assert_eq!(frames.weight_bytes(), 0);
    let first = frames.prepare(&nuclei_options(128, vec![OutputRequest::texture(FrameOutput::Mask)])).unwrap();
    let bytes = frames.weight_bytes();
    let planned = first.plans().next().unwrap().memory.weights;
    assert!(bytes >= planned && bytes < planned + planned / 10, "{bytes} bytes for {planned}");
    let second = frames.prepare(&nuclei_options(128, vec![OutputRequest::texture(FrameOutput::Mask)])).unwrap();
    assert_eq!(frames.weight_bytes(), bytes, "a second frame of the same size");
    assert_eq!(first.device_bytes() - second.device_bytes(), bytes, "only the first counts them");
    let third = frames.prepare(&nuclei_options(256, vec![OutputRequest::texture(FrameOutput::Mask)])).unwrap();
    let more = frames.weight_bytes() - bytes;
    assert!(more <= bytes / 4, "{more} more bytes than {bytes} for another size");
    drop(third);
    // Another output ends the network in another way, which changes no weights but the last ones.
    let bytes = frames.weight_bytes();
    let probability = FrameOutput::Probability { class: 1, format: PlaneFormat::F32 };
    let outputs = [FrameOutput::Mask, probability].map(OutputRequest::texture).to_vec();
    drop(frames.prepare(&nuclei_options(128, outputs)).unwrap());
    let more = frames.weight_bytes() - bytes;
    assert!(more <= bytes / 100, "{more} more bytes than {bytes} for other outputs");
}

/// In a larger frame the image is mirrored further than in a frame of its own size. Only pixels whose receptive field reaches the
/// edge of the smaller frame can differ; with a network of its own none does.
#[test]
fn a_smaller_image_equals_the_segmenter() {
    let Some(host) = Host::open(true) else { return };
    let model = Model::open("nuclei").unwrap();
    let frames = FrameModel::new(&host.gpu, model.clone());
    let (w, h) = (245, 203);
    let image = Image::new(w, h, 1, Pixels::U8(blobs(w, h))).unwrap();
    let mut segmenter = host.segmenter(&model);
    let (mask, _) = host.segment(&mut segmenter, &image);
    let input = host.texture(F::R8Unorm, w, h, &blobs(w, h));
    let halo = match segmenter.tileability().unwrap() {
        Tileability::Exact(spec) => spec.halo,
        other => panic!("{other:?}"),
    };
    // The segmenter's frame ends at the next multiple of 16.
    let (right, bottom) = (w.next_multiple_of(16) - halo, h.next_multiple_of(16) - halo);
    let options = nuclei_options(320, vec![OutputRequest::texture(FrameOutput::Mask)]);
    let exact = FrameOptions { exact: vec![[h, w], [h + 1, w]], ..options.clone() };
    for options in [options, exact] {
        let mut frame = frames.prepare(&options).unwrap();
        assert_eq!(
            frame.network_sizes().len(),
            if options.exact.is_empty() { 1 } else { 2 },
            "{:?}",
            frame.network_sizes()
        );
        let ids = host.target(F::R8Uint, w, h);
        let mut encoder = host.encoder();
        let roi = Roi::of_size(w as u32, h as u32);
        frame.encode(&mut encoder, FrameInput::Texture(&input), &[OutputTarget::texture(&ids)], roi).unwrap();
        host.submit(encoder);
        let found = host.read_texture(&ids);
        let differ: Vec<_> = (0..w * h).filter(|&i| found[i] != mask[i]).map(|i| (i % w, i / w)).collect();
        println!("{:?}: {} of {} pixels differ, halo {halo}", options.exact, differ.len(), w * h);
        assert!(options.exact.is_empty() || differ.is_empty(), "{differ:?}");
        assert!(differ.iter().all(|&(x, y)| x >= right || y >= bottom), "{differ:?} inside {right}x{bottom}");
        assert!(differ.len() <= w * h / 1000, "{} differ", differ.len());
    }
}

#[test]
fn what_a_device_needs_is_known_before_it_exists() {
    let Some(adapter) = host::adapter() else { return };
    let model = Model::open("nuclei").unwrap();
    let small = nuclei_options(256, vec![OutputRequest::texture(FrameOutput::Mask)]);
    let needed = requirements(&adapter, &model, &small).unwrap();
    assert_eq!(needed.required_limits, wgpu::Limits::default(), "the default limits suffice for 256x256");
    assert!(needed.required_features.is_empty());
    assert!(adapter.features().contains(needed.recommended_features));
    assert!(needed.reasons.iter().all(|r| !r.why.is_empty()));
    let named = |name: &str| needed.reasons.iter().find(|r| r.name == name);
    assert_eq!(named("SUBGROUP").is_some(), needed.recommended_features.contains(wgpu::Features::SUBGROUP));
    // Larger images need more, up to what the adapter has; a device with just that runs them.
    let mut refused = false;
    for size in [512, 4096] {
        let options = nuclei_options(size, vec![OutputRequest::texture(FrameOutput::Mask)]);
        match requirements(&adapter, &model, &options) {
            Ok(needed) => {
                let raised = needed.reasons.iter().any(|r| r.required);
                assert_eq!(raised, needed.required_limits != wgpu::Limits::default(), "{:?}", needed.reasons);
            }
            Err(e) => {
                refused = true;
                assert!(matches!(e, unet_wgpu::Error::Limit { .. }), "{e}");
            }
        }
    }
    assert!(refused || adapter.limits().max_storage_buffer_binding_size > 1 << 30);
    for recommended in [false, true] {
        let host = Host::open(recommended).unwrap();
        let fast = host.gpu.missing_features().any(|f| f.fast);
        assert_eq!(fast, !needed.recommended_features.contains(wgpu::Features::SUBGROUP) || !recommended);
        assert!(recommended || host.gpu.missing_features().count() == FEATURES.len());
        FrameModel::new(&host.gpu, model.clone()).prepare(&small).unwrap();
    }
}
