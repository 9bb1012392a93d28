//! An image as a canvas shows it: samples in host memory, coarser levels, limits of its contrast.

use super::pyramid::{Builder, Pyramid, level_size};
use eframe::egui;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unet_wgpu::low_level::infer::{Alpha, Colour};
use unet_wgpu::{Image, Pixels};

/// An image to show. Clones are the same image.
#[derive(Clone)]
pub struct CanvasImage(Arc<Inner>);

struct Inner {
    id: u64,
    base: Arc<Image>,
    pyramid: Arc<Pyramid>,
    /// Without a thread, levels are made while the image is shown.
    unthreaded: Mutex<Option<Builder>>,
    range: Vec<[f32; 2]>,
    limits: Mutex<Limits>,
}

#[derive(Default)]
struct Limits {
    wanted: Option<[f64; 2]>,
    found: Option<Vec<[f32; 2]>>,
    /// Counts requests, so that the answer to an old one is not taken for the new one's.
    request: u64,
}

/// A request for the limits of an image's contrast.
#[derive(Clone)]
pub(super) struct LimitsRequest {
    pub image: CanvasImage,
    /// Percentages.
    pub percentiles: [f64; 2],
    pub request: u64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pyramid.abandon();
    }
}

impl CanvasImage {
    /// The percentages of automatic contrast.
    pub const PERCENTILES: [f64; 2] = [1.0, 99.8];

    /// Starts a thread that makes the coarser levels. Automatic limits are found once the image is shown.
    pub fn new(pixels: Arc<Image>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let pyramid = Arc::new(Pyramid::new(pixels.clone()));
        let shared = pyramid.clone();
        let thread = std::thread::Builder::new().name("image levels".into()).spawn(move || shared.build());
        let unthreaded = Mutex::new(thread.is_err().then(Builder::default));
        let range = quick_range(&pixels, 1 << pyramid.top());
        let mut limits = Limits::default();
        if !matches!(pixels.kind().colour, Colour::Rgb) {
            limits.wanted = Some(Self::PERCENTILES);
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Inner { id, base: pixels, pyramid, unthreaded, range, limits: Mutex::new(limits) }))
    }

    /// The samples.
    pub fn pixels(&self) -> &Arc<Image> {
        &self.0.base
    }

    /// Columns and rows.
    pub fn size(&self) -> [u32; 2] {
        [self.0.base.width() as u32, self.0.base.height() as u32]
    }

    /// The raw samples of a pixel; empty outside the image.
    pub fn values(&self, at: [u32; 2]) -> Vec<f32> {
        self.0.base.window(at[0] as usize, at[1] as usize, 1, 1).unwrap_or_default()
    }

    /// Asks for the percentiles (0 to 100) of each channel. The device counts them while the image is shown.
    pub fn request_limits(&self, percentiles: [f64; 2]) {
        let mut limits = self.locked();
        *limits = Limits { wanted: Some(percentiles), found: None, request: limits.request + 1 };
    }

    /// The percentiles asked for last, for each channel; none until they are known. Those of [`Self::PERCENTILES`] are asked
    /// for by [`Self::new`], except of RGB images.
    pub fn limits(&self) -> Option<Vec<[f32; 2]>> {
        self.locked().found.clone()
    }

    /// The least and largest value of a sample of each channel's pixels.
    pub fn range(&self) -> &[[f32; 2]] {
        &self.0.range
    }

    /// Whether all coarser levels are there.
    pub fn levels_complete(&self) -> bool {
        self.0.pyramid.complete()
    }

    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    pub(super) fn pyramid(&self) -> &Pyramid {
        &self.0.pyramid
    }

    pub(super) fn alpha(&self) -> Option<usize> {
        match self.0.base.kind().alpha {
            Alpha::At(channel) => Some(channel),
            Alpha::None | Alpha::LeftOut(_) => None,
        }
    }

    /// Called each frame that shows the image: makes coarser levels where no thread does.
    pub(super) fn shown(&self, ctx: &egui::Context) {
        self.0.pyramid.watched_by(ctx);
        let mut builder = self.0.unthreaded.lock().unwrap_or_else(PoisonError::into_inner);
        if builder.as_mut().is_some_and(|b| !b.step(&self.0.pyramid, 1 << 20)) {
            *builder = None;
        }
        if builder.is_some() {
            ctx.request_repaint();
        }
    }

    /// A request that nobody has taken yet.
    pub(super) fn take_request(&self) -> Option<LimitsRequest> {
        let mut limits = self.locked();
        let percentiles = limits.wanted.take()?;
        Some(LimitsRequest { image: self.clone(), percentiles, request: limits.request })
    }

    pub(super) fn answer(&self, request: u64, found: Vec<[f32; 2]>) {
        let mut limits = self.locked();
        if limits.request == request {
            limits.found = Some(found);
        }
    }

    pub(super) fn still_wants(&self, request: u64) -> bool {
        self.locked().request == request
    }

    fn locked(&self) -> MutexGuard<'_, Limits> {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rectangle of every `step`-th pixel of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Column and row of the first pixel.
    pub at: [usize; 2],
    /// Columns and rows of the result.
    pub size: [usize; 2],
    pub step: usize,
}

