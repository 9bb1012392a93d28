//! Weights for the convolution that computes an input gradient.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{InputKind, Lowering, Op, OpCase, expect_inputs};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};
use std::sync::Arc;

/// Weight `[O, I, kh, kw]` to `[count, O, kh, kw]`, both linear: input channels from `first` on become output channels,
/// and taps are mirrored in rows and columns. A stride-1 convolution with it is the gradient with respect to those
/// channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlipWeights {
    /// First input channel.
    pub first: usize,
    /// Number of input channels.
    pub count: usize,
}

impl Op for FlipWeights {
    fn name(&self) -> &'static str {
        "flip_weights"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        if inputs[0].layout != Layout::Linear || self.first.checked_add(self.count).is_none_or(|end| end > s.c) {
            return Err(Error::op(
                self.name(),
                format!("channels {} .. +{} of {:?}", self.first, self.count, inputs[0]),
            ));
        }
        Ok(vec![TensorDesc::linear(Shape::new(self.count, s.n, s.h, s.w))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let out = Shape::new(self.count, s.n, s.h, s.w);
        let at = |i: usize, o: usize, y: usize, x: usize| s.index(o, self.first + i, s.h - 1 - y, s.w - 1 - x);
        Ok(vec![HostTensor::from_fn(out, |i, o, y, x| inputs[0].data()[at(i, o, y, x)])])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        // Neighbouring invocations of a GPU should write neighbouring elements.
        let filters = cx.elements_each() > 1;
        let len = if filters { self.count * s.n } else { cx.output(0).len() };
        let params = FlipWeightsParams {
            len: len as u32,
            row: cx.linear_row(len),
            outputs: s.n as u32,
            inputs: s.c as u32,
            taps: s.pixels() as u32,
            first: self.first as u32,
        };
        let bindings = [Operand::Input(0), Operand::Output(0)];
        cx.dispatch(KernelKey::new("flip_weights").flag("FILTERS", filters), params, bindings, cx.per_element(len))
    }
}

shader_struct! {
    /// Parameters of `flip_weights`.
    struct FlipWeightsParams {
        len: u32,
        row: u32,
        /// O
        outputs: u32,
        /// I
        inputs: u32,
        taps: u32,
        first: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, [first, count]: [usize; 2], s: Shape| OpCase {
        name: format!("flip_weights/{name}"),
        op: Arc::new(FlipWeights { first, count }),
        inputs: vec![(TensorDesc::linear(s), InputKind::Data)],
    };
    vec![
        case("3x3", [0, 5], Shape::new(6, 5, 3, 3)),
        case("some channels", [2, 3], Shape::new(4, 7, 3, 3)),
        case("1x1", [1, 1], Shape::new(2, 3, 1, 1)),
        case("1x2, many", [0, 20], Shape::new(9, 20, 1, 2)),
    ]
}
