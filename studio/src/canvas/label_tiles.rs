//! Tiles of labels for the device: read with a margin, again when they change.

use super::layers::{LABEL_TILE, LabelLayer, LabelTiles};
use super::pyramid::{level_size, top_level};
use super::store::{Key, Store, Texels, Version};
use super::tiles::Tiling;
use std::ops::Range;

/// Labels around a tile's own, for outlines that cross tiles. As in labels.wgsl.
pub(super) const MARGIN: u32 = 4;

pub(super) fn tiling(size: [u32; 2]) -> Tiling {
    Tiling { size, side: LABEL_TILE, top: top_level(size, LABEL_TILE) }
}

/// The texture of a tile, brought up to date if there is room or `anyway`.
pub(super) fn fetch(
    store: &mut Store,
    layer: &LabelLayer,
    tiling: &Tiling,
    level: u32,
    tile: [u32; 2],
    anyway: bool,
) -> Option<u64> {
    let key = Key::Labels { map: layer.key, size: tiling.size, level, tile };
    let compared = layer.tiles.version();
    let old = store.get(&key).map(|e| (e.slot, e.version, e.compared));
    if let Some((slot, _, at)) = old
        && at == compared
    {
        return Some(slot);
    }
    let version = present(layer.tiles, tiling, level, tile);
    if let Some((slot, shown, _)) = old
        && shown == version
    {
        store.note(&key, version, compared);
        return Some(slot);
    }
    if !anyway && !store.has_room(&key) {
        return old.map(|(slot, ..)| slot);
    }
    let (labels, size) = read(layer.tiles, tiling, level, tile);
    match old {
        Some((slot, shown, _)) if shown.core == version.core => {
            for (at, part) in strips(size) {
                store.write(&key, at, texels(&labels, size, at, part));
            }
            store.uploads.label_strips += 1;
            store.note(&key, version, compared);
            Some(slot)
        }
        Some((slot, ..)) => {
            store.write(&key, [0; 2], texels(&labels, size, [0; 2], size));
            store.uploads.label_tiles += 1;
            store.note(&key, version, compared);
            Some(slot)
        }
        None => Some(store.put(key, texels(&labels, size, [0; 2], size), version, compared)),
    }
}

/// The versions of all tiles that a tile of a level reads. Versions only grow, so that sums differ where one does.
fn present(labels: &dyn LabelTiles, tiling: &Tiling, level: u32, tile: [u32; 2]) -> Version {
    let tiles = tiling.size.map(|s| s.div_ceil(LABEL_TILE));
    let reach = (MARGIN << level).div_ceil(LABEL_TILE);
    let range = |i: usize, more: u32| -> Range<u32> {
        let (first, end) = (tile[i] << level, (tile[i] + 1) << level);
        first.saturating_sub(more)..(end + more).min(tiles[i])
    };
    let sum = |more: u32| {
        let all = range(1, more).flat_map(|y| range(0, more).map(move |x| [x, y]));
        all.fold(0u64, |sum, t| sum.wrapping_add(labels.tile_version(t)))
    };
    let core = sum(0);
    Version { core, ring: sum(reach).wrapping_sub(core) }
}

/// The labels of a tile and its margin, and their columns and rows. Beyond the map, those at its edge are repeated.
fn read(labels: &dyn LabelTiles, tiling: &Tiling, level: u32, tile: [u32; 2]) -> (Vec<u32>, [u32; 2]) {
    let step = 1u32 << level;
    let own = level_size(tiling.size, level);
    // Columns or rows of the result: first, count; those to read of them: first, count. In labels of the level.
    let side = |i: usize| {
        let first = i64::from(tile[i] * LABEL_TILE) - i64::from(MARGIN);
        let count = LABEL_TILE.min(own[i] - tile[i] * LABEL_TILE) + 2 * MARGIN;
        // The middle of the pixels that a label of a coarse level stands for, as far as it is in the map.
        let offset = (step / 2).min(tiling.size[i] - 1);
        let limit = i64::from((tiling.size[i] - 1 - offset) / step) + 1;
        let a = first.clamp(0, limit - 1);
        let b = (first + i64::from(count)).clamp(a + 1, limit);
        (first, count, a, (b - a) as u32, a as u32 * step + offset)
    };
    let ([x, y], columns, rows) = ([side(0), side(1)].map(|s| s.4), side(0), side(1));
    let (w, h) = (columns.3, rows.3);
    let mut inner = vec![0; (w * h) as usize];
    labels.read([x, y], step, [w, h], &mut inner);
    let mut out = Vec::with_capacity((columns.1 * rows.1) as usize);
    let near =
        |at: u32, s: (i64, u32, i64, u32, u32)| (s.0 + i64::from(at) - s.2).clamp(0, i64::from(s.3) - 1) as usize;
    for row in 0..rows.1 {
        let line = &inner[near(row, rows) * w as usize..][..w as usize];
        out.extend((0..columns.1).map(|column| line[near(column, columns)]));
    }
    (out, [columns.1, rows.1])
}

