//! An image's share of the memory budget besides the device's buffers.
//!
//! `memory` is divided by need: the host's use while a row of tiles is processed is known for each kind of tile, and
//! the device gets the remainder. Wide images therefore get flatter tiles, not a smaller share.

use super::assembly::SLICE;
use super::buffers::id_bytes;
use super::restored::Restored;
use crate::error::{Error, Result};
use crate::infer::band::{BandInfo, Needs};
use crate::infer::limit::MemoryLimit;
use crate::infer::options::{Blend, SegmentOptions};
use crate::infer::resample::Resize;
use crate::infer::source::{ImageSource, SourceInfo};
use crate::text::mib;

/// Divisor for the maximum share of the budget for decoded parts of the file.
const CACHE_SHARE: u64 = 4;

/// Host memory that an image needs, by the tile's rows and columns.
pub(in crate::low_level::infer) struct Budget<'a> {
    memory: MemoryLimit,
    blend: Blend,
    info: &'a BandInfo,
    needs: Needs,
    /// Rows and columns of the image, or of the network's input if it is resized for it.
    size: [usize; 2],
    /// Bytes for the rows in the size of the image, if it is resized.
    restored: u64,
    /// Channels of the network.
    channels: usize,
    source: SourceInfo,
    /// Network runs per tile; the host averages the probabilities of several.
    runs: usize,
    /// Bytes that the source always holds.
    source_bytes: u64,
    /// Tile heights, and the cache size in bytes that each requires.
    cache: Vec<(usize, u64)>,
}

/// An image whose memory is budgeted.
pub(in crate::low_level::infer) struct BudgetedImage<'a> {
    pub info: &'a BandInfo,
    pub needs: Needs,
    /// Channels of the network.
    pub channels: usize,
    /// Network runs per tile.
    pub runs: usize,
    /// How it is resized for the network.
    pub resize: Option<Resize>,
}

impl<'a> Budget<'a> {
    /// `source`: the image, resized if it is to be.
    pub(crate) fn new(
        source: &dyn ImageSource,
        options: &SegmentOptions,
        BudgetedImage { info, needs, channels, runs, resize }: BudgetedImage<'a>,
    ) -> Self {
        let size = [source.info().height, source.info().width];
        let planes = if needs.probabilities { info.planes } else { 0 };
        // The rows that are kept, and a band as it is computed and as sinks get it.
        let row = info.width as u64 * (4 * planes as u64 + info.channels as u64 * source.info().sample.bytes() as u64);
        let restored = resize.map_or(0, |by| Restored::bytes(by, planes) + 2 * SLICE.max(row));
        // Queries the source for some heights and later uses the next larger one, since the source cannot be borrowed
        // for longer.
        let heights = (4..32).map(|shift| 1usize << shift).take_while(|h| h / 2 < size[0].max(16));
        let cache = heights.map(|h| (h, source.cache_bytes(h))).collect();
        let (memory, blend, source_bytes) = (options.limit(), options.blend, source.held_bytes());
        let source = source.info();
        Self { memory, blend, info, needs, size, restored, channels, source, runs, source_bytes, cache }
    }

    /// Cache size in bytes for the source, for tiles of this many rows.
    pub(crate) fn cache(&self, rows: usize) -> u64 {
        let requested = self.cache.iter().find(|(h, _)| *h >= rows).or(self.cache.last()).map_or(0, |c| c.1);
        requested.min(self.memory.rest() / CACHE_SHARE)
    }

    /// Host bytes for another tile of this size in a batch.
    pub(crate) fn tile(&self, [h, w]: [usize; 2]) -> u64 {
        let pixels = h as u64 * w as u64;
        // The window as read, as planes, in place, and as uploaded; results as downloaded and as read.
        let channels = self.channels as u64;
        let window = self.source.channels as u64 * self.source.sample.bytes() as u64 + 12 * channels;
        let geometry = Needs { probabilities: false, ..self.needs };
        let sums = (self.info.planes + self.info.values(geometry)) as u64;
        let averaged = if self.runs > 1 { 16 * sums + 4 * channels } else { 0 };
        pixels * (window + 8 * (self.decision() + self.values()) + averaged)
    }

    /// Probabilities and geometry.
    fn values(&self) -> u64 {
        self.info.values(self.needs) as u64
    }

    fn decision(&self) -> u64 {
        if self.blend == Blend::Gaussian { self.info.planes as u64 } else { 1 }
    }

    /// Host bytes while tiles of this size are processed.
    pub(crate) fn host(&self, [h, w]: [usize; 2]) -> u64 {
        let (values, decision, transfers) = (self.values(), self.decision(), self.tile([h, w]));
        // The row of tiles being filled, and the slice of it for sinks.
        let rows = h.min(self.size[0]) as u64 * self.size[1] as u64;
        let sums = if self.blend == Blend::Gaussian { 4 * decision } else { 0 };
        let ids = id_bytes(self.info.classes.len());
        let band = rows * (ids + sums + 4 * values);
        let slice = SLICE.min(rows * (ids + 4 * values) + if self.needs.pixels { self.source.row_bytes() } else { 0 });
        let held = self.source_bytes.saturating_add(self.cache(h)).saturating_add(self.restored);
        held.saturating_add(transfers + band + 2 * slice)
    }

    /// Bytes left for the device. Fails if the host alone exceeds the limit; the error refers to the tile as `name`.
    pub(crate) fn device(&self, window: [usize; 2], name: &str) -> Result<u64> {
        let host = self.host(window);
        let memory = self.memory.rest();
        if host < memory {
            return Ok(memory - host);
        }
        let what = match self.source_bytes > memory / 2 {
            true => "the image's file, which has to be decoded in large pieces, and a row of tiles",
            false => "the image's pixels and results, on the host,",
        };
        Err(Error::Limit { what: format!("{name}: {what}"), needed: mib(host), limit: self.memory.to_string() })
    }

    /// The memory limit and the host's part of it, for an error message.
    pub(crate) fn shared(&self, window: [usize; 2]) -> String {
        format!("{}; the image and its results take {}", self.memory, mib(self.host(window)))
    }
}

/// Fails if not even a row of the image fits in memory with the pieces in which its file is decoded: statistics are
/// gathered row by row.
pub(in crate::low_level::infer) fn check_rows(source: &dyn ImageSource, memory: MemoryLimit) -> Result<()> {
    let min = source.info().row_bytes().saturating_add(source.held_bytes());
    if min <= memory.rest() {
        return Ok(());
    }
    Err(Error::Limit {
        what: "a row of the image, in the pieces that its file is decoded in,".into(),
        needed: mib(min),
        limit: memory.to_string(),
    })
}
