//! Labels as the canvas reads them.

use crate::canvas::LabelTiles;
use crate::labels::{LabelMap, Rect, TILE};
use std::sync::atomic::{AtomicU64, Ordering};

/// A copy of a label map, cheap to make, with the versions of its tiles.
pub(super) struct Layer {
    map: LabelMap,
    key: u64,
    version: u64,
    tiles: Vec<u64>,
}

impl Layer {
    pub(super) fn new(map: LabelMap) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let [columns, rows] = map.tile_grid();
        let tiles = vec![0; columns as usize * rows as usize];
        Self { map, key: NEXT.fetch_add(1, Ordering::Relaxed), version: 0, tiles }
    }

    /// Takes over a changed map of the same size.
    pub(super) fn update(&mut self, map: &LabelMap, changed: &[[u32; 2]]) {
        if changed.is_empty() {
            return;
        }
        self.version += 1;
        let columns = self.map.tile_grid()[0];
        for [x, y] in changed {
            if let Some(version) = self.tiles.get_mut((y * columns + x) as usize) {
                *version = self.version;
            }
        }
        self.map = map.clone();
    }

    /// What tells it from other layers.
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    #[cfg(test)]
    fn map(&self) -> &LabelMap {
        &self.map
    }
}

impl LabelTiles for Layer {
    fn size(&self) -> [u32; 2] {
        [self.map.width(), self.map.height()]
    }

    fn read(&self, at: [u32; 2], step: u32, size: [u32; 2], out: &mut [u32]) {
        let [x, y] = at.map(i64::from);
        if step == 1 {
            return self.map.read(Rect::new(x, y, size[0], size[1]), out);
        }
        let width = (size[0].max(1) - 1) * step + 1;
        let mut row = vec![0; width as usize];
        for (i, out) in (0i64..).zip(out.chunks_exact_mut(size[0].max(1) as usize)) {
            self.map.read(Rect::new(x, y + i * i64::from(step), width, 1), &mut row);
            out.iter_mut().zip(row.iter().step_by(step as usize)).for_each(|(to, from)| *to = *from);
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn tile_version(&self, tile: [u32; 2]) -> u64 {
        debug_assert_eq!(TILE, crate::canvas::LABEL_TILE, "tiles of labels and of the canvas are the same");
        let index = tile[1] * self.map.tile_grid()[0] + tile[0];
        self.tiles.get(index as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_every_nth_label_and_changed_tiles_have_new_versions() {
        let ids: Vec<u32> = (0..600 * 300).collect();
        let mut layer = Layer::new(LabelMap::from_ids(600, 300, &ids).unwrap());
        let mut out = [0; 6];
        layer.read([10, 20], 4, [3, 2], &mut out);
        assert_eq!(out, [12010, 12014, 12018, 14410, 14414, 14418]);
        assert_eq!((layer.version(), layer.tile_version([1, 0])), (0, 0));
        let map = layer.map().clone();
        layer.update(&map, &[[1, 0]]);
        assert_eq!((layer.version(), layer.tile_version([1, 0]), layer.tile_version([0, 0])), (1, 1, 0));
    }
}
