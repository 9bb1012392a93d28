//! A tile of a map: its pixels, and what it holds of every value.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::{TILE, UNLABELLED};

/// The pixels of a tile.
#[derive(Clone, Debug)]
pub enum Pixels {
    /// All pixels have this value.
    Uniform(u32),
    /// 256 rows of 256 pixels; those beyond the map are unlabelled.
    Dense(Arc<[u32]>),
}

impl Pixels {
    /// The value at an offset.
    pub(super) fn at(&self, offset: usize) -> u32 {
        match self {
            Self::Uniform(value) => *value,
            Self::Dense(values) => values.get(offset).copied().unwrap_or(UNLABELLED),
        }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Uniform(_) => 0,
            Self::Dense(values) => 4 * values.len() as u64,
        }
    }
}

/// A tile with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub pixels: Pixels,
    pub stats: OnceLock<Arc<[Stat]>>,
}

impl Tile {
    /// The values in it, ascending; `place` is its own.
    pub(super) fn stats(&self, place: Place) -> &Arc<[Stat]> {
        self.stats.get_or_init(|| measure(&self.pixels, place))
    }
}

impl From<Pixels> for Tile {
    fn from(pixels: Pixels) -> Self {
        Self { pixels, stats: OnceLock::new() }
    }
}

/// The part of the map that a tile covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Place {
    /// Offset of a pixel of the map in the tile's pixels.
    pub fn offset(&self, x: u32, y: u32) -> usize {
        ((y - self.y) * TILE + (x - self.x)) as usize
    }

    /// Every row of the tile, as a span: row, first column, column behind the last.
    pub fn rows(self) -> impl Iterator<Item = (u32, u32, u32)> {
        (self.y..self.y + self.height).map(move |y| (y, self.x, self.x + self.width))
    }

    /// The value of all pixels in the map, if they are equal.
    pub fn single(&self, values: &[u32]) -> Option<u32> {
        let first = *values.first()?;
        let mut rows = values.chunks_exact(TILE as usize).take(self.height as usize);
        rows.all(|row| row.iter().take(self.width as usize).all(|&v| v == first)).then_some(first)
    }
}

/// What a tile holds of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub value: u32,
    pub area: u64,
    /// First column and row.
    pub min: [u32; 2],
    /// Last column and row.
    pub max: [u32; 2],
    /// Sums of columns and rows.
    pub sum: [u64; 2],
}

impl Stat {
    /// A run of `x0..x1` in row `y`.
    fn run(value: u32, y: u32, x0: u32, x1: u32) -> Self {
        let area = u64::from(x1 - x0);
        let sum = [(u64::from(x0) + u64::from(x1 - 1)) * area / 2, u64::from(y) * area];
        Self { value, area, min: [x0, y], max: [x1 - 1, y], sum }
    }

    /// Adds another part of the same value.
    pub fn add(&mut self, other: &Self) {
        self.area += other.area;
        for i in 0..2 {
            self.min[i] = self.min[i].min(other.min[i]);
            self.max[i] = self.max[i].max(other.max[i]);
            self.sum[i] += other.sum[i];
        }
    }
}

/// Adds a part of a value to those that are known.
pub(super) fn insert(all: &mut BTreeMap<u32, Stat>, part: Stat) {
    all.entry(part.value).and_modify(|s| s.add(&part)).or_insert(part);
}

fn measure(pixels: &Pixels, place: Place) -> Arc<[Stat]> {
    let mut all = BTreeMap::new();
    for (y, x0, x1) in place.rows() {
        match pixels {
            Pixels::Uniform(value) => insert(&mut all, Stat::run(*value, y, x0, x1)),
            Pixels::Dense(values) => {
                let at = place.offset(x0, y);
                let mut x = x0;
                for run in values[at..at + (x1 - x0) as usize].chunk_by(|a, b| a == b) {
                    insert(&mut all, Stat::run(run[0], y, x, x + run.len() as u32));
                    x += run.len() as u32;
                }
            }
        }
    }
    all.into_values().collect()
}
