//! Conversion of axis order between the file and NCHW, at the network's input and outputs.

use super::{Reason, Translator};
use crate::graph::ValueId;
use crate::model::onnx::axes::Layout;
use crate::model::onnx::value::{Data, canonical};
use crate::tensor::Shape;

impl Layout {
    /// The network's input in the file's axis order; `id` is NCHW.
    pub fn view(self, id: ValueId, shape: Shape) -> Data {
        let places: Vec<usize> = self.axes().iter().map(|a| a.place()).collect();
        let mut sorted = places.clone();
        sorted.sort_unstable();
        let order = places.iter().map(|p| sorted.iter().position(|t| t == p).unwrap_or_default()).collect();
        Data { id, base: sorted.iter().map(|&p| shape.dims()[p]).collect(), order, integral: false }
    }
}

/// A possible interpretation of an output: its axes in NCHW order, and the resulting shape.
struct Reading {
    perm: Vec<usize>,
    shape: Shape,
    channels_last: bool,
}

/// The possible interpretations of an output of dimensions `dims`, for a network input of shape `input`.
fn readings(dims: &[usize], input: Shape, requested: Option<Layout>) -> Vec<Reading> {
    let mut all = Vec::new();
    let mut push = |perm: &[usize], [n, c, h, w]: [usize; 4], layout: Layout| {
        if requested.is_none_or(|a| a == layout || a.axes().len() != dims.len()) {
            let channels_last = layout.channels_last();
            all.push(Reading { perm: perm.to_vec(), shape: Shape::new(n, c, h, w), channels_last });
        }
    };
    let pixels = |p: usize| p == input.h * input.w;
    match *dims {
        [a, b, c, d] => {
            push(&[0, 1, 2, 3], [a, b, c, d], Layout::Nchw);
            push(&[0, 3, 1, 2], [a, d, b, c], Layout::Nhwc);
        }
        [a, b, c] => {
            // A map of class ids has no channel axis.
            push(&[0, 1, 2], [a, 1, b, c], Layout::Nhw);
            push(&[0, 1, 2], [1, a, b, c], Layout::Chw);
            push(&[2, 0, 1], [1, c, a, b], Layout::Hwc);
            // Rows and columns merged.
            if pixels(b) {
                push(&[0, 2, 1], [a, c, input.h, input.w], Layout::Nhwc);
            }
            if pixels(c) {
                push(&[0, 1, 2], [a, b, input.h, input.w], Layout::Nchw);
            }
        }
        [a, b] => {
            push(&[0, 1], [1, 1, a, b], Layout::Hw);
            if pixels(a) {
                push(&[1, 0], [1, b, input.h, input.w], Layout::Hwc);
            }
            if pixels(b) {
                push(&[0, 1], [a, 1, input.h, input.w], Layout::Nhw);
                push(&[0, 1], [1, a, input.h, input.w], Layout::Chw);
            }
        }
        _ => {}
    }
    all
}

/// An output as an NCHW tensor. Interpretations with the input's rows and columns come first, then those that need no
/// permutation, then those with the input's axis order. Also returns whether the elements are in the file's order.
pub(super) fn exported(t: &mut Translator<'_>, name: &str, d: &Data) -> Result<(ValueId, bool), Reason> {
    let (input, from) = (t.input, t.graph.shape(d.id));
    let mut d = d.clone();
    // With more than four axes, drop those of one element.
    while let (true, Some(unit)) = (d.order.len() > 4, d.dims().iter().position(|&n| n == 1)) {
        let mut left = d.dims();
        left.remove(unit);
        let Some(shorter) = d.viewed_as(&left, from) else { break };
        d = shorter;
    }
    let dims = d.dims();
    let permuted = |perm: &[usize]| Data { order: perm.iter().map(|&p| d.order[p]).collect(), ..d.clone() };
    let last = t.parts.layout.channels_last();
    let badness = |r: &Reading| {
        let s = r.shape;
        let stored = permuted(&r.perm).in_order() && s == from;
        (s.n != input.n, (s.h, s.w) != (input.h, input.w), !stored, r.channels_last != last)
    };
    let all = readings(&dims, input, t.parts.output_layout);
    // A matrix that is not an image has one row per image of the batch.
    let best = all
        .iter()
        .min_by_key(|r| badness(r))
        .filter(|r| dims.len() > 2 || (r.shape.h, r.shape.w) == (input.h, input.w));
    match best {
        Some(r) => {
            let long: Vec<usize> = r.perm.iter().copied().filter(|&axis| dims[axis] != 1).collect();
            Ok((t.arranged(name, &permuted(&r.perm), r.shape)?, long.is_sorted()))
        }
        None => {
            let shape = canonical(&dims).ok_or_else(|| Reason::from(format!("has dimensions {dims:?}")))?;
            Ok((t.arranged(name, &d, shape)?, true))
        }
    }
}
