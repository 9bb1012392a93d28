//! The second half of "upsample, then convolve" in the cheaper order.
//!
//! Upsampling and convolution are both linear, so `conv(resize(x))` equals the following: mix channels at the low
//! resolution into one map per tap (a 1x1 convolution), upsample the maps, and add them shifted by the offsets of their
//! taps, with zeros outside the *upsampled* image. That divides the cost of mixing channels by the square of the
//! factor, and the upsampled input is never stored.

use super::resize::Axis;
use super::{Function, InputKind, Lowering, Op, OpCase, ResizeMode, Spatial, Window, by_plane, expect_per_channel};
use crate::error::{Error, Result};
use crate::kernel::{ConvFamily, KernelKey, Operand, Target, View, shader_struct};
use crate::ops::packing::Packing;
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// `y[o, Y, X] = act(bias[o] + residual[o, Y, X] + sum over taps (ky, kx) of E[tap][o, Y + ky - padding, X + kx - padding])`
/// where `E` is the input upsampled by `factor`.
///
/// Inputs: taps `[N, kernel^2 * P, h, w]` with `P = out_channels` rounded up to 4 and the tap as the outer index; the
/// residual `[N, out_channels, H, W]` if `residual`; the bias `[out_channels]` if `bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct TapSum {
    /// Output channels.
    pub out_channels: usize,
    /// Kernel size of the convolution that this replaces.
    pub kernel: usize,
    /// Its zero padding.
    pub padding: usize,
    /// Interpolation mode.
    pub mode: ResizeMode,
    /// Upsampling factor.
    pub factor: usize,
    /// Whether there is a residual.
    pub residual: bool,
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied at the end.
    pub activation: Function,
}

impl TapSum {
    /// Channels of the taps' tensor.
    pub fn tap_channels(&self) -> usize {
        self.kernel * self.kernel * self.out_channels.next_multiple_of(LANES)
    }

    fn upsampled(&self, taps: Shape) -> Shape {
        taps.with_hw(taps.h * self.factor, taps.w * self.factor)
    }
}

