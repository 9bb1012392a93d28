//! From tiles to bands: runs an image through the network tile by tile and emits complete rows.

use super::buffers::{id_bytes, no_ids, zeros};
use super::restored::{ImageRows, Restored};
use crate::error::{Error, Result};
use crate::infer::band::{Band, BandInfo, BandSink, MaybeSend, Needs};
use crate::infer::channels::ChannelMap;
use crate::infer::image::Image;
use crate::infer::mask::Ids;
use crate::infer::orient::TilePlace;
use crate::infer::resample::Resize;
use crate::infer::source::{ImageSource, SourceInfo, resized};
use crate::infer::tile::grid::{AxisPlan, TileGrid, source_window};

/// Approximate bytes per band for sinks.
pub(in crate::low_level::infer) const SLICE: u64 = 8 << 20;
/// Maximum rows per band.
const SLICE_ROWS: usize = 256;

/// The network's result for a tile.
#[derive(Debug, Default)]
pub(in crate::low_level::infer) struct TileResult {
    /// Class ids as floats, `[rows][columns]` of the tile's output.
    pub mask: Vec<f32>,
    /// Planes of values, `[K][rows][columns]`: the planes to average if tiles are blended, then as far as they are needed
    /// probabilities, then geometry.
    pub planes: Vec<f32>,
}

/// A queued tile: its image, its place, and the raw pixels read for it.
pub(in crate::low_level::infer) struct QueuedTile {
    pub image: usize,
    pub place: TilePlace,
    pub pixels: Vec<f32>,
}

/// Runs the network on tiles.
pub(in crate::low_level::infer) trait RunTiles {
    /// Returns each tile's result; `progress` receives a fraction from 0 to 1 and may cancel.
    async fn run(&mut self, queued: &[QueuedTile], progress: impl FnMut(f64) -> Result<()>) -> Result<Vec<TileResult>>;
}

/// Where the tiles of an image lie: rows of tiles from top to bottom, each from left to right.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::low_level::infer) struct TilePositions {
    /// Rows and columns of a tile.
    pub shape: [usize; 2],
    /// First rows of the rows of tiles.
    pub rows: Vec<isize>,
    /// First columns of the columns of tiles.
    pub columns: Vec<isize>,
}

/// A tile by its place among the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::low_level::infer) struct TileIndex {
    /// Its row of tiles.
    pub row: usize,
    /// Its column of tiles.
    pub column: usize,
    /// Whether it is the last of its row.
    pub ends_row: bool,
}

impl TilePositions {
    /// Number of tiles.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    fn index(&self, tile: usize) -> TileIndex {
        let across = self.columns.len().max(1);
        TileIndex { row: tile / across, column: tile % across, ends_row: (tile + 1).is_multiple_of(across) }
    }

    /// First row and column of a tile.
    fn start(&self, tile: TileIndex) -> [isize; 2] {
        [self.rows.get(tile.row), self.columns.get(tile.column)].map(|s| s.copied().unwrap_or(0))
    }
}

/// Makes an image's result from those of its tiles.
pub(in crate::low_level::infer) trait Assembly: MaybeSend {
    /// Where the tiles lie.
    fn positions(&self) -> TilePositions;

    /// Accepts the result of a tile, in tile order. Emits the rows that it completes.
    fn take(
        &mut self,
        tile: TileIndex,
        result: &TileResult,
        source: &mut dyn ImageSource,
        out: &mut Emitter,
    ) -> Result<()>;
}

/// An image being segmented.
pub(in crate::low_level::infer) struct ImageInProgress<'a, 'b> {
    pub windows: Windows<'a>,
    pub out: Emitter<'a, 'b>,
    pub assembly: Box<dyn Assembly + 'a>,
}

