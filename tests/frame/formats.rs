//! Every format of the host's images and results, with odd sizes, strides, and rectangles of larger images.

use super::host::{Host, blobs};
use super::statistics::nothing;
use half::f16;
use unet_wgpu::frame::{
    BufferInput, ColourOrder, FrameInput, FrameModel, FrameOptions, FrameOutput, OutputRequest, OutputTarget,
    PixelFormat, PlaneFormat, Roi, SampleFormat, Strides,
};
use unet_wgpu::low_level::infer::{Image, Pixels, palette};
use unet_wgpu::low_level::weights::Normalisation;
use wgpu::TextureFormat as F;

const W: usize = 45;
const H: usize = 29;

fn red(i: usize) -> u8 {
    (i * 7 % 251) as u8
}

/// The raw pixels that a network of `channels` channels gets from an image in a texture.
fn raw(host: &Host, format: F, texels: &[u8], channels: usize) -> Vec<f32> {
    let options = FrameOptions::new(
        [H + 3, W + 7],
        PixelFormat::of_texture(format).unwrap(),
        vec![OutputRequest::buffer(FrameOutput::Logits)],
    );
    let mut frame = FrameModel::new(&host.gpu, nothing(channels, Normalisation::None)).prepare(&options).unwrap();
    let texture = host.texture(format, W, H, texels);
    let output = host.buffer(&[], W * H * channels * 4);
    let mut encoder = host.encoder();
    let to = [OutputTarget::buffer(&output)];
    frame.encode(&mut encoder, FrameInput::Texture(&texture), &to, Roi::of_size(W as u32, H as u32)).unwrap();
    host.submit(encoder);
    bytemuck::pod_collect_to_vec(&host.read_buffer(&output))
}

#[test]
fn textures_are_read_as_files_are() {
    let Some(host) = Host::open(true) else { return };
    let pixels = W * H;
    let bytes: Vec<u8> = (0..pixels).map(red).collect();
    let expected: Vec<f32> = bytes.iter().map(|&v| f32::from(v)).collect();
    assert_eq!(raw(&host, F::R8Unorm, &bytes, 1), expected);
    let wide: Vec<u16> = (0..pixels).map(|i| (i * 51) as u16).collect();
    let wide_values: Vec<f32> = wide.iter().map(|&v| f32::from(v)).collect();
    if host.gpu.device().features().contains(wgpu::Features::TEXTURE_FORMAT_16BIT_NORM) {
        assert_eq!(raw(&host, F::R16Unorm, bytemuck::cast_slice(&wide), 1), wide_values);
    }
    assert_eq!(raw(&host, F::R16Uint, bytemuck::cast_slice(&wide), 1), wide_values);
    let halves: Vec<f16> = (0..pixels).map(|i| f16::from_f32((i as f32 - 300.0) * 0.013)).collect();
    let half_values: Vec<f32> = halves.iter().map(|v| v.to_f32()).collect();
    assert_eq!(raw(&host, F::R16Float, bytemuck::cast_slice(&halves), 1), half_values);
    let floats: Vec<f32> = (0..pixels).map(|i| (i as f32 - 300.0) * 0.013).collect();
    assert_eq!(raw(&host, F::R32Float, bytemuck::cast_slice(&floats), 1), floats);

    // Colours for a network of three channels, and grey for one of one, as the host makes it of a file.
    let rgba: Vec<u8> = (0..pixels).flat_map(|i| [red(i), red(i + 11), red(i * 3), red(i * 5)]).collect();
    let image = Image::new(W, H, 3, Pixels::U8(rgba.chunks(4).flat_map(|p| p[..3].to_vec()).collect())).unwrap();
    let Pixels::U8(grey) = image.to_channels(1).unwrap().pixels().clone() else { panic!() };
    let grey: Vec<f32> = grey.iter().map(|&v| f32::from(v)).collect();
    let planes: Vec<f32> = (0..3).flat_map(|c| rgba.iter().skip(c).step_by(4).map(|&v| f32::from(v))).collect();
    let bgra: Vec<u8> = rgba.chunks(4).flat_map(|p| [p[2], p[1], p[0], p[3]]).collect();
    for (format, texels) in
        [(F::Rgba8Unorm, &rgba), (F::Rgba8UnormSrgb, &rgba), (F::Bgra8Unorm, &bgra), (F::Bgra8UnormSrgb, &bgra)]
    {
        assert_eq!(raw(&host, format, texels, 3), planes, "{format:?}");
        assert_eq!(raw(&host, format, texels, 1), grey, "{format:?}, grey");
    }
    let halves: Vec<f16> = rgba.iter().map(|&v| f16::from_f32(f32::from(v) / 8.0)).collect();
    let half_planes: Vec<f32> = planes.iter().map(|v| v / 8.0).collect();
    assert_eq!(raw(&host, F::Rgba16Float, bytemuck::cast_slice(&halves), 3), half_planes);
    // One channel is given to each of three.
    assert_eq!(raw(&host, F::R8Unorm, &bytes, 3), expected.repeat(3));
}

