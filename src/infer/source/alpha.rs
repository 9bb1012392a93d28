//! An image without its alpha channel.

use super::{ImageSource, SourceInfo};
use crate::error::{Hint, Message, Result};
use crate::infer::channel_kind::{Alpha, ChannelKind};
use crate::infer::image::{Image, Pixels};

/// A source without its alpha channel, so that transparent pixels show their colours. Adds a note once it meets a pixel
/// that is not opaque.
pub struct WithoutAlpha {
    source: Box<dyn ImageSource>,
    alpha: usize,
    channels: Vec<usize>,
    transparent: bool,
}

impl WithoutAlpha {
    /// Drops channel `alpha` of a source.
    pub fn new(source: Box<dyn ImageSource>, alpha: usize) -> Self {
        let channels = (0..source.info().channels).filter(|&c| c != alpha).collect();
        Self { source, alpha, channels, transparent: false }
    }
}

impl ImageSource for WithoutAlpha {
    fn inner(&self) -> Option<&dyn ImageSource> {
        Some(&*self.source)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ImageSource> {
        Some(&mut *self.source)
    }

    fn info(&self) -> SourceInfo {
        let info = self.source.info();
        let kind = ChannelKind { alpha: Alpha::LeftOut(self.alpha), ..info.kind };
        SourceInfo { channels: self.channels.len(), kind, ..info }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        let image = self.source.read(x0, y0, w, h)?;
        fn any<T: Copy + PartialEq>(v: &[T], alpha: usize, channels: usize, opaque: T) -> bool {
            v.iter().skip(alpha).step_by(channels).any(|&a| a != opaque)
        }
        let channels = image.channels();
        self.transparent = self.transparent
            || match image.pixels() {
                Pixels::U8(v) => any(v, self.alpha, channels, u8::MAX),
                Pixels::U16(v) => any(v, self.alpha, channels, u16::MAX),
                Pixels::F32(v) => any(v, self.alpha, channels, 1.0),
            };
        Ok(image.pick(&self.channels)?.with_kind(self.info().kind))
    }

    fn channel_names(&self) -> Vec<String> {
        let names = self.source.channel_names();
        self.channels.iter().filter_map(|&c| names.get(c).cloned()).collect()
    }

    fn notes(&self) -> Vec<Message> {
        let mut notes = self.source.notes();
        if self.transparent {
            let alpha = self.alpha;
            let note = Message::from(format!("its alpha, channel {alpha}, is not opaque everywhere and is left out; "));
            notes.push(note.then(Hint::SetChannels(vec![])).then(" takes it"));
        }
        notes
    }
}
