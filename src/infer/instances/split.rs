//! Separation of touching instances by the watershed of the distance to the instance's edge, or of a predicted elevation.
//!
//! Every connected component is processed separately and completely, so the result does not depend on tiles, and memory
//! is needed for the largest component only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::elevation::{self, Flood, Heights};
use super::instance::{Instance, InstanceRun};
use super::runs::{Bands, Run};
use super::samples::Samples;
use super::{ElevationRule, InstanceOptions, Instances, Source};
use crate::error::Result;
use crate::infer::{Connectivity, nearest_sites};
use crate::text::mib;

/// Bytes per pixel of a component's bounding box: distance transform, pixel order, basins, labels and queue.
const BYTES: u64 = 96;

/// A part of an instance, provisionally labelled in the order of discovery.
struct Part {
    class: u32,
    first: (u32, u32),
    last: u32,
    area: u64,
}

/// By what instances are split.
pub(super) enum Relief {
    /// The distance to the instance's edge: seeds rise so many pixels above their necks.
    Distance { depth: f64 },
    /// A predicted elevation.
    Elevation { heights: Samples, rule: ElevationRule },
}

/// Splits the instances of `whole`. An instance that exceeds the memory limit stays whole, with a warning.
pub(super) fn split(whole: &mut Instances, relief: Relief, options: &InstanceOptions) -> Result<Instances> {
    let (width, height) = (whole.width as u32, whole.height as u32);
    let mut parts = Parts::new(options, height);
    match relief {
        Relief::Distance { depth } => whole.without_samples(|instance| {
            let crop = Crop::of(&instance, width, height);
            if parts.too_large(&instance, crop.pixels() as u64 * BYTES) {
                return parts.push(&instance, |_, _| 1);
            }
            let distance = crop.distances(&instance);
            match seeds(crop.width, &distance, depth) {
                one if one.len() < 2 => parts.push(&instance, |_, _| 1),
                several => {
                    let labels = flood(crop.width, &distance, &several, options.connectivity);
                    parts.push(&instance, |x, y| labels[crop.index(x, y)])
                }
            }
        })?,
        Relief::Elevation { mut heights, rule } => {
            let mut flood = Flood::default();
            let most = options.memory / elevation::BYTES;
            whole.gather(
                Some(&mut heights),
                || Heights::at_most(most),
                |instance, heights| {
                    if parts.too_large(&instance, Flood::bytes(&instance)) {
                        return parts.push(&instance, |_, _| 1);
                    }
                    flood.run(&instance, &heights.of, &rule, options.connectivity);
                    parts.push(&instance, |x, y| flood.label(x, y))
                },
            )?;
        }
    }
    Ok(parts.finish(whole))
}

/// The parts found so far, and their runs.
struct Parts<'a> {
    options: &'a InstanceOptions,
    bands: Bands,
    parts: Vec<Part>,
    left_whole: Vec<String>,
}

impl<'a> Parts<'a> {
    fn new(options: &'a InstanceOptions, height: u32) -> Self {
        Self { options, bands: Bands::new(&options.scratch, height), parts: Vec::new(), left_whole: Vec::new() }
    }

    /// Whether an instance stays whole because splitting it needs so many bytes.
    fn too_large(&mut self, instance: &Instance, needed: u64) -> bool {
        if needed <= self.options.memory {
            return false;
        }
        let place = instance.place();
        log::warn!("an instance of {place} stays whole: the watershed in it needs {}", mib(needed));
        self.left_whole.push(place);
        true
    }

    /// Appends an instance with the part of every pixel, from 1; pixels of part 0 belong to none.
    fn push(&mut self, instance: &Instance, label: impl Fn(u32, u32) -> u32) -> Result<()> {
        let Self { bands, parts, .. } = self;
        let base = parts.len();
        for run in instance.runs() {
            let mut start = run.start;
            while start < run.end {
                let own = label(start, run.y);
                let end = (start + 1..run.end).find(|&x| label(x, run.y) != own).unwrap_or(run.end);
                if own > 0 {
                    let at = base + own as usize - 1;
                    while parts.len() <= at {
                        // Set with its first run; seeds lie in the instance, so every part has a run.
                        let class = instance.class() as u32;
                        parts.push(Part { class, first: (u32::MAX, 0), last: 0, area: 0 });
                    }
                    let part = &mut parts[at];
                    part.first = part.first.min((run.y, start));
                    part.last = run.y;
                    part.area += u64::from(end - start);
                    bands.push(run.y, Run { start, end, label: at as u32 + 1 })?;
                }
                start = end;
            }
        }
        Ok(())
    }

    /// Numbers the parts in the order of their first pixels.
    fn finish(self, whole: &mut Instances) -> Instances {
        let Self { options, bands, parts, left_whole } = self;
        let mut order: Vec<u32> = (0..parts.len() as u32).collect();
        order.retain(|&i| parts[i as usize].area >= options.min_area);
        order.sort_unstable_by_key(|&i| parts[i as usize].first);
        let mut number = vec![0; parts.len() + 1];
        let (mut class, mut last) = (vec![0], vec![0]);
        for i in order {
            let part = &parts[i as usize];
            number[i as usize + 1] = class.len() as u32;
            class.push(part.class);
            last.push(part.last);
        }
        let (source, samples) = (Source::Bands(bands), whole.samples.take());
        let (width, height, memory) = (whole.width, whole.height, options.limit());
        Instances { width, height, memory, source, samples, number, class, last, whole: left_whole }
    }
}

