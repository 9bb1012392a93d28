//! Weight gradient of convolutions of any geometry by a direct kernel.

use super::{ConvWeightGrad, Corner};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, View, shader_struct};
use crate::ops::{GraphBuilder, Lowering, Op, OpCase, ValueId, expect_inputs};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// `dW[r, i, ky, kx] = sum over n, y, x of g[n, r, y, x] * X[n, c, y * stride + ky * dilation - top, ..]` with
/// `c = r / (R / groups) * (C / groups) + i` and zeros outside X.
///
/// Inputs: g `[N, R, OH, OW]` and X `[N, C, H, W]`. Output: linear `[R, C / groups, kh, kw]`. As in [`ConvWeightGrad`],
/// g is the gradient of a convolution's result, or a transposed convolution's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvWeightGradPlain {
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right. Bottom and right do not matter here.
    pub padding: [usize; 4],
    /// Dilation in rows and columns.
    pub dilation: [usize; 2],
    /// Groups.
    pub groups: usize,
}

impl ConvWeightGradPlain {
    /// Adds the gradient to the graph, as the faster [`ConvWeightGrad`] where it applies.
    pub fn emit(self, g: ValueId, x: ValueId, builder: &mut dyn GraphBuilder) -> Result<ValueId> {
        let fast = ConvWeightGrad {
            kernel: self.kernel,
            stride: self.stride[0],
            padding: self.padding,
            sources: vec![Corner::default()],
        };
        let simple = self.stride[0] == self.stride[1] && self.dilation == [1; 2] && self.groups == 1;
        if simple && fast.infer(&[builder.desc(g), builder.desc(x)]).is_ok() {
            return builder.node("grad_weight", fast, &[g, x]);
        }
        builder.node("grad_weight", self, &[g, x])
    }

    /// The input pixel that tap `k` of output pixel `o` reads along an axis, if it is inside.
    fn source(&self, axis: usize, o: usize, k: usize, n: usize) -> Option<usize> {
        (o * self.stride[axis] + k * self.dilation[axis]).checked_sub(self.padding[axis]).filter(|&i| i < n)
    }
}

impl Op for ConvWeightGradPlain {
    fn name(&self) -> &'static str {
        "conv_weight_grad_plain"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        let (g, x) = (inputs[0].shape, inputs[1].shape);
        let groups = self.groups.max(1);
        let divides = self.groups > 0 && g.c.is_multiple_of(groups) && x.c.is_multiple_of(groups) && g.n == x.n;
        let zero = [self.kernel, self.stride, self.dilation].concat().contains(&0);
        if !divides || zero || g.is_empty() || x.is_empty() {
            return Err(Error::op(self.name(), format!("g {g} does not fit {x}: {self:?}")));
        }
        Ok(vec![TensorDesc::linear(Shape::new(g.c, x.c / groups, self.kernel[0], self.kernel[1]))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        use crate::parallel::*;
        let (g, x) = (inputs[0].shape()?, inputs[1].shape()?);
        let out = self.infer(&[g, x].map(TensorDesc::blocked))?[0].shape;
        let element = |r: usize, i: usize, ky: usize, kx: usize| {
            let c = r / (g.c / self.groups) * out.c + i;
            let mut sum = 0.0;
            for (n, y) in (0..g.n).flat_map(|n| (0..g.h).map(move |y| (n, y))) {
                let Some(iy) = self.source(0, y, ky, x.h) else { continue };
                for column in 0..g.w {
                    if let Some(ix) = self.source(1, column, kx, x.w) {
                        let dy = inputs[0].data()[g.index(n, r, y, column)];
                        sum += f64::from(dy) * f64::from(inputs[1].data()[x.index(n, c, iy, ix)]);
                    }
                }
            }
            sum as f32
        };
        let mut dw = HostTensor::zeros(out);
        dw.data_mut().par_chunks_mut(out.c * out.pixels()).enumerate().for_each(|(r, row)| {
            for (i, v) in row.iter_mut().enumerate() {
                *v = element(r, i / out.pixels(), i % out.pixels() / out.w, i % out.w);
            }
        });
        Ok(vec![dw])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (g, x, dw) = (cx.input(0), cx.input(1), cx.output(0));
        let grouped = self.groups > 1;
        let params = WeightGradPlainParams {
            g: cx.input_view(0),
            x: cx.input_view(1),
            ow: g.w as u32,
            oh: g.h as u32,
            images: g.n as u32,
            taps: (dw.h * dw.w) as u32,
            h: x.h as u32,
            w: x.w as u32,
            stride_y: self.stride[0] as u32,
            stride_x: self.stride[1] as u32,
            pad_top: self.padding[0] as u32,
            pad_left: self.padding[1] as u32,
            dilation_y: self.dilation[0] as u32,
            dilation_x: self.dilation[1] as u32,
            kw: dw.w as u32,
            r: dw.n as u32,
            group_c: dw.c as u32,
            group_r: (dw.n / self.groups) as u32,
        };
        let (rows, columns) = if grouped { (dw.n, dw.c) } else { (dw.n.div_ceil(LANES), dw.c.div_ceil(LANES)) };
        cx.reads(Operand::Input(0), (columns * dw.pixels()) as f64);
        cx.reads(Operand::Input(1), (rows * dw.pixels()) as f64);
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        let key = KernelKey::new("conv_weight_grad_plain").flag("GROUPED", grouped);
        cx.dispatch(key, params, bindings, [rows, columns * dw.h, dw.w])
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        let g = inputs[0].shape;
        outputs[0].shape.len() as u64 * (g.n * g.pixels()) as u64
    }
}

shader_struct! {
    /// Parameters of `conv_weight_grad_plain`.
    struct WeightGradPlainParams {
        g: View,
        x: View,
        ow: u32,
        oh: u32,
        /// N
        images: u32,
        /// KH KW
        taps: u32,
        h: u32,
        w: u32,
        stride_y: u32,
        stride_x: u32,
        pad_top: u32,
        pad_left: u32,
        dilation_y: u32,
        dilation_x: u32,
        kw: u32,
        r: u32,
        /// C / groups
        group_c: u32,
        /// R / groups
        group_r: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let s = Shape::new;
    let op = |kernel: usize, stride: usize, padding: usize, dilation: usize, groups: usize| ConvWeightGradPlain {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 4],
        dilation: [dilation; 2],
        groups,
    };
    let case = |name: &str, op: ConvWeightGradPlain, g: Shape, x: Shape| {
        OpCase::new(format!("conv_weight_grad_plain/{name}"), op, &[g, x])
    };
    let uneven =
        ConvWeightGradPlain { kernel: [1, 5], stride: [2, 1], padding: [0, 3, 1, 2], dilation: [1, 2], groups: 1 };
    vec![
        case("7x7 stride 2 padding 3", op(7, 2, 3, 1, 1), s(2, 5, 9, 8), s(2, 3, 17, 16)),
        case("4x4 stride 2 padding 1, of a transposed convolution", op(4, 2, 1, 1, 1), s(1, 6, 5, 7), s(1, 9, 10, 14)),
        case("dilation 2", op(3, 1, 2, 2, 1), s(1, 4, 12, 21), s(1, 3, 12, 21)),
        case("uneven", uneven, s(1, 6, 4, 12), s(1, 5, 7, 15)),
        case("groups 2", op(3, 1, 1, 1, 2), s(2, 6, 7, 9), s(2, 10, 7, 9)),
        case("depthwise, stride 2", op(3, 2, 1, 1, 7), s(1, 7, 5, 6), s(1, 7, 9, 12)),
    ]
}
