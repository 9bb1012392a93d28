//! Resizing by interpolation.

mod grad;

pub use grad::ResizeGrad;

use super::{
    Backward, GraphBuilder, Lowering, Op, OpCase, Spatial, ValueId, Window, by_plane, expect_inputs, output_shape,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Interpolation mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// Output pixel `i` of `m` is input pixel `floor(i * n / m)`.
    Nearest,
    /// Linear between the two neighbours on each axis.
    Bilinear {
        /// If set, the centres of the corner pixels coincide: coordinate `i * (n - 1) / (m - 1)`. Otherwise the corners
        /// of the images do: `max(0, (i + 0.5) * n / m - 0.5)`.
        align_corners: bool,
    },
}

impl ResizeMode {
    /// For each of `m` output pixels over `n` input pixels: lower neighbour, upper neighbour and weight of the upper
    /// one, straight from the definitions.
    pub(super) fn samples(self, n: usize, m: usize) -> Vec<(usize, usize, f64)> {
        let (nf, mf) = (n as f64, m as f64);
        let sample = |i: usize| {
            let at = match self {
                Self::Nearest => return (i * n / m, i * n / m, 0.0),
                Self::Bilinear { align_corners: true } if m == 1 => 0.0,
                Self::Bilinear { align_corners: true } => i as f64 * (nf - 1.0) / (mf - 1.0),
                Self::Bilinear { align_corners: false } => ((i as f64 + 0.5) * nf / mf - 0.5).max(0.0),
            };
            let low = (at as usize).min(n - 1);
            (low, (low + 1).min(n - 1), at - low as f64)
        };
        (0..m).map(sample).collect()
    }

    /// Source coordinates in the form that kernels take.
    pub(super) fn axes(self, label: &str, i: Shape, o: Shape) -> Result<Axes> {
        let axes = [Coordinates::new(self, i.w, o.w), Coordinates::new(self, i.h, o.h)];
        for (axis, m) in axes.iter().zip([o.w, o.h]) {
            let largest = (m as i64 * axis.step).max(axis.den);
            if largest > i64::from(i32::MAX) {
                return Err(Error::Limit {
                    what: format!("{label} (resize {i} to {o})"),
                    needed: format!("coordinates up to {largest}"),
                    limit: i32::MAX.to_string(),
                });
            }
        }
        // Scales 2, 4, 8, 16 shift instead of dividing.
        let power_of_two = axes.iter().all(|a| a.den & (a.den - 1) == 0);
        let shift = |a: &Coordinates| if power_of_two { a.den.ilog2() } else { 0 };
        let [columns, rows] =
            axes.map(|a| Axis { step: a.step as i32, start: a.start as i32, den: a.den as u32, shift: shift(&a) });
        let [column_factor, row_factor] = axes.map(|a| (1.0 / a.den as f64) as f32);
        Ok(Axes { columns, rows, column_factor, row_factor, power_of_two })
    }

    /// The dispatch that resizes input `input` of the node into `to`, described by `desc`.
    fn lower_into(self, cx: &mut Lowering, input: usize, to: Operand, desc: TensorDesc) -> Result<()> {
        let (i, o) = (cx.input(input), desc.shape);
        let axes = self.axes(cx.label, i, o)?;
        let (Size { w: ow, h: oh, blocks, .. }, Size { w, h, .. }) = (o.into(), i.into());
        let params = ResizeParams {
            x: cx.input_view(input),
            y: Lowering::view(&desc),
            columns: axes.columns,
            rows: axes.rows,
            ow,
            oh,
            blocks,
            w,
            h,
            column_factor: axes.column_factor,
            row_factor: axes.row_factor,
        };
        let kernel =
            KernelKey::new("resize").flag("BILINEAR", self != Self::Nearest).flag("POWER_OF_TWO", axes.power_of_two);
        cx.dispatch(kernel, params, [Operand::Input(input), to], Lowering::per_vec4(o))
    }

    /// Upsamples input `input` of the node into scratch memory; returns its operand and view.
    pub(super) fn into_scratch(self, cx: &mut Lowering, input: usize, factor: usize) -> Result<(Operand, View)> {
        let s = cx.input(input);
        let desc = TensorDesc::blocked(s.with_hw(s.h * factor, s.w * factor));
        let [write, read] = cx.blocked_scratch(desc);
        self.lower_into(cx, input, write, desc)?;
        Ok((read, Lowering::view(&desc)))
    }

