//! Statistics of an image on the device against the host's, through a network that returns its input.

use super::host::{Host, blobs};
use std::sync::Arc;
use unet_wgpu::Result;
use unet_wgpu::frame::{
    BufferInput, FrameInput, FrameModel, FrameOptions, FrameOutput, OutputRequest, OutputTarget, PixelFormat, Roi,
    SampleFormat, Strides,
};
use unet_wgpu::low_level::graph::{Graph, ValueId};
use unet_wgpu::low_level::infer::{Image, Pixels, normalise};
use unet_wgpu::low_level::model::{Architecture, Built, Model, SizeRule};
use unet_wgpu::low_level::ops::MaskRule;
use unet_wgpu::low_level::weights::{Checkpoint, ModelMetadata, Normalisation, PixelStep};

/// A network that returns its input.
#[derive(Debug)]
struct Nothing {
    channels: usize,
}

impl Architecture for Nothing {
    fn id(&self) -> &'static str {
        "nothing"
    }

    fn name(&self) -> &'static str {
        "Nothing"
    }

    fn in_channels(&self) -> usize {
        self.channels
    }

    fn out_channels(&self) -> usize {
        self.channels
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn size_rule(&self) -> SizeRule {
        SizeRule { minimum: 8, step: 8, margin: 0 }
    }

    fn build(&self, _: &mut Graph, x: ValueId) -> Result<Built> {
        let outputs = vec![("logits".to_string(), x)];
        Ok(Built { outputs, logits: x, probability: x, decision: x, rule: MaskRule::Argmax })
    }
}

pub(super) fn nothing(channels: usize, normalisation: Normalisation) -> Model {
    let metadata = ModelMetadata {
        format: 1,
        arch: "nothing".into(),
        config: serde_json::json!({}),
        normalisation,
        classes: vec![],
        target: None,
        instances: None,
        scale: None,
        recipe: None,
    };
    let weights = Checkpoint::default().weights;
    Model::with_architecture("nothing", Arc::new(Nothing { channels }), metadata, weights).unwrap()
}

/// Samples of `image` as bytes, and their type.
fn bytes_of(image: &Image) -> (SampleFormat, Vec<u8>) {
    match image.pixels() {
        Pixels::U8(v) => (SampleFormat::U8, v.clone()),
        Pixels::U16(v) => (SampleFormat::U16, bytemuck::cast_slice(v).to_vec()),
        Pixels::F32(v) => (SampleFormat::F32, bytemuck::cast_slice(v).to_vec()),
    }
}

/// Largest difference between the network's input on the device and the host's normalisation, relative to its scale.
fn difference(host: &Host, image: &Image, rule: &Normalisation) -> f32 {
    let (w, h, c) = (image.width(), image.height(), image.channels());
    let (sample, bytes) = bytes_of(image);
    let options = FrameOptions::new(
        [h + 5, w + 3],
        PixelFormat::new(sample, c),
        vec![OutputRequest::buffer(FrameOutput::Logits)],
    );
    let mut frame = FrameModel::new(&host.gpu, nothing(c, rule.clone())).prepare(&options).unwrap();
    let (input, output) = (host.buffer(&bytes, 0), host.buffer(&[], w * h * c * 4));
    // Twice: the counts of a frame must not reach the next.
    for _ in 0..2 {
        let mut encoder = host.encoder();
        let from = BufferInput { buffer: &input, offset: 0, strides: Strides::interleaved(w, c) };
        let roi = Roi::of_size(w as u32, h as u32);
        let to = [OutputTarget::buffer(&output)];
        frame.encode(&mut encoder, FrameInput::Buffer(from), &to, roi).unwrap();
        host.submit(encoder);
    }
    let found: Vec<f32> = bytemuck::pod_collect_to_vec(&host.read_buffer(&output));
    let maps = normalise(image, rule).unwrap();
    let value = |i: usize, k: usize| match image.pixels() {
        Pixels::U8(v) => f32::from(v[i * c + k]),
        Pixels::U16(v) => f32::from(v[i * c + k]),
        Pixels::F32(v) => v[i * c + k],
    };
    let (mut largest, mut scale) = (0.0f32, 0.0f32);
    for k in 0..c {
        for i in 0..w * h {
            let expected = maps[k].apply(value(i, k));
            largest = largest.max((found[k * w * h + i] - expected).abs());
            scale = scale.max(expected.abs());
        }
    }
    largest / scale
}

