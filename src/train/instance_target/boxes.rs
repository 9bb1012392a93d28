//! A window of labels, and the bounding boxes of its instances.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::infer::LabelMap;

/// Labels of a crop with `margin` more pixels on every side.
pub(super) struct Window<'a> {
    pub(super) labels: &'a [u32],
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) margin: usize,
    /// Ascending by number.
    pub(super) instances: Vec<Instance>,
}

/// An instance as far as the window shows it.
pub(super) struct Instance {
    pub(super) number: u32,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl<'a> Window<'a> {
    pub(super) fn new(labels: &'a LabelMap, margin: usize) -> Result<Self> {
        let (width, height) = (labels.width(), labels.height());
        let lost = margin.saturating_mul(2);
        if width <= lost || height <= lost {
            let reason = format!("{width}x{height} pixels with a margin of {margin} leave none");
            return Err(Error::invalid("window of labels", reason));
        }
        let labels = labels.labels();
        Ok(Self { labels, width, height, margin, instances: instances(labels, width) })
    }

    /// Rows and columns of the target in the window.
    pub(super) fn target_rows(&self) -> Range<usize> {
        self.margin..self.height - self.margin
    }

    pub(super) fn target_columns(&self) -> Range<usize> {
        self.margin..self.width - self.margin
    }

    /// Pixels of the target.
    pub(super) fn target_pixels(&self) -> usize {
        self.target_rows().len() * self.target_columns().len()
    }

    /// The target's labels.
    pub(super) fn target(&self) -> impl Iterator<Item = u32> + '_ {
        let rows = self.labels.chunks_exact(self.width).skip(self.margin).take(self.target_rows().len());
        rows.flat_map(|row| row[self.target_columns()].iter().copied())
    }

    /// Calls `pixel` with the row, the column and the index in the target of every pixel of an instance there.
    pub(super) fn in_target(&self, of: &Instance, mut pixel: impl FnMut(usize, usize, usize)) {
        let (rows, columns) = (self.target_rows(), self.target_columns());
        for y in meet(&of.rows, &rows) {
            for x in meet(&of.columns, &columns) {
                if self.labels[y * self.width + x] == of.number {
                    pixel(y, x, (y - rows.start) * columns.len() + x - columns.start);
                }
            }
        }
    }

    /// Whether an instance's box meets the target.
    pub(super) fn shows(&self, of: &Instance) -> bool {
        !meet(&of.rows, &self.target_rows()).is_empty() && !meet(&of.columns, &self.target_columns()).is_empty()
    }
}

fn meet(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// Whether a label is an instance: neither background nor unknown.
pub(super) const fn is_instance(label: u32) -> bool {
    label != 0 && label != LabelMap::IGNORED
}

fn instances(labels: &[u32], width: usize) -> Vec<Instance> {
    let mut found: BTreeMap<u32, Instance> = BTreeMap::new();
    for (y, row) in labels.chunks_exact(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            let columns = x..x + run.len();
            x = columns.end;
            if is_instance(run[0]) {
                let instance = found.entry(run[0]).or_insert_with(|| Instance {
                    number: run[0],
                    rows: y..y + 1,
                    columns: columns.clone(),
                });
                instance.rows.end = y + 1;
                instance.columns.start = instance.columns.start.min(columns.start);
                instance.columns.end = instance.columns.end.max(columns.end);
            }
        }
    }
    found.into_values().collect()
}
