//! An integer per pixel, in tiles that are shared until they change.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::error::EditError;
use super::tile::{Pixels, Place, Tile};
use super::{MAX_ID, Rect, TILE, UNLABELLED};

/// Most tiles of a map: an image of 524,288 x 524,288 pixels.
const MAX_TILES: u64 = 1 << 22;

/// An integer per pixel, in tiles of 256 x 256 pixels. A clone shares all tiles.
#[derive(Clone, Debug)]
pub struct LabelMap {
    width: u32,
    height: u32,
    pub(super) tiles: Vec<Tile>,
    changed: BTreeSet<u32>,
}

impl PartialEq for LabelMap {
    fn eq(&self, other: &Self) -> bool {
        let size = [self.width, self.height] == [other.width, other.height];
        size && (0..self.tiles.len()).all(|t| self.same_tile(other, t))
    }
}

impl LabelMap {
    /// A map of one value. Fails if it has no pixel or too many.
    pub fn new(width: u32, height: u32, value: u32) -> Result<Self, EditError> {
        let tiles = u64::from(width.div_ceil(TILE)) * u64::from(height.div_ceil(TILE));
        if tiles == 0 || tiles > MAX_TILES {
            return Err(EditError::Size { width, height });
        }
        let tiles = vec![Tile::from(Pixels::Uniform(value)); tiles as usize];
        let changed = (0..tiles.len() as u32).collect();
        Ok(Self { width, height, tiles, changed })
    }