#[test]
fn buffers_are_read_with_their_strides() {
    let Some(host) = Host::open(true) else { return };
    // An image of which a rectangle is read.
    let (w, h) = (61, 40);
    for (sample, channels) in [
        (SampleFormat::U8, 1),
        (SampleFormat::U8, 3),
        (SampleFormat::U16, 1),
        (SampleFormat::U16, 4),
        (SampleFormat::F16, 3),
        (SampleFormat::F32, 1),
        (SampleFormat::F32, 2),
    ] {
        let value = |x: usize, y: usize, c: usize| ((x * 3 + y * 5 + c * 101) % 251) as f32;
        let strides = [
            Strides::interleaved(w, channels),
            // A row of padding samples, so that rows begin at words.
            Strides { row: (w * channels).next_multiple_of(4), pixel: channels, channel: 1 },
            Strides::planar(w.next_multiple_of(4), h),
        ];
        let options = FrameOptions::new(
            [H, W],
            PixelFormat::new(sample, channels),
            vec![OutputRequest::buffer(FrameOutput::Logits)],
        );
        let model = nothing(channels, Normalisation::None);
        let mut frame = FrameModel::new(&host.gpu, model).prepare(&options).unwrap();
        for (number, s) in strides.into_iter().enumerate() {
            let roi = match number {
                // Rows without gaps are copied as a whole, so the rectangle must be as wide as the image: here it is the image's
                // first pixels.
                0 => Roi { x: 0, y: 3, width: 1, height: 1 },
                _ => Roi { x: 5, y: 3, width: W as u32 - 2, height: H as u32 - 1 },
            };
            let last = (h - 1) * s.row + (w - 1) * s.pixel + (channels - 1) * s.channel + 1;
            let mut samples = vec![0.0f32; last];
            for (y, x, c) in (0..h).flat_map(|y| (0..w).flat_map(move |x| (0..channels).map(move |c| (y, x, c)))) {
                samples[y * s.row + x * s.pixel + c * s.channel] = value(x, y, c);
            }
            let bytes: Vec<u8> = match sample {
                SampleFormat::U8 => samples.iter().map(|&v| v as u8).collect(),
                SampleFormat::U16 => samples.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect(),
                SampleFormat::F16 => samples.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
                SampleFormat::F32 => bytemuck::cast_slice(&samples).to_vec(),
            };
            // A header of one word ahead of the image.
            let input = host.buffer(&[&[7u8; 4][..], &bytes[..]].concat(), 0);
            let (rw, rh) = (roi.width as usize, roi.height as usize);
            let output = host.buffer(&[], rw * rh * channels * 4);
            let mut encoder = host.encoder();
            let from = BufferInput { buffer: &input, offset: 4, strides: s };
            frame.encode(&mut encoder, FrameInput::Buffer(from), &[OutputTarget::buffer(&output)], roi).unwrap();
            host.submit(encoder);
            let found: Vec<f32> = bytemuck::pod_collect_to_vec(&host.read_buffer(&output));
            for (c, y, x) in (0..channels).flat_map(|c| (0..rh).flat_map(move |y| (0..rw).map(move |x| (c, y, x)))) {
                let expected = value(x + roi.x as usize, y + roi.y as usize, c);
                assert_eq!(found[(c * rh + y) * rw + x], expected, "{sample:?} {s:?} at {x}, {y}, {c}");
            }
        }
    }
}

