//! Valid input sizes of a network, determined by translating it.

use super::Reason;
use crate::graph::{Graph, ValueId, footprint, pitch};
use crate::model::SizeRule;
use crate::tensor::Shape;
use std::cell::Cell;

/// Size in pixels that is tried first if the file fixes none, and the largest that is tried in the search for a rule.
pub(super) const PROBED: usize = 512;
/// Common training sizes, tried if [`PROBED`] does not translate.
pub(super) const OTHERS: [usize; 8] = [256, 384, 224, 128, 572, 320, 64, 1024];
/// Maximum cost of the search for sizes, in units of [`Translated::cost`](super::translate::Translated): about a
/// hundred translations of the largest networks.
const SEARCH: u64 = 1 << 28;

/// The result of translating a network for one input size.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    /// The input's rows and columns.
    at: [usize; 2],
    /// The output.
    pub out: Shape,
    /// Alignment of shifts of the input, rows and columns, if known.
    align: Option<[usize; 2]>,
    /// The alignment that follows from strides alone, ignoring operations on the whole image.
    strides: Option<[usize; 2]>,
    /// Input pixels per output pixel, as a fraction, for rows and columns, if known.
    scale: [Option<(usize, usize)>; 2],
}

impl Probe {
    /// The result for a graph with an input of `at` pixels.
    pub(super) fn of(at: [usize; 2], graph: &Graph, decision: ValueId) -> Self {
        let input = graph.inputs().next().map(|i| i.1);
        let both = |f: &dyn Fn(ValueId, usize) -> Option<usize>| {
            let input = input?;
            Some([f(input, 0)?, f(input, 1)?])
        };
        let pitches = [0, 1].map(|axis| pitch(graph, input?, decision, axis));
        Self {
            at,
            out: graph.shape(decision),
            align: both(&|input, axis| footprint(graph, input, decision, axis).ok().map(|f| f.align)),
            strides: both(&|_, axis| pitches[axis].map(|p| p.align)),
            scale: pitches.map(|p| p.map(|p| p.scale)),
        }
    }

    /// The same network with another input size and output shape.
    pub(super) fn resized(&self, at: [usize; 2], out: Shape) -> Self {
        Self { at, out, ..self.clone() }
    }

    /// Pixels lost on every side; `None` if output and input pixels do not correspond one to one.
    pub(super) fn margin(&self) -> Option<usize> {
        let [h, w] = self.at;
        let lost = [h.checked_sub(self.out.h)?, w.checked_sub(self.out.w)?];
        if self.scale.iter().flatten().any(|s| s.0 != s.1) {
            return None;
        }
        (lost[0] == lost[1] && lost[0].is_multiple_of(2)).then_some(lost[0] / 2)
    }

    /// The margin if only one size is known. An output of half the input's size is taken for downsampling, not for a
    /// loss of a quarter on every side.
    fn lone_margin(&self) -> Option<usize> {
        let downsampled = |axis: usize, n: usize, m: usize| self.scale[axis].is_none() && n > m && n.is_multiple_of(m);
        let share = downsampled(0, self.at[0], self.out.h) && downsampled(1, self.at[1], self.out.w);
        self.margin().filter(|_| !share)
    }

    /// Why the output does not give a class per input pixel.
    pub(super) fn unfit(&self) -> String {
        let ([h, w], Shape { h: oh, w: ow, .. }) = (self.at, self.out);
        let result = format!("it produces {oh}x{ow} pixels from {h}x{w}");
        let times = |many: usize, few: usize| (many > few && many.is_multiple_of(few)).then(|| many / few);
        let by = |n: usize, m: usize, scale: Option<(usize, usize)>| match scale {
            Some((1, d)) if d > 1 => Some((true, d)),
            Some((n, 1)) if n > 1 => Some((false, n)),
            Some(_) => None,
            None => times(m, n).map(|k| (true, k)).or(times(n, m).map(|k| (false, k))),
        };
        match [by(h, oh, self.scale[0]), by(w, ow, self.scale[1])] {
            [Some((true, a)), Some((true, b))] if a == b => {
                format!("{result}: it upsamples by {a}, so its output does not have one class per pixel of the image")
            }
            [Some((false, a)), Some((false, b))] if a == b => {
                format!("{result}: one pixel of its output stands for {a}x{a} of the image")
            }
            _ => format!("{result}: the margin is not the same on every side"),
        }
    }
}

