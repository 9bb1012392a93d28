//! Area, bounds and centroid of every value in a tile.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::map::{LabelMap, Pixels, Place};

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

fn insert(all: &mut BTreeMap<u32, Stat>, part: Stat) {
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

impl LabelMap {
    /// The values in tile `t`, ascending.
    pub(super) fn stats(&self, t: usize) -> &Arc<[Stat]> {
        self.tiles[t].stats.get_or_init(|| measure(&self.tiles[t].pixels, self.place(t)))
    }

    /// What tile `t` holds of a value.
    pub(super) fn stat_in(&self, t: usize, value: u32) -> Option<&Stat> {
        let stats = self.stats(t);
        stats.binary_search_by_key(&value, |s| s.value).ok().map(|i| &stats[i])
    }

    /// What the map holds of a value.
    pub(super) fn stat_of(&self, value: u32) -> Option<Stat> {
        let parts = (0..self.tiles.len()).filter_map(|t| self.stat_in(t, value).copied());
        parts.reduce(|mut whole, part| {
            whole.add(&part);
            whole
        })
    }

    /// What the map holds of every value.
    pub(super) fn all_stats(&self) -> BTreeMap<u32, Stat> {
        let mut all = BTreeMap::new();
        for t in 0..self.tiles.len() {
            self.stats(t).iter().for_each(|s| insert(&mut all, *s));
        }
        all
    }
}