/// Rows that begin at any byte of a word, as wide as was prepared.
#[test]
fn a_rectangle_may_begin_inside_a_word() {
    let Some(host) = Host::open(true) else { return };
    let (w, h, stride) = (256, 8, 300);
    let options = FrameOptions::new(
        [h, w],
        PixelFormat::new(SampleFormat::U8, 1),
        vec![OutputRequest::buffer(FrameOutput::Logits)],
    );
    let mut frame = FrameModel::new(&host.gpu, nothing(1, Normalisation::None)).prepare(&options).unwrap();
    let samples: Vec<u8> = (0..stride * h).map(|i| (i * 7 % 253) as u8).collect();
    let (input, output) = (host.buffer(&samples, 0), host.buffer(&[], w * h * 4));
    for x in 0..5 {
        let mut encoder = host.encoder();
        let strides = Strides { row: stride, pixel: 1, channel: 1 };
        let from = BufferInput { buffer: &input, offset: 0, strides };
        let roi = Roi { x, y: 0, width: w as u32, height: h as u32 };
        frame.encode(&mut encoder, FrameInput::Buffer(from), &[OutputTarget::buffer(&output)], roi).unwrap();
        host.submit(encoder);
        let found: Vec<f32> = bytemuck::pod_collect_to_vec(&host.read_buffer(&output));
        let expected = (0..w * h).map(|i| f32::from(samples[i / w * stride + i % w + x as usize]));
        assert_eq!(found, expected.collect::<Vec<f32>>(), "from column {x}");
    }
}

