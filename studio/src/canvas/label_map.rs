//! The studio's label maps as a canvas reads them.

use super::layers::{LABEL_TILE, LabelTiles};
use crate::labels::{LabelMap, Pixels, TILE, UNLABELLED};
use std::sync::atomic::{AtomicU64, Ordering};

const _: () = assert!(TILE == LABEL_TILE && UNLABELLED == super::layers::UNLABELLED);

/// When each tile of a label map changed last.
#[derive(Clone, Debug, Default)]
pub struct TileVersions {
    version: u64,
    grid: [u32; 2],
    tiles: Vec<u64>,
}

impl TileVersions {
    /// Notes tiles that changed: what [`LabelMap::take_changed`] gives, every frame before the map is shown. The first time
    /// that is all tiles, also of a map that replaces another one.
    pub fn note(&mut self, map: &LabelMap, changed: &[[u32; 2]]) {
        /// Versions of any two maps differ, so that one may replace the other under the same key.
        static LAST: AtomicU64 = AtomicU64::new(0);
        if changed.is_empty() && self.grid == map.tile_grid() {
            return;
        }
        self.version = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        if self.grid != map.tile_grid() {
            self.grid = map.tile_grid();
            self.tiles = vec![self.version; self.grid[0] as usize * self.grid[1] as usize];
        }
        for &[x, y] in changed.iter().filter(|t| t[0] < self.grid[0] && t[1] < self.grid[1]) {
            self.tiles[y as usize * self.grid[0] as usize + x as usize] = self.version;
        }
    }
}

/// A label map and when its tiles changed.
#[derive(Clone, Copy)]
pub struct MapTiles<'a> {
    /// The map.
    pub map: &'a LabelMap,
    /// Its changes.
    pub versions: &'a TileVersions,
}

impl LabelTiles for MapTiles<'_> {
    fn size(&self) -> [u32; 2] {
        [self.map.width(), self.map.height()]
    }

    fn read(&self, at: [u32; 2], step: u32, size: [u32; 2], out: &mut [u32]) {
        for (row, out) in (0..size[1]).zip(out.chunks_mut(size[0] as usize)) {
            let y = at[1] + row * step;
            let mut column = 0;
            while column < size[0] {
                let x = at[0] + column * step;
                // Every label of this row that lies in the same tile.
                let count = (TILE - x % TILE).div_ceil(step).min(size[0] - column);
                let part = &mut out[column as usize..][..count as usize];
                match self.map.tile([x / TILE, y / TILE]) {
                    Some(Pixels::Dense(labels)) => {
                        let first = (y % TILE * TILE + x % TILE) as usize;
                        let labels = labels.get(first..).unwrap_or_default().iter().step_by(step as usize);
                        part.iter_mut().zip(labels).for_each(|(out, label)| *out = *label);
                    }
                    Some(Pixels::Uniform(label)) => part.fill(*label),
                    None => part.fill(UNLABELLED),
                }
                column += count;
            }
        }
    }

    fn version(&self) -> u64 {
        self.versions.version
    }

    fn tile_version(&self, [x, y]: [u32; 2]) -> u64 {
        let at = y as usize * self.versions.grid[0] as usize + x as usize;
        self.versions.tiles.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map() -> LabelMap {
        let ids: Vec<u32> = (0..700 * 600u32).map(|i| if i % 700 < 256 { 3 } else { i }).collect();
        LabelMap::from_ids(700, 600, &ids).unwrap()
    }

    proptest! {
        #[test]
        fn every_stepth_label_is_read(x in 0..700u32, y in 0..600u32, step in 1..300u32, w in 1..300u32, h in 1..300u32) {
            let (map, versions) = (map(), TileVersions::default());
            let size = [w.min((699 - x) / step + 1), h.min((599 - y) / step + 1)];
            let mut out = vec![0; (size[0] * size[1]) as usize];
            MapTiles { map: &map, versions: &versions }.read([x, y], step, size, &mut out);
            for (i, &label) in (0..).zip(&out) {
                prop_assert_eq!(Some(label), map.get(x + i % size[0] * step, y + i / size[0] * step));
            }
        }
    }

    #[test]
    fn versions_grow_where_labels_change() {
        let (mut map, mut versions) = (map(), TileVersions::default());
        let changed = map.take_changed();
        versions.note(&map, &changed);
        let first = MapTiles { map: &map, versions: &versions };
        let (whole, tile) = (first.version(), first.tile_version([1, 1]));
        assert!(whole > 0 && tile == whole);
        versions.note(&map, &[]);
        assert_eq!(versions.version, whole);
        versions.note(&map, &[[1, 1], [9, 9]]);
        let next = MapTiles { map: &map, versions: &versions };
        assert!(next.version() > whole && next.tile_version([1, 1]) > tile && next.tile_version([0, 1]) == tile);
        let mut other = TileVersions::default();
        other.note(&map, &changed);
        assert!(other.version > versions.version);
    }
}
