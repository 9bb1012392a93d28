//! How a parameter is computed from others: named formulas, plain data, evaluated by one function.

use crate::error::{Error, Result};
use crate::onnx::Expression;
use crate::ops::batch_norm_coefficients;
use crate::tensor::{HostTensor, LANES};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A computation on parameters. Rewrites make these, for example to fold batch norm into a convolution, and imports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Formula {
    /// A weight with the scale of a batch normalisation behind it. Of gamma, beta, mean, variance and the weight.
    FoldBatchNormWeight {
        /// Added to the variance.
        eps: f32,
        /// The weight's axis of output channels.
        axis: usize,
    },
    /// The bias that goes with it. Of gamma, beta, mean, variance, and the bias if there is one.
    FoldBatchNormBias {
        /// Added to the variance.
        eps: f32,
    },
    /// Ranges of a weight's input channels side by side: first and number of each.
    InputChannels(Vec<(usize, usize)>),
    /// A weight `[O, I, kh, kw]` as that of a 1x1 convolution with an output channel per tap and output: `[taps * P, count, 1,
    /// 1]`, `P` = `O` rounded up to 4.
    TapsToChannels {
        /// First input channel.
        first: usize,
        /// Number of input channels.
        count: usize,
        /// Output channels.
        outputs: usize,
    },
    /// These numbers.
    Numbers(#[serde(with = "crate::tensor::shared")] Arc<HostTensor>),
    /// The same elements with other dimensions.
    Reshaped(Vec<usize>),
    /// Axes in another order.
    Permuted {
        /// Dimensions before.
        from: Vec<usize>,
        /// Dimensions after.
        to: Vec<usize>,
        /// Which axis each axis was.
        order: Vec<usize>,
    },
    /// A factor times a matrix of so many rows and columns.
    Matrix {
        /// Rows of the result.
        rows: usize,
        /// Columns of the result.
        columns: usize,
        /// Whether it is transposed on the way.
        transpose: bool,
        /// Factor.
        factor: f32,
    },
    /// A factor times a vector whose elements are repeated to so many.
    Repeated {
        /// Elements of the result.
        count: usize,
        /// Factor.
        factor: f32,
    },
    /// A node of an ONNX file on parameters.
    Onnx(Expression),
}

impl Formula {
    /// The result from the parameters it is computed from.
    pub fn evaluate(&self, p: &[&HostTensor]) -> Result<HostTensor> {
        let needed = match self {
            Self::FoldBatchNormWeight { .. } => 5,
            Self::FoldBatchNormBias { .. } => 4,
            Self::Numbers(_) | Self::Onnx(_) => 0,
            _ => 1,
        };
        if p.len() < needed {
            return Err(fits(format!("{} parameters, {needed} are needed", p.len())));
        }
        match self {
            Self::FoldBatchNormWeight { eps, axis } => {
                let scales = batch_norm_coefficients(*eps, [p[0].data(), p[1].data(), p[2].data(), p[3].data()])?;
                let mut weight = p[4].clone();
                if weight.dims().get(*axis) != Some(&scales.len()) {
                    return Err(fits(format!("{} channels of a weight {:?}", scales.len(), weight.dims())));
                }
                // Elements of one output channel, and how far apart its runs are.
                let run: usize = weight.dims()[axis + 1..].iter().product();
                for (i, w) in weight.data_mut().iter_mut().enumerate() {
                    *w = (f64::from(*w) * scales[(i / run) % scales.len()].0) as f32;
                }
                Ok(weight)
            }
            Self::FoldBatchNormBias { eps } => {
                let scales = batch_norm_coefficients(*eps, [p[0].data(), p[1].data(), p[2].data(), p[3].data()])?;
                let bias = |c: usize| p.get(4).and_then(|b| b.data().get(c)).map_or(0.0, |&b| f64::from(b));
                let folded = scales.iter().enumerate().map(|(c, s)| (s.0 * bias(c) + s.1) as f32);
                HostTensor::new([scales.len()], folded.collect())
            }
            Self::InputChannels(ranges) => input_channels(p[0], ranges),
            Self::TapsToChannels { first, count, outputs } => taps_to_channels(p[0], *first, *count, *outputs),
            Self::Numbers(numbers) => Ok(numbers.as_ref().clone()),
            Self::Reshaped(dims) => p[0].clone().reshaped(dims.clone()),
            Self::Permuted { from, to, order } => permuted(p[0], from, to, order),
            Self::Matrix { rows, columns, transpose, factor } => {
                let (m, k) = (*rows, *columns);
                expect(p[0], m * k)?;
                let at = |o: usize, i: usize| if *transpose { i * m + o } else { o * k + i };
                let all = (0..m).flat_map(|o| (0..k).map(move |i| (o, i)));
                HostTensor::new([m, k], all.map(|(o, i)| factor * p[0].data()[at(o, i)]).collect())
            }
            Self::Repeated { count, factor } => {
                let len = p[0].data().len();
                if len == 0 {
                    return Err(fits("nothing to repeat".into()));
                }
                HostTensor::new([*count], (0..*count).map(|c| factor * p[0].data()[c * len / count]).collect())
            }
            Self::Onnx(expression) => expression.evaluate(p),
        }
    }
}

fn fits(reason: String) -> Error {
    Error::op("computed parameter", reason)
}

fn expect(t: &HostTensor, count: usize) -> Result<()> {
    if t.data().len() == count {
        return Ok(());
    }
    Err(fits(format!("{} elements, {count} are needed", t.data().len())))
}

fn input_channels(weight: &HostTensor, ranges: &[(usize, usize)]) -> Result<HostTensor> {
    let s = weight.shape()?;
    if ranges.iter().any(|r| r.0 + r.1 > s.c) {
        return Err(fits(format!("channels {ranges:?} of a weight {s}")));
    }
    let taps = s.h * s.w;
    let mut data = Vec::new();
    for o in 0..s.n {
        for &(first, count) in ranges {
            let at = (o * s.c + first) * taps;
            data.extend_from_slice(&weight.data()[at..at + count * taps]);
        }
    }
    let total = ranges.iter().map(|r| r.1).sum::<usize>();
    HostTensor::new([s.n, total, s.h, s.w], data)
}

fn taps_to_channels(weight: &HostTensor, first: usize, count: usize, outputs: usize) -> Result<HostTensor> {
    let s = weight.shape()?;
    if outputs > s.n || first + count > s.c {
        return Err(fits(format!("channels {first} to {} of a weight {s}", first + count)));
    }
    let (taps, stride) = (s.h * s.w, outputs.next_multiple_of(LANES));
    let mut data = vec![0.0; taps * stride * count];
    for o in 0..outputs {
        for i in 0..count {
            for t in 0..taps {
                data[(t * stride + o) * count + i] = weight.data()[(o * s.c + first + i) * taps + t];
            }
        }
    }
    HostTensor::new([taps * stride, count, 1, 1], data)
}

fn permuted(t: &HostTensor, from: &[usize], to: &[usize], order: &[usize]) -> Result<HostTensor> {
    expect(t, from.iter().product())?;
    let mut strides = vec![1; from.len()];
    for k in (0..from.len().saturating_sub(1)).rev() {
        strides[k] = strides[k + 1] * from[k + 1];
    }
    let same = order.len() == to.len() && order.iter().zip(to).all(|(&k, n)| from.get(k) == Some(n));
    if !same || to.iter().product::<usize>() != t.data().len() {
        return Err(fits(format!("axes {order:?} of {from:?} are not {to:?}")));
    }
    let mut data = vec![0.0; t.data().len()];
    for (at, v) in data.iter_mut().enumerate() {
        let mut rest = at;
        *v = t.data()[(0..to.len()).rev().fold(0, |from, k| {
            let i = rest % to[k];
            rest /= to[k];
            from + i * strides[order[k]]
        })];
    }
    HostTensor::new(to, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(dims: &[usize]) -> HostTensor {
        let count: usize = dims.iter().product();
        HostTensor::new(dims, (0..count).map(|i| i as f32).collect()).unwrap()
    }

    #[test]
    fn formulas_compute_what_they_are_called() {
        let permuted = Formula::Permuted { from: vec![2, 3], to: vec![3, 2], order: vec![1, 0] };
        assert_eq!(permuted.evaluate(&[&numbers(&[2, 3])]).unwrap().data(), [0., 3., 1., 4., 2., 5.]);
        let matrix = Formula::Matrix { rows: 3, columns: 2, transpose: true, factor: 2.0 };
        assert_eq!(matrix.evaluate(&[&numbers(&[2, 3])]).unwrap().data(), [0., 6., 2., 8., 4., 10.]);
        let repeated = Formula::Repeated { count: 4, factor: 1.0 };
        assert_eq!(repeated.evaluate(&[&numbers(&[2])]).unwrap().data(), [0., 0., 1., 1.]);
        let channels = Formula::InputChannels(vec![(2, 1), (0, 1)]);
        assert_eq!(channels.evaluate(&[&numbers(&[2, 3, 1, 1])]).unwrap().data(), [2., 0., 5., 3.]);
        let taps = Formula::TapsToChannels { first: 1, count: 1, outputs: 1 };
        assert_eq!(taps.evaluate(&[&numbers(&[1, 2, 1, 2])]).unwrap().data(), [2., 0., 0., 0., 3., 0., 0., 0.]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let wrong = [
            Formula::Permuted { from: vec![2, 3], to: vec![2, 3], order: vec![1, 0] },
            Formula::Matrix { rows: 3, columns: 3, transpose: false, factor: 1.0 },
            Formula::InputChannels(vec![(2, 2)]),
            Formula::TapsToChannels { first: 0, count: 9, outputs: 1 },
            Formula::FoldBatchNormWeight { eps: 1e-5, axis: 0 },
        ];
        for formula in wrong {
            assert!(formula.evaluate(&[&numbers(&[2, 3])]).is_err(), "{formula:?}");
        }
    }
}