/// Class ids, probabilities in three formats, logits and overlays of one frame agree with each other, in textures and buffers,
/// at a place inside the host's textures.
#[test]
fn results_agree_in_every_format() {
    let Some(host) = Host::open(true) else { return };
    let (w, h) = (W, H);
    let rgba: Vec<u8> = blobs(w, h).iter().flat_map(|&v| [v, v / 2, 255 - v, 9]).collect();
    let image = Image::new(w, h, 3, Pixels::U8(rgba.chunks(4).flat_map(|p| p[..3].to_vec()).collect())).unwrap();
    let model = nothing(3, Normalisation::Unit);
    let plane = |format| FrameOutput::Probability { class: 2, format };
    let overlay = FrameOutput::Overlay;
    let outputs = [
        (FrameOutput::Mask, F::R8Uint),
        (plane(PlaneFormat::Unorm8), F::R8Unorm),
        (plane(PlaneFormat::F16), F::R16Float),
        (plane(PlaneFormat::F32), F::R32Float),
        (overlay(ColourOrder::Rgba), F::Rgba8UnormSrgb),
        (overlay(ColourOrder::Bgra), F::Bgra8Unorm),
    ];
    let mut requests: Vec<_> = outputs.iter().map(|o| OutputRequest::texture(o.0)).collect();
    requests.extend(outputs[..4].iter().map(|o| OutputRequest::buffer(o.0)));
    requests.push(OutputRequest::buffer(FrameOutput::Logits));
    let options = FrameOptions::new([h, w], PixelFormat::of_texture(F::Rgba8Unorm).unwrap(), requests.clone());
    let mut frame = FrameModel::new(&host.gpu, model.clone()).prepare(&options).unwrap();
    let textures: Vec<_> = outputs.iter().map(|o| host.target(o.1, w + 6, h + 4)).collect();
    let buffers: Vec<_> = requests[6..]
        .iter()
        .map(|r| {
            let planes = if r.output == FrameOutput::Logits { 3 } else { 1 };
            host.buffer(&[], 8 + r.row_bytes(w) * h * planes)
        })
        .collect();
    let mut targets: Vec<_> = textures.iter().map(|texture| OutputTarget::Texture { texture, x: 5, y: 3 }).collect();
    targets.extend(buffers.iter().map(|buffer| OutputTarget::Buffer { buffer, offset: 8 }));
    let input = host.texture(F::Rgba8Unorm, w, h, &rgba);
    let mut encoder = host.encoder();
    frame.encode(&mut encoder, FrameInput::Texture(&input), &targets, Roi::of_size(w as u32, h as u32)).unwrap();
    host.submit(encoder);

    let (mask, _) = host.segment(&mut host.segmenter(&model), &image);
    assert!(mask.contains(&0) && mask.contains(&2), "two classes");
    // Texels of the rectangle, rows without gaps.
    let texels = |i: usize| {
        let all = host.read_texture(&textures[i]);
        let texel = all.len() / ((w + 6) * (h + 4));
        assert!(all[..texel * (w + 6) * 3].iter().all(|&b| b == 0), "outside the rectangle nothing is written");
        let row = |y: usize| all[((y + 3) * (w + 6) + 5) * texel..][..w * texel].to_vec();
        (0..h).flat_map(row).collect::<Vec<u8>>()
    };
    let rows = |i: usize, bytes: usize| {
        let (all, stride) = (host.read_buffer(&buffers[i]), requests[6 + i].row_bytes(w));
        (0..h).flat_map(|y| all[8 + y * stride..][..w * bytes].to_vec()).collect::<Vec<u8>>()
    };
    let expected: Vec<f32> = rgba.chunks(4).map(|p| f32::from(p[2]) * (1.0 / 255.0f64) as f32).collect();
    assert_eq!(texels(0), mask);
    assert_eq!(texels(1), rgba.chunks(4).map(|p| p[2]).collect::<Vec<u8>>());
    let halves: Vec<u8> = expected.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    assert_eq!(texels(2), halves);
    assert_eq!(texels(3), bytemuck::cast_slice::<f32, u8>(&expected));
    for (i, bytes) in [1, 1, 2, 4].into_iter().enumerate() {
        assert_eq!(rows(i, bytes), texels(i), "{:?}", outputs[i].0);
    }
    let logits: Vec<f32> = bytemuck::pod_collect_to_vec(&host.read_buffer(&buffers[4])[8..]);
    assert_eq!(logits[2 * w * h..][..w * h], expected);
    // The rule of `write_overlay`, over the pixels as they are.
    let id = |x: usize, y: usize| mask[y * w + x];
    let colour = |x: usize, y: usize| {
        let (shown, own) = (&rgba[(y * w + x) * 4..][..3], palette(id(x, y).into()));
        let near = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
        let edge = near.iter().any(|&(a, b)| a < w && b < h && id(a, b) != id(x, y));
        let tint = |c: usize| ((u32::from(shown[c]) * 65 + u32::from(own[c]) * 35 + 50) / 100) as u8;
        match (id(x, y), edge) {
            (0, _) => [shown[0], shown[1], shown[2], 255],
            (_, true) => [own[0], own[1], own[2], 255],
            _ => [tint(0), tint(1), tint(2), 255],
        }
    };
    let expected: Vec<u8> = (0..w * h).flat_map(|i| colour(i % w, i / w)).collect();
    assert_eq!(texels(4), expected);
    let swapped: Vec<u8> = expected.chunks(4).flat_map(|p| [p[2], p[1], p[0], p[3]]).collect();
    assert_eq!(texels(5), swapped);
}

