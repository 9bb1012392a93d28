//! Separation of touching instances by an elevation: every summit that rises high enough above its passes is one.

use std::ops::Range;

use super::ElevationRule;
use super::instance::{Gather, Instance, InstanceRun};
use super::samples::Samples;
use super::smoothing::Smoothing;
use super::split::Relief;
use crate::error::{Error, Result};
use crate::infer::Connectivity;

/// The elevation of an image whose planes arrive row by row: the distance, lowered at touching borders, smoothed.
#[derive(Debug)]
pub(super) struct Elevation {
    rule: ElevationRule,
    smoothing: Smoothing,
    heights: Samples,
    row: Vec<f32>,
}

impl Elevation {
    /// `heights` is where the elevation goes; it has one channel.
    pub(super) fn new(width: usize, height: usize, rule: ElevationRule, heights: Samples) -> Self {
        Self { rule, smoothing: Smoothing::new(width, height, rule.smoothing), heights, row: Vec::new() }
    }

    /// Appends a row: the distance, and the border's probability if the network has one.
    pub(super) fn push(&mut self, distance: &[f32], border: Option<&[f32]>) -> Result<()> {
        let Self { rule, smoothing, heights, row } = self;
        row.clear();
        row.extend_from_slice(distance);
        if let Some(border) = border {
            let weight = rule.border as f32;
            row.iter_mut().zip(border).for_each(|(e, &b)| *e -= weight * b);
        }
        smoothing.push(row, |smooth| heights.push_row(smooth))
    }

    /// The elevation of the whole image, after its last row.
    pub(super) fn finish(self, height: usize) -> Result<Relief> {
        match self.heights.rows() {
            rows if rows == height => Ok(Relief::Elevation { heights: self.heights, rule: self.rule }),
            rows => Err(Error::invalid("instances", format!("an elevation of {rows} of {height} rows"))),
        }
    }
}

/// The heights of a component, run by run, unless it is too large to be flooded.
pub(super) struct Heights {
    pub of: Vec<f32>,
    pixels: u64,
    most: u64,
}

impl Heights {
    /// For components of at most `most` pixels; of larger ones nothing is kept.
    pub(super) fn at_most(most: u64) -> Self {
        Self { of: Vec::new(), pixels: 0, most }
    }
}

impl Gather<f32> for Heights {
    fn add(&mut self, planes: &[f32], _width: usize, columns: Range<usize>) {
        self.pixels += columns.len() as u64;
        if self.pixels <= self.most {
            self.of.extend_from_slice(planes.get(columns).unwrap_or_default());
        } else {
            self.of = Vec::new();
        }
    }

    fn bytes(&self) -> u64 {
        size_of_val(&self.of[..]) as u64
    }
}

/// Bytes per pixel of a component's bounding box: labels, heights, order twice, basins.
pub(super) const BYTES: u64 = 40;

/// Floods components one after another. Its tables are reused.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// Part of every pixel of a grid around the component, 0 outside and where it is dropped.
    label: Vec<u32>,
    height: Vec<f32>,
    /// Pixels by falling height, then in raster order: the height's key in the upper half, the pixel's index in the lower.
    order: Vec<u64>,
    other: Vec<u64>,
    basins: Basins,
    left: u32,
    top: u32,
    width: usize,
}

/// Basins by number; entry 0 is unused.
#[derive(Debug, Default)]
struct Basins {
    parent: Vec<u32>,
    top: Vec<f32>,
    /// Part of the instance, once the flood is over.
    part: Vec<u32>,
}

impl Basins {
    fn clear(&mut self) {
        self.parent.clear();
        self.top.clear();
        self.open(f32::NEG_INFINITY);
    }

    fn open(&mut self, top: f32) -> u32 {
        let number = self.parent.len() as u32;
        self.parent.push(number);
        self.top.push(top);
        number
    }

    fn root(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            let above = self.parent[self.parent[i as usize] as usize];
            self.parent[i as usize] = above;
            i = above;
        }
        i
    }
}

impl Flood {
    /// Bytes that flooding an instance needs; more than any limit where its pixels cannot be indexed.
    pub(super) fn bytes(instance: &Instance) -> u64 {
        let [_, _, w, h] = instance.bounds().map(u64::from);
        let pixels = (w + 2) * (h + 2);
        if u32::try_from(pixels).is_ok() { pixels * BYTES } else { u64::MAX }
    }

