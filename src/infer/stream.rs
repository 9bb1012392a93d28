//! From tiles to bands: an image goes through the network tile by tile and comes out as complete rows.

use super::band::{Band, BandInfo, BandSink, MaybeSend, Needs};
use super::channels::ChannelMap;
use super::image::Image;
use super::mask::Ids;
use super::orient::TilePlace;
use super::source::{ImageSource, SourceInfo};
use super::tile::{TileGrid, source_window};
use crate::error::{Error, Result};

/// Bytes of a band as sinks get it, about.
pub(super) const SLICE: u64 = 8 << 20;
/// Rows of it, at most.
const SLICE_ROWS: usize = 256;

/// What the network made of a tile.
#[derive(Debug, Default)]
pub(super) struct TileResult {
    /// Class ids as floats, `[rows][columns]` of the tile's output.
    pub mask: Vec<f32>,
    /// Planes of values, `[K][rows][columns]`: probabilities, or what is averaged.
    pub planes: Vec<f32>,
}

/// A tile that waits for its run: of which image, where it lies, the raw pixels read for it.
pub(super) struct QueuedTile {
    pub image: usize,
    pub place: TilePlace,
    pub pixels: Vec<f32>,
}

/// Runs the network on tiles.
pub(super) trait RunTiles {
    /// Gives each tile's result; `progress` goes from 0 to 1 and may cancel.
    async fn run(&mut self, waiting: &[QueuedTile], progress: impl FnMut(f64) -> Result<()>)
    -> Result<Vec<TileResult>>;
}

/// How an image is cut into tiles and put together again.
pub(super) trait Assembly: MaybeSend {
    /// Number of tiles.
    fn tiles(&self) -> usize;

    /// Rows and columns of each.
    fn shape(&self) -> [usize; 2];

    /// First row and column of a tile.
    fn start(&self, tile: usize) -> [isize; 2];

    /// Takes the result of a tile; they come in order. Complete rows go on.
    fn take(&mut self, tile: usize, result: &TileResult, source: &mut dyn ImageSource, out: &mut Emitter)
    -> Result<()>;
}

/// An image on its way through the network.
pub(super) struct ImageInProgress<'a, 'b> {
    pub windows: Windows<'a>,
    pub out: Emitter<'a, 'b>,
    pub assembly: Box<dyn Assembly + 'a>,
}

/// Runs the tiles of images, of all images in order, `at_once` tiles together.
pub(super) async fn run_tiles(
    images: &mut [ImageInProgress<'_, '_>],
    at_once: usize,
    run: &mut impl RunTiles,
    progress: &mut impl FnMut(f64) -> Result<()>,
) -> Result<()> {
    let counts: Vec<usize> = images.iter().map(|p| p.assembly.tiles()).collect();
    let total = counts.iter().sum::<usize>() as f64;
    let mut all = counts.iter().enumerate().flat_map(|(p, &tiles)| (0..tiles).map(move |t| (p, t)));
    let mut done = 0.0;
    loop {
        let now: Vec<(usize, usize)> = all.by_ref().take(at_once.max(1)).collect();
        if now.is_empty() {
            return Ok(());
        }
        let mut waiting = Vec::new();
        for &(image, tile) in &now {
            if let Some(ImageInProgress { windows, assembly, .. }) = images.get_mut(image) {
                let (place, pixels) = windows.tile(assembly.start(tile), assembly.shape())?;
                waiting.push(QueuedTile { image, place, pixels });
            }
        }
        let share = waiting.len() as f64;
        let results = run.run(&waiting, |part| progress((done + part * share) / total)).await?;
        done += share;
        for ((image, tile), result) in now.into_iter().zip(results) {
            if let Some(ImageInProgress { windows, assembly, out }) = images.get_mut(image) {
                assembly.take(tile, &result, &mut *windows.source, out)?;
            }
        }
    }
}

/// Where the windows of an image come from.
pub(super) struct Windows<'a> {
    pub source: &'a mut dyn ImageSource,
    /// How its channels become those of the network.
    pub channels: &'a ChannelMap,
    /// Whether colours were lost.
    pub coloured: bool,
}

impl Windows<'_> {
    /// Where a tile lies, and the raw pixels it needs, planar.
    pub fn tile(&mut self, start: [isize; 2], [h, w]: [usize; 2]) -> Result<(TilePlace, Vec<f32>)> {
        let SourceInfo { width, height, .. } = self.source.info();
        let rows = source_window(start[0], h, height);
        let columns = source_window(start[1], w, width);
        let part = self.source.read(columns.start, rows.start, columns.len(), rows.len())?;
        self.coloured = self.coloured || self.channels.shows_colour(&part);
        let pixels = self.channels.apply(&part)?.window(0, 0, columns.len(), rows.len())?;
        Ok((TilePlace { image: [height, width], start, size: [h, w], rows, columns }, pixels))
    }
}

/// Zeros, or an error where a failed allocation would end the program.
pub(super) fn zeros<T: Copy + Default>(len: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    let error = |_| Error::invalid("image", format!("its {len} results do not fit in memory"));
    v.try_reserve_exact(len).map_err(error)?;
    v.resize(len, T::default());
    Ok(v)
}

/// Hands rows on to sinks, in slices of a bounded size, and counts.
pub(super) struct Emitter<'a, 'b> {
    pub info: &'a BandInfo,
    pub needs: Needs,
    pub sinks: &'a mut [&'b mut dyn BandSink],
    /// Pixels of every class so far.
    pub counts: Vec<u64>,
    next: usize,
}

