//! 2-D convolution: the plain op, over several sources ([`JoinedConv2d`]), and with neighbouring ops fused
//! ([`FusedConv2d`]).

mod cases;
mod fused;
mod joined;
mod params;
mod transposed;

pub use fused::{FusedConv2d, Source};
pub use joined::JoinedConv2d;
pub use transposed::{ConvTranspose2d, FusedConvTranspose2d};

use super::{Backward, Function, GraphBuilder, Lowering, Op, OpCase, Spatial, ValueId, Window};
use crate::error::Result;
use crate::tensor::{HostTensor, TensorDesc};

/// `torch.nn.functional.conv2d` (cross-correlation, zero padding).
///
/// Inputs: x `[N, C_in, H, W]`, weight `[C_out, C_in / groups, kh, kw]`, bias `[C_out]` if `bias`. Output:
/// `[N, C_out, OH, OW]` with `OH = (H + padding - dilation * (kh - 1) - 1) / stride + 1`, rounded down, where padding
/// is top plus bottom; likewise OW.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// Output channels.
    pub out_channels: usize,
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Dilation in rows and columns.
    pub dilation: [usize; 2],
    /// Groups.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Conv2d {
    /// Square kernel, stride 1, equal padding on all sides, no bias.
    pub fn new(out_channels: usize, kernel: usize, padding: usize) -> Self {
        Self {
            out_channels,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [padding; 4],
            dilation: [1; 2],
            groups: 1,
            bias: false,
        }
    }

    /// The same with or without a bias.
    #[must_use]
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The same with an activation fused.
    #[must_use]
    pub fn with_activation(self, activation: Function) -> FusedConv2d {
        FusedConv2d { activation, ..self.into() }
    }

    fn output_size(&self, axis: usize, n: usize) -> Option<usize> {
        let span = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        Some((n + self.padding[axis] + self.padding[axis + 2]).checked_sub(span)? / self.stride[axis] + 1)
    }

    /// The input pixels that an output pixel needs from a source whose region starts at `offset`.
    fn window(&self, offset: [usize; 2]) -> [Window; 2] {
        [0, 1].map(|axis| {
            let first = offset[axis] as i64 - self.padding[axis] as i64;
            let reach = (self.dilation[axis] * (self.kernel[axis] - 1)) as i64;
            Window { num: self.stride[axis] as i64, den: 1, first, last: first + reach }
        })
    }

    fn macs_with(&self, weight: &TensorDesc, outputs: &[TensorDesc]) -> u64 {
        let weight = weight.shape;
        outputs[0].shape.len() as u64 * (weight.c * weight.h * weight.w) as u64
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        FusedConv2d::from(self.clone()).infer(inputs)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        FusedConv2d::from(self.clone()).reference(inputs)
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        FusedConv2d::from(self.clone()).lower(cx)
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        self.macs_with(&inputs[1], outputs)
    }

    fn spatial(&self, inputs: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Windows(vec![self.window([0, 0]); inputs.len()])
    }

    fn reads_halo(&self, input: usize) -> bool {
        input == 0 && self.padding != [0; 4]
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        JoinedConv2d::from(self.clone()).backward(node, builder)
    }
}

impl From<Conv2d> for FusedConv2d {
    fn from(conv: Conv2d) -> Self {
        JoinedConv2d::from(conv).into()
    }
}

impl From<JoinedConv2d> for FusedConv2d {
    fn from(JoinedConv2d { conv, sources, region }: JoinedConv2d) -> Self {
        let sources = sources.iter().map(|s| Source::at(s.top, s.left)).collect();
        Self { conv, sources, region, activation: Function::Identity, pool: false }
    }
}

impl FusedConv2d {
    /// An op as a fused convolution, if it is a convolution.
    pub fn of(op: &dyn Op) -> Option<Self> {
        let plain = || op.as_op::<Conv2d>().map(|c| c.clone().into());
        let joined = || op.as_op::<JoinedConv2d>().map(|c| c.clone().into());
        op.as_op::<Self>().cloned().or_else(joined).or_else(plain)
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let mut all = cases::cases();
    all.extend(transposed::cases());
    all
}
