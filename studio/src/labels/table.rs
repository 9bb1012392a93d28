//! A label map with the class of each instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::EditError;
use super::map::LabelMap;
use super::tile::Stat;
use super::{BACKGROUND, MAX_ID, Rect, UNLABELLED, is_instance};

/// Class of an instance of which nothing else is said.
pub(super) const DEFAULT_CLASS: u8 = 1;

/// An instance and its measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instance {
    /// Number in the map.
    pub id: u32,
    /// Class, from 1.
    pub class: u8,
    /// Pixels.
    pub area: u64,
    /// Bounding box.
    pub bounds: Rect,
    /// Mean of the pixel centres: column, row. A pixel's centre is at its index plus a half.
    pub centroid: [f64; 2],
}

/// Shares of the image's pixels; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fractions {
    /// Not labelled.
    pub unlabelled: f64,
    /// Background.
    pub background: f64,
    /// Of an instance.
    pub labelled: f64,
}

/// A label map with the class of each instance. A clone is cheap and shares what does not change.
#[derive(Clone, Debug)]
pub struct Labels {
    pub(super) map: LabelMap,
    /// Classes other than the default.
    pub(super) classes: Arc<BTreeMap<u32, u8>>,
    /// One more than any id so far.
    pub(super) next: u32,
}

impl PartialEq for Labels {
    /// Whether pixels, classes and the next id are equal.
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map && self.next == other.next && self.special_classes() == other.special_classes()
    }
}

impl From<LabelMap> for Labels {
    fn from(map: LabelMap) -> Self {
        let last = map.all_stats().into_keys().rfind(|&v| is_instance(v)).unwrap_or(0);
        Self { map, classes: Arc::default(), next: last + 1 }
    }
}

impl Labels {
    /// Labels of an image of which nothing is labelled.
    pub fn new(width: u32, height: u32) -> Result<Self, EditError> {
        Ok(LabelMap::new(width, height, UNLABELLED)?.into())
    }

    /// Labels from a value per pixel, row by row.
    pub fn from_ids(width: u32, height: u32, ids: &[u32]) -> Result<Self, EditError> {
        Ok(LabelMap::from_ids(width, height, ids)?.into())
    }

    /// One more than any id so far.
    pub(crate) fn counter(&self) -> u32 {
        self.next
    }

    /// Classes that are not 1, also of ids that no pixel has.
    pub(crate) fn class_table(&self) -> Vec<(u32, u8)> {
        self.classes.iter().map(|(&id, &class)| (id, class)).collect()
    }

    /// Labels of which classes that are not 1, and a lower bound of the next id, are known too.
    pub fn with_classes(mut self, classes: impl IntoIterator<Item = (u32, u8)>, next: u32) -> Self {
        let valid = |&(id, class): &(u32, u8)| is_instance(id) && class > DEFAULT_CLASS;
        self.classes = Arc::new(classes.into_iter().filter(valid).collect());
        self.next = self.next.max(next.min(MAX_ID + 1));
        self
    }

    /// The map.
    pub fn map(&self) -> &LabelMap {
        &self.map
    }

    /// The value of a pixel; none beyond the map.
    pub fn get(&self, x: u32, y: u32) -> Option<u32> {
        self.map.get(x, y)
    }

    /// [`LabelMap::take_changed`].
    pub fn take_changed(&mut self) -> Vec<[u32; 2]> {
        self.map.take_changed()
    }

    /// Class of an instance.
    pub fn class_of(&self, id: u32) -> u8 {
        self.classes.get(&id).copied().unwrap_or(DEFAULT_CLASS)
    }

    /// The largest class that an instance has or had.
    pub fn largest_class(&self) -> u8 {
        self.classes.values().copied().fold(DEFAULT_CLASS, u8::max)
    }

    /// The present instances whose class is not 1.
    pub fn special_classes(&self) -> Vec<(u32, u8)> {
        if self.classes.is_empty() {
            return Vec::new();
        }
        let present = self.map.all_stats();
        self.classes.iter().filter(|(id, _)| present.contains_key(id)).map(|(&id, &class)| (id, class)).collect()
    }

    /// The id for a new instance: one more than any so far, deleted ones too.
    pub fn next_id(&self) -> u32 {
        self.fresh(1, &BTreeSet::new()).ok().and_then(|ids| ids.first().copied()).unwrap_or(MAX_ID)
    }

    /// Whether a pixel has this value.
    pub fn contains(&self, value: u32) -> bool {
        if is_instance(value) && value >= self.next {
            return false;
        }
        (0..self.map.tiles.len()).any(|t| self.map.stat_in(t, value).is_some())
    }

    /// All instances, ascending by id.
    pub fn instances(&self) -> Vec<Instance> {
        let all = self.map.all_stats().into_values().filter(|s| is_instance(s.value));
        all.map(|s| self.described(&s)).collect()
    }

    /// An instance, if it has pixels.
    pub fn instance(&self, id: u32) -> Option<Instance> {
        is_instance(id).then(|| self.map.stat_of(id).map(|s| self.described(&s)))?
    }

    /// Shares of unlabelled, background and labelled pixels.
    pub fn fractions(&self) -> Fractions {
        let (mut unlabelled, mut background) = (0, 0);
        for t in 0..self.map.tiles.len() {
            unlabelled += self.map.stat_in(t, UNLABELLED).map_or(0, |s| s.area);
            background += self.map.stat_in(t, BACKGROUND).map_or(0, |s| s.area);
        }
        let all = u64::from(self.map.width()) * u64::from(self.map.height());
        let share = |part: u64| part as f64 / all as f64;
        let labelled = share(all - unlabelled - background);
        Fractions { unlabelled: share(unlabelled), background: share(background), labelled }
    }

    fn described(&self, s: &Stat) -> Instance {
        let mean = |i: usize| s.sum[i] as f64 / s.area as f64 + 0.5;
        let length = |i: usize| s.max[i] - s.min[i] + 1;
        let bounds = Rect::new(s.min[0].into(), s.min[1].into(), length(0), length(1));
        Instance { id: s.value, class: self.class_of(s.value), area: s.area, bounds, centroid: [mean(0), mean(1)] }
    }

    /// Ids for new instances, none of them in `taken`.
    pub(super) fn fresh(&self, count: usize, taken: &BTreeSet<u32>) -> Result<Vec<u32>, EditError> {
        let first = taken.last().map_or(self.next, |&last| self.next.max(last.saturating_add(1)));
        if u64::from(first) + count as u64 <= u64::from(MAX_ID) + 1 {
            return Ok((first..).take(count).collect());
        }
        // The numbers are used up: the lowest that no pixel has.
        let present = self.map.all_stats();
        let free = (1..=MAX_ID).filter(|id| !present.contains_key(id) && !taken.contains(id));
        let ids: Vec<u32> = free.take(count).collect();
        if ids.len() == count { Ok(ids) } else { Err(EditError::NoIds) }
    }

    /// Notes that an id is in use.
    pub(super) fn used(&mut self, id: u32) {
        if is_instance(id) {
            self.next = self.next.max(id + 1);
        }
    }

    /// Sets the class of an id.
    pub(super) fn set_class(&mut self, id: u32, class: u8) {
        if self.class_of(id) == class {
            return;
        }
        let classes = Arc::make_mut(&mut self.classes);
        match class {
            DEFAULT_CLASS => classes.remove(&id),
            _ => classes.insert(id, class),
        };
    }
}