/// Valid input sizes of a network.
#[derive(Clone, Debug)]
pub(super) enum Sizes {
    /// A rule, or a fixed size.
    Rule(SizeRule),
    /// No rule was found, so sizes are tried on demand. All lose this many pixels on every side.
    Tried(usize),
    /// The output does not correspond to the input pixel by pixel; the reason.
    Unfit(String),
}

/// Determines the valid sizes of a network. `fixed` rows and columns allow no others. Otherwise the step is the
/// alignment of shifts that follows from the graph. If the graph depends on the whole image, the step is the smallest
/// power of two whose odd multiples translate, else the one that follows from the strides. Of the sizes modulo the
/// step, those with the smallest margin are used; the minimum is the first that translates. `translated` returns the
/// output shape and the cost; `failing` is the cost of a translation that fails.
pub(super) fn find(
    fixed: [Option<usize>; 2],
    first: &Probe,
    failing: u64,
    translated: impl Fn([usize; 2]) -> Result<(Shape, u64), Reason>,
) -> Sizes {
    let unfit = || Sizes::Unfit(first.unfit());
    let longest = |pair: [usize; 2]| match fixed {
        [Some(_), None] => pair[1],
        [None, Some(_)] => pair[0],
        _ => pair[0].max(pair[1]),
    };
    if let [Some(h), Some(w)] = fixed {
        let Some(margin) = first.lone_margin() else { return unfit() };
        return Sizes::Rule(SizeRule { minimum: h.max(w), step: first.align.map_or(1, longest), margin });
    }
    let left = Cell::new(SEARCH);
    let lost = |n: usize| {
        if left.get() == 0 {
            return None;
        }
        let at = fixed.map(|f| f.unwrap_or(n));
        let result = translated(at);
        left.set(left.get().saturating_sub(result.as_ref().map_or(failing, |r| r.1)));
        first.resized(at, result.ok()?.0).margin()
    };
    let works = |s: usize| {
        let odd = (64 / s) | 1;
        let margins = [odd, odd + 2, odd + 4].map(|m| lost(m * s));
        margins[0].is_some() && margins == [margins[0]; 3]
    };
    let rule = |step: usize| {
        let base = PROBED.next_multiple_of(step);
        let (margin, remainder) = match lost(base) {
            Some(0) => (0, 0),
            _ => (0..step).filter_map(|r| Some((lost(base + r)?, r))).min()?,
        };
        let sizes = (0..).map(|k| remainder + k * step).filter(|&n| n > 2 * margin);
        let minimum = sizes.take_while(|&n| n <= base + remainder && left.get() > 0).find(|&n| lost(n) == Some(margin));
        // If the network resamples, the margin differs at the next size.
        let minimum = minimum.filter(|&n| lost(n + step) == Some(margin) && left.get() > 0)?;
        Some(SizeRule { minimum, step, margin })
    };
    let rule = match first.align {
        Some(align) => rule(longest(align)),
        None => {
            let power = (0..9).map(|k| 1 << k).find(|&s| works(s));
            power.and_then(rule).or_else(|| first.strides.map(longest).and_then(rule))
        }
    };
    match (rule, first.margin()) {
        (Some(rule), _) => Sizes::Rule(rule),
        (None, None) => unfit(),
        (None, Some(margin)) => {
            // A margin must be the same at another size, if one is valid; otherwise it is a share of the image.
            left.set(left.get().max(SEARCH / 8));
            let longest = longest(first.at);
            let others = OTHERS.iter().copied().chain([longest + 32, longest + 64]).filter(|&n| n != longest);
            match others.filter_map(lost).next() {
                Some(other) if other != margin => unfit(),
                None if first.lone_margin().is_none() => unfit(),
                _ => Sizes::Tried(margin),
            }
        }
    }
}

