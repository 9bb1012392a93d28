//! Separation of touching instances by offsets: pixels that point to the same place are one instance.
//!
//! Every pixel of the foreground follows the offset it stands on, a few times. Places where many pixels arrive are
//! clusters, connected ones are one. A pixel belongs to the cluster where it arrives. Pixels that arrive elsewhere belong
//! to what is around them ([`rest`]).
//!
//! A pixel cannot get further than `jumps * max_offset`, so rows are followed as they arrive, in a window of twice that
//! many rows. Counts are whole numbers: nothing depends on how rows arrive.

mod members;
mod rest;

use bytemuck::{Pod, Zeroable};

use super::runs::{Rows, Run};
use super::samples::Samples;
use super::{InstanceOptions, Instances, OffsetRule, Union};
use crate::error::{Error, Result};
use crate::infer::Connectivity;
use crate::text::mib;
use crate::weights::OFFSET_UNIT;
use members::Members;

/// Offset of a pixel in rows and columns; infinite on the background.
type Offset = [f32; 2];
const BACKGROUND: Offset = [f32::INFINITY; 2];

/// A pixel of the foreground, as it waits for the clusters.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Arrival {
    /// Rows and columns from the pixel to where it arrives.
    by: [i16; 2],
    /// Length of the pixel's own offset.
    length: f32,
    /// 1; where no sample is stored it is 0.
    foreground: u32,
}

/// Finds clusters while rows arrive.
#[derive(Debug)]
pub(super) struct Offsets {
    rule: OffsetRule,
    width: usize,
    height: usize,
    /// Rows that a pixel may be away after all jumps but the last, and after all.
    reach: [usize; 2],
    offsets: Window<Offset>,
    /// How many pixels arrived at a place.
    arrived: Window<u32>,
    /// Rows received, followed, and searched for clusters.
    pushed: usize,
    followed: usize,
    searched: usize,
    arrivals: Samples<Arrival>,
    runs: Vec<Run>,
    line: Vec<Arrival>,
    clusters: Union,
    cluster_rows: Rows,
    /// Sums of three rows, with an empty column on both sides.
    near: Vec<u32>,
}

/// Rows of an image around the current one.
#[derive(Debug)]
struct Window<T> {
    width: usize,
    rows: usize,
    /// A multiple of `rows`, less than `rows` above the first row in use.
    base: usize,
    values: Vec<T>,
}

impl<T: Copy> Window<T> {
    /// Of `rows` rows: row `y` replaces row `y - rows`.
    fn new(width: usize, rows: usize, value: T) -> Self {
        Self { width, rows, base: 0, values: vec![value; width * rows] }
    }

    /// Rows from `first` on are in use.
    fn advance(&mut self, first: usize) {
        self.base = first / self.rows * self.rows;
    }

    /// Where a row begins.
    fn start(&self, y: usize) -> usize {
        let row = y - self.base;
        self.width * if row < self.rows { row } else { row - self.rows }
    }

    fn at(&self, y: usize, x: usize) -> T {
        self.values[self.start(y) + x]
    }

    fn row(&self, y: usize) -> &[T] {
        &self.values[self.start(y)..][..self.width]
    }

    fn row_mut(&mut self, y: usize) -> &mut [T] {
        let start = self.start(y);
        &mut self.values[start..][..self.width]
    }
}

/// Images with longer sides have coordinates beyond `f32`.
const EXACT: usize = 1 << 20;

impl Offsets {
    pub(super) fn new(width: usize, height: usize, rule: OffsetRule, options: &InstanceOptions) -> Result<Self> {
        let reach = [rule.jumps.saturating_sub(1), rule.jumps].map(|n| n as usize * rule.max_offset as usize);
        let [offset_rows, arrived_rows] = [2 * reach[0] + 1, 2 * reach[1] + 3].map(|rows| rows.min(height));
        let needed = (width * (offset_rows * size_of::<Offset>() + arrived_rows * size_of::<u32>())) as u64;
        if needed > options.memory {
            return Err(Error::Limit {
                what: format!("the rows that offsets of {} pixels may cross in {} jumps", rule.max_offset, rule.jumps),
                needed: mib(needed),
                limit: options.limit().to_string(),
            });
        }
        Ok(Self {
            rule,
            width,
            height,
            reach,
            offsets: Window::new(width, offset_rows, BACKGROUND),
            arrived: Window::new(width, arrived_rows, 0),
            pushed: 0,
            followed: 0,
            searched: 0,
            arrivals: Samples::new(&options.scratch, width, 1),
            runs: Vec::new(),
            line: vec![Arrival::zeroed(); width],
            clusters: Union::new(width as u32, height as u32, Connectivity::Eight, false),
            cluster_rows: Rows::new(&options.scratch),
            near: vec![0; width + 2],
        })
    }