fn image(w: usize, h: usize, c: usize, sample: SampleFormat) -> Image {
    let blobs = blobs(w * c, h);
    let noise = |i: usize| ((i as u32).wrapping_mul(0x9e37_79b9) >> 20) as f32 / 4096.0;
    let pixels = match sample {
        SampleFormat::U8 => Pixels::U8(blobs),
        SampleFormat::U16 => {
            Pixels::U16(blobs.iter().enumerate().map(|(i, &v)| u16::from(v) * 200 + (i % 97) as u16).collect())
        }
        _ => Pixels::F32(blobs.iter().enumerate().map(|(i, &v)| (f32::from(v) - 60.0) * 0.37 + noise(i)).collect()),
    };
    Image::new(w, h, c, pixels).unwrap()
}

/// Rules for images of so many channels.
fn rules(channels: usize) -> Vec<Normalisation> {
    let linear = |gain: f64, offset: f64| PixelStep::Linear { gain: vec![gain], offset: vec![offset] };
    let clip = PixelStep::Clip { low: Some(-1.0), high: Some(1.25) };
    let mut all = vec![
        Normalisation::None,
        Normalisation::Unit,
        Normalisation::Scale { divisor: 77.0 },
        Normalisation::Fixed { mean: vec![0.25], std: vec![0.5] },
        Normalisation::Percentile { low: 1.0, high: 99.8, clamp: Some([0.0, 1.5]) },
        Normalisation::Percentile { low: 0.0, high: 37.3, clamp: None },
        Normalisation::MinMax,
        Normalisation::ZScore,
    ];
    let steps = |steps: &[PixelStep]| Normalisation::Steps { steps: steps.to_vec() };
    for joint in [false, true] {
        let standardise = PixelStep::Standardise { eps: 0.05, joint };
        let range = PixelStep::Range { low: 3.0, high: 96.5, eps: 0.5, joint };
        all.push(steps(&[linear(0.5, 3.0), standardise.clone(), clip.clone(), linear(-2.0, 0.25)]));
        all.push(steps(&[linear(2.0, -1.0), range.clone(), linear(1.5, -0.5), clip.clone()]));
        // Several that depend on the image, each on what the one before leaves.
        let narrow = PixelStep::Range { low: 20.0, high: 71.5, eps: 0.25, joint };
        let gain = if joint { vec![1.75] } else { (0..channels).map(|c| 0.5 + 0.75 * c as f64).collect() };
        let between = PixelStep::Linear { gain, offset: vec![-3.5] };
        all.push(steps(&[range.clone(), standardise.clone(), clip.clone(), linear(0.5, 0.25)]));
        all.push(steps(&[
            linear(-0.01, 2.0),
            standardise.clone(),
            linear(-4.0, 1.0),
            standardise.clone(),
            clip.clone(),
        ]));
        all.push(steps(&[range.clone(), between.clone(), narrow.clone(), linear(-2.0, 0.5), clip.clone()]));
        all.push(steps(&[
            narrow.clone(),
            range.clone(),
            standardise.clone(),
            range.clone(),
            between.clone(),
            range.clone(),
        ]));
        all.push(steps(&[standardise, narrow.clone(), between, range, narrow, linear(3.0, -1.0)]));
    }
    all
}

