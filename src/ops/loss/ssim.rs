//! Structural similarity at several scales: the means for SSIM and MS-SSIM.

mod reference;

use super::PIXELS;
use super::{case, expect, partials, second_stage};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::packing::Packing;
use crate::ops::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, Spatial, ValueId};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Spatial means of luminance l, contrast-structure cs and l cs of each plane at each scale. Inputs: a and b, both NCHW
/// `[N, K, H, W]`; output: NCHW `[scales, N, K, 3]`, for [`MsSsim`](crate::ops::MsSsim). Windows are Gaussian,
/// unpadded, and shrink to the size of the map; each scale is the 2x2 average pooling of the finer one.
///
/// From: Wang, Simoncelli, Bovik, Multi-scale structural similarity, 2003. Constants `(0.01 R)^2` and `(0.03 R)^2`, range
/// R = 1.
#[derive(Clone, Debug, PartialEq)]
pub struct SsimMeans {
    /// Number of scales.
    pub scales: usize,
    /// Rows and columns of a window, pixels.
    pub window: usize,
    /// Standard deviation of the Gaussian, pixels.
    pub sigma: f32,
}

/// Gradient of [`SsimMeans`] with respect to a. Inputs: a, b, the gradient of the means.
#[derive(Clone, Debug, PartialEq)]
pub struct SsimMeansGrad {
    /// The forward op.
    pub forward: SsimMeans,
}

/// Stabilising constants of luminance and contrast.
const C: [f64; 2] = [1e-4, 9e-4];

/// Scratch memory for the windows of a chunk of planes, bytes.
const CHUNK: usize = 32 << 20;

/// Size of a map, and of its windows, at one scale.
#[derive(Clone, Copy, Debug)]
struct Scale {
    h: usize,
    w: usize,
    window: usize,
}

impl Scale {
    /// Number of windows along columns and rows.
    const fn windows(&self) -> [usize; 2] {
        [self.w - self.window + 1, self.h - self.window + 1]
    }

    /// Planes whose windows fit in scratch memory at once.
    fn planes(&self) -> usize {
        (CHUNK / (5 * self.h * self.windows()[0] * 4)).clamp(1, 20_000)
    }
}

impl SsimMeans {
    /// The scales of a map with enough pixels.
    fn scales(&self, s: Shape) -> Vec<Scale> {
        let scale = |m: usize| {
            let (h, w) = (s.h >> m, s.w >> m);
            Scale { h, w, window: self.window.min(h).min(w) }
        };
        (0..self.scales).map(scale).collect()
    }

    /// Samples of the Gaussian, summing to 1. An even window is half a pixel off centre, as in the official code.
    fn taps(&self, window: usize) -> Vec<f64> {
        let sample = |i: usize| {
            let d = i as f64 - (window / 2) as f64;
            (-d * d / (2.0 * f64::from(self.sigma).powi(2))).exp()
        };
        let all: Vec<f64> = (0..window).map(sample).collect();
        let sum: f64 = all.iter().sum();
        all.iter().map(|v| v / sum).collect()
    }

    fn means(&self, s: Shape) -> TensorDesc {
        TensorDesc::linear(Shape::new(self.scales, s.n, s.c, 3))
    }

    fn check(&self, op: &str, inputs: &[TensorDesc], grad: bool) -> Result<Shape> {
        let s = super::expect_pixels(op, inputs)?;
        let usable = self.sigma > 0.0 && self.sigma.is_finite() && (1..=1024).contains(&self.window);
        if !usable || !(1..=16).contains(&self.scales) {
            return Err(Error::op(op, format!("{self:?}")));
        }
        if s.h >> (self.scales - 1) == 0 || s.w >> (self.scales - 1) == 0 {
            let min = 1 << (self.scales - 1);
            return Err(Error::op(op, format!("{} scales need {min}x{min} pixels, input is {s}", self.scales)));
        }
        let map = TensorDesc::linear(s);
        let expected = [("a", map), ("b", map), ("gradient", self.means(s))];
        expect(op, inputs, &expected[..if grad { 3 } else { 2 }]).map(|()| s)
    }

    /// The inputs at every scale.
    fn pyramid(&self, cx: &mut Lowering) -> Result<Vec<[Operand; 2]>> {
        let s = cx.input(0);
        let mut all = vec![[Operand::Input(0), Operand::Input(1)]];
        for (m, pair) in self.scales(s).windows(2).enumerate() {
            let mut coarser = all[m];
            for map in &mut coarser {
                let scratch = cx.scratch((s.n * s.c * pair[1].h * pair[1].w * 4) as u64);
                let params = SsimPoolParams { w: pair[0].w as u32, h: pair[0].h as u32 };
                let grid = [pair[1].w.div_ceil(16), pair[1].h.div_ceil(4), s.n * s.c];
                cx.dispatch(KernelKey::new("ssim_pool"), params, [*map, Operand::ScratchWrite(scratch)], grid)?;
                *map = Operand::ScratchRead(scratch);
            }
            all.push(coarser);
        }
        Ok(all)
    }