    /// Takes the next row: which pixels are foreground, and its offsets (rows, then columns) in units of
    /// [`OFFSET_UNIT`].
    pub(super) fn push(&mut self, foreground: impl Iterator<Item = bool>, down: &[f32], right: &[f32]) -> Result<()> {
        let most = self.rule.max_offset as f32;
        let offset = |v: f32| if v.is_nan() { 0.0 } else { (v * OFFSET_UNIT).clamp(-most, most) };
        let row = self.offsets.row_mut(self.pushed).iter_mut();
        for ((to, inside), (&y, &x)) in row.zip(foreground).zip(down.iter().zip(right)) {
            *to = if inside { [offset(y), offset(x)] } else { BACKGROUND };
        }
        self.pushed += 1;
        while self.followed < self.height && (self.pushed == self.height || self.followed + self.reach[0] < self.pushed)
        {
            match self.width.max(self.height) {
                ..=EXACT => self.follow::<f32>()?,
                _ => self.follow::<f64>()?,
            }
            self.followed += 1;
            self.search()?;
        }
        Ok(())
    }

    /// Follows the pixels of row `followed` to where they arrive.
    fn follow<C: Coordinate>(&mut self) -> Result<()> {
        let Self { width, height, reach, followed, offsets, arrived, runs, line, .. } = self;
        let own = *followed;
        offsets.advance(own.saturating_sub(reach[0]));
        arrived.advance(own.saturating_sub(reach[1] + 2));
        runs.clear();
        for (x, arrival) in line.iter_mut().enumerate() {
            let first = offsets.at(own, x);
            if first[0] == BACKGROUND[0] {
                continue;
            }
            let mut to = [C::of(own), C::of(x)];
            let mut at = [own, x];
            let mut offset = first;
            for jump in 1..=self.rule.jumps {
                if offset[0] == BACKGROUND[0] {
                    break;
                }
                to = [to[0].plus(offset[0]), to[1].plus(offset[1])];
                at = [to[0].pixel(*height), to[1].pixel(*width)];
                if jump < self.rule.jumps {
                    offset = offsets.at(at[0], at[1]);
                }
            }
            arrived.row_mut(at[0])[at[1]] += 1;
            let by = [at[0] as i64 - own as i64, at[1] as i64 - x as i64].map(|d| d as i16);
            *arrival = Arrival { by, length: length(first), foreground: 1 };
            match runs.last_mut() {
                Some(run) if run.end == x as u32 => run.end += 1,
                _ => runs.push(Run { start: x as u32, end: x as u32 + 1, label: 1 }),
            }
        }
        self.arrivals.push(&self.runs, &self.line)
    }

    /// Finds clusters in the rows where no further pixel arrives.
    fn search(&mut self) -> Result<()> {
        let Self { rule, height, reach, arrived, followed, searched, clusters, cluster_rows, near, runs, .. } = self;
        while *searched < *height && (*followed == *height || *searched + reach[1] + 1 < *followed) {
            let y = *searched;
            near[1..=arrived.width].copy_from_slice(arrived.row(y));
            let mut add = |row: &[u32]| near[1..].iter_mut().zip(row).for_each(|(sum, &n)| *sum += n);
            if y > 0 {
                add(arrived.row(y - 1));
            }
            if y + 1 < *height {
                add(arrived.row(y + 1));
            }
            let within = near.windows(3).map(|columns| columns.iter().sum::<u32>());
            clusters.row(within.map(|n| u32::from(u64::from(n) >= rule.votes)), runs);
            cluster_rows.push(runs)?;
            // The row above is no longer read; its place is that of a row to come.
            if y > 0 && arrived.rows < *height {
                arrived.row_mut(y - 1).fill(0);
            }
            *searched += 1;
        }
        Ok(())
    }

    /// After the last row: the instances, numbered in the order of their clusters, and the first pixel of each.
    pub(super) fn finish(self, options: &InstanceOptions) -> Result<(Instances, Vec<(u32, u32)>)> {
        let Self { rule, width, height, pushed, arrivals, clusters, cluster_rows, reach, .. } = self;
        if pushed != height {
            return Err(Error::invalid("instances", format!("offsets of {pushed} of {height} rows")));
        }
        let needed = 2 * clusters.bytes();
        if needed > options.memory {
            return Err(Error::Limit {
                what: format!("the table of {} pieces of clusters", clusters.labels()),
                needed: mib(needed),
                limit: options.limit().to_string(),
            });
        }
        let members = Members::new([width, height], arrivals, cluster_rows, &clusters.finish(0), reach[1], options)?;
        rest::finish(members, rule.min_cluster, options)
    }
}

/// A coordinate of a pixel that is followed.
trait Coordinate: Copy {
    fn of(pixel: usize) -> Self;
    fn plus(self, offset: f32) -> Self;
    /// The nearest pixel on an axis of `side`; of two the one further on.
    fn pixel(self, side: usize) -> usize;
}

impl Coordinate for f32 {
    fn of(pixel: usize) -> Self {
        pixel as f32
    }

    fn plus(self, offset: f32) -> Self {
        self + offset
    }

    fn pixel(self, side: usize) -> usize {
        ((self + 0.5).max(0.0) as i32 as usize).min(side - 1)
    }
}

impl Coordinate for f64 {
    fn of(pixel: usize) -> Self {
        pixel as f64
    }

    fn plus(self, offset: f32) -> Self {
        self + Self::from(offset)
    }

    fn pixel(self, side: usize) -> usize {
        ((self + 0.5).max(0.0) as usize).min(side - 1)
    }
}

/// The length of a vector, as `hypotf` of the C library computes it.
fn length([y, x]: Offset) -> f32 {
    (f64::from(y).powi(2) + f64::from(x).powi(2)).sqrt() as f32
}

#[cfg(test)]
mod tests;
