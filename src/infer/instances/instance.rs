//! Single instances and their measurements.

use std::collections::HashMap;
use std::ops::Range;

use bytemuck::Pod;

use super::Instances;
use super::samples::Samples;
use crate::error::{Error, Result};
use crate::text::mib;

/// A horizontal run of an instance's pixels in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InstanceRun {
    /// Row.
    pub y: u32,
    /// First column.
    pub start: u32,
    /// One past the last column.
    pub end: u32,
}

impl InstanceRun {
    pub(super) fn len(&self) -> u64 {
        u64::from(self.end - self.start)
    }
}

/// A single instance as its pixels, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    number: u32,
    class: usize,
    runs: Vec<InstanceRun>,
    sums: Vec<f64>,
}

/// What is gathered of the samples in an instance, run by run.
pub(super) trait Gather<T> {
    /// Adds a row's samples (channel, column) in these columns.
    fn add(&mut self, planes: &[T], width: usize, columns: Range<usize>);

    /// Bytes held per instance that grow with it.
    fn bytes(&self) -> u64;
}

/// Sums per channel.
#[derive(Default)]
struct Sums(Vec<f64>);

impl Gather<f32> for Sums {
    fn add(&mut self, planes: &[f32], width: usize, columns: Range<usize>) {
        self.0.resize(planes.len() / width, 0.0);
        for (sum, line) in self.0.iter_mut().zip(planes.chunks_exact(width)) {
            let line = line.get(columns.clone()).unwrap_or_default();
            *sum += line.iter().map(|&v| f64::from(v)).sum::<f64>();
        }
    }

    fn bytes(&self) -> u64 {
        0
    }
}

/// An instance whose last row has not been read.
struct Open<G> {
    instance: Instance,
    gathered: G,
}

impl<G> Open<G> {
    fn bytes<T>(&self) -> u64
    where
        G: Gather<T>,
    {
        size_of_val(&self.instance.runs[..]) as u64 + self.gathered.bytes()
    }
}

impl Instances {
    /// Visits every instance once its last row has been read, in the order of last rows, then of numbers.
    pub fn instances(&mut self, mut each: impl FnMut(Instance) -> Result<()>) -> Result<()> {
        let mut samples = self.samples.take();
        let done =
            self.gather(samples.as_mut(), Sums::default, |instance, Sums(sums)| each(Instance { sums, ..instance }));
        self.samples = samples;
        done
    }

    /// [`Self::instances`] without [`Instance::means`].
    pub(super) fn without_samples(&mut self, mut each: impl FnMut(Instance) -> Result<()>) -> Result<()> {
        self.gather(None, Sums::default, |instance, _| each(instance))
    }

    /// [`Self::instances`] with what is gathered of samples in each.
    pub(super) fn gather<T: Pod, G: Gather<T>>(
        &mut self,
        samples: Option<&mut Samples<T>>,
        start: impl Fn() -> G,
        mut each: impl FnMut(Instance, G) -> Result<()>,
    ) -> Result<()> {
        let mut next_samples = samples.map(Samples::read).transpose()?;
        let (class, last) = (std::mem::take(&mut self.class), std::mem::take(&mut self.last));
        let (width, memory) = (self.width, self.memory);
        let mut open: HashMap<u32, Open<G>> = HashMap::new();
        let (mut open_bytes, mut planes, mut complete) = (0u64, Vec::new(), Vec::new());
        let done = self.rows(|y, row| {
            if let Some(next) = &mut next_samples {
                next(&mut planes)?;
            }
            for run in row {
                let number = run.label;
                let entry = open.entry(number).or_insert_with(|| Open {
                    instance: Instance {
                        number,
                        class: class.get(number as usize).map_or(0, |&c| c as usize),
                        runs: Vec::new(),
                        sums: Vec::new(),
                    },
                    gathered: start(),
                });
                open_bytes -= entry.bytes();
                entry.instance.runs.push(InstanceRun { y: y as u32, start: run.start, end: run.end });
                if !planes.is_empty() {
                    entry.gathered.add(&planes, width, run.start as usize..run.end as usize);
                }
                open_bytes += entry.bytes();
                if last.get(number as usize) == Some(&(y as u32)) {
                    complete.push(number);
                }
            }
            if open_bytes > memory.instances
                && let Some(largest) = open.values().max_by_key(|o| (o.bytes(), o.instance.number))
            {
                return Err(Error::Limit {
                    what: format!(
                        "instances down to row {y} (the largest is number {}, {})",
                        largest.instance.number,
                        largest.instance.place()
                    ),
                    needed: mib(open_bytes),
                    limit: memory.to_string(),
                });
            }
            complete.sort_unstable();
            complete.dedup();
            for number in complete.drain(..) {
                if let Some(done) = open.remove(&number) {
                    open_bytes -= done.bytes();
                    each(done.instance, done.gathered)?;
                }
            }
            Ok(())
        });
        (self.class, self.last) = (class, last);
        done
    }
}

impl Instance {
    /// Number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Class id.
    pub fn class(&self) -> usize {
        self.class
    }

    /// Pixels, row by row; runs of a row do not touch.
    pub fn runs(&self) -> &[InstanceRun] {
        &self.runs
    }

    /// Area in pixels.
    pub fn area(&self) -> u64 {
        self.runs.iter().map(InstanceRun::len).sum()
    }

