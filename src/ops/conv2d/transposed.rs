//! 2-D transposed convolution.

use super::params::{GemmParams, GroupedParams, PlainParams};
use crate::error::{Error, Result};
use crate::kernel::{ConvFamily, KernelKey, Operand, OperandPath, Size, Target, View, shader_struct};
use crate::ops::gemm::Tile;
use crate::ops::{
    Backward, ChannelSum, Conv2d, ConvOrder, ConvPacking, ConvWeightGradPlain, Function, GraphBuilder, InputKind,
    Lowering, Op, OpCase, Packing, Spatial, ValueId, Window, by_plane, expect_inputs,
};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};
use std::sync::Arc;

/// `torch.nn.functional.conv_transpose2d`.
///
/// Inputs: `[N, C_in, H, W]`, weight `[C_in, C_out / groups, kh, kw]`, bias `[C_out]` if `bias`. Output:
/// `(H - 1) * stride - padding before and after + dilation * (kernel - 1) + 1 + output_padding` rows, likewise columns.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose2d {
    /// Output channels.
    pub out_channels: usize,
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Padding, cropped from the output: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Dilation in rows and columns.
    pub dilation: [usize; 2],
    /// Groups.
    pub groups: usize,
    /// Rows and columns added at the end of the output.
    pub output_padding: [usize; 2],
    /// Whether there is a bias.
    pub bias: bool,
}

/// A transposed convolution followed by an activation, as produced by rewrites. It has no gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedConvTranspose2d {
    /// The convolution.
    pub conv: ConvTranspose2d,
    /// Applied to the result.
    pub activation: Function,
}

impl ConvTranspose2d {
    /// Kernel 2x2, stride 2: the up-convolution of the U-Net family. Windows never overlap.
    pub fn up2(out_channels: usize) -> Self {
        Self {
            out_channels,
            kernel: [2; 2],
            stride: [2; 2],
            padding: [0; 4],
            dilation: [1; 2],
            groups: 1,
            output_padding: [0; 2],
            bias: true,
        }
    }

    /// Distance from the first to the last element of a window, pixels.
    fn reach(&self, axis: usize) -> Option<usize> {
        self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])
    }

    fn output_size(&self, axis: usize, n: usize) -> Option<usize> {
        let spread = n.checked_sub(1)?.checked_mul(self.stride[axis])?;
        let full = spread.checked_add(self.reach(axis)?)?.checked_add(1)?.checked_add(self.output_padding[axis])?;
        let padding = self.padding[axis].checked_add(self.padding[axis + 2])?;
        full.checked_sub(padding).filter(|&o| o > 0 && i32::try_from(full).is_ok())
    }

    fn is_up2(&self) -> bool {
        let plain =
            self.padding == [0; 4] && self.output_padding == [0; 2] && self.dilation == [1; 2] && self.groups == 1;
        self.kernel == [2; 2] && self.stride == [2; 2] && plain
    }
}

