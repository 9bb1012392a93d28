//! Receptive field, alignment and tile safety, computed from the graph.

use super::{Graph, ValueId};
use crate::ops::Spatial;
use std::collections::{HashMap, HashSet};

/// Dependence of an output pixel on input pixels, along one axis (0 rows, 1 columns).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Input pixels before an aligned output block that can influence it.
    pub before: usize,
    /// Input pixels after the block.
    pub after: usize,
    /// The network is equivariant exactly to shifts that are multiples of this many input pixels.
    pub align: usize,
    /// Receptive field of one output pixel, pixels (the largest over pixel phases).
    pub receptive_field: usize,
}

/// The footprint of `output` in `input` along `axis`, or why the graph is not tile-safe.
///
/// Intervals are propagated backwards through every op, without regard to image borders.
pub fn footprint(graph: &Graph, input: ValueId, output: ValueId, axis: usize) -> Result<Footprint, String> {
    let align = alignment(graph, input, axis)?;
    let a = align as i64;
    // Any aligned position will do; far from zero, intervals never meet the origin.
    let at = a * 1024;
    let block = needed(graph, input, output, axis, at, at + a - 1)?;
    let Some((low, high)) = block else {
        return Ok(Footprint { before: 0, after: 0, align, receptive_field: 0 });
    };
    let mut field = 0;
    for phase in 0..a {
        if let Some((l, h)) = needed(graph, input, output, axis, at + phase, at + phase)? {
            field = field.max(h - l + 1);
        }
    }
    // Valid networks shift the origin: output pixel 0 is input pixel `margin`. Both sides are relative to the block.
    Ok(Footprint {
        before: (at - low).max(0) as usize,
        after: (high - (at + a - 1)).max(0) as usize,
        align,
        receptive_field: field as usize,
    })
}

/// The largest alignment: cumulative strides of real networks are 64 at most.
const MAX_ALIGN: i64 = 1 << 12;

/// Least common multiple of all cumulative strides.
fn alignment(graph: &Graph, input: ValueId, axis: usize) -> Result<usize, String> {
    // Scale of each value: input pixels per pixel of the value, as a fraction.
    let mut scale: HashMap<ValueId, (i64, i64)> = HashMap::from([(input, (1, 1))]);
    let mut align = 1i64;
    for node in graph.nodes() {
        let spatial = node.op.spatial(&graph.descs(&node.inputs), &graph.descs(&node.outputs));
        for (i, v) in node.inputs.iter().enumerate() {
            let Some(&(num, den)) = scale.get(v) else { continue };
            let (wn, wd) = match &spatial {
                Spatial::Pointwise => (1, 1),
                Spatial::Windows(w) => w.get(i).map_or((1, 1), |w| (w[axis].num, w[axis].den)),
                Spatial::Global(why) => return Err(format!("{} ({}): {why}", node.label, node.op.name())),
            };
            let (n, d) = num.checked_mul(wn).zip(den.checked_mul(wd)).ok_or_else(|| overflow(&node.label))?;
            let g = gcd(n, d);
            let (n, d) = (n / g, d / g);
            let min = (align / gcd(align, n)).checked_mul(n);
            align = min.filter(|&a| a <= MAX_ALIGN).ok_or_else(|| overflow(&node.label))?;
            for &o in &node.outputs {
                scale.insert(o, (n, d));
            }
        }
    }
    Ok(align as usize)
}

/// Position of the pixels of a value relative to the input's, along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pitch {
    /// Least common multiple of all strides on the way, input pixels.
    pub align: usize,
    /// Input pixels for one pixel of the value, as a fraction.
    pub scale: (usize, usize),
}

/// [`Pitch`] of `output`, or `None` if the layers do not determine it. Layers that depend on the whole image count by
/// their output size: a global average, of one pixel, constrains nothing.
pub fn pitch(graph: &Graph, input: ValueId, output: ValueId, axis: usize) -> Option<Pitch> {
    let size = |v: ValueId| if axis == 0 { graph.shape(v).h } else { graph.shape(v).w } as i64;
    let mut scale: HashMap<ValueId, (i64, i64)> = HashMap::from([(input, (1, 1))]);
    let mut align = 1i64;
    for node in graph.nodes() {
        let spatial = node.op.spatial(&graph.descs(&node.inputs), &graph.descs(&node.outputs));
        for (i, v) in node.inputs.iter().enumerate() {
            let Some(&(num, den)) = scale.get(v) else { continue };
            let to = node.outputs.first().map_or(1, |&o| size(o));
            let (wn, wd) = match &spatial {
                Spatial::Pointwise => (1, 1),
                Spatial::Windows(w) => w.get(i).map_or((1, 1), |w| (w[axis].num, w[axis].den)),
                Spatial::Global(_) if to == 1 => continue,
                Spatial::Global(_) if node.op.name() == "rearrange" => return None,
                Spatial::Global(_) if size(*v) % to == 0 => (size(*v) / to, 1),
                Spatial::Global(_) if to % size(*v) == 0 => (1, to / size(*v)),
                Spatial::Global(_) => return None,
            };
            let (n, d) = (num.checked_mul(wn)?, den.checked_mul(wd)?);
            let g = gcd(n, d);
            let (n, d) = (n / g, d / g);
            align = (align / gcd(align, n)).checked_mul(n).filter(|&a| a <= MAX_ALIGN)?;
            for &o in &node.outputs {
                scale.insert(o, (n, d));
            }
        }
    }
    let &(num, den) = scale.get(&output)?;
    Some(Pitch { align: align as usize, scale: (num as usize, den as usize) })
}