    /// Bounding box: first column, first row, columns, rows.
    pub fn bounds(&self) -> [u32; 4] {
        let left = self.runs.iter().map(|r| r.start).min().unwrap_or(0);
        let right = self.runs.iter().map(|r| r.end).max().unwrap_or(0);
        let top = self.runs.first().map_or(0, |r| r.y);
        let bottom = self.runs.last().map_or(0, |r| r.y + 1);
        [left, top, right - left, bottom - top]
    }

    pub(super) fn place(&self) -> String {
        let [x, y, w, h] = self.bounds();
        format!("{w}x{h} pixels at column {x}, row {y}")
    }

    /// Mean of the image's raw samples in the instance, per channel; empty if no samples were stored.
    pub fn means(&self) -> Vec<f64> {
        let area = self.area() as f64;
        self.sums.iter().map(|s| s / area).collect()
    }

    /// Column and row of the centroid; pixel centres are at integers.
    pub fn centroid(&self) -> [f64; 2] {
        let Moments { n, x, y, .. } = self.moments();
        let [left, top, ..] = self.bounds();
        [f64::from(left) + x / n, f64::from(top) + y / n]
    }

    /// Eccentricity of the ellipse with the same second moments: 0 for a circle, towards 1 for a line.
    pub fn eccentricity(&self) -> f64 {
        let Moments { n, x, y, xx, xy, yy } = self.moments();
        let (a, b, c) = (xx / n - (x / n).powi(2), yy / n - (y / n).powi(2), xy / n - x * y / (n * n));
        // The eigenvalues of the covariance matrix.
        let (mean, spread) = ((a + b) / 2.0, ((a - b).powi(2) / 4.0 + c * c).sqrt());
        let (large, small) = (mean + spread, (mean - spread).max(0.0));
        if large > 0.0 { (1.0 - small / large).max(0.0).sqrt() } else { 0.0 }
    }

    /// Sums over pixels, with the bounding box's first pixel as origin.
    fn moments(&self) -> Moments {
        let [left, top, ..] = self.bounds();
        // Sums of 1, x and x^2 over columns, as integers.
        let mut sums = [0u128; 6];
        for run in &self.runs {
            let (a, b, y) = (u128::from(run.start - left), u128::from(run.end - left), u128::from(run.y - top));
            let first = |n: u128| n * n.saturating_sub(1) / 2;
            let second = |n: u128| n.saturating_sub(1) * n * (2 * n).saturating_sub(1) / 6;
            let (n, x, xx) = (b - a, first(b) - first(a), second(b) - second(a));
            for (sum, v) in sums.iter_mut().zip([n, x, n * y, xx, x * y, n * y * y]) {
                *sum += v;
            }
        }
        let [n, x, y, xx, xy, yy] = sums.map(|s| s as f64);
        Moments { n, x, y, xx, xy, yy }
    }

    /// Perimeter by Crofton's formula: counts how often lines along rows, columns and both diagonals enter or leave the
    /// instance. Unlike a count of pixel edges, it is correct on average for smooth shapes in any direction.
    pub fn perimeter(&self) -> f64 {
        let [along_rows, along_columns, diagonal] = self.crossings();
        // Lines are 1 apart along rows and columns, and 1/sqrt(2) along diagonals.
        let straight = along_rows + along_columns;
        std::f64::consts::PI / 8.0 * (straight as f64 + diagonal as f64 * std::f64::consts::FRAC_1_SQRT_2)
    }

    /// [`Self::perimeter`] for pixels that are `x` wide and `y` high.
    pub fn perimeter_of(&self, [x, y]: [f64; 2]) -> f64 {
        let [along_rows, along_columns, diagonal] = self.crossings().map(|n| n as f64);
        // Every direction represents the angles nearest to it. The distance of its lines is the pixel's area divided by
        // the step along a line.
        let slope = y.atan2(x);
        let (half, quarter) = (std::f64::consts::FRAC_PI_2, std::f64::consts::FRAC_PI_4);
        let apart = x * y / x.hypot(y);
        0.5 * (slope * y * along_rows + (half - slope) * x * along_columns + quarter * apart * diagonal)
    }

    /// Counts how often lines along rows, columns and both diagonals cross the boundary.
    fn crossings(&self) -> [u64; 3] {
        let rows: Vec<&[InstanceRun]> = self.runs.chunk_by(|a, b| a.y == b.y).collect();
        let total: u64 = self.area();
        let along_rows = 2 * self.runs.len() as u64;
        // A line leaves the instance wherever its next pixel is outside.
        let crossings = |shift: i64| {
            let shared: u64 = rows
                .windows(2)
                .filter(|pair| pair[0][0].y + 1 == pair[1][0].y)
                .map(|pair| common(pair[0], pair[1], shift))
                .sum();
            2 * (total - shared)
        };
        [along_rows, crossings(0), crossings(1) + crossings(-1)]
    }
}

/// Pixels of row `a` that have a pixel of row `b` at `shift` columns beyond theirs.
fn common(a: &[InstanceRun], b: &[InstanceRun], shift: i64) -> u64 {
    let (mut i, mut k, mut sum) = (0, 0, 0);
    while let (Some(p), Some(q)) = (a.get(i), b.get(k)) {
        let (start, end) = (i64::from(p.start) + shift, i64::from(p.end) + shift);
        let (from, to) = (start.max(i64::from(q.start)), end.min(i64::from(q.end)));
        sum += (to - from).max(0) as u64;
        if end <= i64::from(q.end) { i += 1 } else { k += 1 }
    }
    sum
}

struct Moments {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}