    /// Floods one component, whose heights are in the order of its runs.
    ///
    /// Pixels by falling height open a basin, or join that of their highest flooded neighbour. Where two basins meet, the one
    /// with the lower summit (of equal ones the younger) joins the other unless it rises `depth` above the pass and
    /// `min_seed` above 0. Afterwards [`Self::label`] says to which part a pixel belongs: 0 if its summit is too low.
    pub(super) fn run(
        &mut self,
        instance: &Instance,
        heights: &[f32],
        rule: &ElevationRule,
        connectivity: Connectivity,
    ) {
        self.spread(instance, heights);
        sort(&mut self.order, &mut self.other);
        let (depth, least) = (rule.depth as f32, rule.min_seed as f32);
        let w = self.width as isize;
        match connectivity {
            Connectivity::Four => self.flood([-w, -1, 1, w], depth, least),
            Connectivity::Eight => self.flood([-w - 1, -w, -w + 1, -1, 1, w - 1, w, w + 1], depth, least),
        }
    }

    /// Part of a pixel of the instance, from 1 in the order of summits.
    pub(super) fn label(&self, x: u32, y: u32) -> u32 {
        self.label[self.index(x, y)]
    }

    /// A grid with one empty pixel on all sides, so that no neighbour lies outside it.
    fn index(&self, x: u32, y: u32) -> usize {
        (y - self.top + 1) as usize * self.width + (x - self.left + 1) as usize
    }

    fn spread(&mut self, instance: &Instance, heights: &[f32]) {
        let [x, y, w, h] = instance.bounds();
        (self.left, self.top, self.width) = (x, y, w as usize + 2);
        let pixels = self.width * (h as usize + 2);
        self.label.clear();
        self.label.resize(pixels, 0);
        self.height.resize(pixels, 0.0);
        self.order.clear();
        let mut rest = heights;
        for &InstanceRun { y, start, end } in instance.runs() {
            let at = self.index(start, y);
            let (own, after) = rest.split_at((end - start) as usize);
            rest = after;
            self.height[at..at + own.len()].copy_from_slice(own);
            self.order.extend(own.iter().zip(at as u64..).map(|(&e, i)| u64::from(falling(e)) << 32 | i));
        }
    }

    fn flood<const N: usize>(&mut self, around: [isize; N], depth: f32, least: f32) {
        let Self { label, height, order, basins, .. } = self;
        basins.clear();
        for &entry in order.iter() {
            let i = entry as u32 as usize;
            let own = height[i];
            let near = around.map(|by| i.wrapping_add_signed(by));
            let (mut best, mut alike) = (0, true);
            for k in near {
                if label[k] == 0 {
                    continue;
                }
                if best == 0 {
                    best = k;
                    continue;
                }
                alike &= label[k] == label[best];
                if height[k] > height[best] {
                    best = k;
                }
            }
            if best == 0 {
                label[i] = basins.open(own);
                continue;
            }
            let mut a = basins.root(label[best]);
            label[i] = a;
            if alike {
                continue;
            }
            for k in near.into_iter().filter(|&k| label[k] > 0) {
                let b = basins.root(label[k]);
                if a == b {
                    continue;
                }
                let top = |n: u32| basins.top[n as usize];
                let (lower, higher) = if top(a) > top(b) || (top(a) == top(b) && a < b) { (b, a) } else { (a, b) };
                if top(lower) - own < depth || top(lower) < least {
                    basins.parent[lower as usize] = higher;
                    a = basins.root(a);
                }
            }
        }
        // Parts in the order of their summits.
        let Basins { parent, top, part } = basins;
        let mut count = 0;
        let numbers = parent.iter().zip(0..).zip(top.iter()).skip(1).map(|((&above, own), &top)| {
            let kept = above == own && top >= least;
            count += u32::from(kept);
            if kept { count } else { 0 }
        });
        part.clear();
        part.extend(std::iter::once(0).chain(numbers));
        for &entry in order.iter() {
            let i = entry as u32 as usize;
            let root = basins.root(label[i]);
            label[i] = basins.part[root as usize];
        }
    }
}

/// A key that rises where heights fall; both zeros are equal.
fn falling(height: f32) -> u32 {
    let bits = (height + 0.0).to_bits();
    let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !rising
}

/// Fewer entries are sorted by comparison.
const RADIX: usize = 1 << 11;

/// Sorts by the upper halves; equal ones keep their order, which must be that of the lower halves.
fn sort(order: &mut Vec<u64>, other: &mut Vec<u64>) {
    if order.len() < RADIX {
        order.sort_unstable();
        return;
    }
    other.resize(order.len(), 0);
    for shift in [32, 43, 54] {
        let digit = |e: u64| (e >> shift) as usize & (RADIX - 1);
        let mut at = [0usize; RADIX];
        order.iter().for_each(|&e| at[digit(e)] += 1);
        let mut sum = 0;
        for n in &mut at {
            (*n, sum) = (sum, sum + *n);
        }
        for &e in order.iter() {
            let to = &mut at[digit(e)];
            other[*to] = e;
            *to += 1;
        }
        std::mem::swap(order, other);
    }
}