impl Op for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2 + usize::from(self.bias))?;
        let fail = |reason: String| Err(Error::op("conv_transpose2d", reason));
        let (s, weight) = (inputs[0].shape, inputs[1].shape);
        let groups = self.groups.max(1);
        let expected = Shape::new(s.c, self.out_channels / groups, self.kernel[0], self.kernel[1]);
        if weight != expected || !s.c.is_multiple_of(groups) || !self.out_channels.is_multiple_of(groups) {
            return fail(format!("weight {weight} does not fit input {s}, expected {expected}"));
        }
        let excess = (0..2).any(|a| self.output_padding[a] >= self.stride[a].max(self.dilation[a]));
        if [self.kernel, self.stride, self.dilation].concat().contains(&0) || self.groups == 0 || excess {
            return fail(format!("invalid kernel, stride, dilation, groups or output padding: {self:?}"));
        }
        if self.bias && inputs[2].shape.len() != self.out_channels {
            return fail(format!("bias {} for {} output channels", inputs[2].shape, self.out_channels));
        }
        match (self.output_size(0, s.h), self.output_size(1, s.w)) {
            (Some(h), Some(w)) => Ok(vec![TensorDesc::blocked(Shape::new(s.n, self.out_channels, h, w))]),
            _ => fail(format!("input {s} leaves no output pixels")),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.reference_with(inputs, Function::Identity)
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.lower_with(cx, Function::Identity)
    }

    fn macs(&self, inputs: &[TensorDesc], _: &[TensorDesc]) -> u64 {
        (inputs[0].shape.len() * (self.out_channels / self.groups) * self.kernel[0] * self.kernel[1]) as u64
    }

    fn spatial(&self, inputs: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        let window = [0, 1].map(|a| {
            let (s, reach, p) = (self.stride[a] as i64, self.reach(a).unwrap_or(0) as i64, self.padding[a] as i64);
            // Output o receives input i if 0 <= o + p - i * s <= reach; bounds over all phases of o within a stride.
            let first = (p - reach).div_euclid(s) + i64::from((p - reach).rem_euclid(s) != 0);
            let last = (s - 1 + p).div_euclid(s);
            Window { num: 1, den: s, first: first.min(last), last }
        });
        Spatial::Windows(vec![window; inputs.len()])
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None; node.inputs.len()]) };
        let mut grads = vec![None; node.inputs.len()];
        if self.output_padding.iter().zip(&self.stride).any(|(o, s)| o >= s) {
            return Err(Error::op(
                self.name(),
                format!("has no gradient for output padding of at least the stride: {self:?}"),
            ));
        }
        if node.needs_grad(0) {
            let conv = Conv2d {
                kernel: self.kernel,
                stride: self.stride,
                padding: self.padding,
                dilation: self.dilation,
                groups: self.groups,
                ..Conv2d::new(builder.desc(node.inputs[0]).shape.c, 1, 0)
            };
            grads[0] = Some(builder.node("grad_input", conv, &[dy, node.inputs[1]])?);
        }
        if node.needs_grad(1) {
            let geometry = ConvWeightGradPlain {
                kernel: self.kernel,
                stride: self.stride,
                padding: self.padding,
                dilation: self.dilation,
                groups: self.groups,
            };
            grads[1] = Some(geometry.emit(node.inputs[0], dy, builder)?);
        }
        if node.needs_grad(2) {
            grads[2] = Some(builder.node("grad_bias", ChannelSum, &[dy])?);
        }
        Ok(grads)
    }
}

impl Op for FusedConvTranspose2d {
    fn name(&self) -> &'static str {
        self.conv.name()
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.conv.infer(inputs)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.conv.reference_with(inputs, self.activation)
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.conv.lower_with(cx, self.activation)
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        self.conv.macs(inputs, outputs)
    }

    fn spatial(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Spatial {
        self.conv.spatial(inputs, outputs)
    }
}

/// Whether a 2x2 kernel with stride 2 runs as GEMMs; not if the plain or tile family is forced.
fn prefers_gemm(target: &Target) -> bool {
    !matches!(target.overrides.conv, Some(ConvFamily::Plain | ConvFamily::Tile))
}