/// Runs the tiles of all images in order, `at_once` tiles together.
pub(in crate::low_level::infer) async fn run_tiles(
    images: &mut [ImageInProgress<'_, '_>],
    at_once: usize,
    run: &mut impl RunTiles,
    progress: &mut impl FnMut(f64) -> Result<()>,
) -> Result<()> {
    let positions: Vec<TilePositions> = images.iter().map(|p| p.assembly.positions()).collect();
    let total = positions.iter().map(TilePositions::len).sum::<usize>() as f64;
    let mut all = positions.iter().enumerate().flat_map(|(i, p)| (0..p.len()).map(move |t| (i, p, p.index(t))));
    let mut done = 0.0;
    loop {
        let now: Vec<(usize, &TilePositions, TileIndex)> = all.by_ref().take(at_once.max(1)).collect();
        if now.is_empty() {
            return Ok(());
        }
        let mut queued = Vec::new();
        for &(image, positions, tile) in &now {
            if let Some(ImageInProgress { windows, .. }) = images.get_mut(image) {
                let (place, pixels) = windows.tile(positions.start(tile), positions.shape)?;
                queued.push(QueuedTile { image, place, pixels });
            }
        }
        let share = queued.len() as f64;
        let results = run.run(&queued, |part| progress((done + part * share) / total)).await?;
        done += share;
        for ((image, _, tile), result) in now.into_iter().zip(results) {
            if let Some(ImageInProgress { windows, assembly, out }) = images.get_mut(image) {
                assembly.take(tile, &result, &mut *windows.source, out)?;
            }
        }
    }
}

/// Reads the windows of an image.
pub(in crate::low_level::infer) struct Windows<'a> {
    pub source: &'a mut dyn ImageSource,
    /// Conversion of its channels to the network's.
    pub channels: &'a ChannelMap,
    /// Whether colours were lost.
    pub coloured: bool,
    /// How the image is resized for the network.
    pub resize: Option<Resize>,
}

impl Windows<'_> {
    /// A tile's place and the raw pixels it needs, planar.
    pub(crate) fn tile(&mut self, start: [isize; 2], [h, w]: [usize; 2]) -> Result<(TilePlace, Vec<f32>)> {
        let SourceInfo { width, height, .. } = self.source.info();
        let [height, width] = self.resize.map_or([height, width], Resize::size);
        let rows = source_window(start[0], h, height);
        let columns = source_window(start[1], w, width);
        let read = |source: &mut dyn ImageSource| source.read(columns.start, rows.start, columns.len(), rows.len());
        let part = resized(&mut *self.source, self.resize, read)?;
        self.coloured = self.coloured || self.channels.shows_colour(&part);
        let pixels = self.channels.apply(&part)?.window(0, 0, columns.len(), rows.len())?;
        Ok((TilePlace { image: [height, width], start, size: [h, w], rows, columns }, pixels))
    }
}

/// Passes rows to sinks in slices of bounded size, in the size of the image, and counts classes.
pub(in crate::low_level::infer) struct Emitter<'a, 'b> {
    pub info: &'a BandInfo,
    pub needs: Needs,
    pub sinks: &'a mut [&'b mut dyn BandSink],
    /// Number of pixels of every class so far.
    pub counts: Vec<u64>,
    next: usize,
    /// Rows that the network has computed.
    computed: usize,
    restored: Option<Restored>,
}

