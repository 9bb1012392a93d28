//! The one place that writes pixels: it keeps what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::edit::Change;
use super::table::Labels;
use super::tile::{Pixels, Stat, Tile};
use super::{Rect, TILE, UNLABELLED, is_instance};

/// What labels were before an edit, and what the edit touches.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    tiles: BTreeMap<usize, Tile>,
    classes: Arc<BTreeMap<u32, u8>>,
    next: u32,
    ids: BTreeSet<u32>,
    /// First and last column and row.
    bounds: Option<[[u32; 2]; 2]>,
    /// The values before and after of the last pixel.
    last: Option<[u32; 2]>,
}

/// The other side of an edit: swapping it with the labels undoes or redoes it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub name: &'static str,
    pub tiles: Vec<(usize, Tile)>,
    pub classes: Arc<BTreeMap<u32, u8>>,
    pub next: u32,
    pub change: Change,
    /// Bytes that only this step holds.
    pub bytes: u64,
}

impl Step {
    /// Counts its bytes. The version of a tile that it keeps is neither in the labels nor in another step.
    fn measure(&mut self, labels: &Labels) {
        const OVERHEAD: u64 = size_of::<(usize, Tile)>() as u64;
        let tiles: u64 = self.tiles.iter().map(|(_, t)| t.pixels.bytes() + OVERHEAD).sum();
        let shared = Arc::ptr_eq(&self.classes, &labels.classes);
        let classes = if shared { 0 } else { 16 * self.classes.len() as u64 };
        self.bytes = tiles + classes + 4 * self.change.ids.len() as u64 + size_of::<Self>() as u64;
    }

    /// Exchanges what it holds with the labels.
    pub fn swap(&mut self, labels: &mut Labels) {
        for (t, tile) in &mut self.tiles {
            std::mem::swap(tile, &mut labels.map.tiles[*t]);
            labels.map.note_changed(*t);
        }
        std::mem::swap(&mut self.classes, &mut labels.classes);
        std::mem::swap(&mut self.next, &mut labels.next);
        self.measure(labels);
    }
}

impl Recorder {
    /// Begins with the labels as they are.
    pub fn new(labels: &Labels) -> Self {
        let Labels { classes, next, .. } = labels;
        Self {
            tiles: BTreeMap::new(),
            classes: classes.clone(),
            next: *next,
            ids: BTreeSet::new(),
            bounds: None,
            last: None,
        }
    }

    /// Whether any pixel has changed.
    pub fn has_pixels(&self) -> bool {
        self.bounds.is_some()
    }

    /// Notes an instance whose class changes.
    pub fn touch_class(&mut self, id: u32) {
        self.ids.insert(id);
    }

    /// What has changed so far.
    pub fn change(&self) -> Change {
        let bounds = self.bounds.map(|[[x0, y0], [x1, y1]]| Rect::new(x0.into(), y0.into(), x1 - x0 + 1, y1 - y0 + 1));
        Change { ids: self.ids.iter().copied().collect(), bounds }
    }

    /// The step that undoes it; none if nothing changed.
    pub fn into_step(self, name: &'static str, labels: &Labels) -> Option<Step> {
        let change = self.change();
        let Self { tiles, classes, next, .. } = self;
        let mut step = Step { name, tiles: tiles.into_iter().collect(), classes, next, change, bytes: 0 };
        step.measure(labels);
        (!step.change.is_empty()).then_some(step)
    }

    /// Puts back everything.
    pub fn restore(self, labels: &mut Labels) {
        if let Some(mut step) = self.into_step("", labels) {
            step.swap(labels);
        }
    }

    fn keep(&mut self, t: usize, pixels: &Pixels, stats: &OnceLock<Arc<[Stat]>>) {
        self.tiles.entry(t).or_insert_with(|| Tile { pixels: pixels.clone(), stats: stats.clone() });
    }

    fn touch(&mut self, x: u32, y: u32, values: [u32; 2]) {
        if self.last != Some(values) {
            self.ids.extend(values.into_iter().filter(|&v| is_instance(v)));
            self.last = Some(values);
        }
        let [[x0, y0], [x1, y1]] = self.bounds.unwrap_or([[x, y]; 2]);
        self.bounds = Some([[x0.min(x), y0.min(y)], [x1.max(x), y1.max(y)]]);
    }
}

impl Labels {
    /// Gives pixels of tile `t` the value `new(x, y, old)`. Spans are rows with their columns, all inside the tile.
    pub(super) fn rewrite(
        &mut self,
        recorder: &mut Recorder,
        t: usize,
        spans: impl IntoIterator<Item = (u32, u32, u32)>,
        new: impl Fn(u32, u32, u32) -> u32,
    ) {
        let place = self.map.place(t);
        let tile = &mut self.map.tiles[t];
        let mut pixels = std::mem::replace(&mut tile.pixels, Pixels::Uniform(UNLABELLED));
        let mut changed = false;
        for (y, x0, x1) in spans {
            // The tile stays shared until a pixel changes.
            let differs = |x: &u32| {
                let old = pixels.at(place.offset(*x, y));
                new(*x, y, old) != old
            };
            let Some(first) = (x0..x1).find(differs) else { continue };
            recorder.keep(t, &pixels, &tile.stats);
            changed = true;
            if let Pixels::Uniform(value) = pixels {
                let mut values = vec![UNLABELLED; (TILE * TILE) as usize];
                for (y, x0, x1) in place.rows() {
                    values[place.offset(x0, y)..][..(x1 - x0) as usize].fill(value);
                }
                pixels = Pixels::Dense(values.into());
            }
            let Pixels::Dense(values) = &mut pixels else { continue };
            let values = Arc::make_mut(values);
            for x in first..x1 {
                let value = &mut values[place.offset(x, y)];
                let (old, new) = (*value, new(x, y, *value));
                if old != new {
                    *value = new;
                    recorder.touch(x, y, [old, new]);
                }
            }
        }
        if changed {
            tile.stats = OnceLock::new();
            if let Pixels::Dense(values) = &pixels
                && let Some(value) = place.single(values)
            {
                pixels = Pixels::Uniform(value);
            }
        }
        tile.pixels = pixels;
        if changed {
            self.map.note_changed(t);
        }
    }

    /// Gives all pixels of a tile the value `new(old)`.
    pub(super) fn map_tile(&mut self, recorder: &mut Recorder, t: usize, new: impl Fn(u32) -> u32) {
        let place = self.map.place(t);
        let Pixels::Uniform(old) = self.map.tiles[t].pixels else {
            return self.rewrite(recorder, t, place.rows(), |_, _, old| new(old));
        };
        let value = new(old);
        if value == old {
            return;
        }
        let tile = &mut self.map.tiles[t];
        recorder.keep(t, &tile.pixels, &tile.stats);
        *tile = Pixels::Uniform(value).into();
        recorder.touch(place.x, place.y, [old, value]);
        recorder.touch(place.x + place.width - 1, place.y + place.height - 1, [old, value]);
        self.map.note_changed(t);
    }
}
