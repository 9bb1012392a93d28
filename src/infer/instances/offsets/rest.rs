//! Pixels that arrive outside clusters: each belongs to what is around it.
//!
//! A flood by rising length of the offset, from the pixels that have a cluster, in the order of scikit-image's `watershed`. It does
//! not leave a region of pixels without one, so regions are flooded one after another.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytemuck::{Pod, Zeroable};

use super::Arrival;
use super::members::{Members, NONE};
use crate::error::{Error, Result};
use crate::infer::Connectivity;
use crate::infer::instances::instance::{Gather, Instance};
use crate::infer::instances::runs::{Bands, Rows, Run};
use crate::infer::instances::samples::Samples;
use crate::infer::instances::{InstanceOptions, Instances, Source, Union};
use crate::text::mib;

/// A pixel without a cluster, and that of its neighbours with one whose offset is shortest (of equal ones the first).
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Pixel {
    length: f32,
    /// The neighbour's.
    nearest: f32,
    /// The neighbour's cluster; 0 without such a neighbour.
    cluster: u32,
    /// 0 to 3: the neighbour is above, left, right, below.
    side: u32,
}

/// Bytes per pixel of a region: its [`Pixel`], label and entry in the queue.
const BYTES: u64 = size_of::<Pixel>() as u64 + 36;

/// The pixels of a region, run by run.
#[derive(Default)]
struct Pixels(Vec<Pixel>);

impl Gather<Pixel> for Pixels {
    fn add(&mut self, row: &[Pixel], _width: usize, columns: std::ops::Range<usize>) {
        self.0.extend_from_slice(row.get(columns).unwrap_or_default());
    }

    fn bytes(&self) -> u64 {
        size_of_val(&self.0[..]) as u64
    }
}

/// Instances by cluster, and the runs that belong to them.
struct Found {
    bands: Bands,
    /// Row and column of the first pixel.
    first: Vec<(u32, u32)>,
    last: Vec<u32>,
}

impl Found {
    fn push(&mut self, y: u32, run: Run) -> Result<()> {
        let n = run.label as usize;
        self.first[n] = self.first[n].min((y, run.start));
        self.last[n] = self.last[n].max(y);
        self.bands.push(y, run)
    }
}

/// Instances numbered in the order of their clusters, and the first pixel of each by number. Clusters of fewer pixels than
/// `least` are none.
pub(super) fn finish(
    mut members: Members,
    least: u64,
    options: &InstanceOptions,
) -> Result<(Instances, Vec<(u32, u32)>)> {
    let clusters = members.count.len();
    let mut found = Found {
        bands: Bands::new(&options.scratch, members.height as u32),
        first: vec![(u32::MAX, 0); clusters],
        last: vec![0; clusters],
    };
    let (mut regions, mut pixels) = without(&mut members, least, &mut found, options)?;
    let mut flood = Flood::default();
    regions
        .gather(Some(&mut pixels), Pixels::default, |region, Pixels(pixels)| {
            let needed = flood.bytes(&region);
            if needed > options.memory {
                return Err(Error::Limit {
                    what: format!("one of {}", region.place()),
                    needed: mib(needed),
                    limit: options.limit().to_string(),
                });
            }
            flood.run(&region, &pixels);
            flood.runs(&region, |y, run| found.push(y, run))
        })
        .map_err(|e| match e {
            Error::Limit { what, needed, limit } => {
                Error::Limit { what: format!("regions without clusters: {what}"), needed, limit }
            }
            other => other,
        })?;
    let Found { bands, first, last } = found;
    let mut number = vec![0; clusters];
    let (mut class, mut last_by, mut first_by) = (vec![0], vec![0], vec![(0, 0)]);
    for n in (1..clusters).filter(|&n| first[n].0 < u32::MAX) {
        number[n] = class.len() as u32;
        class.push(1);
        last_by.push(last[n]);
        first_by.push(first[n]);
    }
    let Members { width, height, .. } = members;
    let (source, memory) = (Source::Bands(bands), options.limit());
    let instances =
        Instances { width, height, memory, source, samples: None, number, class, last: last_by, whole: Vec::new() };
    Ok((instances, first_by))
}

/// Passes on the runs that have a cluster, and collects the regions that have none.
fn without(
    members: &mut Members,
    least: u64,
    found: &mut Found,
    options: &InstanceOptions,
) -> Result<(Instances, Samples<Pixel>)> {
    let Members { width, height, rows, arrivals, count } = members;
    let (width, height) = (*width, *height);
    let mut union = Union::new(width as u32, height as u32, Connectivity::Four, false);
    let mut regions = Rows::new(&options.scratch);
    let mut pixels = Samples::new(&options.scratch, width, 1);
    let (mut next, mut next_arrivals) = (rows.read()?, arrivals.read()?);
    let (mut above, mut own, mut below) = (Line::new(width), Line::new(width), Line::new(width));
    let (mut line, mut runs) = (vec![Pixel::zeroed(); width], Vec::new());
    for y in 0..=height {
        (above, own, below) = (own, below, above);
        if y < height {
            next(&mut below.runs)?;
            next_arrivals(&mut below.arrivals)?;
            let kept = |run: &Run| count.get(run.label as usize).is_some_and(|&n| n >= least);
            below.runs.iter_mut().filter(|run| !kept(run)).for_each(|run| run.label = NONE);
        } else {
            below.runs.clear();
        }
        Run::paint(&below.runs, &mut below.labels);
        // The row above the one just read.
        let Some(y) = y.checked_sub(1) else { continue };
        let mut any = false;
        for run in &own.runs {
            if run.label != NONE {
                found.push(y as u32, *run)?;
                continue;
            }
            any = true;
            for (x, to) in line.iter_mut().enumerate().take(run.end as usize).skip(run.start as usize) {
                *to = pixel(x, &above, &own, &below);
            }
        }
        let labels = own.labels.iter().map(|&label| u32::from(any && label == NONE));
        union.row(labels, &mut runs);
        regions.push(&runs)?;
        pixels.push(&runs, &line)?;
        let needed = 2 * union.bytes();
        if needed > options.memory {
            return Err(Error::Limit {
                what: format!("the table of regions without clusters up to row {y}"),
                needed: mib(needed),
                limit: options.limit().to_string(),
            });
        }
    }
    let numbered = union.finish(0);
    let regions = Instances {
        width,
        height,
        memory: options.limit(),
        source: Source::Rows(regions),
        samples: None,
        number: numbered.number,
        class: numbered.class,
        last: numbered.last,
        whole: Vec::new(),
    };
    drop((next, next_arrivals));
    Ok((regions, pixels))
}