/// The smallest size of at least `min` rows and columns, approximately, for which `valid` is true; `known` is one such
/// size.
pub(super) fn smallest(min: [usize; 2], known: [usize; 2], valid: impl Fn([usize; 2]) -> bool) -> Option<[usize; 2]> {
    const CLOSE: usize = 64;
    let candidates = |from: usize, known: usize| {
        let next = from.next_multiple_of(CLOSE);
        let far = (0..24).map(move |k| next + k * CLOSE);
        (0..CLOSE).map(move |k| from + k).chain(far).chain((known >= from).then_some(known))
    };
    if valid(min) {
        return Some(min);
    }
    let rows = candidates(min[0], known[0]).find(|&h| valid([h, known[1]]));
    let columns = candidates(min[1], known[1]).find(|&w| valid([known[0], w]));
    let apart = rows.zip(columns).map(|(h, w)| [h, w]).filter(|&size| valid(size));
    // Rows and columns may not be independent, as in networks for square images.
    let longest = min[0].max(min[1]);
    let square = candidates(longest, known[0].max(known[1])).map(|n| [n, n]).find(|&size| valid(size));
    apart.into_iter().chain(square).min_by_key(|[h, w]| h * w)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(at: [usize; 2], out: [usize; 2], scale: Option<(usize, usize)>) -> Probe {
        Probe { at, out: Shape::new(1, 1, out[0], out[1]), align: None, strides: None, scale: [scale; 2] }
    }

    #[test]
    fn a_share_of_the_image_is_not_a_margin() {
        assert_eq!(probe([64, 64], [64, 64], None).margin(), Some(0));
        assert_eq!(probe([64, 80], [44, 60], None).margin(), Some(10));
        assert_eq!(probe([64, 64], [32, 32], None).lone_margin(), None);
        assert_eq!(probe([64, 80], [32, 48], None).lone_margin(), Some(16));
        assert_eq!(probe([64, 64], [32, 32], Some((1, 1))).lone_margin(), Some(16));
        assert_eq!(probe([64, 64], [60, 60], Some((2, 1))).margin(), None);
        assert_eq!(probe([64, 64], [60, 62], None).margin(), None);
        assert_eq!(probe([64, 64], [63, 63], None).margin(), None);
        assert!(probe([64, 64], [128, 128], None).unfit().contains("upsamples by 2"));
        assert!(probe([64, 64], [100, 100], Some((1, 2))).unfit().contains("upsamples by 2"));
        assert!(probe([64, 64], [16, 16], None).unfit().contains("stands for 4x4"));
        assert!(probe([64, 64], [63, 63], None).unfit().contains("the margin is not the same"));
    }

    #[test]
    fn rules_are_found_by_translating() {
        let found = |step: usize, margin: usize, offset: usize| {
            let ok = move |n: usize| n > 2 * margin + 8 && (n - offset).is_multiple_of(step);
            let result = move |[h, w]: [usize; 2]| match ok(h) && ok(w) {
                true => Ok((Shape::new(1, 1, h - 2 * margin, w - 2 * margin), 1)),
                false => Err(Reason::from("no")),
            };
            let at = if ok(512 + offset) { 512 + offset } else { 504 + offset };
            let first = Probe { strides: Some([8, 8]), ..probe([at; 2], [at - 2 * margin; 2], None) };
            match find([None; 2], &first, 1, result) {
                Sizes::Rule(r) => (r.minimum, r.step, r.margin),
                Sizes::Tried(margin) => (0, 0, margin),
                Sizes::Unfit(_) => (0, 0, 0),
            }
        };
        // Unpadded convolutions with a global pool: multiples of 4.
        assert_eq!(found(4, 28, 0), (68, 4, 28));
        // No size is a multiple of the step, so the strides decide.
        assert_eq!(found(8, 20, 4), (52, 8, 20));
        // 24 is not a power of two.
        assert_eq!(found(24, 0, 0), (0, 0, 0));
    }

    #[test]
    fn smallest_valid_size() {
        let even = |[h, w]: [usize; 2]| h.is_multiple_of(24) && w.is_multiple_of(24);
        assert_eq!(smallest([100, 24], [480, 480], even), Some([120, 24]));
        let square = |[h, w]: [usize; 2]| h == w && h.is_multiple_of(24);
        assert_eq!(smallest([100, 24], [480, 480], square), Some([120, 120]));
        assert_eq!(smallest([100, 24], [480, 480], |s| s == [480, 480]), Some([480, 480]));
        assert_eq!(smallest([500, 24], [480, 480], |s| s == [480, 480]), None);
    }
}
