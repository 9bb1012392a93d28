//! The network on the visible region, inside the window's frames: recorded in egui's command encoder by a budget, on egui's device,
//! from a texture into another one that the canvas shows. Nothing is read back, and nothing waits.

use super::channels::{SelectedChannels, selected};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eframe::egui_wgpu::{CallbackResources, CallbackTrait, RenderState, ScreenDescriptor};
use eframe::wgpu;
use unet_wgpu::frame::{
    Budget, EncodeProgress, Frame, FrameInput, FrameModel, FrameOptions, FrameOutput, OutputRequest, OutputTarget,
    PixelFormat, PlaneFormat, Roi, SampleFormat,
};
use unet_wgpu::low_level::infer::{ChannelAffine, normalise};
use unet_wgpu::low_level::weights::{Normalisation, PixelStep};
use unet_wgpu::{Gpu, Image, Model, Result};
use web_time::Instant;

/// Columns and rows of the region that the network sees at once.
pub const SIDE: usize = 512;

/// Milliseconds of a dispatch at most: a part of the smallest useful budget of a frame.
const LONGEST: f64 = 2.0;

/// What the network says about a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveOutput {
    /// The probability of a class: 32-bit floats.
    Probability(usize),
    /// The class of every pixel: bytes, 0 for the background.
    Classes,
}

impl LiveOutput {
    fn format(self) -> wgpu::TextureFormat {
        match self {
            Self::Probability(_) => wgpu::TextureFormat::R32Float,
            Self::Classes => wgpu::TextureFormat::R8Uint,
        }
    }

    fn of_frame(self) -> FrameOutput {
        match self {
            Self::Probability(class) => FrameOutput::Probability { class, format: PlaneFormat::F32 },
            Self::Classes => FrameOutput::Mask,
        }
    }
}

/// A region of an image that the network has seen.
#[derive(Clone)]
pub struct Region {
    /// What it holds.
    pub output: LiveOutput,
    /// [`SIDE`] x [`SIDE`] texels; valid from the first pixel for `size`.
    pub texture: wgpu::Texture,
    /// Column and row of its first pixel in the image.
    pub at: [u32; 2],
    /// Columns and rows.
    pub size: [u32; 2],
}

