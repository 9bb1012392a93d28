//! Some channels of a picture.

use super::{PictureSource, SourceInfo};
use crate::error::{Error, Result};
use crate::infer::image::{Picture, Pixels};

/// Some channels of a source, in the order asked for; a channel may come more than once.
pub struct SelectChannels {
    source: Box<dyn PictureSource>,
    channels: Vec<usize>,
}

impl SelectChannels {
    /// Fails if a channel does not exist, or none is asked for.
    pub fn new(source: Box<dyn PictureSource>, channels: Vec<usize>) -> Result<Self> {
        let have = source.info().channels;
        if channels.is_empty() {
            return Err(Error::invalid("channels", "none are asked for"));
        }
        if let Some(c) = channels.iter().find(|c| **c >= have) {
            let what = if have == 1 { "only channel 0".into() } else { format!("channels 0 to {}", have - 1) };
            return Err(Error::invalid("channels", format!("there is no channel {c}, the picture has {what}")));
        }
        Ok(Self { source, channels })
    }
}

impl PictureSource for SelectChannels {
    fn info(&self) -> SourceInfo {
        SourceInfo { channels: self.channels.len(), ..self.source.info() }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Picture> {
        let picture = self.source.read(x0, y0, w, h)?;
        fn pick<T: Copy>(v: &[T], stored: usize, channels: &[usize]) -> Vec<T> {
            v.chunks_exact(stored).flat_map(|p| channels.iter().filter_map(|&c| p.get(c).copied())).collect()
        }
        let stored = picture.channels();
        let pixels = match picture.pixels() {
            Pixels::U8(v) => Pixels::U8(pick(v, stored, &self.channels)),
            Pixels::U16(v) => Pixels::U16(pick(v, stored, &self.channels)),
            Pixels::F32(v) => Pixels::F32(pick(v, stored, &self.channels)),
        };
        Picture::new(w, h, self.channels.len(), pixels)
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
