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
    fn inner(&self) -> Option<&dyn ImageSource> {
        Some(&*self.source)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ImageSource> {
        Some(&mut *self.source)
    }

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

    fn notes(&self) -> Vec<Message> {
        let mut notes = self.source.notes();
        if self.met {
            notes.push(format!("{} stands for values that are NaN or infinite", self.value).into());
        }
        notes
    }
}