impl<'a, 'b> Emitter<'a, 'b> {
    pub fn new(info: &'a BandInfo, needs: Needs, sinks: &'a mut [&'b mut dyn BandSink]) -> Result<Self> {
        sinks.iter_mut().try_for_each(|s| s.start(info))?;
        Ok(Self { info, needs, sinks, counts: vec![0; info.classes.len()], next: 0 })
    }

    /// The next `rows` rows: ids, and probability planes whose rows begin `stride` rows apart.
    pub fn rows(
        &mut self,
        source: &mut dyn ImageSource,
        rows: usize,
        ids: &Ids,
        planes: &[f32],
        stride: usize,
    ) -> Result<()> {
        let width = self.info.width;
        let per_row = self.row_bytes(source.info());
        let max = usize::try_from(SLICE / per_row.max(1)).unwrap_or(SLICE_ROWS).clamp(1, SLICE_ROWS);
        for first in (0..rows).step_by(max) {
            let height = max.min(rows - first);
            let range = first * width..(first + height) * width;
            let classes = match ids {
                Ids::U8(v) => Ids::U8(v.get(range.clone()).unwrap_or_default().to_vec()),
                Ids::U16(v) => Ids::U16(v.get(range.clone()).unwrap_or_default().to_vec()),
            };
            (0..height * width).for_each(|i| {
                if let Some(n) = self.counts.get_mut(classes.id(i)) {
                    *n += 1;
                }
            });
            let probabilities: Option<Vec<f32>> = self.needs.probabilities.then(|| {
                let planes = planes.chunks_exact((stride * width).max(1));
                planes.flat_map(|p| p.get(range.clone()).unwrap_or_default()).copied().collect()
            });
            let pixels: Option<Image> = match self.needs.pixels {
                true => Some(source.read(0, self.next, width, height)?),
                false => None,
            };
            let (probabilities, pixels) = (probabilities.as_deref(), pixels.as_ref());
            let band = Band { first: self.next, height, width, classes: &classes, probabilities, pixels };
            self.sinks.iter_mut().try_for_each(|s| s.band(&band))?;
            self.next += height;
        }
        Ok(())
    }

    fn row_bytes(&self, source: SourceInfo) -> u64 {
        let probabilities = if self.needs.probabilities { 4 * self.info.planes as u64 } else { 0 };
        let pixels = if self.needs.pixels { source.row_bytes() } else { 0 };
        self.info.width as u64 * (id_bytes(self.info.classes.len()) + probabilities) + pixels
    }
}

/// Bytes of a class id.
pub(super) fn id_bytes(classes: usize) -> u64 {
    if classes <= 256 { 1 } else { 2 }
}

/// Class ids of `len` pixels, all 0.
pub(super) fn no_ids(classes: usize, len: usize) -> Result<Ids> {
    Ok(if classes <= 256 { Ids::U8(zeros(len)?) } else { Ids::U16(zeros(len)?) })
}

/// Puts the tiles of an exact grid together, a row of tiles after the other; what they keep goes on as soon as the row is
/// full.
pub(super) struct Exact<'a> {
    grid: &'a TileGrid,
    ids: Ids,
    values: Vec<f32>,
}

impl<'a> Exact<'a> {
    pub fn new(grid: &'a TileGrid) -> Self {
        Self { grid, ids: Ids::U8(Vec::new()), values: Vec::new() }
    }
}

impl Assembly for Exact<'_> {
    fn tiles(&self) -> usize {
        self.grid.len()
    }

    fn shape(&self) -> [usize; 2] {
        [self.grid.rows.window, self.grid.columns.window]
    }

    fn start(&self, tile: usize) -> [isize; 2] {
        let (rows, columns) = (&self.grid.rows.windows, &self.grid.columns.windows);
        let across = columns.len().max(1);
        [rows.get(tile / across), columns.get(tile % across)].map(|w| w.map_or(0, |w| w.start))
    }

    fn take(
        &mut self,
        tile: usize,
        result: &TileResult,
        source: &mut dyn ImageSource,
        out: &mut Emitter,
    ) -> Result<()> {
        let Self { grid, ids, values } = self;
        let across = grid.columns.windows.len().max(1);
        let (Some(y), Some(x)) = (grid.rows.windows.get(tile / across), grid.columns.windows.get(tile % across)) else {
            return Err(Error::invalid("tile", "lies outside the grid"));
        };
        let (width, rows) = (grid.columns.length, y.valid.len());
        let planes = if out.needs.probabilities { out.info.planes } else { 0 };
        let [oh, ow] = [grid.rows.output, grid.columns.output];
        if tile.is_multiple_of(across) {
            *ids = no_ids(out.info.classes.len(), rows * width)?;
            *values = zeros(planes * rows * width)?;
        }
        if result.mask.len() != oh * ow || result.planes.len() < planes * oh * ow {
            return Err(Error::invalid("tile", "the network's output has another size than planned"));
        }
        for row in 0..rows {
            let from = (y.offset + row) * ow + x.offset;
            let at = row * width + x.valid.start;
            let line = result.mask.get(from..from + x.valid.len()).unwrap_or_default();
            match ids {
                Ids::U8(v) => v.iter_mut().skip(at).zip(line).for_each(|(id, &c)| *id = c as u8),
                Ids::U16(v) => v.iter_mut().skip(at).zip(line).for_each(|(id, &c)| *id = c as u16),
            }
            for plane in 0..planes {
                let (from, at) = (plane * oh * ow + from, plane * rows * width + at);
                let line = result.planes.get(from..from + x.valid.len()).unwrap_or_default();
                if let Some(to) = values.get_mut(at..at + line.len()) {
                    to.copy_from_slice(line);
                }
            }
        }
        if (tile + 1).is_multiple_of(across) {
            out.rows(source, rows, ids, values, rows)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
