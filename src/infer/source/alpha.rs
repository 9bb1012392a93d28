//! An image without its alpha channel.

use super::{PictureSource, SourceInfo};
use crate::error::{Hint, Message, Result};
use crate::infer::channels::{Alpha, ChannelKind};
use crate::infer::image::{Picture, Pixels};

/// A source whose alpha channel is left out; what it hid is seen. Says so once a pixel is met that is not opaque.
pub struct WithoutAlpha {
    source: Box<dyn PictureSource>,
    alpha: usize,
    kept: Vec<usize>,
    transparent: bool,
}

impl WithoutAlpha {
    /// The source without channel `alpha`.
    pub fn new(source: Box<dyn PictureSource>, alpha: usize) -> Self {
        let kept = (0..source.info().channels).filter(|&c| c != alpha).collect();
        Self { source, alpha, kept, transparent: false }
    }
}

impl PictureSource for WithoutAlpha {
    fn info(&self) -> SourceInfo {
        let info = self.source.info();
        let kind = ChannelKind { alpha: Alpha::LeftOut(self.alpha), ..info.kind };
        SourceInfo { channels: self.kept.len(), kind, ..info }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Picture> {
        let picture = self.source.read(x0, y0, w, h)?;
        fn any<T: Copy + PartialEq>(v: &[T], alpha: usize, channels: usize, opaque: T) -> bool {
            v.iter().skip(alpha).step_by(channels).any(|&a| a != opaque)
        }
        let channels = picture.channels();
        self.transparent = self.transparent
            || match picture.pixels() {
                Pixels::U8(v) => any(v, self.alpha, channels, u8::MAX),
                Pixels::U16(v) => any(v, self.alpha, channels, u16::MAX),
                Pixels::F32(v) => any(v, self.alpha, channels, 1.0),
            };
        Ok(picture.pick(&self.kept)?.with_kind(self.info().kind))
    }

    fn channel_names(&self) -> Vec<String> {
        let names = self.source.channel_names();
        self.kept.iter().filter_map(|&c| names.get(c).cloned()).collect()
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
