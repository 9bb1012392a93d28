//! Images of equal size joined as the channels of one.

use super::{ImageSource, SourceInfo};
use crate::error::{Error, Message, Result};
use crate::infer::channel_kind::ChannelKind;
use crate::infer::image::{Image, Pixels, Sample};

/// Sources of equal size and type, such as the pages of a file, joined as channels in order.
pub struct JoinChannels {
    sources: Vec<Box<dyn ImageSource>>,
    names: Vec<String>,
    channels: usize,
}

impl JoinChannels {
    /// Fails if there is no source, or if sizes or types differ. Unnamed channels get the name of their source.
    pub fn new(sources: Vec<(String, Box<dyn ImageSource>)>) -> Result<Self> {
        let mut names = Vec::new();
        for (name, source) in &sources {
            let own = source.channel_names();
            let count = source.info().channels;
            names.extend((0..count).map(|c| match own.get(c).filter(|n| !n.is_empty()) {
                Some(own) => own.clone(),
                None if count == 1 => name.clone(),
                None => format!("{name}, channel {c}"),
            }));
        }
        let sources: Vec<_> = sources.into_iter().map(|s| s.1).collect();
        let Some(first) = sources.first().map(|s| s.info()) else {
            return Err(Error::invalid("channels", "there are no images"));
        };
        for (i, other) in sources.iter().map(|s| s.info()).enumerate() {
            if (other.width, other.height, other.sample) != (first.width, first.height, first.sample) {
                let what = |i: &SourceInfo| format!("{}x{} of {:?}", i.width, i.height, i.sample);
                let reason = format!("page 0 is {}, page {i} is {}", what(&first), what(&other));
                return Err(Error::invalid("pages as channels", reason));
            }
        }
        let channels = names.len();
        Ok(Self { sources, names, channels })
    }
}

impl ImageSource for JoinChannels {
    fn info(&self) -> SourceInfo {
        let kind = if self.channels == 1 { ChannelKind::GREY } else { ChannelKind::SEPARATE };
        match self.sources.first() {
            Some(first) => SourceInfo { channels: self.channels, kind, ..first.info() },
            // There is one at least.
            None => SourceInfo { width: 0, height: 0, channels: 0, sample: Sample::U8, kind },
        }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        let parts = self.sources.iter_mut().map(|s| s.read(x0, y0, w, h)).collect::<Result<Vec<_>>>()?;
        let pixels = match parts.first().map(Image::pixels) {
            Some(Pixels::U8(_)) => Pixels::U8(interleave(&parts, |p| if let Pixels::U8(v) = p { v } else { &[] })?),
            Some(Pixels::U16(_)) => Pixels::U16(interleave(&parts, |p| if let Pixels::U16(v) = p { v } else { &[] })?),
            _ => Pixels::F32(interleave(&parts, |p| if let Pixels::F32(v) = p { v } else { &[] })?),
        };
        Ok(Image::new(w, h, self.channels, pixels)?.with_kind(self.info().kind))
    }

    fn channel_names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn notes(&self) -> Vec<Message> {
        let mut notes = self.sources.first().map(|s| s.notes()).unwrap_or_default();
        for note in self.sources.iter().skip(1).flat_map(|s| s.notes()) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    fn rows_at_once(&self) -> usize {
        self.sources.iter().map(|s| s.rows_at_once()).max().unwrap_or(1)
    }

    fn held_bytes(&self) -> u64 {
        self.sources.iter().map(|s| s.held_bytes()).sum()
    }

    fn cache_bytes(&self, rows: usize) -> u64 {
        self.sources.iter().map(|s| s.cache_bytes(rows)).sum()
    }

    fn set_cache(&mut self, bytes: u64) {
        let share = bytes / self.sources.len().max(1) as u64;
        self.sources.iter_mut().for_each(|s| s.set_cache(share));
    }
}

/// The samples of all parts, pixel by pixel.
fn interleave<T: Copy>(parts: &[Image], samples: impl Fn(&Pixels) -> &[T]) -> Result<Vec<T>> {
    let mut out = Vec::new();
    let total = parts.iter().map(|p| p.pixels().len()).sum();
    let too_large = |_| Error::invalid("pages as channels", format!("{total} samples do not fit in memory"));
    out.try_reserve_exact(total).map_err(too_large)?;
    let mut pixels: Vec<_> = parts.iter().map(|p| samples(p.pixels()).chunks_exact(p.channels())).collect();
    while out.len() < total {
        let before = out.len();
        pixels.iter_mut().filter_map(Iterator::next).for_each(|p| out.extend_from_slice(p));
        if out.len() == before {
            break;
        }
    }
    Ok(out)
}
