//! A moving picture and what a network sees in it, in one window: one device, one encoder and one submission per frame.
//!
//!     cargo run --release --example live
//!
//! A shader pans and turns an image into a texture, the `camera`, as a video decoder or a microscope would fill it. The network
//! reads that texture and fills another, the `overlay`. It has some milliseconds of each frame; what does not fit goes into the
//! next ones. So the picture on the left stays smooth, and the overlay on the right follows as fast as the device allows.

#[path = "live/scene.rs"]
mod scene;

use clap::Parser;
use scene::{Scene, Screen, Screenshot};
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use unet_wgpu::frame::{Budget, ColourOrder, Frame, FrameInput, FrameModel, FrameOptions, FrameOutput};
use unet_wgpu::frame::{OutputRequest, OutputTarget, PixelFormat, Roi, requirements};
use unet_wgpu::{Gpu, Model, wgpu};
use wgpu::{CurrentSurfaceTexture as Current, TextureFormat as F};
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::window::{Window, WindowId};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Clone, Parser)]
struct Options {
    /// A built-in model or a checkpoint
    #[arg(long, default_value = "nuclei")]
    model: String,
    /// Rows and columns that the network sees
    #[arg(long, default_value_t = 512)]
    size: u32,
    /// Milliseconds of each frame for the network
    #[arg(long, default_value_t = 8.0)]
    budget: f64,
    /// Milliseconds of each frame that an interface takes on the CPU
    #[arg(long, default_value_t = 0)]
    interface: u64,
    /// After so many frames stop the picture, wait for its overlay, print the frame times, end
    #[arg(long)]
    frames: Option<usize>,
    /// Save the last frame as PNG
    #[arg(long, requires = "frames")]
    screenshot: Option<PathBuf>,
}

struct Live {
    options: Options,
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    gpu: Gpu,
    network: Frame,
    scene: Scene,
    /// Frames drawn.
    frames: usize,
    /// When the device had finished each of them.
    finished: Arc<Mutex<Vec<Instant>>>,
    /// The frame in which the overlay in progress began.
    began: Option<usize>,
    /// Frames up to the last one with work of the network.
    worked: usize,
    overlays: usize,
}

impl Live {
    fn new(event_loop: &ActiveEventLoop, options: Options) -> Result<Self> {
        let size = options.size;
        let Screen { window, surface, adapter, config } = Screen::new(event_loop, size)?;

        // What the network reads and writes decides what the device must have.
        let order = if config.format == F::Bgra8Unorm { ColourOrder::Bgra } else { ColourOrder::Rgba };
        let input = PixelFormat::of_texture(F::R8Unorm)?;
        let outputs = vec![OutputRequest::texture(FrameOutput::Overlay(order))];
        let frame_options = FrameOptions::new([size as usize; 2], input, outputs);
        let model = Model::open(&options.model)?;
        let descriptor = requirements(&adapter, &model, &frame_options)?.descriptor();
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        surface.configure(&device, &config);
        let scene = Scene::new(&device, &queue, size, config.format)?;

        // Once: the network on this device, and how long its dispatches take, for budgets in milliseconds. None may take long.
        let gpu = Gpu::from_wgpu(device, queue)?;
        let mut network = FrameModel::new(&gpu, model).prepare(&frame_options)?;
        println!("{}: {} takes {:.1} ms", gpu.describe(), options.model, network.divide(options.budget / 4.0)?);
        let (finished, began) = (Arc::default(), None);
        #[rustfmt::skip]
        let live = Self { options, window, surface, config, gpu, network, scene, frames: 0, finished, began, worked: 0, overlays: 0 };
        Ok(live)
    }

    /// Draws a frame. Returns whether it was the last.
    fn draw(&mut self) -> Result<bool> {
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        let window = match self.surface.get_current_texture() {
            Current::Success(texture) | Current::Suboptimal(texture) => texture,
            Current::Timeout | Current::Occluded => return Ok(false),
            Current::Outdated => {
                self.surface.configure(device, &self.config);
                return Ok(false);
            }
            lost => return Err(format!("the surface is gone: {lost:?}").into()),
        };
        let last = self.options.frames.unwrap_or(usize::MAX);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.scene.draw_camera(queue, &mut encoder, self.frames.min(last));

        // The network's part of this frame, unless the device is still busy with its part of an earlier one.
        device.poll(wgpu::PollType::Poll)?;
        let mut done = false;
        if self.finished().len() >= self.worked {
            if self.began.is_none() {
                let overlay = [OutputTarget::texture(&self.scene.overlay)];
                let size = Roi::of_size(self.options.size, self.options.size);
                self.network.start(FrameInput::Texture(&self.scene.camera), &overlay, size)?;
            }
            let began = self.began.unwrap_or(self.frames);
            let progress = self.network.encode_some(&mut encoder, Budget::Milliseconds(self.options.budget))?;
            self.began = if progress.finished() { None } else { Some(began) };
            self.overlays += usize::from(progress.finished());
            self.worked = self.frames + 1;
            done = progress.finished() && began >= last;
        }

        self.scene.draw_window(&mut encoder, &window.texture);
        let saved = self.options.screenshot.as_ref().filter(|_| done);
        let screenshot = saved.map(|path| (Screenshot::of(device, &mut encoder, &window.texture), path));
        let finished = self.finished.clone();
        encoder.on_submitted_work_done(move || {
            finished.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        });
        let submission = queue.submit([encoder.finish()]);
        self.window.pre_present_notify();
        queue.present(window);
        self.frames += 1;

        // Whatever else the application does.
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(self.options.interface) {}
        if done {
            self.gpu.wait(submission)?;
            self.report();
            if let Some((screenshot, path)) = screenshot {
                screenshot?.save(path)?;
            }
        }
        Ok(done)
    }

    fn finished(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the times between frames, as the device finished them.
    fn report(&self) {
        let mut times: Vec<f64> = self.finished().windows(2).map(|t| (t[1] - t[0]).as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let end = times.len().saturating_sub(1);
        let [half, most, slowest] = [50, 95, 100].map(|n| times.get((times.len() * n / 100).min(end)).unwrap_or(&0.0));
        let (frames, overlays) = (self.frames, self.overlays);
        println!("{frames} frames: 50 % under {half:.1} ms, 95 % under {most:.1} ms, the slowest {slowest:.1} ms");
        println!("{overlays} overlays");
    }
}

/// The window's events.
struct App {
    options: Options,
    live: Option<Live>,
    outcome: Result<()>,
}

impl App {
    fn end(&mut self, event_loop: &ActiveEventLoop, outcome: Result<()>) {
        self.outcome = outcome;
        event_loop.exit();
    }
}

impl winit::application::ApplicationHandler for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        match Live::new(event_loop, self.options.clone()) {
            Ok(live) => self.live.insert(live).window.request_redraw(),
            Err(e) => self.end(event_loop, Err(e)),
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match (&mut self.live, event) {
            (Some(live), WindowEvent::RedrawRequested) => match live.draw() {
                Ok(false) => live.window.request_redraw(),
                ended => self.end(event_loop, ended.map(drop)),
            },
            (_, WindowEvent::CloseRequested) => self.end(event_loop, Ok(())),
            _ => {}
        }
    }
}

fn main() -> Result<()> {
    let mut app = App { options: Options::parse(), live: None, outcome: Ok(()) };
    EventLoop::new()?.run_app(&mut app)?;
    app.outcome
}