impl Part {
    /// As much of an image as a tile shows.
    pub fn tile(size: [u32; 2], tile: [u32; 2], side: u32) -> Self {
        let at = tile.map(|t| t * side);
        let size = [0, 1].map(|i| side.min(size[i] - at[i]) as usize);
        Self { at: at.map(|a| a as usize), size, step: 1 }
    }

    /// Every `step`-th pixel.
    pub fn whole(size: [u32; 2], step: usize) -> Self {
        Self { at: [0; 2], size: size.map(|s| (s as usize).div_ceil(step)), step }
    }
}

/// The samples of some channels, one channel after the other, as bytes. Missing channels are zero.
pub(super) fn planes(image: &Image, part: Part, channels: &[u16]) -> Vec<u8> {
    match image.pixels() {
        Pixels::U8(v) => gathered(v, image, part, channels),
        Pixels::U16(v) => gathered(v, image, part, channels),
        Pixels::F32(v) => gathered(v, image, part, channels),
    }
}

fn gathered<T: bytemuck::Pod>(v: &[T], image: &Image, part: Part, channels: &[u16]) -> Vec<u8> {
    let (w, c) = (image.width(), image.channels());
    let mut out = Vec::with_capacity(part.size[0] * part.size[1] * channels.len() * size_of::<T>());
    let mut line = Vec::with_capacity(part.size[0]);
    for &channel in channels {
        for y in 0..part.size[1] {
            let first = ((part.at[1] + y * part.step) * w + part.at[0]) * c + usize::from(channel);
            let row = v.get(first..).filter(|_| usize::from(channel) < c).unwrap_or_default();
            if c * part.step == 1 {
                out.extend_from_slice(bytemuck::cast_slice(row.get(..part.size[0]).unwrap_or_default()));
            } else {
                line.clear();
                line.extend(row.iter().step_by(c * part.step).take(part.size[0]));
                line.resize(part.size[0], T::zeroed());
                out.extend_from_slice(bytemuck::cast_slice(&line));
            }
        }
    }
    out
}

/// The least and largest value of each channel of every `step`-th pixel, for the moment before the limits are known.
fn quick_range(image: &Image, step: usize) -> Vec<[f32; 2]> {
    fn range<T: Copy>(v: &[T], image: &Image, step: usize, f: impl Fn(T) -> f32) -> Vec<[f32; 2]> {
        let (w, c) = (image.width(), image.channels());
        let mut out = vec![[f32::INFINITY, f32::NEG_INFINITY]; c];
        for row in v.chunks_exact(w * c).step_by(step) {
            for pixel in row.chunks_exact(c).step_by(step) {
                for (out, v) in out.iter_mut().zip(pixel) {
                    let v = f(*v);
                    if v.is_finite() {
                        *out = [out[0].min(v), out[1].max(v)];
                    }
                }
            }
        }
        out.iter().map(|&[a, b]| if a <= b { [a, b] } else { [0.0, 1.0] }).collect()
    }
    match image.pixels() {
        Pixels::U8(v) => range(v, image, step, f32::from),
        Pixels::U16(v) => range(v, image, step, f32::from),
        Pixels::F32(v) => range(v, image, step, |v| v),
    }
}

/// A level for the device, with the number of image pixels per pixel of it.
pub(super) fn level_part(image: &CanvasImage, level: u32, tile: [u32; 2], side: u32) -> Option<(&Image, Part)> {
    let size = level_size(image.size(), level);
    match image.pyramid().level(level) {
        Some(pixels) => Some((pixels, Part::tile(size, tile, side))),
        // In place of the averages of the coarsest level, until these are there.
        None if level == image.pyramid().top() => Some((image.pixels(), Part::whole(image.size(), 1 << level))),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_one_channel_after_the_other() {
        let image = Image::new(4, 3, 2, Pixels::U16((0..24).collect())).unwrap();
        let part = Part { at: [1, 0], size: [2, 2], step: 2 };
        let values: Vec<u16> = bytemuck::pod_collect_to_vec(&planes(&image, part, &[1, 0]));
        assert_eq!(values, [3, 7, 19, 23, 2, 6, 18, 22]);
        let grey = Image::new(3, 2, 1, Pixels::U8((0..6).collect())).unwrap();
        assert_eq!(planes(&grey, Part { at: [1, 0], size: [2, 2], step: 1 }, &[0]), [1, 2, 4, 5]);
    }

    #[test]
    fn an_answer_to_an_old_request_is_dropped() {
        let image = CanvasImage::new(Arc::new(Image::new(2, 1, 1, Pixels::F32(vec![f32::NAN, 3.0])).unwrap()));
        assert_eq!(image.range(), [[3.0, 3.0]]);
        let old = image.take_request().unwrap();
        assert!(image.take_request().is_none());
        image.request_limits([0.0, 100.0]);
        image.answer(old.request, vec![[0.0, 1.0]]);
        assert!(image.limits().is_none() && !image.still_wants(old.request));
        image.answer(image.take_request().unwrap().request, vec![[2.0, 3.0]]);
        assert_eq!(image.limits(), Some(vec![[2.0, 3.0]]));
    }
}