impl Op for TapSum {
    fn name(&self) -> &'static str {
        "tap_sum"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let fail = |reason: String| Err(Error::op("tap_sum", reason));
        let requested = 1 + usize::from(self.residual) + usize::from(self.bias);
        if inputs.len() != requested || self.kernel == 0 || self.factor == 0 {
            return fail(format!("{} inputs, kernel {}, factor {}", inputs.len(), self.kernel, self.factor));
        }
        let taps = inputs[0].shape;
        if taps.c != self.tap_channels() || taps.is_empty() {
            return fail(format!("taps {taps}, expected {} channels", self.tap_channels()));
        }
        let large = self.upsampled(taps);
        let size = |n: usize| (n + 2 * self.padding + 1).checked_sub(self.kernel).filter(|&n| n > 0);
        let (Some(h), Some(w)) = (size(large.h), size(large.w)) else {
            return fail(format!("taps {taps} upsampled by {} are smaller than the kernel", self.factor));
        };
        let out = Shape::new(taps.n, self.out_channels, h, w);
        if self.residual && inputs[1].shape != out {
            return fail(format!("residual {} does not fit output {out}", inputs[1].shape));
        }
        if self.bias {
            expect_per_channel("tap_sum", "bias", &inputs[requested - 1], self.out_channels)?;
        }
        Ok(vec![TensorDesc::blocked(out)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let shapes = inputs.iter().map(|i| i.shape()).collect::<Result<Vec<_>>>()?;
        let out = self.infer(&shapes.iter().map(|&s| TensorDesc::blocked(s)).collect::<Vec<_>>())?[0].shape;
        let (s, x) = (shapes[0], inputs[0].data());
        let large = self.upsampled(s);
        let (rows, columns) = (self.mode.samples(s.h, large.h), self.mode.samples(s.w, large.w));
        let stride = self.out_channels.next_multiple_of(LANES);
        Ok(vec![by_plane(out, |n, o, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                let (oy, ox) = (i / out.w, i % out.w);
                let mut sum = if self.bias { f64::from(inputs[inputs.len() - 1].data()[o]) } else { 0.0 };
                if self.residual {
                    sum += f64::from(inputs[1].data()[out.index(n, o, oy, ox)]);
                }
                for tap in 0..self.kernel * self.kernel {
                    let at = |o: usize, k: usize, n: usize| (o + k).checked_sub(self.padding).filter(|&v| v < n);
                    let Some(y) = at(oy, tap / self.kernel, large.h) else { continue };
                    let Some(x_) = at(ox, tap % self.kernel, large.w) else { continue };
                    let ((y0, y1, fy), (x0, x1, fx)) = (rows[y], columns[x_]);
                    let value = |y: usize, x_: usize| f64::from(x[s.index(n, tap * stride + o, y, x_)]);
                    let upper = value(y0, x0) * (1.0 - fx) + value(y0, x1) * fx;
                    let lower = value(y1, x0) * (1.0 - fx) + value(y1, x1) * fx;
                    sum += upper * (1.0 - fy) + lower * fy;
                }
                *v = self.activation.apply(sum) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (taps, out) = (cx.input(0), cx.output(0));
        let large = self.upsampled(taps);
        let axes = self.mode.axes(cx.label, taps, large)?;
        let blocks = out.c.div_ceil(LANES);
        let inputs = if self.bias { vec![cx.inputs.len() - 1] } else { vec![] };
        let bias = if self.bias { out.c } else { 0 };
        let weights = cx.weights_f32(inputs, blocks * LANES, Packing::Copied(bias));
        let params = TapSumParams {
            x: cx.input_view(0),
            r: if self.residual { cx.input_view(1) } else { View::default() },
            y: cx.output_view(0),
            columns: axes.columns,
            rows: axes.rows,
            ow: out.w as u32,
            oh: out.h as u32,
            blocks: blocks as u32,
            w: taps.w as u32,
            h: taps.h as u32,
            up_w: large.w as u32,
            up_h: large.h as u32,
            padding: self.padding as u32,
            column_factor: axes.column_factor,
            row_factor: axes.row_factor,
            alpha: self.activation.arguments()[0],
            beta: self.activation.arguments()[1],
        };
        let key = |shader| {
            KernelKey::new(shader)
                .with("KERNEL", self.kernel as u32)
                .with("ACTIVATION", self.activation.id())
                .flag("BILINEAR", self.mode != ResizeMode::Nearest)
                .flag("POWER_OF_TWO", axes.power_of_two)
                .flag("RESIDUAL", self.residual)
        };
        let (kernel, workgroups) = match group(cx.target, self.factor) {
            None => (key("tap_sum"), Lowering::per_vec4(out)),
            Some([ty, tx]) => (
                key("tap_sum_group").with("FACTOR", self.factor as u32).with("TY", ty as u32).with("TX", tx as u32),
                [out.w.div_ceil(8 * tx), out.h.div_ceil(8 * ty), out.n * blocks],
            ),
        };
        let mut bindings = vec![Operand::Input(0)];
        bindings.extend(self.residual.then_some(Operand::Input(1)));
        bindings.extend([weights, Operand::Output(0)]);
        cx.dispatch(kernel, params, bindings, workgroups)
    }

    fn spatial(&self, inputs: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        let taps = inputs[0].shape;
        let Spatial::Windows(upsample) = self.mode.windows(taps, self.upsampled(taps)) else {
            return self.mode.windows(taps, self.upsampled(taps));
        };
        let window = upsample[0].map(|w| {
            // The reach of the taps in the upsampled map, converted to pixels of the small map and rounded up.
            let (before, after) = (self.padding as i64, (self.kernel - 1) as i64 - self.padding as i64);
            let reach = |pixels: i64| pixels.max(0).unsigned_abs().div_ceil(self.factor as u64) as i64;
            Window { first: w.first - reach(before), last: w.last + reach(after), ..w }
        });
        let mut windows = vec![window];
        windows.resize(inputs.len(), [Window::SAME; 2]);
        Spatial::Windows(windows)
    }
}

/// Rows and columns of outputs per invocation, which share loads; `None` for the kernel with one output. Forcing the
/// plain family of convolutions selects that kernel too.
fn group(target: &Target, factor: usize) -> Option<[usize; 2]> {
    match target.overrides.conv {
        Some(ConvFamily::Plain) => None,
        _ => Some(target.preset().tap_sum[usize::from(factor >= 8)]),
    }
}

shader_struct! {
    /// Parameters of `tap_sum` and `tap_sum_group`.
    struct TapSumParams {
        x: View,
        /// View of the residual, if there is one.
        r: View,
        y: View,
        columns: Axis,
        rows: Axis,
        ow: u32,
        oh: u32,
        blocks: u32,
        w: u32,
        h: u32,
        up_w: u32,
        up_h: u32,
        padding: u32,
        column_factor: f32,
        row_factor: f32,
        alpha: f32,
        beta: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let half = ResizeMode::Bilinear { align_corners: false };
    let corners = ResizeMode::Bilinear { align_corners: true };
    let base = TapSum {
        out_channels: 5,
        kernel: 3,
        padding: 1,
        mode: half,
        factor: 2,
        residual: false,
        bias: true,
        activation: Function::Relu,
    };
    let case = |name: &str, op: TapSum, n: usize, h: usize, w: usize| {
        let mut data = vec![Shape::new(n, op.tap_channels(), h, w)];
        if op.residual {
            let size = |n: usize| n * op.factor + 2 * op.padding + 1 - op.kernel;
            data.push(Shape::new(n, op.out_channels, size(h), size(w)));
        }
        let (bias, out) = (op.bias, op.out_channels);
        let case = OpCase::new(format!("tap_sum/{name}"), op, &data);
        if bias { case.parameter(&[out], InputKind::Parameter) } else { case }
    };
    vec![
        case("bilinear x2", base.clone(), 2, 5, 9),
        case("bilinear x4", TapSum { factor: 4, out_channels: 8, ..base.clone() }, 1, 4, 3),
        case("bilinear x8, no bias", TapSum { factor: 8, bias: false, ..base.clone() }, 1, 3, 2),
        case("bilinear x16, one pixel", TapSum { factor: 16, ..base.clone() }, 1, 1, 1),
        case("bilinear x3, residual", TapSum { factor: 3, residual: true, ..base.clone() }, 1, 4, 5),
        case("corners x2, residual", TapSum { mode: corners, residual: true, ..base.clone() }, 2, 5, 6),
        case("nearest x2", TapSum { mode: ResizeMode::Nearest, ..base.clone() }, 1, 5, 9),
        case("corners x2, several groups", TapSum { mode: corners, ..base.clone() }, 1, 11, 18),
        case("bilinear x2, several groups", TapSum { residual: true, ..base.clone() }, 2, 13, 19),
        case("corners x4", TapSum { mode: corners, factor: 4, ..base.clone() }, 1, 5, 7),
        case(
            "nearest x3, residual",
            TapSum { mode: ResizeMode::Nearest, factor: 3, residual: true, ..base.clone() },
            1,
            4,
            7,
        ),
        case("no padding", TapSum { padding: 0, activation: Function::Identity, ..base.clone() }, 1, 5, 9),
        case("5x5", TapSum { kernel: 5, padding: 2, out_channels: 3, ..base }, 1, 4, 6),
    ]
}