impl Region {
    /// The probabilities, row by row. Waits for the device; the window itself reads nothing back.
    pub fn read(&self, egui: &RenderState) -> Option<Vec<f32>> {
        let bytes = matches!(self.output, LiveOutput::Probability(_)).then(|| self.bytes(egui, 4))??;
        Some(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// The classes, row by row. Waits for the device.
    pub fn read_classes(&self, egui: &RenderState) -> Option<Vec<u8>> {
        (self.output == LiveOutput::Classes).then(|| self.bytes(egui, 1))?
    }

    fn bytes(&self, egui: &RenderState, texel: u32) -> Option<Vec<u8>> {
        let [width, height] = self.size;
        let row = texel * SIDE as u32;
        let buffer = egui.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("live output, read"),
            size: u64::from(row) * u64::from(height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = egui.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        encoder.copy_texture_to_buffer(
            self.texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo { buffer: &buffer, layout },
            wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        );
        egui.queue.submit([encoder.finish()]);
        buffer.map_async(wgpu::MapMode::Read, .., |_| {});
        egui.device.poll(wgpu::PollType::wait_indefinitely()).ok()?;
        let view = buffer.get_mapped_range(..).ok()?;
        let rows = view.chunks_exact(row as usize);
        Some(rows.flat_map(|part| part[..(texel * width) as usize].to_vec()).collect())
    }
}

/// What the window knows about the network.
#[derive(Default)]
pub struct LiveState {
    /// The latest region that is complete.
    pub shown: Option<Region>,
    /// How far the next one is.
    pub progress: Option<EncodeProgress>,
    /// Regions so far.
    pub regions: usize,
    /// Why nothing comes any more.
    pub error: Option<String>,
}

/// A network that is prepared for regions.
pub struct Live {
    state: Arc<Mutex<LiveState>>,
    network: Arc<Mutex<Network>>,
    channels: SelectedChannels,
    /// The image and region that was asked for last.
    asked: Option<(usize, [u32; 2])>,
}

struct Network {
    frame: Frame,
    output: LiveOutput,
    input: wgpu::Texture,
    outputs: [wgpu::Texture; 2],
    /// The region to begin next, with its pixels.
    next: Option<(Pixels, [u32; 2], [u32; 2])>,
    running: Option<([u32; 2], [u32; 2])>,
    /// Whether the device is still at the part before.
    busy: Arc<Mutex<bool>>,
    finished: usize,
}

/// Bytes of a region, row by row.
type Pixels = Vec<u8>;

/// The texture for images of this kind: of one channel as they are, of three as RGBA.
fn format_of(image: &Image) -> Option<(wgpu::TextureFormat, SampleFormat, usize)> {
    use unet_wgpu::low_level::infer::Sample;
    use wgpu::TextureFormat as F;
    Some(match (image.pixels().sample(), image.channels()) {
        (Sample::U8, 1) => (F::R8Uint, SampleFormat::U8, 1),
        (Sample::U16, 1) => (F::R16Uint, SampleFormat::U16, 1),
        (Sample::F32, 1) => (F::R32Float, SampleFormat::F32, 1),
        (Sample::U8, 3 | 4) => (F::Rgba8Uint, SampleFormat::U8, 4),
        (Sample::U16, 3 | 4) => (F::Rgba16Uint, SampleFormat::U16, 4),
        (Sample::F32, 3 | 4) => (F::Rgba32Float, SampleFormat::F32, 4),
        _ => return None,
    })
}

impl Live {
    /// Prepares a network for regions of images like this one, of which it gets these channels. Takes some tenths of a second;
    /// call it in a task.
    pub async fn prepare(
        egui: &RenderState,
        model: Model,
        image: &Image,
        channels: SelectedChannels,
        output: LiveOutput,
    ) -> Result<Self> {
        let image = &*selected(image, &channels)?;
        // What a texture is read as has no choice of channels: the rules are those of the program.
        image.part(0, 0, 1, 1)?.to_channels(model.architecture.in_channels())?;
        let (texture, _, _) = format_of(image).ok_or_else(|| {
            let channels = image.channels();
            unet_wgpu::Error::invalid("live view", format!("takes 1 or 3 channels of an image, not {channels}"))
        })?;
        let format = PixelFormat::of_texture(texture)?;
        let options = FrameOptions::new([SIDE; 2], format, vec![OutputRequest::texture(output.of_frame())]);
        let gpu = Gpu::from_wgpu(egui.device.clone(), egui.queue.clone())?;
        let mut frame = FrameModel::new(&gpu, normalised(model, image)?).prepare_async(&options).await?;
        // So that no single dispatch takes longer than a part of a frame may.
        frame.divide_async(LONGEST).await?;
        let new = |label, format, usage| {
            egui.device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size: wgpu::Extent3d { width: SIDE as u32, height: SIDE as u32, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: usage | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            })
        };
        let usage = wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_SRC;
        let result = || new("live output", output.format(), usage);
        let network = Network {
            frame,
            output,
            input: new("live image", texture, wgpu::TextureUsages::COPY_SRC),
            outputs: [result(), result()],
            next: None,
            running: None,
            busy: Arc::default(),
            finished: 0,
        };
        Ok(Self { state: Arc::default(), network: Arc::new(Mutex::new(network)), channels, asked: None })
    }

    /// Asks for the region around a pixel, [`SIDE`] x [`SIDE`] or the whole of a smaller image. `id` tells images apart. A region
    /// that is in progress is finished first.
    pub fn look(&mut self, id: usize, image: &Image, centre: [f32; 2]) {
        let place = |centre: f32, length: usize| {
            let most = length.saturating_sub(SIDE) as f32;
            // Moves of a few pixels are no new region.
            ((centre - SIDE as f32 / 2.0) / 16.0).round().max(0.0).mul_add(16.0, 0.0).min(most) as u32
        };
        let at = [place(centre[0], image.width()), place(centre[1], image.height())];
        if self.asked == Some((id, at)) {
            return;
        }
        let size = [image.width().min(SIDE), image.height().min(SIDE)];
        let Ok(part) = image.part(at[0] as usize, at[1] as usize, size[0], size[1]) else { return };
        let Ok(part) = selected(&part, &self.channels) else { return };
        let bytes = bytes(&part);
        locked(&self.network).next = Some((bytes, at, size.map(|s| s as u32)));
        self.asked = Some((id, at));
    }

    /// What the window shows.
    pub fn state(&self) -> MutexGuard<'_, LiveState> {
        locked(&self.state)
    }

    /// Whether there is something to record.
    pub fn waits(&self) -> bool {
        let network = locked(&self.network);
        (network.next.is_some() || network.running.is_some()) && self.state().error.is_none()
    }

    /// The network's part of this frame, to be added to a painter.
    pub fn part(&self, milliseconds: f64) -> Part {
        Part { network: self.network.clone(), state: self.state.clone(), milliseconds }
    }
}

/// The model with the normalisation of the whole image, so that a region is seen as in it. Where channels are converted, each
/// region has its own.
fn normalised(mut model: Model, image: &Image) -> Result<Model> {
    let channels = model.architecture.in_channels();
    if image.channels() == channels {
        let maps = normalise(image, &model.metadata.normalisation)?;
        let steps = maps_as_steps(&maps);
        model.metadata.normalisation = steps;
    }
    Ok(model)
}

/// The same maps as steps that depend on no image.
fn maps_as_steps(maps: &[ChannelAffine]) -> Normalisation {
    let gain = maps.iter().map(|m| f64::from(m.scale)).collect();
    let offset = maps.iter().map(|m| -f64::from(m.offset) * f64::from(m.scale)).collect();
    let mut steps = vec![PixelStep::Linear { gain, offset }];
    if let Some(map) = maps.first().filter(|m| m.low > -f32::MAX || m.high < f32::MAX) {
        steps.push(PixelStep::Clip { low: Some(map.low.into()), high: Some(map.high.into()) });
    }
    Normalisation::Steps { steps }
}

/// Samples of an image as a texture has them; three channels become four.
fn bytes(image: &Image) -> Vec<u8> {
    use unet_wgpu::Pixels as P;
    fn wide<T: Copy + Default + bytemuck::Pod>(values: &[T], channels: usize) -> Vec<u8> {
        match channels {
            3 => values
                .chunks_exact(3)
                .flat_map(|p| bytemuck::bytes_of(&[p[0], p[1], p[2], T::default()]).to_vec())
                .collect(),
            _ => bytemuck::cast_slice(values).to_vec(),
        }
    }
    match image.pixels() {
        P::U8(v) => wide(v, image.channels()),
        P::U16(v) => wide(v, image.channels()),
        P::F32(v) => wide(v, image.channels()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records a part of the network in a frame of the window.
pub struct Part {
    network: Arc<Mutex<Network>>,
    state: Arc<Mutex<LiveState>>,
    milliseconds: f64,
}

impl CallbackTrait for Part {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        _screen: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        _resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        // So that the end of the part before is known.
        let _ = device.poll(wgpu::PollType::Poll);
        if let Err(e) = locked(&self.network).record(queue, encoder, self.milliseconds, &self.state) {
            locked(&self.state).error = Some(e.to_string());
        }
        Vec::new()
    }

    fn paint(
        &self,
        _info: eframe::egui::PaintCallbackInfo,
        _pass: &mut wgpu::RenderPass<'static>,
        _resources: &CallbackResources,
    ) {
    }
}

impl Network {
    fn record(
        &mut self,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        milliseconds: f64,
        state: &Mutex<LiveState>,
    ) -> Result<()> {
        // Parts pile up where the estimate is too low, unless each waits for the one before.
        if *locked(&self.busy) {
            return Ok(());
        }
        if self.running.is_none() {
            let Some((pixels, at, size)) = self.next.take() else { return Ok(()) };
            let row = (pixels.len() / (size[1] as usize).max(1)) as u32;
            queue.write_texture(
                self.input.as_image_copy(),
                &pixels,
                wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None },
                wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 },
            );
            let output = OutputTarget::texture(&self.outputs[self.finished % 2]);
            self.frame.start(FrameInput::Texture(&self.input), &[output], Roi::of_size(size[0], size[1]))?;
            self.running = Some((at, size));
        }
        let progress = self.frame.encode_some(encoder, Budget::Milliseconds(milliseconds))?;
        *locked(&self.busy) = true;
        let busy = self.busy.clone();
        encoder.on_submitted_work_done(move || *locked(&busy) = false);
        let mut state = locked(state);
        state.progress = Some(progress);
        if let (true, Some((at, size))) = (progress.finished(), self.running) {
            // What this frame draws comes after these commands.
            let (output, texture) = (self.output, self.outputs[self.finished % 2].clone());
            state.shown = Some(Region { output, texture, at, size });
            state.regions += 1;
            (self.running, self.finished) = (None, self.finished + 1);
        }
        Ok(())
    }
}

/// Milliseconds between the latest frames of the window.
#[derive(Default)]
pub struct FrameTimes {
    times: std::collections::VecDeque<f64>,
    last: Option<Instant>,
}

impl FrameTimes {
    /// Notes that a frame begins; `continuous` if the one before had asked for it.
    pub fn frame(&mut self, continuous: bool) {
        let now = Instant::now();
        if let (Some(last), true) = (self.last, continuous) {
            if self.times.len() == 300 {
                self.times.pop_front();
            }
            self.times.push_back((now - last).as_secs_f64() * 1e3);
        }
        self.last = Some(now);
    }

    /// The time that so many percent of the frames stay under, milliseconds.
    pub fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted: Vec<f64> = self.times.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied()
    }
}
