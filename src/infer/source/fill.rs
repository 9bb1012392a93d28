//! Numbers in place of what is none.

use super::{PictureSource, SourceInfo};
use crate::error::{Message, Result};
use crate::infer::image::{Picture, Pixels};

/// A source of floats in which a value stands for NaN and the infinities.
pub struct FillNan {
    source: Box<dyn PictureSource>,
    value: f32,
    met: bool,
}

impl FillNan {
    /// The source with `value` in their place.
    pub fn new(source: Box<dyn PictureSource>, value: f32) -> Self {
        Self { source, value, met: false }
    }
}

impl PictureSource for FillNan {
    fn info(&self) -> SourceInfo {
        self.source.info()
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Picture> {
        let picture = self.source.read(x0, y0, w, h)?;
        let Pixels::F32(v) = picture.pixels() else { return Ok(picture) };
        if v.iter().all(|x| x.is_finite()) {
            return Ok(picture);
        }
        self.met = true;
        let filled = v.iter().map(|x| if x.is_finite() { *x } else { self.value }).collect();
        Ok(Picture::new(w, h, picture.channels(), Pixels::F32(filled))?.with_kind(picture.kind()))
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

    fn keep(&mut self, bytes: u64) {
        self.source.keep(bytes);
    }
}
