//! The outline of an instance along its pixel edges, as polygons with holes.
//!
//! Pixel `(x, y)` covers the square from `(x, y)` to `(x + 1, y + 1)`. Outlines are traced on runs, so memory grows
//! with the outline, not with the bounding box. Every ring is simple: one that touches itself in a point is divided
//! into several.

use std::collections::HashMap;

use super::instance::{Instance, InstanceRun};

/// A closed line through pixel corners `[x, y]`; the last corner connects to the first. Clockwise on the screen (x to
/// the right, y down) around pixels of the instance, counter-clockwise around holes.
pub type Ring = Vec<[u32; 2]>;

/// One piece of an instance. Edge-connected instances have one; instances connected at corners may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polygon {
    /// Outline of the piece.
    pub outer: Ring,
    /// Outlines of its holes.
    pub holes: Vec<Ring>,
}

/// A pixel edge with the instance on its right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    from: [u32; 2],
    to: [u32; 2],
}

impl Edge {
    fn direction(&self) -> [i64; 2] {
        [0, 1].map(|i| (i64::from(self.to[i]) - i64::from(self.from[i])).signum())
    }
}

impl Instance {
    /// Its outline.
    pub fn contours(&self) -> Vec<Polygon> {
        let (mut outers, mut holes) = (Vec::new(), Vec::new());
        for ring in rings(&edges(self.runs())) {
            if twice_area(&ring) > 0 { outers.push(ring) } else { holes.push(ring) }
        }
        let mut polygons: Vec<Polygon> = outers.into_iter().map(|outer| Polygon { outer, holes: Vec::new() }).collect();
        for hole in holes {
            let [x, y] = hole.iter().copied().min_by_key(|[x, y]| (*y, *x)).unwrap_or_default();
            // A hole belongs to the smallest piece around its first pixel.
            let only = polygons.len() == 1;
            let around = polygons.iter_mut().filter(|p| only || contains(&p.outer, [x, y]));
            if let Some(polygon) = around.min_by_key(|p| twice_area(&p.outer)) {
                polygon.holes.push(hole);
            }
        }
        polygons
    }
}

/// Twice the enclosed area; negative for holes.
pub(super) fn twice_area(ring: &[[u32; 2]]) -> i64 {
    let next = ring.iter().cycle().skip(1);
    ring.iter().zip(next).map(|(a, b)| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1])).sum()
}

/// Whether the pixel `[x, y]` lies inside a ring: a ray from its centre to the left crosses the ring an odd number of
/// times.
fn contains(ring: &[[u32; 2]], [x, y]: [u32; 2]) -> bool {
    let next = ring.iter().cycle().skip(1);
    let crossed =
        |(a, b): &(&[u32; 2], &[u32; 2])| a[0] == b[0] && a[0] <= x && a[1].min(b[1]) <= y && y < a[1].max(b[1]);
    ring.iter().zip(next).filter(crossed).count() % 2 == 1
}

/// All edges between the instance and its surroundings, sorted by start point.
fn edges(runs: &[InstanceRun]) -> Vec<Edge> {
    let mut edges = Vec::with_capacity(4 * runs.len());
    let rows: Vec<&[InstanceRun]> = runs.chunk_by(|a, b| a.y == b.y).collect();
    let mut above: &[InstanceRun] = &[];
    for row in rows.iter().copied() {
        let Some(y) = row.first().map(|r| r.y) else { continue };
        if let Some(last) = above.first().map(|r| r.y).filter(|last| last + 1 != y) {
            between(above, &[], last + 1, &mut edges);
            above = &[];
        }
        between(above, row, y, &mut edges);
        for run in row {
            edges.push(Edge { from: [run.end, y], to: [run.end, y + 1] });
            edges.push(Edge { from: [run.start, y + 1], to: [run.start, y] });
        }
        above = row;
    }
    if let Some(run) = above.first() {
        between(above, &[], run.y + 1, &mut edges);
    }
    edges.sort_unstable_by_key(|e| (e.from[1], e.from[0], e.to[1], e.to[0]));
    edges
}

/// The horizontal edges between two rows, where exactly one of them contains the instance.
fn between(above: &[InstanceRun], below: &[InstanceRun], y: u32, edges: &mut Vec<Edge>) {
    for (start, end, is_below) in differences(above, below) {
        let (from, to) = if is_below { (start, end) } else { (end, start) };
        edges.push(Edge { from: [from, y], to: [to, y] });
    }
}

/// The columns where exactly one of two rows contains the instance: first, one past the last, and whether it is the
/// second row. Adjacent stretches of one row are merged; those of different rows are not.
pub(crate) fn differences(above: &[InstanceRun], below: &[InstanceRun]) -> Vec<(u32, u32, bool)> {
    let ends = |runs: &[InstanceRun], row: bool| runs.iter().flat_map(|r| [r.start, r.end]).map(|x| (x, row)).collect();
    let mut events: Vec<(u32, bool)> = ends(above, false);
    let second: Vec<(u32, bool)> = ends(below, true);
    events.extend(second);
    events.sort_unstable();
    let mut found = Vec::new();
    let (mut inside, mut since) = ([false; 2], 0);
    for at in events.chunk_by(|a, b| a.0 == b.0) {
        let before = inside;
        at.iter().for_each(|e| inside[usize::from(e.1)] ^= true);
        let x = at.first().map_or(0, |e| e.0);
        if before[0] != before[1] && before != inside {
            found.push((since, x, before[1]));
        }
        if inside[0] != inside[1] && before != inside {
            since = x;
        }
    }
    found
}

/// Joins edges into rings.
fn rings(edges: &[Edge]) -> Vec<Ring> {
    let mut used = vec![false; edges.len()];
    let mut rings = Vec::new();
    let key = |p: [u32; 2]| (p[1], p[0]);
    for start in 0..edges.len() {
        if used[start] {
            continue;
        }
        // Corners so far; for a ring that touches itself, with their positions in `path`.
        let mut path: Ring = vec![edges[start].from];
        let mut crossings: HashMap<[u32; 2], usize> = HashMap::from([(edges[start].from, 0)]);
        let mut now = start;
        loop {
            used[now] = true;
            let at = edges[now].to;
            let first = edges.partition_point(|e| key(e.from) < key(at));
            let out = || (first..edges.len()).take_while(|&k| edges[k].from == at);
            let [dx, dy] = edges[now].direction();
            let several = out().count() > 1;
            // Where two pixels meet at a corner, the ring stays with its current pixel.
            let next = out().find(|&k| !several || edges[k].direction() == [-dy, dx]);
            let Some(next) = next else { break };
            if several && crossings.contains_key(&at) || next == start {
                let from = if next == start { 0 } else { crossings[&at] };
                rings.push(path.split_off(from));
                crossings.retain(|_, place| *place < from);
                if next == start {
                    break;
                }
                path.push(at);
            } else if edges[next].direction() != [dx, dy] {
                if several {
                    crossings.insert(at, path.len());
                }
                path.push(at);
            }
            now = next;
        }
    }
    rings
}

#[cfg(test)]
mod tests;
