//! An image of 10,000 x 10,000 pixels with labels: the host's share of each frame stays small.

use super::app::{Map, device, hash, open, settle};
use eframe::egui::{Color32, Context, RawInput, Rect, Vec2, pos2};
use eframe::{egui_wgpu, wgpu};
use egui_wgpu::ScreenDescriptor;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use unet_studio::canvas::{Background, Canvas, CanvasImage, LabelLayer, LabelStyle, Scene, View};
use unet_wgpu::{Image, Pixels};

const SIDE: u32 = 10_000;

fn image() -> Image {
    let value = |i: u32| (((i % SIDE / 16) ^ (i / SIDE / 16)) as u8).wrapping_add((hash(i) % 16) as u8);
    Image::new(SIDE as usize, SIDE as usize, 1, Pixels::U8((0..SIDE * SIDE).map(value).collect())).unwrap()
}

/// Milliseconds that this thread has run; of a clock where the system does not say.
fn time() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|t| t.split(' ').next()?.parse::<f64>().ok());
    static START: OnceLock<Instant> = OnceLock::new();
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3, |n| n / 1e6)
}

/// Milliseconds of widget, uploads and recording of a frame; drawing itself does not count.
fn frame(
    ctx: &Context,
    state: &egui_wgpu::RenderState,
    renderer: &mut egui_wgpu::Renderer,
    target: &wgpu::TextureView,
    canvas: &mut Canvas,
    scene: &Scene,
    drawn: bool,
) -> f64 {
    let screen = ScreenDescriptor { size_in_pixels: [1920, 1080], pixels_per_point: 1.0 };
    let input = RawInput {
        screen_rect: Some(Rect::from_min_size(pos2(0.0, 0.0), Vec2::new(1920.0, 1080.0))),
        ..Default::default()
    };
    let start = time();
    let output = ctx.run_ui(input, |ui| {
        canvas.show(ui, scene);
    });
    let jobs = ctx.tessellate(output.shapes.clone(), 1.0);
    for (id, deltas) in output.textures_delta.set.iter() {
        for delta in deltas {
            renderer.update_texture(&state.device, &state.queue, *id, delta);
        }
    }
    output.drop_without_applying_deltas();
    let mut encoder = state.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let commands = renderer.update_buffers(&state.device, &state.queue, &mut encoder, &jobs, &screen);
    let mut pass = encoder
        .begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: target,
                resolve_target: None,
                ops: wgpu::Operations::default(),
                depth_slice: None,
            })],
            ..Default::default()
        })
        .forget_lifetime();
    renderer.render(&mut pass, &jobs, &screen);
    drop(pass);
    let buffer = encoder.finish();
    let milliseconds = time() - start;
    // A device without a GPU draws for long, so that most frames only upload.
    let drawn = drawn.then_some(buffer);
    state.queue.submit(commands.into_iter().chain(drawn));
    state.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    milliseconds
}

#[test]
fn panning_a_large_image_takes_the_host_little_time() {
    if !device() {
        return;
    }
    let setup = egui_kittest::wgpu::default_wgpu_setup();
    let state = egui_kittest::wgpu::create_render_state(setup, egui_wgpu::RendererOptions::PREDICTABLE);
    let image = CanvasImage::new(Arc::new(image()));
    let labels = Map::new([SIDE; 2], |x, y| if x % 40 < 30 && y % 40 < 30 { y / 40 * 250 + x / 40 + 1 } else { 0 });
    let target = state.device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: 1920, height: 1080, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: state.target_format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    });
    let target = target.create_view(&wgpu::TextureViewDescriptor::default());
    let scene = Scene {
        image: Some(&image),
        labels: Some(LabelLayer { key: 1, tiles: &labels, style: LabelStyle::default() }),
        background: Some(Background::Checkered(Color32::BLACK, Color32::GRAY)),
        pixel_size: Some(0.5),
        ..Default::default()
    };
    let (ctx, mut canvas) = (Context::default(), Canvas::new(state.target_format));
    let mut renderer = state.renderer.write();
    for zoom in [1.0, 0.6, 0.2] {
        let mut times = Vec::new();
        for i in 0..100 {
            let along = f64::from(i) * 60.0;
            canvas.view = Some(View { centre: [1500.0 + along, 2000.0 + along / 2.0], zoom });
            times.push(frame(&ctx, &state, &mut renderer, &target, &mut canvas, &scene, i % 20 == 19));
        }
        let (first, mean) = (times[0], times.iter().sum::<f64>() / 100.0);
        times.sort_by(f64::total_cmp);
        let (most, held) = (times[95], canvas.held_bytes() >> 20);
        println!("zoom {zoom}: mean {mean:.2} ms, 95 % under {most:.1} ms, the first {first:.1} ms; {held} MiB held");
        // Of an unoptimised build on a busy machine.
        assert!(most < 40.0, "{most} ms");
        assert!(held <= 256);
    }
}

#[test]
fn memory_on_the_device_is_bounded() {
    if !device() {
        return;
    }
    let values = (0..4000 * 4000u32).map(|i| hash(i) as u16).collect();
    let mut harness = open(Image::new(4000, 4000, 1, Pixels::U16(values)).unwrap(), [500.0, 400.0], 1.0);
    harness.state_mut().canvas.set_budget(5 << 20);
    for i in 0..12 {
        let at = 300.0 * f64::from(i) + 200.0;
        harness.state_mut().canvas.view = Some(View { centre: [at, at], zoom: 1.0 });
        settle(&mut harness);
        let held = harness.state().canvas.held_bytes();
        assert!(held <= 5 << 20, "{held}");
    }
    assert!(harness.state().canvas.uploads().image_tiles > 12);
}