/// What wgpu would refuse is an error before anything is recorded.
#[test]
fn what_does_not_fit_is_an_error() {
    let Some(host) = Host::open(true) else { return };
    let options = FrameOptions::new(
        [16, 24],
        PixelFormat::of_texture(F::R8Unorm).unwrap(),
        vec![OutputRequest::texture(FrameOutput::Mask)],
    );
    let model = nothing(1, Normalisation::Unit);
    let frames = FrameModel::new(&host.gpu, model);
    let mut frame = frames.prepare(&options).unwrap();
    let (grey, colour) = (host.texture(F::R8Unorm, 24, 16, &[0; 384]), host.texture(F::Rgba8Unorm, 24, 16, &[0; 1536]));
    let (ids, wrong) = (host.target(F::R8Uint, 20, 16), host.target(F::R8Unorm, 24, 16));
    let buffer = host.buffer(&[0; 64], 0);
    let mut error = |input: &wgpu::Texture, targets: &[OutputTarget], roi: Roi| {
        let mut encoder = host.encoder();
        let e = frame.encode(&mut encoder, FrameInput::Texture(input), targets, roi).unwrap_err().to_string();
        host.submit(encoder);
        e
    };
    let all = Roi::of_size(20, 16);
    let good = [OutputTarget::texture(&ids)];
    for (e, part) in [
        (error(&grey, &good, Roi::of_size(25, 16)), "prepared are 1x1 to 24x16"),
        (error(&grey, &good, Roi::of_size(0, 16)), "prepared are"),
        (error(&grey, &good, Roi::of_size(24, 16)), "mask texture: of 20x16 does not hold 24x16 pixels at (0, 0)"),
        (error(&grey, &good, Roi { x: 10, ..all }), "input texture: of 24x16 does not hold 20x16 pixels at (10, 0)"),
        (error(&grey, &good, Roi { x: u32::MAX, ..all }), "does not hold"),
        (error(&grey, &[], all), "0 are given, 1 were prepared"),
        (error(&grey, &[OutputTarget::texture(&wrong)], all), "R8Unorm does not hold Mask"),
        (error(&grey, &[OutputTarget::buffer(&buffer)], all), "was prepared for a Texture"),
        (error(&colour, &good, all), "Rgba8Unorm, prepared is"),
    ] {
        assert!(e.contains(part), "{part}: {e}");
    }
    let of = |outputs| FrameOptions { outputs, ..options.clone() };
    let class = |class| FrameOutput::Probability { class, format: PlaneFormat::F32 };
    let prepared = |outputs| frames.prepare(&of(outputs)).map(drop).map_err(|e| e.to_string());
    assert!(prepared(vec![]).unwrap_err().contains("0 outputs"));
    assert!(prepared(vec![OutputRequest::texture(class(2))]).unwrap_err().contains("no plane of class 2"));
    assert!(prepared(vec![OutputRequest::texture(FrameOutput::Logits)]).unwrap_err().contains("logits"));
}

/// Kernels run unchecked; with every index checked they give the same, so none is out of bounds.
#[test]
fn no_index_is_out_of_bounds() {
    let Some(host) = Host::open(true) else { return };
    let outputs = [
        FrameOutput::Mask,
        FrameOutput::Probability { class: 1, format: PlaneFormat::F16 },
        FrameOutput::Logits,
        FrameOutput::Overlay(ColourOrder::Rgba),
    ];
    let rules =
        [Normalisation::Percentile { low: 1.0, high: 99.8, clamp: None }, Normalisation::ZScore, Normalisation::MinMax];
    for (format, texel) in [(F::R8Unorm, 1), (F::R32Float, 4), (F::Rgba16Float, 8)] {
        for rule in &rules {
            let run = |gpu: &unet_wgpu::Gpu| {
                let options = FrameOptions::new(
                    [H, W],
                    PixelFormat::of_texture(format).unwrap(),
                    outputs.map(OutputRequest::buffer).to_vec(),
                );
                let channels = if texel == 8 { 3 } else { 1 };
                let mut frame = FrameModel::new(gpu, nothing(channels, rule.clone())).prepare(&options).unwrap();
                let value = |i: usize| if i % 101 == 7 { f32::NAN } else { (i * i % 253) as f32 * 0.5 };
                let texels: Vec<u8> = match texel {
                    1 => (0..W * H).map(|i| (i * i % 253) as u8).collect(),
                    4 => (0..W * H).flat_map(|i| value(i).to_le_bytes()).collect(),
                    _ => (0..W * H * 4).flat_map(|i| f16::from_f32(value(i)).to_le_bytes()).collect(),
                };
                let input = host.texture(format, W, H, &texels);
                let buffers = outputs.map(|_| host.buffer(&[], W * (H + 2) * 4 * 3));
                let targets = buffers.each_ref().map(OutputTarget::buffer);
                let mut encoder = host.encoder();
                let roi = Roi::of_size(W as u32, H as u32);
                frame.encode(&mut encoder, FrameInput::Texture(&input), &targets, roi).unwrap();
                host.submit(encoder);
                buffers.map(|b| host.read_buffer(&b))
            };
            assert!(run(&host.gpu) == run(&host.gpu.with_checked_shaders()), "{format:?} {rule:?}");
        }
    }
}
