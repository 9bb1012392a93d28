//! Classes of instances that are separated whatever the class of their pixels: the most frequent one.

use super::Instances;
use super::runs::{Rows, Run};
use crate::error::Result;

/// Classes of the foreground's pixels, row by row.
#[derive(Debug)]
pub(super) struct Classes {
    rows: Rows,
    row: Vec<Run>,
    largest: u32,
}

impl Classes {
    pub(super) fn new(rows: Rows) -> Self {
        Self { rows, row: Vec::new(), largest: 0 }
    }

    pub(super) fn push(&mut self, classes: impl Iterator<Item = u32>) -> Result<()> {
        self.row.clear();
        for (x, class) in (0u32..).zip(classes).filter(|(_, class)| *class > 0) {
            match self.row.last_mut() {
                Some(run) if run.end == x && run.label == class => run.end += 1,
                _ => self.row.push(Run { start: x, end: x + 1, label: class }),
            }
            self.largest = self.largest.max(class);
        }
        self.rows.push(&self.row)
    }

    /// Gives every instance the class of most of its pixels, of equally frequent ones the first.
    pub(super) fn vote(mut self, instances: &mut Instances) -> Result<()> {
        if self.largest < 2 {
            return Ok(());
        }
        let classes = self.largest as usize;
        let mut votes = vec![0u64; instances.class.len() * classes];
        let mut next = self.rows.read()?;
        let mut own = Vec::new();
        instances.rows(|_, row| {
            next(&mut own)?;
            let mut rest = &own[..];
            for run in row {
                while let Some((first, after)) = rest.split_first() {
                    let (start, end) = (first.start.max(run.start), first.end.min(run.end));
                    if let Some(votes) = votes.get_mut(run.label as usize * classes + first.label as usize - 1) {
                        *votes += u64::from(end.saturating_sub(start));
                    }
                    if first.end > run.end {
                        break;
                    }
                    rest = after;
                }
            }
            Ok(())
        })?;
        for (class, votes) in instances.class.iter_mut().zip(votes.chunks_exact(classes)).skip(1) {
            let best = (0..classes).fold(0, |best, k| if votes[k] > votes[best] { k } else { best });
            *class = best as u32 + 1;
        }
        Ok(())
    }
}