fn texels(labels: &[u32], stored: [u32; 2], at: [u32; 2], size: [u32; 2]) -> Texels {
    let mut data = Vec::with_capacity((size[0] * size[1] * 4) as usize);
    for row in labels.chunks(stored[0] as usize).skip(at[1] as usize).take(size[1] as usize) {
        data.extend_from_slice(bytemuck::cast_slice(&row[at[0] as usize..][..size[0] as usize]));
    }
    Texels { bytes: 4, size, layers: 1, data }
}

/// The margin of a tile of this size: corner and size of its parts.
fn strips([w, h]: [u32; 2]) -> [([u32; 2], [u32; 2]); 4] {
    let m = MARGIN;
    [([0, 0], [w, m]), ([0, h - m], [w, m]), ([0, m], [m, h - 2 * m]), ([w - m, m], [m, h - 2 * m])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::layers::LabelStyle;
    use std::cell::Cell;

    /// Labels are column + 1000 * row.
    struct Ramp {
        size: [u32; 2],
        changed: Cell<[u32; 2]>,
        version: Cell<u64>,
    }

    impl LabelTiles for Ramp {
        fn size(&self) -> [u32; 2] {
            self.size
        }

        fn read(&self, at: [u32; 2], step: u32, size: [u32; 2], out: &mut [u32]) {
            assert!(
                (0..2).all(|i| size[i] > 0 && at[i] + (size[i] - 1) * step < self.size[i]),
                "{at:?} {step} {size:?}"
            );
            for (i, out) in out.iter_mut().enumerate() {
                *out = at[0] + i as u32 % size[0] * step + 1000 * (at[1] + i as u32 / size[0] * step);
            }
        }

        fn version(&self) -> u64 {
            self.version.get()
        }

        fn tile_version(&self, tile: [u32; 2]) -> u64 {
            if tile == self.changed.get() { self.version.get() } else { 0 }
        }
    }

    fn ramp(size: [u32; 2]) -> Ramp {
        Ramp { size, changed: Cell::new([0; 2]), version: Cell::new(0) }
    }

    #[test]
    fn a_tile_has_its_neighbours_labels_around_it() {
        let (labels, size) = read(&ramp([600, 300]), &tiling([600, 300]), 0, [1, 0]);
        assert_eq!(size, [264, 264]);
        let at = |x: usize, y: usize| labels[y * 264 + x];
        assert_eq!([at(0, 4), at(4, 4), at(263, 263)], [252, 256, 515 + 259_000]);
        // Above the map its first row is repeated.
        assert_eq!(at(10, 0), at(10, 4));
    }

    #[test]
    fn coarse_labels_are_those_in_the_middle() {
        for size in [[600, 300], [1000, 1], [513, 777], [257, 4097]] {
            let tiling = tiling(size);
            for level in 0..=tiling.top {
                for y in 0..level_size(size, level)[1].div_ceil(LABEL_TILE) {
                    for x in 0..level_size(size, level)[0].div_ceil(LABEL_TILE) {
                        let (labels, stored) = read(&ramp(size), &tiling, level, [x, y]);
                        assert_eq!(labels.len() as u32, stored[0] * stored[1]);
                    }
                }
            }
        }
        let (labels, size) = read(&ramp([1000, 1000]), &tiling([1000, 1000]), 2, [0, 0]);
        assert_eq!((size, labels[4 * 258 + 4], labels[5 * 258 + 6]), ([258, 258], 2 + 2000, 10 + 6000));
    }

    #[test]
    fn only_what_changed_is_read_again() {
        let labels = ramp([1024, 1024]);
        let layer = LabelLayer { key: 7, tiles: &labels, style: LabelStyle::default() };
        let (tiling, mut store) = (tiling(labels.size), Store::new());
        let all = |store: &mut Store| {
            store.start_frame();
            for tile in (0..16).map(|i| [i % 4, i / 4]) {
                fetch(store, &layer, &tiling, 0, tile, true);
            }
            store.uploads
        };
        assert_eq!(all(&mut store).label_tiles, 16);
        assert_eq!(all(&mut store).label_tiles, 16);
        labels.changed.set([1, 2]);
        labels.version.set(5);
        let uploads = all(&mut store);
        assert_eq!((uploads.label_tiles, uploads.label_strips), (17, 8));
        assert_eq!(all(&mut store), uploads);
    }
}