impl<'a, 'b> Emitter<'a, 'b> {
    pub(crate) fn new(
        info: &'a BandInfo,
        needs: Needs,
        sinks: &'a mut [&'b mut dyn BandSink],
        resize: Option<Resize>,
    ) -> Result<Self> {
        sinks.iter_mut().try_for_each(|s| s.start(info))?;
        let (classes, planes) = (info.classes.len(), if needs.probabilities { info.planes } else { 0 });
        let restored = resize.map(|by| Restored::new(by, classes, planes));
        Ok(Self { info, needs, sinks, counts: vec![0; classes], next: 0, computed: 0, restored })
    }

    /// Emits the network's next `rows` rows: ids, and planes (probabilities, then geometry, as far as they are needed) with a
    /// distance of `stride` rows from plane to plane.
    pub(crate) fn rows(
        &mut self,
        source: &mut dyn ImageSource,
        rows: usize,
        ids: &Ids,
        planes: &[f32],
        stride: usize,
    ) -> Result<()> {
        let width = self.info.network.map_or(self.info.width, |[_, columns]| columns);
        let max = self.slice(width, source.info());
        for first in (0..rows).step_by(max) {
            let height = max.min(rows - first);
            let range = first * width..(first + height) * width;
            let classes = match ids {
                Ids::U8(v) => Ids::U8(v.get(range.clone()).unwrap_or_default().to_vec()),
                Ids::U16(v) => Ids::U16(v.get(range.clone()).unwrap_or_default().to_vec()),
            };
            let part = |first: usize, count: usize| -> Vec<f32> {
                let planes = planes.chunks_exact((stride * width).max(1)).skip(first).take(count);
                planes.flat_map(|p| p.get(range.clone()).unwrap_or_default()).copied().collect()
            };
            let (info, needs) = (self.info, self.needs);
            let probabilities = needs.probabilities.then(|| part(0, info.planes));
            let before = if needs.probabilities { info.planes } else { 0 };
            let geometry = needs.geometry.then(|| part(before, info.geometry));
            let (probabilities, geometry) = (probabilities.as_deref(), geometry.as_deref());
            let band =
                Band { first: self.computed, height, width, classes: &classes, probabilities, geometry, pixels: None };
            self.computed += height;
            let Some(restored) = &mut self.restored else {
                self.image_band(source, band)?;
                continue;
            };
            self.sinks.iter_mut().try_for_each(|s| s.network_band(&band))?;
            restored.push(&band);
            self.restore(source)?;
        }
        Ok(())
    }

    /// Emits the rows of the image that follow from those that the network has computed.
    fn restore(&mut self, source: &mut dyn ImageSource) -> Result<()> {
        let (width, max) = (self.info.width, self.slice(self.info.width, source.info()));
        while let Some(restored) = &mut self.restored
            && let Some(ImageRows { height, classes, probabilities }) = restored.take(max)?
        {
            let probabilities = self.needs.probabilities.then_some(&probabilities[..]);
            let (first, classes) = (self.next, &classes);
            self.image_band(
                source,
                Band { first, height, width, classes, probabilities, geometry: None, pixels: None },
            )?;
        }
        Ok(())
    }

    /// Emits rows of the image, with their pixels if needed.
    fn image_band(&mut self, source: &mut dyn ImageSource, band: Band) -> Result<()> {
        let Band { height, width, classes, .. } = band;
        (0..height * width).for_each(|i| {
            if let Some(n) = self.counts.get_mut(classes.id(i)) {
                *n += 1;
            }
        });
        let pixels: Option<Image> = match self.needs.pixels {
            true => Some(source.read(0, self.next, width, height)?),
            false => None,
        };
        let band = Band { pixels: pixels.as_ref(), ..band };
        self.sinks.iter_mut().try_for_each(|s| s.band(&band))?;
        self.next += height;
        Ok(())
    }

    /// Rows of `width` columns in a band.
    fn slice(&self, width: usize, source: SourceInfo) -> usize {
        let values = 4 * self.info.values(self.needs) as u64;
        let pixels = if self.needs.pixels { source.row_bytes() } else { 0 };
        let per_row = width as u64 * (id_bytes(self.info.classes.len()) + values) + pixels;
        usize::try_from(SLICE / per_row.max(1)).unwrap_or(SLICE_ROWS).clamp(1, SLICE_ROWS)
    }
}

/// Assembles the tiles of an exact grid row by row; the valid regions are emitted as soon as a row of tiles is
/// complete.
pub(in crate::low_level::infer) struct Exact<'a> {
    grid: &'a TileGrid,
    ids: Ids,
    values: Vec<f32>,
}

impl From<&TileGrid> for TilePositions {
    fn from(TileGrid { rows, columns }: &TileGrid) -> Self {
        let starts = |axis: &AxisPlan| axis.windows.iter().map(|w| w.start).collect();
        Self { shape: [rows.window, columns.window], rows: starts(rows), columns: starts(columns) }
    }
}

impl<'a> Exact<'a> {
    pub(crate) fn new(grid: &'a TileGrid) -> Self {
        Self { grid, ids: Ids::U8(Vec::new()), values: Vec::new() }
    }
}

impl Assembly for Exact<'_> {
    fn positions(&self) -> TilePositions {
        self.grid.into()
    }

    fn take(
        &mut self,
        tile: TileIndex,
        result: &TileResult,
        source: &mut dyn ImageSource,
        out: &mut Emitter,
    ) -> Result<()> {
        let Self { grid, ids, values } = self;
        let (Some(y), Some(x)) = (grid.rows.windows.get(tile.row), grid.columns.windows.get(tile.column)) else {
            return Err(Error::invalid("tile", "lies outside the grid"));
        };
        let (width, rows) = (grid.columns.length, y.valid.len());
        let planes = out.info.values(out.needs);
        let [oh, ow] = [grid.rows.output, grid.columns.output];
        if tile.column == 0 {
            *ids = no_ids(out.info.classes.len(), rows * width)?;
            *values = zeros(planes * rows * width)?;
        }
        if result.mask.len() != oh * ow || result.planes.len() < planes * oh * ow {
            return Err(Error::invalid("tile", "the network's output differs in size from the plan"));
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
        if tile.ends_row {
            out.rows(source, rows, ids, values, rows)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