    fn packed_taps(&self, cx: &mut Lowering, window: usize) -> Operand {
        let taps: Vec<f32> = self.taps(window).into_iter().map(|v| v as f32).collect();
        cx.weights_f32([], window, Packing::Constants(taps))
    }
}

/// Filters the rows of a chunk of planes, `at` = (first, count), and writes the moments to scratch memory `into`.
fn rows(
    cx: &mut Lowering,
    scale: Scale,
    [a, b]: [Operand; 2],
    taps: Operand,
    at: [usize; 2],
    into: usize,
) -> Result<()> {
    let [w2, _] = scale.windows();
    let grid = [w2.div_ceil(16), scale.h.div_ceil(4), at[1]];
    cx.dispatch(KernelKey::new("ssim_rows"), row_params(scale, at), [a, b, taps, Operand::ScratchWrite(into)], grid)
}

/// Workgroups of `ssim_columns` per plane.
fn parts(scale: Scale) -> usize {
    let [w2, h2] = scale.windows();
    (w2 * h2).div_ceil(PIXELS)
}

fn row_params(scale: Scale, at: [usize; 2]) -> SsimRowsParams {
    let [w, h, w2] = [scale.w, scale.h, scale.windows()[0]].map(|v| v as u32);
    let [window, first, count] = [scale.window, at[0], at[1]].map(|v| v as u32);
    SsimRowsParams { w, h, w2, window, first, count }
}

/// `start` is the index of the scale's first mean.
fn column_params(scale: Scale, at: [usize; 2], start: usize) -> SsimColumnsParams {
    let [w2, h2] = scale.windows();
    SsimColumnsParams {
        w2: w2 as u32,
        h: scale.h as u32,
        h2: h2 as u32,
        window: scale.window as u32,
        first: at[0] as u32,
        count: at[1] as u32,
        parts: parts(scale) as u32,
        start: start as u32,
        c1: C[0] as f32,
        c2: C[1] as f32,
        factor: (1.0 / (w2 * h2) as f64) as f32,
    }
}

/// Chunks of planes: first plane and count.
fn chunks(scale: Scale, planes: usize) -> impl Iterator<Item = [usize; 2]> {
    let size = scale.planes();
    (0..planes).step_by(size).map(move |first| [first, size.min(planes - first)])
}

