//! Warping of images, masks and weight maps by one field.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, shader_struct};
use crate::ops::{InputKind, Lowering, Op, OpCase, by_plane, expect_inputs, mirror};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};
use std::sync::Arc;

/// Interpolation between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The pixel at `floor(v + 0.5)`: for class ids and labels.
    Nearest,
    /// Bilinear between the four neighbours.
    Bilinear,
    /// Cubic convolution over sixteen neighbours.
    Bicubic,
}

/// Extension of the image beyond its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Mirrored; the edge pixel is not repeated.
    Mirror,
    /// The edge pixel repeated.
    Clamp,
}

/// Form of the displacement field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisplacementField {
    /// Displacements `[N, 2, GH, GW]` of control points, with the corner points on the corner pixels and cubic
    /// convolution between them (elastic deformation in the U-Net paper, section 3.1: a 3 x 3 grid).
    Grid,
    /// One displacement per pixel, `[N, 2, H, W]`.
    Field,
}

/// Backward warping. Output pixel `(y, x)` samples the input at `q + displacement(q)`; `q` is an affine map of `(y, x)`.
///
/// Inputs, all linear: `[N, C, H, W]`, transforms `[N, 8, 1, 1]` ([`Similarity::words`]), displacements (dy, dx) in pixels
/// ([`DisplacementField`]). Output: `[N, C, h, w]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Warp {
    /// Rows of the output.
    pub h: usize,
    /// Columns of the output.
    pub w: usize,
    /// Interpolation between pixels.
    pub interpolation: Interpolation,
    /// Extension beyond the edges.
    pub border: Border,
    /// Parameter of cubic convolution: Keys uses -0.5, PyTorch and OpenCV -0.75.
    pub a: f32,
    /// Form of the displacement field.
    pub displacement: DisplacementField,
}

/// Rotation, scaling, translation and mirroring about the centre of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Radians.
    pub angle: f64,
    /// Above 1 magnifies.
    pub scale: f64,
    /// Translation in rows and columns, pixels.
    pub shift: [f64; 2],
    /// Whether to mirror rows, columns.
    pub flip: [bool; 2],
}

impl Similarity {
    /// The identity transform.
    pub const IDENTITY: Self = Self { angle: 0.0, scale: 1.0, shift: [0.0; 2], flip: [false; 2] };

    /// The transform of images of `h` x `w` pixels, in the form [`Warp`] takes: pixel (y, x) of the output samples the
    /// input at `c + R (s u) / scale + shift`, where `c` is the centre, `u` the offset from it, `s` is -1 on mirrored
    /// axes, and `R = [[cos, sin], [-sin, cos]]` in the order row, column.
    pub fn words(&self, h: usize, w: usize) -> [f32; 8] {
        let (cy, cx) = ((h as f64 - 1.0) / 2.0, (w as f64 - 1.0) / 2.0);
        // Rotations by 90 degrees must hit pixels exactly.
        let exact = |v: f64| if (v - v.round()).abs() < 1e-12 { v.round() } else { v };
        let (cos, sin) = (exact(self.angle.cos()), exact(self.angle.sin()));
        let sign = |flip: bool| if flip { -1.0 } else { 1.0 };
        let (sy, sx) = (sign(self.flip[0]) / self.scale, sign(self.flip[1]) / self.scale);
        let (yy, yx, xy, xx) = (cos * sy, sin * sx, -sin * sy, cos * sx);
        let ty = cy - yy * cy - yx * cx + self.shift[0];
        let tx = cx - xy * cy - xx * cx + self.shift[1];
        [yy, yx, ty, xy, xx, tx, 0.0, 0.0].map(|v| v as f32)
    }
}

/// The cubic convolution kernel with parameter `a`.
fn cubic(t: f64, a: f64) -> f64 {
    let t = t.abs();
    if t <= 1.0 {
        (a + 2.0) * t.powi(3) - (a + 3.0) * t.powi(2) + 1.0
    } else if t < 2.0 {
        a * t.powi(3) - 5.0 * a * t.powi(2) + 8.0 * a * t - 4.0 * a
    } else {
        0.0
    }
}

