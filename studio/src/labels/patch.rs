//! Pixels of tiles as data, for steps that a journal cannot repeat.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::edit::Change;
use super::error::EditError;
use super::recorder::{Recorder, Step};
use super::rle::Rle;
use super::table::{DEFAULT_CLASS, Labels};
use super::{Rect, TILE};

/// The state of some tiles: what undoing a step that a journal does not hold has led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Column and row in the grid of tiles, and the pixels that the map has there.
    tiles: Vec<([u32; 2], Rle)>,
    /// Classes that are not 1.
    classes: Vec<(u32, u8)>,
    /// The next id.
    next: u32,
}

impl Patch {
    /// The present state of the tiles that a step has changed.
    pub(super) fn of(labels: &Labels, step: &Step) -> Self {
        let columns = labels.map.tile_grid()[0];
        let tile = |(t, _): &(usize, _)| {
            let place = labels.map.place(*t);
            let rect = Rect::new(place.x.into(), place.y.into(), place.width, place.height);
            let mut values = vec![0; (place.width * place.height) as usize];
            labels.map.read(rect, &mut values);
            ([*t as u32 % columns, *t as u32 / columns], Rle::from_ids(&values))
        };
        let tiles = step.tiles.iter().map(tile).collect();
        let classes = labels.classes.iter().map(|(&id, &class)| (id, class)).collect();
        Self { tiles, classes, next: labels.next }
    }

    /// No pixel, but all instances in their classes: what labels are told when classes get other numbers. `class` gives the new class
    /// of one.
    pub(crate) fn of_classes(labels: &Labels, class: impl Fn(u8) -> u8) -> Self {
        let mut classes: BTreeMap<u32, u8> = labels.instances().iter().map(|i| (i.id, i.class)).collect();
        // Also of those that an undo may bring back.
        classes.extend(labels.class_table());
        let classes = classes.into_iter().map(|(id, old)| (id, class(old))).filter(|c| c.1 != DEFAULT_CLASS).collect();
        Self { tiles: Vec::new(), classes, next: labels.next }
    }

    /// Gives the labels this state.
    pub(super) fn apply(&self, labels: &mut Labels) -> Result<Change, EditError> {
        let [columns, rows] = labels.map.tile_grid();
        for ([x, y], rle) in &self.tiles {
            if *x >= columns || *y >= rows {
                return Err(EditError::Patch);
            }
            let place = labels.map.place((y * columns + x) as usize);
            rle.check([place.width, place.height]).map_err(|_| EditError::Patch)?;
        }
        let mut recorder = Recorder::new(labels);
        for ([x, y], rle) in &self.tiles {
            let place = labels.map.place((y * columns + x) as usize);
            let mut values = vec![0; (place.width * place.height) as usize];
            rle.reader().read(&mut values);
            let rect = Rect::new(i64::from(x * TILE), i64::from(y * TILE), place.width, place.height);
            labels.rewrite_rect(&mut recorder, rect, |i, _| values[i]);
        }
        labels.classes = std::sync::Arc::new(self.classes.iter().copied().collect());
        labels.next = self.next;
        Ok(recorder.change())
    }
}
