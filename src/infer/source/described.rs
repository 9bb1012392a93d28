//! A source with what its file says of the channels.

use super::{ImageSource, SourceInfo};
use crate::error::{Message, Result};
use crate::infer::channels::ChannelKind;
use crate::infer::image::Image;

/// A source whose channels are of a kind, and have names.
pub struct Described {
    pub source: Box<dyn ImageSource>,
    pub kind: ChannelKind,
    pub names: Vec<String>,
}

impl ImageSource for Described {
    fn info(&self) -> SourceInfo {
        SourceInfo { kind: self.kind, ..self.source.info() }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        Ok(self.source.read(x0, y0, w, h)?.with_kind(self.kind))
    }

    fn channel_names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn notes(&self) -> Vec<Message> {
        self.source.notes()
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