    /// How output pixels of a map upsampled from `i` to `o` depend on input pixels.
    pub(super) fn windows(self, i: Shape, o: Shape) -> Spatial {
        let reach = match self {
            Self::Nearest => 0,
            Self::Bilinear { align_corners: false } => 1,
            Self::Bilinear { align_corners: true } => {
                return Spatial::Global("resizing with align_corners depends on the size of the whole image");
            }
        };
        let window = |n: usize, m: usize| {
            let scale = m.checked_div(n).filter(|s| *s > 0 && s * n == m)?;
            let reach = if scale == 1 { 0 } else { reach };
            Some(Window { num: 1, den: scale as i64, first: -reach, last: reach })
        };
        match (window(i.h, o.h), window(i.w, o.w)) {
            (Some(rows), Some(columns)) => Spatial::Windows(vec![[rows, columns]]),
            _ => Spatial::Global("resizing by a fractional ratio depends on the size of the whole image"),
        }
    }
}

/// The output size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeSize {
    /// The input's size times an integer.
    Scale(usize),
    /// The size in pixels.
    Exact {
        /// Rows.
        h: usize,
        /// Columns.
        w: usize,
    },
}

/// `torch.nn.functional.interpolate` without antialiasing, by an integer factor or to an exact size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Interpolation mode.
    pub mode: ResizeMode,
    /// The output size.
    pub size: ResizeSize,
}

/// Source coordinates of a kernel along both axes.
pub(super) struct Axes {
    pub columns: Axis,
    pub rows: Axis,
    /// 1 / den of the columns.
    pub column_factor: f32,
    pub row_factor: f32,
    /// Whether both denominators are powers of two.
    pub power_of_two: bool,
}

/// Source coordinate of output pixel `i` as a rational number: `max(0, i * step + start) / den`. Index and weight come
/// from integer division with remainder, so they are the same on every device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Coordinates {
    step: i64,
    start: i64,
    den: i64,
}

impl Coordinates {
    /// The map from `m` output pixels to `n` input pixels, in lowest terms.
    fn new(mode: ResizeMode, n: usize, m: usize) -> Self {
        let (n, m) = (n as i64, m as i64);
        let (step, start, den) = match mode {
            ResizeMode::Nearest => (n, 0, m),
            ResizeMode::Bilinear { align_corners: true } if m == 1 => (0, 0, 1),
            ResizeMode::Bilinear { align_corners: true } => (n - 1, 0, m - 1),
            // (i + 1/2) n / m - 1/2
            ResizeMode::Bilinear { align_corners: false } => (2 * n, n - m, 2 * m),
        };
        let g = gcd(gcd(step, start), den);
        Self { step: step / g, start: start / g, den: den / g }
    }

