//! An image turned as its orientation tag says, window by window.

use super::{ImageSource, SourceInfo};
use crate::error::{Hint, Message, Result};
use crate::infer::image::{Image, Pixels};
use crate::infer::orient::Orientation;

/// A source turned or mirrored; a window of it is one window of what is stored.
pub struct Oriented {
    source: Box<dyn ImageSource>,
    by: Orientation,
}

impl Oriented {
    /// The source, turned.
    pub fn new(source: Box<dyn ImageSource>, by: Orientation) -> Self {
        Self { source, by }
    }
}

impl ImageSource for Oriented {
    fn inner(&self) -> Option<&dyn ImageSource> {
        Some(&*self.source)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ImageSource> {
        Some(&mut *self.source)
    }

    fn info(&self) -> SourceInfo {
        let info = self.source.info();
        let [height, width] = self.by.size([info.height, info.width]);
        SourceInfo { width, height, ..info }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        self.info().check_inside(x0, y0, w, h)?;
        let stored = self.source.info();
        let [sx, sy, sw, sh] = self.by.stored_window([x0, y0, w, h], [stored.width, stored.height]);
        let image = self.source.read(sx, sy, sw, sh)?;
        let (size, channels) = ([sw, sh], image.channels());
        let pixels = match image.pixels() {
            Pixels::U8(v) => Pixels::U8(self.by.interleaved(v, size, channels)),
            Pixels::U16(v) => Pixels::U16(self.by.interleaved(v, size, channels)),
            Pixels::F32(v) => Pixels::F32(self.by.interleaved(v, size, channels)),
        };
        Ok(Image::new(w, h, channels, pixels)?.with_kind(image.kind()))
    }

    fn notes(&self) -> Vec<Message> {
        let mut notes = self.source.notes();
        let note = Message::from(format!("{}, as its orientation tag says (", self.by.describe()));
        notes.push(note.then(Hint::IgnoreOrientation).then(" keeps the stored rows)"));
        notes
    }

    fn rows_at_once(&self) -> usize {
        // Rows of a turned image are columns of the stored one, of which every chunk has all or a tile's.
        let info = self.source.info();
        if self.by.transpose { self.source.rows_at_once().min(info.width) } else { self.source.rows_at_once() }
    }

    fn cache_bytes(&self, rows: usize) -> u64 {
        // Where rows become columns, every band of a turned image touches all rows that are stored.
        self.source.cache_bytes(if self.by.transpose { self.source.info().height } else { rows })
    }
}
