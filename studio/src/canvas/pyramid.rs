//! An image at half, quarter, ... resolution: averages of 2 x 2 pixels, made on a thread.

use eframe::egui;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use unet_wgpu::{Image, Pixels};

/// A whole level fits into one tile of this side.
pub(super) const TILE: u32 = 512;

/// An image and its coarser levels.
pub(super) struct Pyramid {
    base: Arc<Image>,
    /// Levels 1 and up. Level l has ceil(size / 2^l) pixels.
    coarser: Vec<OnceLock<Image>>,
    repaint: OnceLock<egui::Context>,
    /// Nobody looks at the image any more.
    abandoned: AtomicBool,
}

/// Width and height of a level.
pub(super) fn level_size(size: [u32; 2], level: u32) -> [u32; 2] {
    size.map(|s| s.div_ceil(1 << level))
}

/// The first level that fits into a tile of this side.
pub(super) fn top_level(size: [u32; 2], tile: u32) -> u32 {
    (0..31).find(|&l| level_size(size, l).iter().all(|&s| s <= tile)).unwrap_or(31)
}

impl Pyramid {
    pub fn new(base: Arc<Image>) -> Self {
        let levels = top_level([base.width() as u32, base.height() as u32], TILE);
        let coarser = (0..levels).map(|_| OnceLock::new()).collect();
        Self { base, coarser, repaint: OnceLock::new(), abandoned: AtomicBool::new(false) }
    }

    /// The coarsest level.
    pub fn top(&self) -> u32 {
        self.coarser.len() as u32
    }

    /// A level, if it is there by now.
    pub fn level(&self, level: u32) -> Option<&Image> {
        match level.checked_sub(1) {
            None => Some(&self.base),
            Some(above) => self.coarser.get(above as usize)?.get(),
        }
    }

    pub fn complete(&self) -> bool {
        self.coarser.last().is_none_or(|l| l.get().is_some())
    }

    /// Who wants to know of new levels.
    pub fn watched_by(&self, ctx: &egui::Context) {
        let _ = self.repaint.set(ctx.clone());
    }

    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Makes all levels.
    pub fn build(&self) {
        let mut builder = Builder::default();
        let mut more = true;
        while more && !self.abandoned.load(Ordering::Relaxed) {
            more = builder.step(self, 4 << 20);
        }
    }
}

/// Makes the levels in steps.
#[derive(Default)]
pub(super) struct Builder {
    level: u32,
    row: usize,
    made: Option<Pixels>,
}

impl Builder {
    /// Averages about `samples` samples. False once all levels are there.
    pub fn step(&mut self, pyramid: &Pyramid, samples: usize) -> bool {
        let Some(finer) = pyramid.level(self.level).filter(|_| self.level < pyramid.top()) else { return false };
        let (w, h, c) = (finer.width(), finer.height(), finer.channels());
        let rows = (samples / (w * c * 2)).max(1);
        let end = (self.row + rows).min(h.div_ceil(2));
        let made = self.made.take();
        let part = self.row..end;
        let made = match (finer.pixels(), made) {
            (Pixels::U8(v), made) => {
                let mut out = if let Some(Pixels::U8(out)) = made { out } else { Vec::new() };
                halve(v, [w, h, c], part, &mut out);
                Pixels::U8(out)
            }
            (Pixels::U16(v), made) => {
                let mut out = if let Some(Pixels::U16(out)) = made { out } else { Vec::new() };
                halve(v, [w, h, c], part, &mut out);
                Pixels::U16(out)
            }
            (Pixels::F32(v), made) => {
                let mut out = if let Some(Pixels::F32(out)) = made { out } else { Vec::new() };
                halve(v, [w, h, c], part, &mut out);
                Pixels::F32(out)
            }
        };
        self.row = end;
        if end < h.div_ceil(2) {
            self.made = Some(made);
            return true;
        }
        // The sizes agree by construction.
        if let Ok(image) = Image::new(w.div_ceil(2), h.div_ceil(2), c, made) {
            let _ = pyramid.coarser[self.level as usize].set(image);
        }
        (self.level, self.row) = (self.level + 1, 0);
        if let Some(ctx) = pyramid.repaint.get() {
            ctx.request_repaint();
        }
        self.level < pyramid.top()
    }
}

