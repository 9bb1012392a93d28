//! Area, bounds and centroid of every value in a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::map::LabelMap;
use super::tile::{Stat, insert};

impl LabelMap {
    /// The values in tile `t`, ascending.
    pub(super) fn stats(&self, t: usize) -> &Arc<[Stat]> {
        self.tiles[t].stats(self.place(t))
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
