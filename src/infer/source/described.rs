//! A source with its file's channel description.

use super::{ImageSource, SourceInfo};
use crate::error::Result;
use crate::infer::channel_kind::ChannelKind;
use crate::infer::image::Image;

/// A source with a channel kind and channel names.
pub(crate) struct Described {
    pub source: Box<dyn ImageSource>,
    pub kind: ChannelKind,
    pub names: Vec<String>,
}

impl ImageSource for Described {
    fn inner(&self) -> Option<&dyn ImageSource> {
        Some(&*self.source)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ImageSource> {
        Some(&mut *self.source)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo { kind: self.kind, ..self.source.info() }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        Ok(self.source.read(x0, y0, w, h)?.with_kind(self.kind))
    }

    fn channel_names(&self) -> Vec<String> {
        self.names.clone()
    }
}