    /// A map from its values, row by row. Fails if they do not fill it or number an instance too high.
    pub fn from_ids(width: u32, height: u32, ids: &[u32]) -> Result<Self, EditError> {
        if ids.len() as u64 != u64::from(width) * u64::from(height) {
            return Err(EditError::Pixels { pixels: ids.len() as u64, width, height });
        }
        if let Some(&id) = ids.iter().find(|&&id| id > MAX_ID && id != UNLABELLED) {
            return Err(EditError::Value(id));
        }
        let mut map = Self::new(width, height, UNLABELLED)?;
        for t in 0..map.tiles.len() {
            let place = map.place(t);
            let mut values = vec![UNLABELLED; (TILE * TILE) as usize];
            for (y, x0, x1) in place.rows() {
                let from = y as usize * width as usize;
                let row = &ids[from + x0 as usize..from + x1 as usize];
                let at = place.offset(x0, y);
                values[at..at + row.len()].copy_from_slice(row);
            }
            let pixels = place.single(&values).map_or_else(|| Pixels::Dense(values.into()), Pixels::Uniform);
            map.tiles[t] = pixels.into();
        }
        Ok(map)
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The whole map.
    pub fn rect(&self) -> Rect {
        Rect::new(0, 0, self.width, self.height)
    }

    /// The value of a pixel; none beyond the map.
    pub fn get(&self, x: u32, y: u32) -> Option<u32> {
        let t = self.tile_of(x, y)?;
        Some(self.tiles[t].pixels.at(self.place(t).offset(x, y)))
    }

    /// Copies the rectangle's pixels, row by row, as far as `out` reaches. Pixels beyond the map are unlabelled.
    pub fn read(&self, rect: Rect, out: &mut [u32]) {
        out.fill(UNLABELLED);
        if rect.width == 0 {
            return;
        }
        let columns = rect.x.max(0)..rect.right().min(i64::from(self.width));
        for (i, row) in out.chunks_mut(rect.width as usize).take(rect.height as usize).enumerate() {
            let y = rect.y.saturating_add(i as i64);
            if y < 0 || y >= i64::from(self.height) {
                continue;
            }
            let mut x = columns.start;
            while x < columns.end {
                let Some(t) = self.tile_of(x as u32, y as u32) else { break };
                let place = self.place(t);
                let end = columns.end.min(i64::from(place.x + place.width));
                let into = (x - rect.x) as usize..((end - rect.x) as usize).min(row.len());
                let from = place.offset(x as u32, y as u32);
                if let Some(into) = row.get_mut(into) {
                    match &self.tiles[t].pixels {
                        Pixels::Uniform(value) => into.fill(*value),
                        Pixels::Dense(values) => into.copy_from_slice(&values[from..from + into.len()]),
                    }
                }
                x = end;
            }
        }
    }

    /// The pixels of these rows, as far as the map has them.
    pub fn to_rows(&self, rows: Range<u32>) -> Vec<u32> {
        let end = rows.end.min(self.height);
        let height = end.saturating_sub(rows.start);
        let mut out = vec![UNLABELLED; self.width as usize * height as usize];
        self.read(Rect::new(0, i64::from(rows.start), self.width, height), &mut out);
        out
    }

    /// Columns and rows of tiles.
    pub fn tile_grid(&self) -> [u32; 2] {
        [self.width.div_ceil(TILE), self.height.div_ceil(TILE)]
    }

    /// A tile's pixels, by its column and row in the grid.
    pub fn tile(&self, [x, y]: [u32; 2]) -> Option<&Pixels> {
        let [columns, rows] = self.tile_grid();
        (x < columns && y < rows).then(|| &self.tiles[(y * columns + x) as usize].pixels)
    }

    /// Columns and rows in the grid of the tiles that changed since the last call. At first that is all tiles.
    pub fn take_changed(&mut self) -> Vec<[u32; 2]> {
        let columns = self.tile_grid()[0];
        std::mem::take(&mut self.changed).into_iter().map(|t| [t % columns, t / columns]).collect()
    }

    /// Bytes that the pixels take in memory, were no tile shared.
    pub fn bytes(&self) -> u64 {
        self.tiles.iter().map(|t| t.pixels.bytes()).sum()
    }

    /// Index of the tile of a pixel.
    pub(super) fn tile_of(&self, x: u32, y: u32) -> Option<usize> {
        let columns = self.tile_grid()[0];
        (x < self.width && y < self.height).then(|| ((y / TILE) * columns + x / TILE) as usize)
    }

    /// The part of the map that tile `t` covers.
    pub(super) fn place(&self, t: usize) -> Place {
        let columns = self.tile_grid()[0];
        let (x, y) = (t as u32 % columns * TILE, t as u32 / columns * TILE);
        Place { x, y, width: TILE.min(self.width - x), height: TILE.min(self.height - y) }
    }

    /// Indices of the tiles that a rectangle touches.
    pub(super) fn tiles_in(&self, rect: Rect) -> Vec<usize> {
        let columns = self.tile_grid()[0];
        let range = |start: i64, end: i64, length: u32| {
            let (start, end) = (start.max(0), end.min(i64::from(length)));
            if start >= end { 0..0 } else { start as u32 / TILE..(end as u32 - 1) / TILE + 1 }
        };
        let across = range(rect.x, rect.right(), self.width);
        let down = range(rect.y, rect.bottom(), self.height);
        down.flat_map(|y| across.clone().map(move |x| (y * columns + x) as usize)).collect()
    }

    /// Notes that tile `t` has other pixels than before.
    pub(super) fn note_changed(&mut self, t: usize) {
        self.changed.insert(t as u32);
    }

    fn same_tile(&self, other: &Self, t: usize) -> bool {
        match (&self.tiles[t].pixels, &other.tiles[t].pixels) {
            (Pixels::Uniform(a), Pixels::Uniform(b)) => a == b,
            (Pixels::Dense(a), Pixels::Dense(b)) if Arc::ptr_eq(a, b) => true,
            (a, b) => {
                let place = self.place(t);
                let same = |(y, x0, x1): (u32, u32, u32)| {
                    let at = place.offset(x0, y);
                    (at..at + (x1 - x0) as usize).all(|i| a.at(i) == b.at(i))
                };
                place.rows().all(same)
            }
        }
    }
}
