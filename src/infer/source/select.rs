//! Selection of channels.

use super::{ImageSource, SourceInfo, list_channels};
use crate::error::{Error, Result};
use crate::infer::channel_kind::{Alpha, ChannelKind, Colour};
use crate::infer::image::Image;

/// Some channels of a source, in the requested order; a channel may be repeated.
pub struct SelectChannels {
    source: Box<dyn ImageSource>,
    channels: Vec<usize>,
}

impl SelectChannels {
    /// Fails if a channel does not exist, or the list is empty.
    pub fn new(source: Box<dyn ImageSource>, channels: Vec<usize>) -> Result<Self> {
        let have = source.info().channels;
        if channels.is_empty() {
            return Err(Error::invalid("channels", "the list is empty"));
        }
        if let Some(c) = channels.iter().find(|c| **c >= have) {
            let list = list_channels(&source.info(), &source.channel_names());
            let what = match have {
                1 => "only channel 0".into(),
                _ if list.chars().any(char::is_alphabetic) => format!("channels 0 to {} ({list})", have - 1),
                _ => format!("channels 0 to {}", have - 1),
            };
            return Err(Error::invalid("channels", format!("there is no channel {c}, the image has {what}")));
        }
        Ok(Self { source, channels })
    }
}

impl ImageSource for SelectChannels {
    fn inner(&self) -> Option<&dyn ImageSource> {
        Some(&*self.source)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ImageSource> {
        Some(&mut *self.source)
    }

    fn info(&self) -> SourceInfo {
        let info = self.source.info();
        let colour = match (info.kind.colour, &self.channels[..]) {
            (Colour::Rgb, [0, 1, 2]) => Colour::Rgb,
            _ => Colour::Chosen,
        };
        SourceInfo { channels: self.channels.len(), kind: ChannelKind { colour, alpha: Alpha::None }, ..info }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        Ok(self.source.read(x0, y0, w, h)?.pick(&self.channels)?.with_kind(self.info().kind))
    }

    fn channel_names(&self) -> Vec<String> {
        let names = self.source.channel_names();
        if names.is_empty() {
            return names;
        }
        self.channels.iter().map(|&c| names.get(c).cloned().unwrap_or_default()).collect()
    }
}