impl Op for SsimMeans {
    fn name(&self) -> &'static str {
        "ssim_means"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let s = self.check(self.name(), inputs, false)?;
        Ok(vec![self.means(s)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let descs = inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect::<Result<Vec<_>>>()?;
        let s = self.check(self.name(), &descs, false)?;
        HostTensor::new(self.means(s).shape.dims(), reference::means(self, s, inputs)).map(|y| vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let planes = s.n * s.c;
        let maps = self.pyramid(cx)?;
        for (m, (scale, ab)) in self.scales(s).into_iter().zip(maps).enumerate() {
            let ([w2, h2], parts) = (scale.windows(), parts(scale));
            let taps = self.packed_taps(cx, scale.window);
            let sums = partials(cx, planes * parts);
            let moments = cx.scratch((5 * scale.planes().min(planes) * scale.h * w2 * 4) as u64);
            for at in chunks(scale, planes) {
                rows(cx, scale, ab, taps, at, moments)?;
                let key = KernelKey::new("ssim_columns").with("Y", 3);
                let bindings = [Operand::ScratchRead(moments), taps, Operand::ScratchWrite(sums)];
                cx.dispatch(key, column_params(scale, at, 0), bindings, [parts, at[1], 1])?;
            }
            second_stage(cx, sums, [planes, parts], 3, m * planes * 3, 1.0 / (w2 * h2) as f64)?;
        }
        Ok(())
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        if node.needs_grad(1) {
            return Err(Error::op(self.name(), "has no gradient for its second input"));
        }
        let (Some(dy), true) = (node.grad(0), node.needs_grad(0)) else { return Ok(vec![None, None]) };
        let grad = SsimMeansGrad { forward: self.clone() };
        Ok(vec![Some(builder.node("grad", grad, &[node.inputs[0], node.inputs[1], dy])?), None])
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("a loss averages over the whole image")
    }
}

impl Op for SsimMeansGrad {
    fn name(&self) -> &'static str {
        "ssim_means_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let s = self.forward.check(self.name(), inputs, true)?;
        Ok(vec![TensorDesc::linear(s)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let descs = inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect::<Result<Vec<_>>>()?;
        let s = self.forward.check(self.name(), &descs, true)?;
        HostTensor::new(s.dims(), reference::gradient(&self.forward, s, inputs)).map(|y| vec![y])
    }

    /// From the coarsest scale to the finest; each adds the gradient of the coarser one.
    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let planes = s.n * s.c;
        let maps = self.forward.pyramid(cx)?;
        let mut coarse = None;
        for (m, (scale, [a, b])) in self.forward.scales(s).into_iter().zip(maps).enumerate().rev() {
            let ([w2, h2], count) = (scale.windows(), scale.planes().min(planes));
            let taps = self.forward.packed_taps(cx, scale.window);
            let moments = cx.scratch((5 * count * scale.h * w2 * 4) as u64);
            let windows = cx.scratch((3 * count * h2 * w2 * 4) as u64);
            let columns = cx.scratch((3 * count * scale.h * w2 * 4) as u64);
            let own = (m > 0).then(|| cx.scratch((planes * scale.h * scale.w * 4) as u64));
            for at in chunks(scale, planes) {
                rows(cx, scale, [a, b], taps, at, moments)?;
                let key = KernelKey::new("ssim_columns").with("Y", 4).with("GRAD", 1);
                let read = Operand::ScratchRead(moments);
                let bindings = [read, taps, Operand::Input(2), Operand::ScratchWrite(windows)];
                let params = column_params(scale, at, m * planes * 3);
                cx.dispatch(key, params, bindings, [parts(scale), at[1], 1])?;
                let params = SsimBackColumnsParams {
                    w2: w2 as u32,
                    h: scale.h as u32,
                    h2: h2 as u32,
                    window: scale.window as u32,
                };
                let bindings = [Operand::ScratchRead(windows), taps, Operand::ScratchWrite(columns)];
                let grid = [w2.div_ceil(16), scale.h.div_ceil(4), 3 * at[1]];
                cx.dispatch(KernelKey::new("ssim_back_columns"), params, bindings, grid)?;
                let mut bindings = vec![Operand::ScratchRead(columns), taps, a, b];
                bindings.extend(coarse.map(Operand::ScratchRead));
                bindings.push(own.map_or(Operand::Output(0), Operand::ScratchWrite));
                let key = KernelKey::new("ssim_back_rows").with("Y", bindings.len() as u32);
                let grid = [scale.w.div_ceil(16), scale.h.div_ceil(4), at[1]];
                cx.dispatch(key.flag("COARSE", coarse.is_some()), row_params(scale, at), bindings, grid)?;
            }
            coarse = own;
        }
        Ok(())
    }
}

shader_struct! {
    /// Parameters of `ssim_pool`.
    struct SsimPoolParams {
        w: u32,
        h: u32,
    }

    /// Parameters of `ssim_rows` and `ssim_back_rows`.
    struct SsimRowsParams {
        w: u32,
        h: u32,
        w2: u32,
        window: u32,
        /// First plane.
        first: u32,
        /// Number of planes.
        count: u32,
        }

    /// Parameters of `ssim_columns`.
    struct SsimColumnsParams {
        w2: u32,
        h: u32,
        h2: u32,
        window: u32,
        /// First plane.
        first: u32,
        /// Number of planes.
        count: u32,
        parts: u32,
        /// Index of the scale's first mean.
        start: u32,
        c1: f32,
        c2: f32,
        /// 1 / (H2 * W2)
        factor: f32,
    }

    /// Parameters of `ssim_back_columns`.
    struct SsimBackColumnsParams {
        w2: u32,
        h: u32,
        h2: u32,
        window: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let mut all = Vec::new();
    for (name, s, scales, window) in [
        ("one scale, small window", Shape::new(1, 2, 5, 4), 1, 3),
        ("window shrinks", Shape::new(1, 1, 4, 5), 2, 11),
        ("three scales, odd sizes", Shape::new(2, 2, 37, 45), 3, 11),
        ("five scales, several workgroups", Shape::new(2, 1, 96, 80), 5, 11),
    ] {
        let forward = SsimMeans { scales, window, sigma: 1.5 };
        let mut inputs = vec![(TensorDesc::linear(s), InputKind::Probability), super::masks(s)];
        all.push(case(format!("ssim_means/{name}"), forward.clone(), inputs.clone()));
        // Scales the gradient as if means were sums, so that it is of order 1.
        let mut factors = forward.means(s).shape.len();
        factors /= scales;
        let gradient = |i: usize| (s.pixels() as f32) * (0.5 + (i % 3) as f32) / 4f32.powi((i / factors) as i32);
        let gradient = (0..forward.means(s).shape.len()).map(gradient).collect();
        inputs.push((forward.means(s), InputKind::Fixed(gradient)));
        all.push(case(format!("ssim_means_grad/{name}"), SsimMeansGrad { forward }, inputs));
    }
    all
}