    /// Lower neighbour, and numerator of the upper one's weight.
    #[cfg(test)]
    fn source(&self, i: usize) -> (usize, i64) {
        let at = (i as i64 * self.step + self.start).max(0);
        ((at / self.den) as usize, at % self.den)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

impl Op for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        let size = match self.size {
            ResizeSize::Exact { h, w } => Some((h, w)),
            ResizeSize::Scale(k) => s.h.checked_mul(k).zip(s.w.checked_mul(k)),
        };
        // Coordinates are i32 on the device, i64 here.
        let fits = |v: usize| v > 0 && i32::try_from(v).is_ok();
        match size.filter(|&(h, w)| [s.h, s.w, h, w].into_iter().all(fits)) {
            Some((h, w)) => Ok(vec![TensorDesc::blocked(s.with_hw(h, w))]),
            None => Err(Error::op(self.name(), format!("cannot resize input {s} by {:?}", self.size))),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        let (s, x) = (inputs[0].shape()?, inputs[0].data());
        let (rows, columns) = (self.mode.samples(s.h, out.h), self.mode.samples(s.w, out.w));
        Ok(vec![by_plane(out, |n, c, plane| {
            for (row, &(y0, y1, fy)) in plane.chunks_exact_mut(out.w).zip(&rows) {
                let at = |y: usize, x_: usize| f64::from(x[s.index(n, c, y, x_)]);
                for (v, &(x0, x1, fx)) in row.iter_mut().zip(&columns) {
                    let upper = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                    let lower = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                    *v = (upper * (1.0 - fy) + lower * fy) as f32;
                }
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.mode.lower_into(cx, 0, Operand::Output(0), cx.outputs[0])
    }

    fn spatial(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Spatial {
        self.mode.windows(inputs[0].shape, outputs[0].shape)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let s = builder.desc(node.inputs[0]).shape;
        Ok(vec![Some(builder.node("grad", ResizeGrad { mode: self.mode, h: s.h, w: s.w }, &[dy])?)])
    }
}

shader_struct! {
    /// `Axis` of `shaders/lib/resize.wgsl`.
    pub(super) struct Axis {
        step: i32,
        start: i32,
        den: u32,
        /// log2(den) if both axes' denominators are powers of two.
        shift: u32,
    }

    /// Parameters of `resize`.
    struct ResizeParams {
        x: View,
        y: View,
        columns: Axis,
        rows: Axis,
        ow: u32,
        oh: u32,
        blocks: u32,
        w: u32,
        h: u32,
        column_factor: f32,
        row_factor: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let half = ResizeMode::Bilinear { align_corners: false };
    let corners = ResizeMode::Bilinear { align_corners: true };
    let scale = |name: &str, mode, k, s: Shape| {
        OpCase::new(format!("resize/{name} x{k}"), Resize { mode, size: ResizeSize::Scale(k) }, &[s])
    };
    let exact = |name: &str, mode, s: Shape, h, w| {
        OpCase::new(format!("resize/{name} to {h}x{w}"), Resize { mode, size: ResizeSize::Exact { h, w } }, &[s])
    };
    let mut all = vec![
        scale("bilinear", half, 1, Shape::new(1, 3, 4, 5)),
        scale("bilinear", half, 2, Shape::new(2, 5, 3, 9)),
        scale("bilinear", half, 3, Shape::new(1, 4, 3, 5)),
        scale("bilinear", half, 4, Shape::new(1, 2, 5, 6)),
        scale("bilinear", half, 8, Shape::new(1, 6, 3, 5)),
        scale("bilinear one pixel", half, 16, Shape::new(2, 3, 1, 1)),
        exact("bilinear", half, Shape::new(1, 2, 5, 4), 9, 11),
        exact("bilinear shrink", half, Shape::new(2, 3, 13, 10), 5, 3),
        exact("bilinear", half, Shape::new(1, 1, 3, 7), 48, 7),
        scale("corners", corners, 2, Shape::new(2, 5, 3, 9)),
        scale("corners one row", corners, 2, Shape::new(1, 2, 1, 3)),
        exact("corners", corners, Shape::new(1, 7, 5, 4), 9, 22),
        exact("corners", corners, Shape::new(1, 3, 5, 4), 1, 1),
        scale("nearest", ResizeMode::Nearest, 2, Shape::new(2, 5, 4, 9)),
        scale("nearest", ResizeMode::Nearest, 3, Shape::new(1, 1, 1, 1)),
        exact("nearest", ResizeMode::Nearest, Shape::new(1, 3, 4, 5), 7, 10),
        exact("nearest shrink", ResizeMode::Nearest, Shape::new(1, 8, 11, 9), 4, 9),
    ];
    all.extend(grad::cases());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_exact_and_inside() {
        let half = ResizeMode::Bilinear { align_corners: false };
        let corners = ResizeMode::Bilinear { align_corners: true };
        for mode in [half, corners, ResizeMode::Nearest] {
            for n in 1..20usize {
                for m in 1..40usize {
                    let axis = Coordinates::new(mode, n, m);
                    for i in 0..m {
                        let (low, rest) = axis.source(i);
                        assert!(low < n, "{mode:?} {n} to {m}: {i} -> {low}");
                        let got = low as f64 + rest as f64 / axis.den as f64;
                        let expected = match mode {
                            _ if mode == half => ((i as f64 + 0.5) * n as f64 / m as f64 - 0.5).max(0.0),
                            _ if mode == corners => (i * (n - 1)) as f64 / (m - 1).max(1) as f64,
                            _ => (i * n) as f64 / m as f64,
                        };
                        assert!((got - expected).abs() < 1e-12, "{mode:?} {n} to {m}: {i} -> {got}, not {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn integer_scales_reduce_to_small_numbers() {
        let half = ResizeMode::Bilinear { align_corners: false };
        assert_eq!(Coordinates::new(half, 16_384, 32_768), Coordinates { step: 2, start: -1, den: 4 });
        assert_eq!(Coordinates::new(ResizeMode::Nearest, 500, 2_000), Coordinates { step: 1, start: 0, den: 4 });
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let x = [TensorDesc::blocked(Shape::new(1, 2, 3, 4))];
        for size in [ResizeSize::Scale(0), ResizeSize::Scale(usize::MAX), ResizeSize::Exact { h: 0, w: 4 }] {
            let e = Resize { mode: ResizeMode::Nearest, size }.infer(&x).unwrap_err().to_string();
            assert!(e.contains("1x2x3x4"), "{e}");
        }
    }

    #[test]
    fn windows_cover_the_neighbours() {
        let half = ResizeMode::Bilinear { align_corners: false };
        for k in 1..9 {
            let op = Resize { mode: half, size: ResizeSize::Scale(k) };
            let x = [TensorDesc::blocked(Shape::new(1, 1, 5, 5))];
            let y = op.infer(&x).unwrap();
            let Spatial::Windows(windows) = op.spatial(&x, &y) else { panic!("x{k} is not global") };
            let axis = Coordinates::new(half, 5, 5 * k);
            for i in 0..5 * k {
                let (low, rest) = axis.source(i);
                let (from, to) = windows[0][0].range(i as i64, i as i64);
                let high = low as i64 + i64::from(rest > 0);
                assert!(from <= low as i64 && high <= to, "x{k}: {i} needs {low}..={high}, window {from}..={to}");
            }
        }
    }
}
