//! Closes narrow gaps between instances, which networks leave that were trained to. Nothing grows outwards: a background
//! pixel joins an instance only where another one is near.

use std::collections::VecDeque;
use std::path::Path;

use super::runs::{Rows, Run};
use super::{Instances, Source};
use crate::error::Result;

/// A background pixel that shares an edge with an instance, and has another instance within `reach` rows and columns, joins
/// the former (of several the one with the largest number). All pixels are decided by the instances as they were.
pub(super) fn close(instances: &mut Instances, reach: usize, scratch: &Path) -> Result<()> {
    let (width, height) = (instances.width, instances.height);
    let mut closed = Closed {
        out: Rows::new(scratch),
        reach,
        first: vec![(u32::MAX, 0); instances.count() + 1],
        last: vec![0; instances.count() + 1],
        joined: vec![0; width],
        runs: Vec::new(),
    };
    // Rows `y - reach` to `y + reach`, as many as the image has.
    let mut window: VecDeque<Vec<u32>> = VecDeque::with_capacity(2 * reach + 1);
    let mut y = 0;
    instances.rows(|below, runs| {
        let mut row = if window.len() > 2 * reach { window.pop_front().unwrap_or_default() } else { Vec::new() };
        row.resize(width, 0);
        Run::paint(runs, &mut row);
        window.push_back(row);
        if below >= reach {
            closed.row(y, &window, window.len() - 1 - reach)?;
            y += 1;
        }
        Ok(())
    })?;
    while y < height {
        let at = window.len() - (height - y);
        closed.row(y, &window, at)?;
        y += 1;
    }
    closed.finish(instances);
    Ok(())
}

/// The rows with closed gaps, and what numbering needs of the instances.
struct Closed {
    out: Rows,
    reach: usize,
    /// Row and column of the first pixel, by number.
    first: Vec<(u32, u32)>,
    last: Vec<u32>,
    joined: Vec<u32>,
    runs: Vec<Run>,
}

impl Closed {
    /// Appends image row `y`, which is row `at` of the window.
    fn row(&mut self, y: usize, window: &VecDeque<Vec<u32>>, at: usize) -> Result<()> {
        let Self { out, reach, first, last, joined, runs } = self;
        let Some(row) = window.get(at) else { return Ok(()) };
        let (above, below) = (at.checked_sub(1).and_then(|i| window.get(i)), window.get(at + 1));
        let near = &|x: usize| {
            let rows = window.iter().take(at + *reach + 1).skip(at.saturating_sub(*reach));
            let columns = x.saturating_sub(*reach)..(x + *reach + 1).min(row.len());
            rows.flat_map(move |r| r.get(columns.clone()).unwrap_or_default())
        };
        for (x, (to, &own)) in joined.iter_mut().zip(row).enumerate() {
            *to = own;
            if own > 0 {
                continue;
            }
            let label = |r: Option<&Vec<u32>>, x: usize| r.and_then(|r| r.get(x)).copied().unwrap_or(0);
            let sides = label(Some(row), x.wrapping_sub(1)).max(label(Some(row), x + 1));
            let adjacent = sides.max(label(above, x)).max(label(below, x));
            if adjacent > 0 && near(x).any(|&other| other > 0 && other != adjacent) {
                *to = adjacent;
            }
        }
        runs.clear();
        for (x, &label) in joined.iter().enumerate().filter(|(_, label)| **label > 0) {
            let x = x as u32;
            match runs.last_mut() {
                Some(run) if run.end == x && run.label == label => run.end += 1,
                _ => runs.push(Run { start: x, end: x + 1, label }),
            }
        }
        for run in runs.iter() {
            let n = run.label as usize;
            first[n] = first[n].min((y as u32, run.start));
            last[n] = y as u32;
        }
        out.push(runs)
    }

    /// Replaces the instances, numbered anew: the first pixel of one may have changed.
    fn finish(self, instances: &mut Instances) {
        instances.source = Source::Rows(self.out);
        instances.number = (0..self.first.len() as u32).collect();
        instances.last = self.last;
        instances.renumber(&self.first);
    }
}
