//! Sources of pixels: images in memory, or files read by windows.

mod alpha;
#[cfg(feature = "image-formats")]
mod described;
mod fill;
mod join;
mod listed;
mod memory;
mod options;
mod oriented;
mod rescaled;
mod select;

use super::band::MaybeSend;
use super::channel_kind::ChannelKind;
use super::image::{Image, Sample};
use crate::error::{Error, Message, Result};

pub use alpha::WithoutAlpha;
#[cfg(feature = "image-formats")]
pub(super) use described::Described;
pub use fill::FillNan;
pub use join::JoinChannels;
pub use listed::list_channels;
pub use memory::InMemory;
pub use options::{OpenOptions, PageChoice};
pub use oriented::Oriented;
pub(super) use rescaled::resized;
pub use select::SelectChannels;

/// Properties of an image, known before any pixel is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Samples per pixel.
    pub channels: usize,
    /// Sample type.
    pub sample: Sample,
    /// Meaning of the channels.
    pub kind: ChannelKind,
}

impl SourceInfo {
    /// The properties of an image in memory.
    pub fn of(image: &Image) -> Self {
        Self {
            width: image.width(),
            height: image.height(),
            channels: image.channels(),
            sample: image.pixels().sample(),
            kind: image.kind(),
        }
    }

    /// Fails unless the rectangle has at least one pixel and lies in the image.
    pub fn check_inside(&self, x0: usize, y0: usize, w: usize, h: usize) -> Result<()> {
        let inside =
            |at: usize, len: usize, limit: usize| len > 0 && at.checked_add(len).is_some_and(|end| end <= limit);
        if inside(x0, w, self.width) && inside(y0, h, self.height) {
            return Ok(());
        }
        let reason =
            format!("{w}x{h} pixels at ({x0}, {y0}) are not inside the image of {}x{}", self.width, self.height);
        Err(Error::invalid("window", reason))
    }

    /// Bytes per row of pixels.
    pub fn row_bytes(&self) -> u64 {
        (self.width * self.channels * self.sample.bytes()) as u64
    }
}

/// An image that is read by windows.
pub trait ImageSource: MaybeSend {
    /// The image's properties.
    fn info(&self) -> SourceInfo;

    /// The rectangle of `w` x `h` pixels at column `x0`, row `y0`.
    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image>;

    /// The wrapped source, if this is a wrapper. It supplies the defaults of the methods below.
    fn inner(&self) -> Option<&dyn ImageSource> {
        None
    }

    /// Mutable access to the wrapped source.
    fn inner_mut(&mut self) -> Option<&mut dyn ImageSource> {
        None
    }

    /// Channel names from the file, starting with channel 0; empty if it has none.
    fn channel_names(&self) -> Vec<String> {
        self.inner().map(|s| s.channel_names()).unwrap_or_default()
    }

    /// Notes for users on how the image is read, each a clause to print after the file name and a colon. Some are known
    /// only after the pixels have been read.
    fn notes(&self) -> Vec<Message> {
        self.inner().map(|s| s.notes()).unwrap_or_default()
    }

    /// Rows that are best read together when the whole image is read in order.
    fn rows_at_once(&self) -> usize {
        self.inner().map_or(1, |s| s.rows_at_once())
    }

    /// Bytes of host memory that the source always holds: decoded images, decoder buffers.
    fn held_bytes(&self) -> u64 {
        self.inner().map_or(0, |s| s.held_bytes())
    }

    /// Cache size in bytes with which reading windows of `rows` rows column by column decodes nothing twice.
    fn cache_bytes(&self, rows: usize) -> u64 {
        self.inner().map_or(0, |s| s.cache_bytes(rows))
    }

    /// Sets the size of the cache of decoded data, in bytes.
    fn set_cache(&mut self, bytes: u64) {
        if let Some(source) = self.inner_mut() {
            source.set_cache(bytes);
        }
    }
}

/// Reads an image once, from top to bottom, in full-width bands of bounded size.
pub fn pass(source: &mut dyn ImageSource, mut visit: impl FnMut(Image) -> Result<()>) -> Result<()> {
    /// Approximate bytes of a band.
    const BAND: u64 = 8 << 20;
    let info = source.info();
    let fitting = (BAND / info.row_bytes().max(1)).max(1);
    let natural = source.rows_at_once().max(1) as u64;
    // Whole rows of chunks where they fit, so that a source without a cache decodes each once.
    let rows = if fitting >= natural { fitting / natural * natural } else { fitting };
    let rows = usize::try_from(rows).unwrap_or(usize::MAX).min(info.height);
    let mut first = 0;
    while first < info.height {
        let height = rows.min(info.height - first);
        visit(source.read(0, first, info.width, height)?)?;
        first += height;
    }
    Ok(())
}

/// Reads the whole image into memory.
pub(super) fn read_all(source: &mut dyn ImageSource) -> Result<Image> {
    let SourceInfo { width, height, .. } = source.info();
    let image = source.read(0, 0, width, height)?;
    Ok(image.with_kind(source.info().kind).with_channel_names(source.channel_names()))
}

#[cfg(test)]
mod tests;
