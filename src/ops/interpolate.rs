//! Resizing by any ratio, as defined by ONNX `Resize`.

use super::resample::{self, Table};
use super::{Lowering, Op, OpCase, Resize, ResizeMode, ResizeSize, Spatial, Window, expect_inputs, output_shape};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// The interpolation kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InterpolateKernel {
    /// The nearest pixel.
    Nearest(NearestRule),
    /// Between the two neighbours on each axis.
    Linear,
    /// Cubic convolution over four neighbours on each axis.
    Cubic {
        /// The coefficient a: -0.75 by default in ONNX, as in PyTorch.
        a: f32,
        /// Ignore neighbours outside the image instead of repeating the edge.
        exclude_outside: bool,
    },
}

/// How to choose the nearest pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearestRule {
    /// Rounded, halves down. The default of ONNX.
    RoundPreferFloor,
    /// Rounded, halves up.
    RoundPreferCeil,
    /// Rounded down. PyTorch, with [`Coordinates::Asymmetric`].
    Floor,
    /// Rounded up.
    Ceil,
}

/// The input coordinate of output pixel `i`, where `scale` is output size over input size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `(i + 0.5) / scale - 0.5`.
    HalfPixel,
    /// As [`Self::HalfPixel`], but symmetric about the centre of the image if the output size was rounded.
    HalfPixelSymmetric,
    /// As [`Self::HalfPixel`], but 0 if the output is one pixel.
    PytorchHalfPixel,
    /// `i * (n - 1) / (m - 1)`.
    AlignCorners,
    /// `i / scale`.
    Asymmetric,
    /// `(i + 0.5) / scale`.
    TfHalfPixelForNn,
}

/// The output size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OutputSize {
    /// Factors on the input's rows and columns; the products are rounded down.
    Scales([f32; 2]),
    /// Rows and columns.
    Sizes([usize; 2]),
}

/// ONNX `Resize` of rows and columns, without antialiasing.
#[derive(Clone, Debug, PartialEq)]
pub struct Interpolate {
    /// The interpolation kernel.
    pub kernel: InterpolateKernel,
    /// Coordinates of output pixels in the input.
    pub coordinates: Coordinates,
    /// The output size.
    pub size: OutputSize,
}

impl Interpolate {
    /// The faster op that computes the same for an input of shape `s`, if there is one.
    pub fn simpler(&self, s: Shape) -> Option<Resize> {
        let [h, w] = self.output(s)?;
        // A scale that differs from the ratio of the sizes shifts pixels.
        let exact = [(0, s.h, h), (1, s.w, w)].iter().all(|&(axis, n, m)| self.scale(axis, n) == m as f64 / n as f64);
        let mode = match (self.kernel, self.coordinates) {
            (InterpolateKernel::Nearest(NearestRule::Floor), Coordinates::Asymmetric) => ResizeMode::Nearest,
            (InterpolateKernel::Linear, Coordinates::AlignCorners) => ResizeMode::Bilinear { align_corners: true },
            (InterpolateKernel::Linear, Coordinates::HalfPixel | Coordinates::HalfPixelSymmetric) => {
                ResizeMode::Bilinear { align_corners: false }
            }
            (InterpolateKernel::Linear, Coordinates::PytorchHalfPixel) if h > 1 && w > 1 => {
                ResizeMode::Bilinear { align_corners: false }
            }
            // At integer factors all ways of rounding a pixel's centre agree.
            (InterpolateKernel::Nearest(NearestRule::Floor), Coordinates::TfHalfPixelForNn)
            | (
                InterpolateKernel::Nearest(NearestRule::RoundPreferFloor | NearestRule::RoundPreferCeil),
                Coordinates::HalfPixel,
            ) if h.is_multiple_of(s.h) && w.is_multiple_of(s.w) => ResizeMode::Nearest,
            _ => return None,
        };
        let align = matches!(mode, ResizeMode::Bilinear { align_corners: true });
        let whole = h / s.h == w / s.w && h.is_multiple_of(s.h) && w.is_multiple_of(s.w);
        let size = if whole { ResizeSize::Scale(h / s.h) } else { ResizeSize::Exact { h, w } };
        (exact || align).then_some(Resize { mode, size })
    }

