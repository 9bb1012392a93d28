//! Which pixel belongs to which cluster.

use super::{Arrival, Window};
use crate::error::Result;
use crate::infer::instances::InstanceOptions;
use crate::infer::instances::runs::{Rows, Run};
use crate::infer::instances::samples::Samples;
use crate::infer::instances::union::Numbered;

/// The label of foreground that belongs to no cluster.
pub(super) const NONE: u32 = u32::MAX;

/// The cluster of every pixel of the foreground, row by row.
#[derive(Debug)]
pub(super) struct Members {
    pub width: usize,
    pub height: usize,
    pub rows: Rows,
    pub arrivals: Samples<Arrival>,
    /// Pixels by cluster; entry 0 is unused.
    pub count: Vec<u64>,
}

impl Members {
    /// Looks up where pixels arrived, at most `reach` rows away.
    pub(super) fn new(
        [width, height]: [usize; 2],
        mut arrivals: Samples<Arrival>,
        mut cluster_rows: Rows,
        clusters: &Numbered,
        reach: usize,
        options: &InstanceOptions,
    ) -> Result<Self> {
        let mut count = vec![0u64; clusters.class.len()];
        let mut rows = Rows::new(&options.scratch);
        let mut window = Window::new(width, (2 * reach + 1).min(height), 0u32);
        let (mut found, mut line, mut runs): (Vec<Run>, Vec<Arrival>, Vec<Run>) = Default::default();
        {
            let (mut next, mut next_found) = (arrivals.read()?, cluster_rows.read()?);
            let mut loaded = 0;
            for y in 0..height {
                window.advance(y.saturating_sub(reach));
                while loaded < height && loaded <= y + reach {
                    next_found(&mut found)?;
                    found.iter_mut().for_each(|run| run.label = clusters.number[run.label as usize]);
                    Run::paint(&found, window.row_mut(loaded));
                    loaded += 1;
                }
                next(&mut line)?;
                runs.clear();
                for (x, arrival) in line.iter().enumerate().filter(|(_, a)| a.foreground > 0) {
                    let [dy, dx] = arrival.by.map(isize::from);
                    let label = match window.at(y.wrapping_add_signed(dy), x.wrapping_add_signed(dx)) {
                        0 => NONE,
                        cluster => {
                            count[cluster as usize] += 1;
                            cluster
                        }
                    };
                    match runs.last_mut() {
                        Some(run) if run.end == x as u32 && run.label == label => run.end += 1,
                        _ => runs.push(Run { start: x as u32, end: x as u32 + 1, label }),
                    }
                }
                rows.push(&runs)?;
            }
        }
        Ok(Self { width, height, rows, arrivals, count })
    }
}
