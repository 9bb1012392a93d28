//! Bounds of convolutions of bounded values.

use super::poly::{Channels, mul};
use crate::ops::{Conv2d, ConvTranspose2d};
use crate::tensor::HostTensor;

/// Minimum and maximum sum of one output channel.
#[derive(Clone, Copy, Default)]
struct Sums([f64; 2]);

impl Sums {
    /// Adds an element between `lo` and `hi` times its weight; one that may be missing (padding) can be zero.
    fn add(&mut self, w: f64, [lo, hi]: [f64; 2], missing: bool) {
        let (a, b) = (mul(w, lo), mul(w, hi));
        let zero = if missing { 0.0 } else { a };
        self.0[0] += a.min(b).min(zero);
        self.0[1] += a.max(b).max(zero);
    }
}

/// Union of the bounds of all channels, biases included.
fn union(sums: impl Iterator<Item = (usize, Sums)>, bias: Option<&HostTensor>) -> [f64; 2] {
    let bias = |o: usize| bias.and_then(|b| b.data().get(o)).map_or(0.0, |&v| f64::from(v));
    sums.fold([f64::INFINITY, f64::NEG_INFINITY], |[lo, hi], (o, Sums([a, b]))| {
        [lo.min(a + bias(o)), hi.max(b + bias(o))]
    })
}

/// Bounds of a convolution.
pub(super) fn conv(
    op: &Conv2d,
    w: &HostTensor,
    bias: Option<&HostTensor>,
    x: [f64; 2],
    relation: Channels,
) -> [f64; 2] {
    // If non-negative channels sum to a constant, a 1x1 convolution is a weighted mean of its weights.
    let share = match relation {
        Channels::Sum(s) if op.kernel == [1, 1] && op.groups == 1 && x[0] >= 0.0 => Some((s, op.padding != [0; 4])),
        Channels::Share(s) if op.kernel == [1, 1] && op.groups == 1 => Some((s, true)),
        _ => None,
    };
    let padded = op.padding != [0; 4];
    let taps = (w.data().len() / op.out_channels.max(1)).max(1);
    let sums = w.data().chunks(taps).enumerate().map(|(o, chunk)| {
        let mut sums = Sums::default();
        chunk.iter().for_each(|&v| sums.add(v.into(), x, padded));
        if let Some((s, less)) = share {
            let zero = if less { 0.0 } else { f64::from(chunk[0]) };
            let lo = chunk.iter().fold(zero, |lo, &v| lo.min(v.into()));
            let hi = chunk.iter().fold(zero, |hi, &v| hi.max(v.into()));
            sums.0 = [sums.0[0].max(lo * s), sums.0[1].min(hi * s)];
        }
        (o, sums)
    });
    union(sums, bias)
}

/// Bounds of a transposed convolution; its weight is `[inputs, outputs per group, rows, columns]`.
pub(super) fn conv_transpose(op: &ConvTranspose2d, w: &HostTensor, bias: Option<&HostTensor>, x: [f64; 2]) -> [f64; 2] {
    let [kh, kw] = op.kernel;
    let own = op.out_channels / op.groups.max(1);
    let inputs = w.data().len() / (own * kh * kw).max(1);
    let per_group = (inputs / op.groups.max(1)).max(1);
    // The phase of an output pixel between two input pixels determines which taps contribute.
    let phases = if op.dilation == [1, 1] { op.stride } else { [1, 1] };
    let all =
        (0..op.out_channels).flat_map(|o| (0..phases[0]).flat_map(move |py| (0..phases[1]).map(move |px| (o, py, px))));
    let sums = all.map(|(o, py, px)| {
        let (group, within) = (o / own.max(1), o % own.max(1));
        let mut sums = Sums::default();
        for i in group * per_group..(group + 1) * per_group {
            for y in (py..kh).step_by(phases[0]) {
                for x_ in (px..kw).step_by(phases[1]) {
                    let at = ((i * own + within) * kh + y) * kw + x_;
                    sums.add(w.data().get(at).copied().unwrap_or_default().into(), x, true);
                }
            }
        }
        (o, sums)
    });
    union(sums, bias)
}

/// Sum of the output channels of a 1x1 convolution, if its input channels sum to `sum`. It is known if the weights of
/// every input channel have the same sum.
pub(super) fn channel_sum(op: &Conv2d, w: &HostTensor, bias: Option<&HostTensor>, sum: f64) -> Option<f64> {
    if op.kernel != [1, 1] || op.groups != 1 || op.padding != [0; 4] {
        return None;
    }
    let inputs = (w.data().len() / op.out_channels.max(1)).max(1);
    let column = |i: usize| w.data().iter().skip(i).step_by(inputs).map(|&v| f64::from(v)).sum::<f64>();
    let first = column(0);
    let offset: f64 = bias.map_or(0.0, |b| b.data().iter().map(|&v| f64::from(v)).sum());
    (1..inputs).all(|i| (column(i) - first).abs() < 1e-5).then_some(first * sum + offset)
}