    /// Rows and columns of the output.
    fn output(&self, s: Shape) -> Option<[usize; 2]> {
        let countable = |v: usize| v > 0 && i32::try_from(v).is_ok();
        let size = match self.size {
            OutputSize::Sizes(size) => size,
            // In f32, as in onnxruntime: 10 times 0.7 is 7.
            OutputSize::Scales(scales) => [(scales[0], s.h), (scales[1], s.w)].map(|(scale, n)| {
                let size = (n as f32 * scale).floor();
                if size >= 1.0 && size < i32::MAX as f32 { size as usize } else { 0 }
            }),
        };
        size.into_iter().chain([s.h, s.w]).all(countable).then_some(size)
    }

    fn scale(&self, axis: usize, n: usize) -> f64 {
        match self.size {
            OutputSize::Scales(scales) => f64::from(scales[axis]),
            OutputSize::Sizes(sizes) => sizes[axis] as f64 / n as f64,
        }
    }

    /// The input coordinate of output pixel `i` of `m`.
    fn coordinate(&self, axis: usize, n: usize, m: usize, i: usize) -> f64 {
        let (scale, i) = (self.scale(axis, n), i as f64);
        match self.coordinates {
            Coordinates::HalfPixel => (i + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = m as f64 / (scale * n as f64);
                n as f64 / 2.0 * (1.0 - adjustment) + (i + 0.5) / scale - 0.5
            }
            Coordinates::PytorchHalfPixel if m > 1 => (i + 0.5) / scale - 0.5,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::AlignCorners if m > 1 => i * (n - 1) as f64 / (m - 1) as f64,
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => i / scale,
            Coordinates::TfHalfPixelForNn => (i + 0.5) / scale,
        }
    }

    fn table(&self, axis: usize, n: usize, m: usize) -> Table {
        let clamp = |v: f64| v.clamp(0.0, (n - 1) as f64);
        let at = |i: usize| self.coordinate(axis, n, m, i);
        match self.kernel {
            InterpolateKernel::Nearest(rule) => {
                let nearest = |v: f64| match rule {
                    NearestRule::RoundPreferFloor => (v - 0.5).ceil(),
                    NearestRule::RoundPreferCeil => (v + 0.5).floor(),
                    NearestRule::Floor => v.floor(),
                    NearestRule::Ceil => v.ceil(),
                };
                Table::of_single((0..m).map(|i| Some(clamp(nearest(at(i))) as usize)))
            }
            InterpolateKernel::Linear => Table::of_rows(
                2,
                (0..m).map(|i| {
                    let v = clamp(at(i));
                    let low = v.floor();
                    vec![(low as usize, 1.0 - (v - low)), ((low as usize + 1).min(n - 1), v - low)]
                }),
            ),
            InterpolateKernel::Cubic { a, exclude_outside } => Table::of_rows(
                4,
                (0..m).map(|i| {
                    let v = at(i);
                    let low = v.floor();
                    let taps =
                        cubic(f64::from(a), v - low).into_iter().enumerate().map(|(k, w)| (low + k as f64 - 1.0, w));
                    let inside = |p: f64| p >= 0.0 && p <= (n - 1) as f64;
                    let weighted: Vec<(f64, f64)> =
                        taps.map(|(p, w)| (p, if exclude_outside && !inside(p) { 0.0 } else { w })).collect();
                    let sum: f64 = if exclude_outside { weighted.iter().map(|t| t.1).sum() } else { 1.0 };
                    weighted.into_iter().map(|(p, w)| (clamp(p) as usize, w / sum)).collect()
                }),
            ),
        }
    }

    fn tables(&self, s: Shape, o: Shape) -> [Table; 2] {
        [self.table(0, s.h, o.h), self.table(1, s.w, o.w)]
    }
}

/// Weights of four neighbours for a point at distance `t` after the second one (Keys, with coefficient a).
fn cubic(a: f64, t: f64) -> [f64; 4] {
    let near = |d: f64| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)]
}