impl Border {
    fn inside(self, i: i64, n: usize) -> usize {
        let n = n as i64;
        let at = match self {
            Self::Clamp => i.clamp(0, n - 1),
            Self::Mirror => return mirror(i as isize, n as usize),
        };
        at as usize
    }
}

impl Warp {
    /// The displacement at `q` of image `n`.
    fn displacement(&self, displacement: &HostTensor, n: usize, q: [f64; 2], [h, w]: [usize; 2]) -> Result<[f64; 2]> {
        let g = displacement.shape()?;
        let at = |c: usize, y: i64, x: i64| {
            let (y, x) = (y.clamp(0, g.h as i64 - 1) as usize, x.clamp(0, g.w as i64 - 1) as usize);
            f64::from(displacement.data()[g.index(n, c, y, x)])
        };
        if self.displacement == DisplacementField::Field {
            let [y, x] = q.map(|v| (v + 0.5).floor() as i64);
            return Ok([at(0, y, x), at(1, y, x)]);
        }
        let position = |q: f64, size: usize, points: usize| q * (points as f64 - 1.0) / (size as f64 - 1.0).max(1.0);
        let (y, x) = (position(q[0], h, g.h), position(q[1], w, g.w));
        let mut sum = [0.0; 2];
        for (i, j) in (-1..=2i64).flat_map(|i| (-1..=2i64).map(move |j| (i, j))) {
            let a = f64::from(self.a);
            let weight = cubic(y - y.floor() - i as f64, a) * cubic(x - x.floor() - j as f64, a);
            for (c, s) in sum.iter_mut().enumerate() {
                *s += weight * at(c, y.floor() as i64 + i, x.floor() as i64 + j);
            }
        }
        Ok(sum)
    }
}

