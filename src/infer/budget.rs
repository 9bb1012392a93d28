//! What an image takes of the memory budget besides the device's buffers.
//!
//! `memory` is divided by need: of a kind of tile it is known what the host holds while a row of such tiles goes through, and
//! the rest is the device's. So wide images get flatter tiles rather than a smaller share.

use super::band::{BandInfo, Needs};
use super::options::{Blend, SegmentOptions};
use super::source::{ImageSource, SourceInfo};
use super::stream::{SLICE, id_bytes};
use crate::error::{Error, Result};
use crate::text::mib;

/// Largest share of the budget that decoded parts of the file may take, as a divisor.
const CACHE_SHARE: u64 = 4;

/// How the limit of an error ends where it is the caller's and not the device's.
pub const OF_MEMORY: &str = "of memory";

/// The memory that an image of this kind needs on the host, by the tile's rows and columns.
pub(super) struct Budget<'a> {
    memory: u64,
    blend: Blend,
    info: &'a BandInfo,
    needs: Needs,
    /// Channels of the network.
    channels: usize,
    source: SourceInfo,
    /// Runs of a network a tile; the probabilities of several are averaged on the host.
    runs: usize,
    /// What the source holds whatever is read.
    held: u64,
    /// Bytes of decoded chunks that one more row of a tile keeps, and those that any row does.
    cache: Vec<(usize, u64)>,
}

impl<'a> Budget<'a> {
    pub fn new(
        source: &dyn ImageSource,
        options: &SegmentOptions,
        (channels, info, needs): (usize, &'a BandInfo, Needs),
        runs: usize,
    ) -> Self {
        // A source is asked for some heights, and the next larger one is taken: it cannot be held on to.
        let heights = (4..32).map(|shift| 1usize << shift).take_while(|h| h / 2 < info.height.max(16));
        let cache = heights.map(|h| (h, source.cache_bytes(h))).collect();
        let (memory, blend, held) = (options.memory, options.blend, source.held_bytes());
        Self { memory, blend, info, needs, channels, source: source.info(), runs, held, cache }
    }

    /// Bytes that the source may keep of what it decoded, for tiles of this many rows.
    pub fn cache(&self, rows: usize) -> u64 {
        let requested = self.cache.iter().find(|(h, _)| *h >= rows).or(self.cache.last()).map_or(0, |c| c.1);
        requested.min(self.memory / CACHE_SHARE)
    }

    /// Bytes on the host for one tile of this size more in a batch.
    pub fn tile(&self, [h, w]: [usize; 2]) -> u64 {
        let pixels = h as u64 * w as u64;
        // The window as read, in planes, in its place, and as it is uploaded; results as downloaded and as read.
        let channels = self.channels as u64;
        let window = self.source.channels as u64 * self.source.sample.bytes() as u64 + 12 * channels;
        let averaged = if self.runs > 1 { 16 * self.info.planes as u64 + 4 * channels } else { 0 };
        pixels * (window + 8 * (self.decision() + self.probabilities()) + averaged)
    }

    fn probabilities(&self) -> u64 {
        if self.needs.probabilities { self.info.planes as u64 } else { 0 }
    }

    fn decision(&self) -> u64 {
        if self.blend == Blend::Gaussian { self.info.planes as u64 } else { 1 }
    }

    /// Bytes on the host while tiles of this size go through.
    pub fn host(&self, [h, w]: [usize; 2]) -> u64 {
        let (probabilities, decision, transfers) = (self.probabilities(), self.decision(), self.tile([h, w]));
        // The row of tiles that fills, and what sinks get of it.
        let rows = h.min(self.info.height) as u64 * self.info.width as u64;
        let sums = if self.blend == Blend::Gaussian { 4 * decision } else { 0 };
        let ids = id_bytes(self.info.classes.len());
        let band = rows * (ids + sums + 4 * probabilities);
        let slice =
            SLICE.min(rows * (ids + 4 * probabilities) + if self.needs.pixels { self.source.row_bytes() } else { 0 });
        self.held.saturating_add(self.cache(h)).saturating_add(transfers + band + 2 * slice)
    }

    /// Bytes that are left for the device, or what needs more than there is: the parts of an error.
    pub fn device(&self, window: [usize; 2]) -> Result<u64, [String; 3]> {
        let host = self.host(window);
        if host < self.memory {
            return Ok(self.memory - host);
        }
        let what = match self.held > self.memory / 2 {
            true => "the image's file, which has to be decoded in large pieces, and a row of tiles",
            false => "the image's pixels and results, on the host,",
        };
        Err([what.to_string(), mib(host), format!("{} {OF_MEMORY}", mib(self.memory))])
    }

    /// The memory allowed, and the host's part of it, as the limit in an error.
    pub fn shared(&self, window: [usize; 2]) -> String {
        let host = mib(self.host(window));
        format!("{} {OF_MEMORY}, of which the image and its results take {host}", mib(self.memory))
    }
}

/// Fails if not even a row of the image, with the pieces that its file is decoded in, can be in memory: statistics are
/// gathered row by row.
pub(super) fn check_rows(source: &dyn ImageSource, memory: u64) -> Result<()> {
    let min = source.info().row_bytes().saturating_add(source.held_bytes());
    if min <= memory {
        return Ok(());
    }
    Err(Error::Limit {
        what: "a row of the image, in the pieces that its file is decoded in,".into(),
        needed: mib(min),
        limit: format!("{} {OF_MEMORY}", mib(memory)),
    })
}
