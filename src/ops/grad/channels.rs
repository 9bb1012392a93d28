//! Per-channel sums, and slices of channels.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::{Lowering, Op, OpCase, by_plane, expect_inputs};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// Sum over images, rows and columns: `[N, C, H, W]` to linear `[1, C, 1, 1]`. The gradient of a bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSum;

/// `x[:, first..first + count]`. The gradient of a concatenation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSlice {
    /// First channel.
    pub first: usize,
    /// Number of channels.
    pub count: usize,
}

impl Op for ChannelSum {
    fn name(&self) -> &'static str {
        "channel_sum"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        Ok(vec![TensorDesc::linear(Shape::new(1, inputs[0].shape.c, 1, 1))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let plane = |n: usize, c: usize| {
            let start = s.index(n, c, 0, 0);
            inputs[0].data()[start..start + s.pixels()].iter().map(|&v| f64::from(v)).sum::<f64>()
        };
        let sums: Vec<f32> = (0..s.c).map(|c| (0..s.n).map(|n| plane(n, c)).sum::<f64>() as f32).collect();
        Ok(vec![HostTensor::new([1, s.c, 1, 1], sums)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let Size { w, h, c, .. } = s.into();
        let params = ChannelSumParams { x: cx.input_view(0), w, h, c, images: s.n as u32 };
        let bindings = [Operand::Input(0), Operand::Output(0)];
        cx.dispatch(KernelKey::new("channel_sum"), params, bindings, [s.c.div_ceil(LANES), 1, 1])
    }
}

impl Op for ChannelSlice {
    fn name(&self) -> &'static str {
        "channel_slice"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        if self.count == 0 || self.first.checked_add(self.count).is_none_or(|end| end > s.c) {
            return Err(Error::op(self.name(), format!("{} channels from {} on of {s}", self.count, self.first)));
        }
        Ok(vec![TensorDesc::blocked(s.with_c(self.count))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        Ok(vec![by_plane(s.with_c(self.count), |n, c, plane| {
            let start = s.index(n, self.first + c, 0, 0);
            plane.copy_from_slice(&inputs[0].data()[start..start + s.pixels()]);
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, o) = (cx.input(0), cx.output(0));
        let (Size { w, h, blocks, c: count }, in_blocks) = (o.into(), s.c.div_ceil(LANES) as u32);
        let (x, y) = (cx.input_view(0), cx.output_view(0));
        let params = ChannelSliceParams { x, y, w, h, blocks, first: self.first as u32, in_blocks, count };
        let bindings = [Operand::Input(0), Operand::Output(0)];
        cx.dispatch(KernelKey::new("channel_slice"), params, bindings, Lowering::per_vec4(o))
    }
}

shader_struct! {
    /// Parameters of `channel_sum`.
    struct ChannelSumParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        images: u32,
    }

    /// Parameters of `channel_slice`.
    struct ChannelSliceParams {
        x: View,
        y: View,
        w: u32,
        h: u32,
        /// Blocks of y.
        blocks: u32,
        /// First channel of x.
        first: u32,
        /// Blocks of x.
        in_blocks: u32,
        /// Channels of y.
        count: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let sum = |name: &str, s: Shape| OpCase::new(format!("channel_sum/{name}"), ChannelSum, &[s]);
    let slice = |name: &str, [first, count]: [usize; 2], s: Shape| {
        OpCase::new(format!("channel_slice/{name}"), ChannelSlice { first, count }, &[s])
    };
    vec![
        sum("batch", Shape::new(2, 5, 9, 11)),
        sum("several rows per invocation", Shape::new(3, 9, 37, 53)),
        sum("one pixel", Shape::new(1, 1, 1, 1)),
        slice("whole blocks", [4, 8], Shape::new(2, 12, 5, 7)),
        slice("inside a block", [1, 2], Shape::new(1, 4, 3, 3)),
        slice("across blocks", [3, 6], Shape::new(2, 9, 4, 5)),
        slice("everything", [0, 5], Shape::new(1, 5, 2, 3)),
    ]
}