/// A row of the image.
struct Line {
    runs: Vec<Run>,
    labels: Vec<u32>,
    arrivals: Vec<Arrival>,
}

impl Line {
    fn new(width: usize) -> Self {
        Self { runs: Vec::new(), labels: vec![0; width], arrivals: vec![Arrival::zeroed(); width] }
    }

    /// Cluster and offset of a pixel; cluster 0 if it has none.
    fn at(&self, x: usize) -> (u32, f32) {
        match self.labels.get(x) {
            None | Some(&NONE) => (0, 0.0),
            Some(&cluster) => (cluster, self.arrivals.get(x).map_or(0.0, |a| a.length)),
        }
    }
}

fn pixel(x: usize, above: &Line, own: &Line, below: &Line) -> Pixel {
    let mut out = Pixel { length: own.arrivals[x].length, nearest: f32::INFINITY, cluster: 0, side: 0 };
    let sides = [above.at(x), own.at(x.wrapping_sub(1)), own.at(x + 1), below.at(x)];
    for (side, (cluster, length)) in (0..).zip(sides).filter(|(_, (cluster, _))| *cluster > 0) {
        if length < out.nearest {
            (out.nearest, out.cluster, out.side) = (length, cluster, side);
        }
    }
    out
}

/// Floods regions one after another. Its tables are reused.
#[derive(Default)]
struct Flood {
    /// Index of every pixel in the region, from 1, on a grid with one empty pixel on all sides.
    grid: Vec<u32>,
    width: usize,
    /// Place of every pixel on the grid.
    place: Vec<u32>,
    cluster: Vec<u32>,
    /// Length, order among equal ones, pixel.
    queue: BinaryHeap<Reverse<(u32, u64, u32)>>,
}

/// Flooded pixels come after those that had a cluster from the start, in the order reached.
const FLOODED: u64 = 1 << 40;

impl Flood {
    fn bytes(&self, region: &Instance) -> u64 {
        let [_, _, w, h] = region.bounds().map(u64::from);
        let grid = (w + 2) * (h + 2);
        if u32::try_from(grid).is_ok() { 4 * grid + BYTES * region.area() } else { u64::MAX }
    }

    fn run(&mut self, region: &Instance, pixels: &[Pixel]) {
        let Self { grid, width, place, cluster, queue } = self;
        let [left, top, w, h] = region.bounds();
        *width = w as usize + 2;
        grid.clear();
        grid.resize(*width * (h as usize + 2), 0);
        place.clear();
        cluster.clear();
        cluster.resize(pixels.len(), 0);
        for run in region.runs() {
            let start = (run.y - top + 1) as usize * *width + (run.start - left + 1) as usize;
            for (at, cell) in grid.iter_mut().enumerate().skip(start).take((run.end - run.start) as usize) {
                place.push(at as u32);
                *cell = place.len() as u32;
            }
        }
        let around = [-(*width as isize), -1, 1, *width as isize];
        // Lengths are not negative, so their bits are in order.
        for (i, pixel) in pixels.iter().enumerate().filter(|(_, p)| p.cluster > 0) {
            // Neighbours in raster order; of the pixels beside one, the same.
            let neighbour = (place[i] as usize).wrapping_add_signed(around[pixel.side as usize]) as u64;
            queue.push(Reverse((pixel.nearest.to_bits(), 4 * neighbour + 3 - u64::from(pixel.side), i as u32)));
        }
        let mut age = FLOODED;
        while let Some(Reverse((_, order, i))) = queue.pop() {
            let i = i as usize;
            if order < FLOODED {
                if cluster[i] == 0 {
                    cluster[i] = pixels[i].cluster;
                    queue.push(Reverse((pixels[i].length.to_bits(), age, i as u32)));
                    age += 1;
                }
                continue;
            }
            for by in around {
                let near = grid[(place[i] as usize).wrapping_add_signed(by)];
                let Some(k) = near.checked_sub(1).map(|k| k as usize) else { continue };
                if cluster[k] == 0 {
                    cluster[k] = cluster[i];
                    queue.push(Reverse((pixels[k].length.to_bits(), age, k as u32)));
                    age += 1;
                }
            }
        }
    }

    /// The runs of the region's pixels that have been reached.
    fn runs(&self, region: &Instance, mut each: impl FnMut(u32, Run) -> Result<()>) -> Result<()> {
        let mut rest = &self.cluster[..];
        for run in region.runs() {
            let (own, after) = rest.split_at((run.end - run.start) as usize);
            rest = after;
            let mut start = run.start;
            for same in own.chunk_by(|a, b| a == b) {
                let end = start + same.len() as u32;
                if same[0] > 0 {
                    each(run.y, Run { start, end, label: same[0] })?;
                }
                start = end;
            }
        }
        Ok(())
    }
}