impl Op for Interpolate {
    fn name(&self) -> &'static str {
        "interpolate"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        let finite = !matches!(self.kernel, InterpolateKernel::Cubic { a, .. } if !a.is_finite());
        match self.output(s).filter(|_| finite) {
            Some([h, w]) => Ok(vec![TensorDesc::blocked(s.with_hw(h, w))]),
            None => Err(Error::op(self.name(), format!("cannot resize input {s}: {self:?}"))),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (s, out) = (inputs[0].shape()?, output_shape(self, inputs)?);
        let [rows, columns] = self.tables(s, out);
        Ok(vec![resample::reference(inputs[0], out, &rows, &columns, 0.0)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let [rows, columns] = self.tables(cx.input(0), cx.output(0));
        resample::lower(cx, &rows, &columns, 0.0)
    }

    fn spatial(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Spatial {
        let (s, o) = (inputs[0].shape, outputs[0].shape);
        // Coordinates differ from `i / scale` by at most one pixel, and kernels reach two.
        let reach = match self.kernel {
            InterpolateKernel::Nearest(_) => 1,
            InterpolateKernel::Linear => 2,
            InterpolateKernel::Cubic { .. } => 3,
        };
        let window = |axis: usize, n: usize, m: usize| {
            let (n, m) = (n as i64, m as i64);
            let exact = self.scale(axis, n as usize) == m as f64 / n as f64;
            if m % n == 0 {
                return exact.then_some(Window { num: 1, den: m / n, first: -reach, last: reach });
            }
            (exact && n % m == 0).then_some(Window { num: n / m, den: 1, first: -reach, last: n / m + reach })
        };
        match (self.coordinates, window(0, s.h, o.h), window(1, s.w, o.w)) {
            (Coordinates::AlignCorners, ..) => {
                Spatial::Global("resizing with align_corners depends on the size of the whole image")
            }
            (_, Some(rows), Some(columns)) => Spatial::Windows(vec![[rows, columns]]),
            _ => Spatial::Global("resizing by a fractional ratio depends on the size of the whole image"),
        }
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    use Coordinates as C;
    let s = Shape::new;
    let nearest = [
        ("floor", NearestRule::Floor),
        ("ceil", NearestRule::Ceil),
        ("prefer floor", NearestRule::RoundPreferFloor),
        ("prefer ceil", NearestRule::RoundPreferCeil),
    ];
    let all =
        [C::HalfPixel, C::HalfPixelSymmetric, C::PytorchHalfPixel, C::AlignCorners, C::Asymmetric, C::TfHalfPixelForNn];
    let (up, down) = (OutputSize::Scales([2.0, 1.7]), OutputSize::Sizes([4, 5]));
    let case = |name: String, kernel: InterpolateKernel, coordinates: Coordinates, size: OutputSize| {
        OpCase::new(format!("interpolate/{name}"), Interpolate { kernel, coordinates, size }, &[s(2, 5, 7, 9)])
    };
    let mut cases = Vec::new();
    for (name, rule) in nearest {
        cases.push(case(format!("nearest {name}, up"), InterpolateKernel::Nearest(rule), C::HalfPixel, up));
        cases.push(case(format!("nearest {name}, down"), InterpolateKernel::Nearest(rule), C::Asymmetric, down));
    }
    for c in all {
        cases.push(case(format!("linear {c:?}, up"), InterpolateKernel::Linear, c, up));
        cases.push(case(format!("linear {c:?}, down"), InterpolateKernel::Linear, c, down));
    }
    let cubic = |exclude_outside| InterpolateKernel::Cubic { a: -0.75, exclude_outside };
    cases.push(case("cubic, up".into(), cubic(false), C::HalfPixel, up));
    cases.push(case("cubic, inside only, down".into(), cubic(true), C::HalfPixel, down));
    cases.push(case("to one pixel".into(), InterpolateKernel::Linear, C::PytorchHalfPixel, OutputSize::Sizes([1, 1])));
    cases
}

#[cfg(test)]
#[path = "interpolate_tests.rs"]
mod tests;
