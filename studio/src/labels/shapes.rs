//! The pixels of brushes, polygons and lines, as spans of rows.
//!
//! Coordinates are computed in double precision. A test of a pixel compares products, not quotients, so that it is exact for
//! coordinates that are multiples of a small fraction of a pixel.

use std::ops::Range;

/// Columns of a row: `x0..x1`.
pub(super) type Span = Range<u32>;

type Point = [f64; 2];

/// Converts points; none if any is not finite.
pub(super) fn points(of: &[[f32; 2]]) -> Option<Vec<Point>> {
    let finite = |p: &[f32; 2]| p.iter().all(|c| c.is_finite());
    of.iter().map(|p| finite(p).then(|| p.map(f64::from))).collect()
}

/// The pixels whose centre is within `radius` of the line from `a` to `b`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capsule {
    a: Point,
    b: Point,
    radius: f64,
    /// From `a` to `b`.
    d: Point,
    /// Squared length.
    length2: f64,
}

impl Capsule {
    pub fn new(a: Point, b: Point, radius: f64) -> Self {
        let d = [b[0] - a[0], b[1] - a[1]];
        Self { a, b, radius, d, length2: d[0] * d[0] + d[1] * d[1] }
    }

    /// Whether a pixel's centre is inside.
    fn holds(&self, x: i64, y: i64) -> bool {
        let p = [x as f64 + 0.5, y as f64 + 0.5];
        let from = |c: Point| [p[0] - c[0], p[1] - c[1]];
        let square = |v: Point| v[0] * v[0] + v[1] * v[1];
        let (to_a, to_b, r2) = (from(self.a), from(self.b), self.radius * self.radius);
        let along = to_a[0] * self.d[0] + to_a[1] * self.d[1];
        if along <= 0.0 {
            return square(to_a) <= r2;
        }
        if along >= self.length2 {
            return square(to_b) <= r2;
        }
        let across = to_a[0] * self.d[1] - to_a[1] * self.d[0];
        across * across <= r2 * self.length2
    }

    /// The rows that it may touch, of a map with `height` rows.
    pub fn rows(&self, height: u32) -> Range<u32> {
        let (low, high) = (self.a[1].min(self.b[1]) - self.radius, self.a[1].max(self.b[1]) + self.radius);
        clip((low - 1.0).floor(), (high + 1.0).ceil(), height)
    }

    /// Its pixels in a row of a map with `width` columns.
    pub fn span(&self, y: u32, width: u32) -> Option<Span> {
        let (mut low, mut high) = (self.a[0].min(self.b[0]) - self.radius, self.a[0].max(self.b[0]) + self.radius);
        // The strip between the two parallels, which bounds slanted lines much closer.
        let (slope, half) = (self.d[0] / self.d[1], self.radius * self.length2.sqrt() / self.d[1].abs());
        let middle = self.a[0] + (f64::from(y) + 0.5 - self.a[1]) * slope;
        if (middle - half).is_finite() && (middle + half).is_finite() {
            (low, high) = (low.max(middle - half), high.min(middle + half));
        }
        let range = clip((low - 2.0).floor(), (high + 2.0).ceil(), width);
        let inside = |x: &u32| self.holds(i64::from(*x), i64::from(y));
        // The shape is convex: all between the first and the last pixel is inside.
        let first = range.clone().find(inside)?;
        let last = range.rev().find(inside)?;
        Some(first..last + 1)
    }
}

/// The whole numbers of `low..high` that are below `length`.
fn clip(low: f64, high: f64, length: u32) -> Range<u32> {
    // Casts saturate, and NaN becomes 0.
    let (low, high) = (low.max(0.0) as u32, (high.max(0.0) as u32).min(length));
    low.min(high)..high
}

/// The pixel in which a point lies, if the map has it.
pub(super) fn pixel_of(point: Point, [width, height]: [u32; 2]) -> Option<[u32; 2]> {
    let within = |c: f64, length: u32| c >= 0.0 && c < f64::from(length);
    (within(point[0], width) && within(point[1], height)).then_some([point[0] as u32, point[1] as u32])
}

/// The rows that a polygon may touch, of a map with `height` rows.
pub(super) fn polygon_rows(corners: &[Point], height: u32) -> Range<u32> {
    let low = corners.iter().map(|p| p[1]).fold(f64::INFINITY, f64::min);
    let high = corners.iter().map(|p| p[1]).fold(f64::NEG_INFINITY, f64::max);
    clip((low - 1.0).floor(), (high + 1.0).ceil(), height)
}

/// The pixels of a row of a map with `width` columns whose centres are inside by the even-odd rule.
pub(super) fn polygon_spans(corners: &[Point], y: u32, width: u32) -> Vec<Span> {
    let centre = f64::from(y) + 0.5;
    let ends = corners.iter().zip(corners.iter().skip(1).chain(corners.first()));
    let mut crossings: Vec<f64> = ends
        .filter(|(a, b)| (a[1] <= centre) != (b[1] <= centre))
        .map(|(a, b)| a[0] + (centre - a[1]) * (b[0] - a[0]) / (b[1] - a[1]))
        .collect();
    crossings.sort_by(f64::total_cmp);
    let pair = |pair: &[f64]| {
        let span = clip((pair[0] - 0.5).ceil(), (pair[1] - 0.5).ceil(), width);
        (!span.is_empty()).then_some(span)
    };
    crossings.chunks_exact(2).filter_map(pair).collect()
}

/// The pixels of row `y` that the line from `a` to `b` passes through, first and last column. Those of all rows are connected
/// by their edges, since neighbouring rows share the pixel where the line crosses from one to the other.
pub(super) fn line_in_row(a: Point, b: Point, y: i64) -> Option<[i64; 2]> {
    let (top, bottom) = if a[1] <= b[1] { (a, b) } else { (b, a) };
    let (first, last) = (top[1].max(y as f64), bottom[1].min(y as f64 + 1.0));
    if first > last {
        return None;
    }
    let at = |row: f64| match () {
        () if row <= top[1] => top[0],
        () if row >= bottom[1] => bottom[0],
        () => top[0] + (row - top[1]) * (bottom[0] - top[0]) / (bottom[1] - top[1]),
    };
    let level = top[1] == bottom[1];
    let (one, two) = if level { (top[0], bottom[0]) } else { (at(first), at(last)) };
    Some([one.min(two).floor() as i64, one.max(two).floor() as i64])
}