impl ConvTranspose2d {
    fn reference_with(&self, inputs: &[&HostTensor], activation: Function) -> Result<Vec<HostTensor>> {
        let shapes = inputs.iter().map(|i| i.shape()).collect::<Result<Vec<_>>>()?;
        let out = self.infer(&shapes.iter().map(|&s| TensorDesc::blocked(s)).collect::<Vec<_>>())?[0].shape;
        let s = shapes[0];
        let (x, weight) = (inputs[0].data(), inputs[1].data());
        let [kh, kw] = self.kernel;
        let result = by_plane(out, |n, o, plane| {
            let bias = if self.bias { f64::from(inputs[2].data()[o]) } else { 0.0 };
            let mut sums = vec![bias; plane.len()];
            let (group_in, group_out) = (s.c / self.groups, self.out_channels / self.groups);
            let first = o / group_out * group_in;
            for c in first..first + group_in {
                for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                    let wt = f64::from(weight[((c * group_out + o % group_out) * kh + ky) * kw + kx]);
                    // Output position of an input pixel along an axis.
                    let to = |axis: usize, i: usize, k: usize, n: usize| {
                        let at = (i * self.stride[axis] + k * self.dilation[axis]).checked_sub(self.padding[axis]);
                        at.filter(|&o| o < n)
                    };
                    for y in 0..s.h {
                        let Some(oy) = to(0, y, ky, out.h) else { continue };
                        for x_ in 0..s.w {
                            if let Some(ox) = to(1, x_, kx, out.w) {
                                sums[oy * out.w + ox] += wt * f64::from(x[s.index(n, c, y, x_)]);
                            }
                        }
                    }
                }
            }
            for (p, sum) in plane.iter_mut().zip(sums) {
                *p = activation.apply(sum) as f32;
            }
        });
        Ok(vec![result])
    }

    fn lower_with(&self, cx: &mut Lowering, activation: Function) -> Result<()> {
        let (input, out) = (cx.input(0), cx.output(0));
        let up2 = self.is_up2();
        if up2 && prefers_gemm(cx.target) {
            return self.lower_gemm(cx, activation);
        }
        if self.groups > 1 {
            return self.lower_grouped(cx, activation);
        }
        let weights = self.pack(cx, input.c);
        let (x, y, [alpha, beta]) = (cx.input_view(0), cx.output_view(0), activation.arguments());
        let Size { w, h, blocks: in_blocks, .. } = input.into();
        let Size { w: ow, h: oh, blocks: out_blocks, .. } = out.into();
        let bindings = [Operand::Input(0), weights, Operand::Output(0)];
        if up2 {
            let params = UpParams { x, y, w, h, out_blocks, in_blocks, alpha, beta };
            let key = KernelKey::new("conv_transpose2d_2x2").with("ACTIVATION", activation.id());
            return cx.dispatch(key, params, bindings, Lowering::per_vec4(input.with_c(out.c)));
        }
        let params = PlainParams {
            x,
            y,
            ow,
            oh,
            out_blocks,
            in_blocks,
            h,
            w,
            stride_y: self.stride[0] as u32,
            stride_x: self.stride[1] as u32,
            pad_top: self.padding[0] as u32,
            pad_left: self.padding[1] as u32,
            dilation_y: self.dilation[0] as u32,
            dilation_x: self.dilation[1] as u32,
            alpha,
            beta,
        };
        let key = KernelKey::new("conv_transpose2d_plain")
            .with("KH", self.kernel[0] as u32)
            .with("KW", self.kernel[1] as u32)
            .with("ACTIVATION", activation.id());
        cx.dispatch(key, params, bindings, Lowering::per_vec4(out))
    }

    /// Four GEMMs with scattered stores.
    fn lower_gemm(&self, cx: &mut Lowering, activation: Function) -> Result<()> {
        let (input, out) = (cx.input(0), cx.output(0));
        let tile = Tile::choose(cx.target, out.c, input.pixels(), 4 * input.n, true);
        let (ob, ib, tiles) = (out.c.div_ceil(LANES), input.c.div_ceil(LANES), out.c.div_ceil(tile.rows));
        let product = tiles * tile.packed(ib) * tile.rows;
        let order = ConvOrder::Products { tile: tile.order(), steps: tile.packed(ib), product, bias_blocks: ob };
        let weights = self.pack_as(cx, input.c, LANES * (ob + 4 * product), order);
        let key = match tile.path {
            OperandPath::Subgroup => KernelKey::new("conv2d_gemm"),
            _ => KernelKey::new("conv2d_gemm").with("KH", 1).with("KW", 1),
        };
        let key = key.with("ACTIVATION", activation.id());
        cx.reads(Operand::Input(0), (4 * tiles) as f64);
        let rows_first = tile.rows_first(4 * tiles, ib, input.pixels() * ib);
        let key = tile.constants(key, out.c, ib);
        for (first, blocks) in tile.dispatches(cx.target, input.pixels()) {
            let params = GemmParams {
                x: cx.input_view(0),
                y: cx.output_view(0),
                ow: input.w as u32,
                oh: input.h as u32,
                out_blocks: ob as u32,
                in_blocks: ib as u32,
                pad_top: 0,
                pad_left: 0,
                stride_y: 1,
                stride_x: 1,
                dilation_y: 0,
                dilation_x: 0,
                steps: tile.packed(ib) as u32,
                first_block: first as u32,
                kh: 1,
                kw: 1,
                rows_first: rows_first.into(),
                up: 1,
                alpha: activation.arguments()[0],
                beta: activation.arguments()[1],
            };
            let bindings = [Operand::Input(0), weights, Operand::Output(0)];
            let grid = if rows_first { [4 * tiles, blocks, out.n] } else { [blocks, tiles, 4 * out.n] };
            cx.dispatch(key.clone(), params, bindings, grid)?;
        }
        Ok(())
    }

    /// Each lane gathers the channels of its own group.
    fn lower_grouped(&self, cx: &mut Lowering, activation: Function) -> Result<()> {
        let (input, out) = (cx.input(0), cx.output(0));
        let [kh, kw] = self.kernel;
        let (group_in, group_out) = (input.c / self.groups, out.c / self.groups);
        let len = out.c + input.c * group_out * kh * kw;
        let bias = self.bias;
        let inputs: Vec<usize> = (1..=1 + usize::from(bias)).collect();
        let weights = cx.weights(inputs, len, Packing::BiasFirst { outputs: out.c, bias, weight: len - out.c });
        let Size { w: ow, h: oh, blocks: out_blocks, c: out_channels } = out.into();
        let params = GroupedParams {
            x: cx.input_view(0),
            y: cx.output_view(0),
            ow,
            oh,
            out_blocks,
            out_channels,
            h: input.h as u32,
            w: input.w as u32,
            stride_y: self.stride[0] as u32,
            stride_x: self.stride[1] as u32,
            pad_top: self.padding[0] as u32,
            pad_left: self.padding[1] as u32,
            dilation_y: self.dilation[0] as u32,
            dilation_x: self.dilation[1] as u32,
            group_in: group_in as u32,
            group_out: group_out as u32,
            alpha: activation.arguments()[0],
            beta: activation.arguments()[1],
        };
        let key = KernelKey::new("conv_transpose2d_grouped")
            .with("KH", kh as u32)
            .with("KW", kw as u32)
            .with("ACTIVATION", activation.id());
        cx.dispatch(key, params, [Operand::Input(0), weights, Operand::Output(0)], Lowering::per_vec4(out))
    }

    /// Bias blocks, then `[C_out/4][C_in/4][kh][kw][4 input channels]` of vec4 over output channels.
    fn pack(&self, cx: &mut Lowering, channels: usize) -> Operand {
        let taps = self.kernel[0] * self.kernel[1];
        let (ob, ib) = (self.out_channels.div_ceil(LANES), channels.div_ceil(LANES));
        let order = ConvOrder::Plain { blocks: ib, bias: ob * LANES };
        self.pack_as(cx, channels, ob * LANES + ob * ib * taps * LANES * LANES, order)
    }

    /// Weight and bias in a kernel's order.
    fn pack_as(&self, cx: &mut Lowering, channels: usize, len: usize, order: ConvOrder) -> Operand {
        let packing = ConvPacking {
            out_channels: self.out_channels,
            channels,
            taps: self.kernel[0] * self.kernel[1],
            bias: self.bias,
            weight_channels: 0,
            first: 0,
            order,
        };
        let inputs: Vec<usize> = (1..=1 + usize::from(self.bias)).collect();
        cx.weights(inputs, len, Packing::Convolution(packing))
    }
}