#[test]
fn normalisation_on_the_device_equals_the_hosts() {
    let Some(host) = Host::open(true) else { return };
    let mut largest = 0.0f32;
    for sample in [SampleFormat::U8, SampleFormat::U16, SampleFormat::F32] {
        for (w, h, c) in [(131, 67, 1), (40, 53, 3), (9, 5, 6)] {
            let image = image(w, h, c, sample);
            for rule in rules(c) {
                let found = difference(&host, &image, &rule);
                assert!(found <= 1e-6, "{sample:?} {w}x{h}x{c} {rule:?}: {found:e} of scale");
                largest = largest.max(found);
            }
        }
    }
    println!("largest difference: {largest:e} of scale");
}

/// A large image sums many values; a flat one has no spread.
#[test]
fn extreme_images_are_normalised_as_on_the_host() {
    let Some(host) = Host::open(true) else { return };
    let range = |low, high| PixelStep::Range { low, high, eps: 1e-6, joint: false };
    let rules = [
        Normalisation::ZScore,
        Normalisation::MinMax,
        Normalisation::Percentile { low: 1.0, high: 99.8, clamp: None },
        Normalisation::Steps {
            steps: vec![range(1.0, 99.8), PixelStep::Standardise { eps: 1e-6, joint: false }, range(25.0, 75.0)],
        },
    ];
    for rule in &rules {
        for sample in [SampleFormat::U16, SampleFormat::F32] {
            let found = difference(&host, &image(1021, 997, 1, sample), rule);
            assert!(found <= 1e-6, "large {sample:?} {rule:?}: {found:e}");
        }
        let flat = Image::new(50, 40, 1, Pixels::U8(vec![9; 2000])).unwrap();
        let (sample, bytes) = bytes_of(&flat);
        let options =
            FrameOptions::new([40, 50], PixelFormat::new(sample, 1), vec![OutputRequest::buffer(FrameOutput::Logits)]);
        let mut frame = FrameModel::new(&host.gpu, nothing(1, rule.clone())).prepare(&options).unwrap();
        let (input, output) = (host.buffer(&bytes, 0), host.buffer(&[1; 8000], 0));
        let mut encoder = host.encoder();
        let from = BufferInput { buffer: &input, offset: 0, strides: Strides::interleaved(50, 1) };
        let to = [OutputTarget::buffer(&output)];
        frame.encode(&mut encoder, FrameInput::Buffer(from), &to, Roi::of_size(50, 40)).unwrap();
        host.submit(encoder);
        assert!(host.read_buffer(&output).iter().all(|&b| b == 0), "a flat image becomes 0 under {rule:?}");
    }
}

/// The image contract: NaN and infinities count as 0, in the pixels and in the statistics.
#[test]
fn values_that_are_not_finite_count_as_zero() {
    let Some(host) = Host::open(true) else { return };
    let (w, h) = (33, 21);
    let rule = Normalisation::Percentile { low: 1.0, high: 99.8, clamp: None };
    let Pixels::F32(mut filled) = image(w, h, 1, SampleFormat::F32).pixels().clone() else { panic!() };
    let mut raw = filled.clone();
    for (i, v) in [(3, f32::NAN), (50, f32::INFINITY), (51, f32::NEG_INFINITY), (692, -f32::NAN)] {
        (raw[i], filled[i]) = (v, 0.0);
    }
    let options = FrameOptions::new(
        [h, w],
        PixelFormat::new(SampleFormat::F32, 1),
        vec![OutputRequest::buffer(FrameOutput::Logits)],
    );
    let mut frame = FrameModel::new(&host.gpu, nothing(1, rule)).prepare(&options).unwrap();
    let mut run = |pixels: &[f32]| {
        let (input, output) = (host.buffer(bytemuck::cast_slice(pixels), 0), host.buffer(&[], w * h * 4));
        let mut encoder = host.encoder();
        let from = BufferInput { buffer: &input, offset: 0, strides: Strides::interleaved(w, 1) };
        let to = [OutputTarget::buffer(&output)];
        frame.encode(&mut encoder, FrameInput::Buffer(from), &to, Roi::of_size(w as u32, h as u32)).unwrap();
        host.submit(encoder);
        host.read_buffer(&output)
    };
    assert_eq!(run(&raw), run(&filled));
}