/// The bounding box of an instance, extended by one pixel within the image.
struct Crop {
    x: u32,
    y: u32,
    width: usize,
    height: usize,
}

impl Crop {
    fn of(instance: &Instance, width: u32, height: u32) -> Self {
        let [x, y, w, h] = instance.bounds();
        let (left, top) = (x.saturating_sub(1), y.saturating_sub(1));
        let (right, bottom) = ((x + w + 1).min(width), (y + h + 1).min(height));
        Self { x: left, y: top, width: (right - left) as usize, height: (bottom - top) as usize }
    }

    fn pixels(&self) -> usize {
        self.width * self.height
    }

    fn index(&self, x: u32, y: u32) -> usize {
        (y - self.y) as usize * self.width + (x - self.x) as usize
    }

    /// Squared distances to the nearest pixel outside the instance, 0 outside it. Pixels beyond the image are unknown
    /// and count as infinitely far away.
    fn distances(&self, instance: &Instance) -> Vec<u64> {
        let mut inside = vec![false; self.pixels()];
        for &InstanceRun { y, start, end } in instance.runs() {
            let at = self.index(start, y);
            inside[at..at + (end - start) as usize].fill(true);
        }
        nearest_sites(self.width, inside.len(), |i| !inside[i]).into_iter().map(|n| n.squared).collect()
    }
}

/// The neighbours of pixel `i` in a crop of `width` columns, row by row.
fn around(i: usize, width: usize, pixels: usize, corners: bool) -> impl Iterator<Item = usize> {
    let x = i % width;
    let (left, right) = (x > 0, x + 1 < width);
    let (up, down) = (i >= width, i + width < pixels);
    let near = [
        (up && left && corners).then(|| i - width - 1),
        up.then(|| i - width),
        (up && right && corners).then(|| i + 1 - width),
        left.then(|| i - 1),
        right.then(|| i + 1),
        (down && left && corners).then(|| i + width - 1),
        down.then(|| i + width),
        (down && right && corners).then(|| i + width + 1),
    ];
    near.into_iter().flatten()
}

/// The highest pixel of every basin that rises at least `depth` above its highest pass to a higher basin, in pixel
/// order: the h-maxima of the distance with 8-connectivity. Of equal heights, the first pixel counts as higher.
fn seeds(width: usize, squared: &[u64], depth: f64) -> Vec<usize> {
    let mut order: Vec<u32> = (0..squared.len() as u32).filter(|&i| squared[i as usize] > 0).collect();
    order.sort_unstable_by_key(|&i| (Reverse(squared[i as usize]), i));
    const NONE: u32 = u32::MAX;
    let height = |i: u32| (squared[i as usize] as f64).sqrt();
    // Union-find over pixels; the root of a basin is its highest pixel.
    let mut parent = vec![NONE; squared.len()];
    let mut found = Vec::new();
    for &i in &order {
        parent[i as usize] = i;
        for near in around(i as usize, width, squared.len(), true) {
            if parent[near] == NONE {
                continue;
            }
            let (a, b) = (root(&mut parent, i), root(&mut parent, near as u32));
            if a == b {
                continue;
            }
            let key = |r: u32| (Reverse(squared[r as usize]), r);
            let (higher, lower) = if key(a) < key(b) { (a, b) } else { (b, a) };
            // A pixel that joins a basin from below was a separate basin until then.
            if lower != i && height(lower) - height(i) >= depth {
                found.push(lower as usize);
            }
            parent[lower as usize] = higher;
        }
    }
    found.extend(order.iter().filter(|&&i| parent[i as usize] == i).map(|&i| i as usize));
    found.sort_unstable();
    found
}

fn root(parent: &mut [u32], mut i: u32) -> u32 {
    while parent[i as usize] != i {
        parent[i as usize] = parent[parent[i as usize] as usize];
        i = parent[i as usize];
    }
    i
}

/// Floods from seeds (labels from 1, in their order) over all reachable pixels above 0, the highest first; equal
/// heights are flooded in the order reached (F. Meyer, "Topographic distance and watershed lines", 1994, without
/// lines).
fn flood(width: usize, height: &[u64], seeds: &[usize], connectivity: Connectivity) -> Vec<u32> {
    let corners = connectivity == Connectivity::Eight;
    let mut labels = vec![0u32; height.len()];
    let mut open = BinaryHeap::new();
    let mut age = 0u32;
    for (k, &i) in seeds.iter().enumerate() {
        labels[i] = k as u32 + 1;
        open.push((height[i], Reverse(age), i as u32));
        age += 1;
    }
    while let Some((_, _, i)) = open.pop() {
        let own = labels[i as usize];
        for near in around(i as usize, width, height.len(), corners) {
            if labels[near] == 0 && height[near] > 0 {
                labels[near] = own;
                open.push((height[near], Reverse(age), near as u32));
                age += 1;
            }
        }
    }
    labels
}

#[cfg(test)]
pub(in super::super) mod tests;
