//! Numbers in place of what is none.

use super::{ImageSource, SourceInfo};
use crate::error::{Message, Result};
use crate::infer::image::{Image, Pixels};

/// A source of floats in which a value stands for NaN and the infinities.
pub struct FillNan {
    source: Box<dyn ImageSource>,
    value: f32,
    met: bool,
}

impl FillNan {
    /// The source with `value` in their place.
    pub fn new(source: Box<dyn ImageSource>, value: f32) -> Self {
        Self { source, value, met: false }
    }
}

impl ImageSource for FillNan {
    fn info(&self) -> SourceInfo {
        self.source.info()
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        let image = self.source.read(x0, y0, w, h)?;
        let Pixels::F32(v) = image.pixels() else { return Ok(image) };
        if v.iter().all(|x| x.is_finite()) {
            return Ok(image);
        }
        self.met = true;
        let filled = v.iter().map(|x| if x.is_finite() { *x } else { self.value }).collect();
        Ok(Image::new(w, h, image.channels(), Pixels::F32(filled))?.with_kind(image.kind()))
    }

    fn channel_names(&self) -> Vec<String> {
        self.source.channel_names()
    }

    fn notes(&self) -> Vec<Message> {
        let mut notes = self.source.notes();
        if self.met {
            notes.push(format!("{} stands for values that are NaN or infinite", self.value).into());
        }
        notes
    }

    fn rows_at_once(&self) -> usize {
        self.source.rows_at_once()
    }

    fn held_bytes(&self) -> u64 {
        self.source.held_bytes()
    }

    fn cache_bytes(&self, rows: usize) -> u64 {
        self.source.cache_bytes(rows)
    }

    fn set_cache(&mut self, bytes: u64) {
        self.source.set_cache(bytes);
    }
}
