//! The network inside egui's frames: recorded in egui's command encoder, on egui's device, from a texture that egui shows into
//! another one that it shows.

use crate::Result;
use eframe::egui_wgpu::{CallbackResources, CallbackTrait, RenderState, ScreenDescriptor};
use eframe::{egui, wgpu};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use unet_wgpu::frame::{
    Budget, ColourOrder, EncodeProgress, Frame, FrameInput, FrameModel, FrameOptions, FrameOutput, OutputRequest,
    OutputTarget, PixelFormat, Roi,
};
use unet_wgpu::{Gpu, Model};

/// Frames whose times are kept.
const LATEST: usize = 1000;

/// What the network reads and writes: images of egui's own format, and the overlay as a texture.
pub(crate) fn frame_options(size: u32) -> unet_wgpu::Result<FrameOptions> {
    let input = PixelFormat::of_texture(wgpu::TextureFormat::Rgba8Unorm)?;
    let outputs = vec![OutputRequest::texture(FrameOutput::Overlay(ColourOrder::Rgba))];
    Ok(FrameOptions::new([size as usize; 2], input, outputs))
}

/// A prepared network and the textures it works on. egui's renderer keeps it among its resources.
struct Network {
    frame: Frame,
    size: u32,
    image: wgpu::Texture,
    /// One is shown while the other is written.
    overlays: [wgpu::Texture; 2],
    /// The corner of the part of the image whose overlay is in progress.
    running: Option<[u32; 2]>,
    /// Frames up to the last one with work of the network.
    worked: usize,
    frames: usize,
}

/// What the interface knows of the network.
#[derive(Default)]
pub(crate) struct State {
    /// The corner of the part of the image that the overlay shows.
    pub shown: Option<[u32; 2]>,
    pub progress: Option<EncodeProgress>,
    pub overlays: usize,
    /// Frames that the device has finished, and when it had finished the latest of them.
    pub frames: usize,
    pub finished: VecDeque<Instant>,
    pub error: Option<String>,
}

impl State {
    fn finish(&mut self, time: Instant) {
        if self.finished.len() == LATEST {
            self.finished.pop_front();
        }
        self.finished.push_back(time);
        self.frames += 1;
    }

    /// Milliseconds between the latest frames.
    pub fn milliseconds(&self) -> Vec<f64> {
        let later = self.finished.iter().skip(1);
        self.finished.iter().zip(later).map(|(a, b)| (*b - *a).as_secs_f64() * 1e3).collect()
    }
}

/// The textures as egui knows them.
pub(crate) struct Shown {
    pub image: egui::TextureId,
    /// They take turns: after `State::overlays` results number `(overlays + 1) % 2` is complete.
    pub overlays: [egui::TextureId; 2],
    /// Milliseconds of an overlay.
    pub ms: f64,
    pub device: String,
}

/// Prepares the network on egui's device, for parts of this image of `size` x `size` pixels.
pub(crate) fn prepare(egui: &RenderState, model: Model, size: u32, image: &egui::ColorImage) -> Result<Shown> {
    let gpu = Gpu::from_wgpu(egui.device.clone(), egui.queue.clone())?;
    let mut frame = FrameModel::new(&gpu, model).prepare(&frame_options(size)?)?;
    // No dispatch may take long, or it exceeds the budget.
    let ms = frame.divide(2.0)?;
    let texture = |label, [width, height]: [u32; 2], usage| {
        egui.device.create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: usage | wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        })
    };
    let [width, height] = image.size.map(|n| n as u32);
    let whole = texture("image", [width, height], wgpu::TextureUsages::COPY_SRC);
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * width), rows_per_image: None };
    egui.queue.write_texture(whole.as_image_copy(), image.as_raw(), layout, whole.size());
    let overlays = [0, 1].map(|_| texture("overlay", [size; 2], wgpu::TextureUsages::empty()));

    let mut renderer = egui.renderer.write();
    let mut register = |texture: &wgpu::Texture| {
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        renderer.register_native_texture(&egui.device, &view, wgpu::FilterMode::Nearest)
    };
    let shown = Shown {
        image: register(&whole),
        overlays: [register(&overlays[0]), register(&overlays[1])],
        ms,
        device: gpu.describe(),
    };
    let network = Network { frame, size, image: whole, overlays, running: None, worked: 0, frames: 0 };
    renderer.callback_resources.insert(network);
    Ok(shown)
}

/// The network's part of a frame, a callback that egui calls before it draws.
pub(crate) struct Part {
    /// The corner of the part of the image to look at.
    pub place: [u32; 2],
    /// Milliseconds.
    pub budget: f64,
    pub state: Arc<Mutex<State>>,
}

pub(crate) fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CallbackTrait for Part {
    /// Whatever is recorded here runs before egui's own drawing, in the same submission.
    fn prepare(
        &self,
        device: &wgpu::Device,
        _: &wgpu::Queue,
        _: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(network) = resources.get_mut::<Network>()
            && let Err(e) = network.record(device, encoder, self)
        {
            locked(&self.state).error = Some(e.to_string());
        }
        Vec::new()
    }

    fn paint(&self, _: egui::PaintCallbackInfo, _: &mut wgpu::RenderPass<'static>, _: &CallbackResources) {}
}

impl Network {
    fn record(&mut self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder, part: &Part) -> Result<()> {
        device.poll(wgpu::PollType::Poll)?;
        let finished = part.state.clone();
        encoder.on_submitted_work_done(move || locked(&finished).finish(Instant::now()));
        self.frames += 1;
        let mut state = locked(&part.state);
        let due = self.running.is_some() || state.shown != Some(part.place);
        // No new work while the device is still busy with an earlier part: the interface would wait for both.
        if !due || state.frames < self.worked {
            return Ok(());
        }
        let place = match self.running {
            Some(place) => place,
            None => {
                let [x, y] = part.place;
                let roi = Roi { x, y, width: self.size, height: self.size };
                let overlay = [OutputTarget::texture(&self.overlays[state.overlays % 2])];
                self.frame.start(FrameInput::Texture(&self.image), &overlay, roi)?;
                part.place
            }
        };
        let progress = self.frame.encode_some(encoder, Budget::Milliseconds(part.budget))?;
        self.running = (!progress.finished()).then_some(place);
        self.worked = self.frames;
        state.progress = Some(progress);
        if progress.finished() {
            (state.shown, state.overlays) = (Some(place), state.overlays + 1);
        }
        Ok(())
    }
}