shader_struct! {
    /// Parameters of `conv_transpose2d_2x2`.
    struct UpParams {
        x: View,
        y: View,
        w: u32,
        h: u32,
        out_blocks: u32,
        in_blocks: u32,
        alpha: f32,
        beta: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, op: ConvTranspose2d, s: Shape| {
        let dims = [s.c, op.out_channels / op.groups, op.kernel[0], op.kernel[1]];
        let (bias, out) = (op.bias, op.out_channels);
        let case = OpCase::new(format!("conv_transpose2d/{name}"), op, &[s]).parameter(&dims, InputKind::Parameter);
        if bias { case.parameter(&[out], InputKind::Parameter) } else { case }
    };
    let fused = |name: &str, conv: ConvTranspose2d, s: Shape| {
        let mut case = case(name, conv.clone(), s);
        case.op = Arc::new(FusedConvTranspose2d { conv, activation: Function::Relu });
        case
    };
    let s = Shape::new;
    let up = ConvTranspose2d::up2;
    vec![
        case("2x2 stride 2", up(4), s(2, 3, 9, 11)),
        case("2x2 stride 2, no bias", ConvTranspose2d { bias: false, ..up(17) }, s(1, 22, 5, 19)),
        fused("2x2 stride 2, no bias, ReLU", ConvTranspose2d { bias: false, ..up(17) }, s(1, 22, 5, 19)),
        case("2x2 stride 2, two tiles", up(67), s(2, 35, 5, 9)),
        case("2x2 stride 2, one pixel", up(3), s(1, 5, 1, 1)),
        case("4x4 stride 2 padding 1", ConvTranspose2d { kernel: [4; 2], padding: [1; 4], ..up(3) }, s(1, 3, 5, 6)),
        case(
            "3x3 stride 2 padding 1 output padding 1",
            ConvTranspose2d { kernel: [3; 2], padding: [1; 4], output_padding: [1; 2], ..up(6) },
            s(1, 4, 5, 6),
        ),
        case("3x3 stride 1", ConvTranspose2d { kernel: [3; 2], stride: [1; 2], ..up(5) }, s(2, 4, 5, 6)),
        case("groups 2", ConvTranspose2d { kernel: [4; 2], padding: [1; 4], groups: 2, ..up(6) }, s(2, 10, 4, 5)),
        case(
            "depthwise, no bias",
            ConvTranspose2d { kernel: [3; 2], padding: [1; 4], groups: 7, bias: false, ..up(7) },
            s(1, 7, 4, 5),
        ),
        fused(
            "depthwise, ReLU, no bias",
            ConvTranspose2d { kernel: [3; 2], padding: [1; 4], groups: 7, bias: false, ..up(7) },
            s(1, 7, 4, 5),
        ),
        case(
            "3x3 dilation 2, uneven padding",
            ConvTranspose2d { kernel: [3; 2], padding: [1, 0, 2, 3], dilation: [2, 3], ..up(5) },
            s(1, 6, 5, 4),
        ),
        case("2x2 stride 2, padded after the end", ConvTranspose2d { padding: [0, 0, 1, 1], ..up(5) }, s(1, 3, 4, 5)),
        case("2x3 stride 3x1", ConvTranspose2d { kernel: [2, 3], stride: [3, 1], ..up(5) }, s(1, 4, 3, 6)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_every_contributing_pixel() {
        for (k, s, p) in [(2, 2, 0), (4, 2, 1), (3, 2, 1), (3, 1, 0), (2, 3, 0), (5, 2, 2)] {
            let op = ConvTranspose2d { kernel: [k; 2], stride: [s; 2], padding: [p; 4], ..ConvTranspose2d::up2(1) };
            let Spatial::Windows(w) = op.spatial(&[TensorDesc::blocked(Shape::new(1, 1, 8, 8))], &[]) else { panic!() };
            for o in 20..40i64 {
                let (low, high) = w[0][0].range(o, o);
                for i in 0..60i64 {
                    let tap = o + p as i64 - i * s as i64;
                    if (0..k as i64).contains(&tap) {
                        assert!(
                            (low..=high).contains(&i),
                            "k {k} s {s} p {p}: output {o} needs {i}, window {low}..={high}"
                        );
                    }
                }
            }
        }
    }
}