impl Op for Warp {
    fn name(&self) -> &'static str {
        "warp"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 3)?;
        let (s, transform, displacement) = (inputs[0].shape, inputs[1].shape, inputs[2].shape);
        let linear = inputs.iter().all(|i| i.layout == Layout::Linear);
        let field = self.displacement == DisplacementField::Grid || (displacement.h, displacement.w) == (s.h, s.w);
        let fits = transform == Shape::new(s.n, 8, 1, 1)
            && (displacement.n, displacement.c) == (s.n, 2)
            && !displacement.is_empty()
            && field;
        if !linear || !fits || s.is_empty() || self.h * self.w == 0 {
            return Err(Error::op(self.name(), format!("inputs {inputs:?} do not fit {self:?}")));
        }
        Ok(vec![TensorDesc::linear(s.with_hw(self.h, self.w))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (x, s) = (inputs[0], inputs[0].shape()?);
        let out = s.with_hw(self.h, self.w);
        // Source position of every output pixel.
        let mut places = Vec::with_capacity(out.n * out.pixels());
        for n in 0..s.n {
            let t: Vec<f64> = inputs[1].data()[8 * n..8 * n + 6].iter().map(|&v| f64::from(v)).collect();
            for (y, x) in (0..out.h).flat_map(|y| (0..out.w).map(move |x| (y as f64, x as f64))) {
                let q = [t[0] * y + t[1] * x + t[2], t[3] * y + t[4] * x + t[5]];
                let [dy, dx] = self.displacement(inputs[2], n, q, [s.h, s.w])?;
                places.push([q[0] + dy, q[1] + dx]);
            }
        }
        let a = f64::from(self.a);
        let (taps, weight): (std::ops::RangeInclusive<i64>, &(dyn Fn(f64) -> f64 + Sync)) = match self.interpolation {
            Interpolation::Nearest => (0..=0, &|_| 1.0),
            Interpolation::Bilinear => (0..=1, &|t| 1.0 - t.abs()),
            Interpolation::Bicubic => (-1..=2, &move |t| cubic(t, a)),
        };
        let half = if self.interpolation == Interpolation::Nearest { 0.5 } else { 0.0 };
        Ok(vec![by_plane(out, |n, c, plane| {
            for (value, place) in plane.iter_mut().zip(&places[n * out.pixels()..]) {
                let [y, x_] = place.map(|v| (v + half).floor());
                let mut sum = 0.0;
                for (i, j) in taps.clone().flat_map(|i| taps.clone().map(move |j| (i, j))) {
                    let row = self.border.inside(y as i64 + i, s.h);
                    let column = self.border.inside(x_ as i64 + j, s.w);
                    let w = weight(place[0] - y - i as f64) * weight(place[1] - x_ - j as f64);
                    sum += w * f64::from(x.data()[s.index(n, c, row, column)]);
                }
                *value = sum as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, g, o) = (cx.input(0), cx.input(2), cx.output(0));
        let len = o.n * o.pixels();
        let (Size { w, h, c, .. }, Size { w: ow, h: oh, .. }) = (s.into(), o.into());
        let Size { w: gw, h: gh, .. } = g.into();
        let params = WarpParams { len: len as u32, row: cx.linear_row(len), ow, oh, w, h, c, gw, gh, a: self.a };
        let order = match self.interpolation {
            Interpolation::Nearest => 0,
            Interpolation::Bilinear => 1,
            Interpolation::Bicubic => 3,
        };
        let key = KernelKey::new("warp")
            .with("ORDER", order)
            .flag("GRID", self.displacement == DisplacementField::Grid)
            .flag("CLAMP", self.border == Border::Clamp);
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Input(2), Operand::Output(0)];
        cx.dispatch(key, params, bindings, cx.per_element(len))
    }
}

shader_struct! {
    /// Parameters of `warp`.
    struct WarpParams {
        len: u32,
        row: u32,
        ow: u32,
        oh: u32,
        w: u32,
        h: u32,
        c: u32,
        gw: u32,
        gh: u32,
        /// Parameter of the cubic kernel.
        a: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let rotated = Similarity { angle: 0.35, scale: 1.15, shift: [2.25, -3.5], flip: [false, true] };
    let quarter = Similarity { angle: std::f64::consts::FRAC_PI_2, ..Similarity::IDENTITY };
    let case = |name: &str,
                interpolation,
                border,
                displacement: DisplacementField,
                s: Shape,
                points: [usize; 2],
                transform: Similarity,
                a: f32| {
        let op = Warp { h: s.h, w: s.w, interpolation, border, a, displacement };
        let words: Vec<f32> = (0..s.n).flat_map(|_| transform.words(s.h, s.w)).collect();
        let linear = |shape: Shape| TensorDesc::linear(shape);
        OpCase {
            name: format!("warp/{name}"),
            op: Arc::new(op),
            inputs: vec![
                (linear(s), InputKind::Data),
                (linear(Shape::new(s.n, 8, 1, 1)), InputKind::Fixed(words)),
                (linear(Shape::new(s.n, 2, points[0], points[1])), InputKind::Data),
            ],
        }
    };
    let (mirror, clamp) = (Border::Mirror, Border::Clamp);
    let s = Shape::new;
    use Interpolation::{Bicubic, Bilinear, Nearest};
    vec![
        case(
            "bilinear, elastic",
            Bilinear,
            mirror,
            DisplacementField::Grid,
            s(2, 3, 17, 23),
            [3, 3],
            Similarity::IDENTITY,
            -0.5,
        ),
        case(
            "bicubic, elastic, turned",
            Bicubic,
            mirror,
            DisplacementField::Grid,
            s(1, 2, 20, 16),
            [5, 4],
            rotated,
            -0.75,
        ),
        case(
            "bilinear, a field, clamped",
            Bilinear,
            clamp,
            DisplacementField::Field,
            s(2, 1, 9, 12),
            [9, 12],
            quarter,
            -0.5,
        ),
        case(
            "nearest, a quarter turn",
            Nearest,
            mirror,
            DisplacementField::Grid,
            s(1, 1, 11, 11),
            [3, 3],
            quarter,
            -0.5,
        ),
    ]
}