trait Average: Copy {
    fn average(four: [Self; 4]) -> Self;
}

/// Rounded to even where it is halfway, so that levels do not become brighter.
fn rounded(sum: u32) -> u32 {
    (sum + 1 + (sum >> 2 & 1)) >> 2
}

impl Average for u8 {
    fn average(four: [Self; 4]) -> Self {
        rounded(four.iter().map(|&v| u32::from(v)).sum()) as Self
    }
}

impl Average for u16 {
    fn average(four: [Self; 4]) -> Self {
        rounded(four.iter().map(|&v| u32::from(v)).sum()) as Self
    }
}

impl Average for f32 {
    /// Of those that are numbers, so that one NaN does not blacken a coarse level.
    fn average(four: [Self; 4]) -> Self {
        let finite = four.iter().filter(|v| v.is_finite());
        let (sum, count) = finite.fold((0.0, 0.0), |(sum, count), &v| (sum + f64::from(v), count + 1.0));
        (sum / count) as Self
    }
}

/// Appends rows of the next level. The last column and row of an odd size are averaged alone.
fn halve<T: Average>(v: &[T], [w, h, c]: [usize; 3], rows: std::ops::Range<usize>, out: &mut Vec<T>) {
    let stride = w * c;
    out.reserve(rows.len() * w.div_ceil(2) * c);
    for y in rows {
        let row = |y: usize| v.get(y.min(h - 1) * stride..).and_then(|r| r.get(..stride)).unwrap_or_default();
        let (a, b) = (row(2 * y), row(2 * y + 1));
        for (a, b) in a.chunks(2 * c).zip(b.chunks(2 * c)) {
            let right = if a.len() == 2 * c { c } else { 0 };
            out.extend((0..c).map(|i| T::average([a[i], a[i + right], b[i], b[i + right]])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_box_averages() {
        let values: Vec<u16> = (0..5 * 3 * 2).map(|i| i * i).collect();
        let pyramid = Pyramid::new(Arc::new(Image::new(5, 3, 2, Pixels::U16(values.clone())).unwrap()));
        let mut out = Vec::new();
        halve(&values, [5, 3, 2], 0..2, &mut out);
        let at = |x: usize, y: usize, c: usize| u32::from(values[(y.min(2) * 5 + x.min(4)) * 2 + c]);
        for (i, &v) in out.iter().enumerate() {
            let (x, y, c) = (i / 2 % 3 * 2, i / 6 * 2, i % 2);
            let mean = f64::from(at(x, y, c) + at(x + 1, y, c) + at(x, y + 1, c) + at(x + 1, y + 1, c)) / 4.0;
            assert_eq!(f64::from(v), mean.round_ties_even(), "{i}");
        }
        assert_eq!(out.len(), 3 * 2 * 2);
        assert_eq!(pyramid.top(), 0);
    }

    #[test]
    fn steps_of_any_size_make_the_same_levels() {
        let values: Vec<u8> = (0..1300 * 700u32).map(|i| (i.wrapping_mul(7919) >> 5) as u8).collect();
        let image = Arc::new(Image::new(1300, 700, 1, Pixels::U8(values)).unwrap());
        let (whole, parts) = (Pyramid::new(image.clone()), Pyramid::new(image));
        whole.build();
        let mut builder = Builder::default();
        while builder.step(&parts, 10_000) {}
        assert!(whole.complete() && parts.complete() && whole.top() == 2);
        for level in 1..=2 {
            assert_eq!(whole.level(level), parts.level(level));
            assert_eq!(
                [whole.level(level).unwrap().width(), whole.level(level).unwrap().height()],
                [1300 >> level, 700 >> level]
            );
        }
    }

    #[test]
    fn what_is_no_number_does_not_spread() {
        assert_eq!(f32::average([1.0, f32::NAN, 3.0, f32::INFINITY]), 2.0);
        assert!(f32::average([f32::NAN; 4]).is_nan());
        assert_eq!((u8::average([0, 0, 1, 1]), u8::average([1, 1, 2, 2])), (0, 2));
    }
}