fn needed(
    graph: &Graph,
    input: ValueId,
    output: ValueId,
    axis: usize,
    from: i64,
    to: i64,
) -> Result<Option<(i64, i64)>, String> {
    let mut all: Option<(i64, i64)> = None;
    trace(graph, output, axis, (from, to), |v, span| {
        if v == input {
            all = Some(all.map_or(span, |a| (a.0.min(span.0), a.1.max(span.1))));
        }
    })?;
    Ok(if input == output { Some((from, to)) } else { all })
}

/// Calls `visit` with every value that some pixels of `output` depend on, and with the span of its pixels that a node reads.
fn trace(
    graph: &Graph,
    output: ValueId,
    axis: usize,
    pixels: (i64, i64),
    mut visit: impl FnMut(ValueId, (i64, i64)),
) -> Result<(), String> {
    let mut intervals: HashMap<ValueId, (i64, i64)> = HashMap::from([(output, pixels)]);
    for node in graph.nodes().iter().rev() {
        let spans = node.outputs.iter().filter_map(|o| intervals.get(o).copied());
        let Some((from, to)) = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { continue };
        let spatial = node.op.spatial(&graph.descs(&node.inputs), &graph.descs(&node.outputs));
        for (i, &v) in node.inputs.iter().enumerate() {
            let span = match &spatial {
                Spatial::Pointwise => (from, to),
                Spatial::Windows(w) => match w.get(i).map_or(Some((from, to)), |w| w[axis].checked_range(from, to)) {
                    Some(span) => span,
                    None => return Err(overflow(&node.label)),
                },
                Spatial::Global(why) => return Err(format!("{} ({}): {why}", node.label, node.op.name())),
            };
            visit(v, span);
            let entry = intervals.entry(v).or_insert(span);
            *entry = (entry.0.min(span.0), entry.1.max(span.1));
        }
    }
    Ok(())
}

/// How many pixels at each end of `output` depend on what lies beyond the edge of some map on the way, as a padded convolution
/// adds it, or a resize that repeats the last pixel. Without any such op every pixel is like one in the middle: `[0, 0]`.
pub fn edge_pixels(graph: &Graph, output: ValueId, align: usize, axis: usize) -> Result<[usize; 2], String> {
    let length = |v: ValueId| if axis == 0 { graph.shape(v).h } else { graph.shape(v).w } as i64;
    // Parameters, and what is computed of them alone, have no pixels.
    let mut maps: HashSet<ValueId> = graph.inputs().map(|i| i.1).collect();
    for node in graph.nodes() {
        if node.inputs.iter().any(|v| maps.contains(v)) {
            maps.extend(&node.outputs);
        }
    }
    let outside = |pixel: i64| {
        let mut found = [false; 2];
        let reads = |v, (low, high): (i64, i64)| {
            if maps.contains(&v) {
                found = [found[0] || low < 0, found[1] || high >= length(v)];
            }
        };
        trace(graph, output, axis, (pixel, pixel), reads).map(|()| found)
    };
    let mut ends = [0; 2];
    for (end, count) in ends.iter_mut().enumerate() {
        // Pixels that lie `align` apart are alike, so one period of them inside is enough.
        let mut depth = 0;
        while depth < *count + align {
            let pixel = if end == 0 { depth as i64 } else { length(output) - 1 - depth as i64 };
            if outside(pixel)?[end] {
                *count = depth + 1;
            }
            depth += 1;
            if depth as i64 > 4 * MAX_ALIGN {
                return Err("what lies beyond its edges reaches every pixel".into());
            }
        }
    }
    Ok(ends)
}

/// The error of a receptive field that is too large to compute.
fn overflow(label: &str) -> String {
    format!("{label}: the receptive field overflows 64 bits")
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}
