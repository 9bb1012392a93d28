//! Pooling with any geometry. [`MaxPool2d`](super::MaxPool2d) and [`AvgPool2d`](super::AvgPool2d) are faster where they
//! apply.

mod grad;

pub use grad::Pool2dGrad;

use super::{Backward, GraphBuilder, Lowering, Op, OpCase, Spatial, ValueId, Window, by_plane, expect_inputs};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// How a window is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The maximum; padding is ignored.
    Max,
    /// The mean.
    Average {
        /// Count padding as zeros rather than ignore it. Positions that `ceil_mode` adds beyond the padding never
        /// count.
        count_include_pad: bool,
    },
}

/// `MaxPool` and `AveragePool` of ONNX, `max_pool2d` and `avg_pool2d` of `torch.nn.functional`. `ceil_mode` rounds the output
/// size up; as in PyTorch, no window starts in the bottom or right padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// How a window is reduced.
    pub kind: PoolKind,
    /// Rows and columns of a window.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right; less than the span of a window.
    pub padding: [usize; 4],
    /// Dilation in rows and columns.
    pub dilation: [usize; 2],
    /// Round the output size up.
    pub ceil_mode: bool,
}

impl Pool2d {
    /// Square windows side by side, no padding, floor.
    pub fn new(kind: PoolKind, kernel: usize) -> Self {
        Self { kind, kernel: [kernel; 2], stride: [kernel; 2], padding: [0; 4], dilation: [1; 2], ceil_mode: false }
    }

    /// Rows or columns that a window spans.
    fn span(&self, axis: usize) -> Option<usize> {
        self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)
    }

    fn output_size(&self, axis: usize, n: usize) -> Option<usize> {
        let (span, before, after) = (self.span(axis)?, self.padding[axis], self.padding[axis + 2]);
        // In PyTorch only ceil mode accepts maps smaller than the window.
        let n = if self.ceil_mode && n > 0 { n.max(span.saturating_sub(before + after)) } else { n };
        let room = (n + before + after).checked_sub(span)?;
        let out = if self.ceil_mode { room.div_ceil(self.stride[axis]) } else { room / self.stride[axis] } + 1;
        // A window may not start in the bottom or right padding.
        let surplus = self.ceil_mode && (out - 1) * self.stride[axis] >= n + before;
        Some(out - usize::from(surplus))
    }

    /// The output shape for an input of shape `s`.
    pub(super) fn output(&self, op: &str, s: Shape) -> Result<Shape> {
        let size = |axis: usize, n: usize| {
            let fits = |v: usize| i32::try_from(v).is_ok();
            let padding = [self.padding[axis], self.padding[axis + 2]];
            let span = self.span(axis).filter(|&span| fits(span) && padding.iter().all(|&p| p < span))?;
            let valid =
                span > 0 && self.stride[axis] > 0 && self.dilation[axis] > 0 && fits(self.stride[axis]) && fits(n);
            valid.then(|| self.output_size(axis, n)).flatten()
        };
        match (size(0, s.h), size(1, s.w)) {
            (Some(h), Some(w)) => Ok(s.with_hw(h, w)),
            _ => Err(Error::op(op, format!("input {s} cannot be pooled by {self:?}"))),
        }
    }

    /// Positions along an axis that window `o` covers, including those in the padding.
    pub(super) fn positions(&self, axis: usize, o: usize, n: usize) -> impl Iterator<Item = i64> + use<> {
        let first = (o * self.stride[axis]) as i64 - self.padding[axis] as i64;
        let (dilation, end) = (self.dilation[axis] as i64, (n + self.padding[axis + 2]) as i64);
        (0..self.kernel[axis] as i64).map(move |k| first + k * dilation).filter(move |&at| at < end)
    }

    /// Row and column of the elements of a window that lie inside the input, and the divisor of a mean.
    pub(super) fn window(&self, s: Shape, oy: usize, ox: usize) -> (Vec<(usize, usize)>, usize) {
        let mut inside = Vec::new();
        let mut all = 0;
        for y in self.positions(0, oy, s.h) {
            for x in self.positions(1, ox, s.w) {
                all += 1;
                if (0..s.h as i64).contains(&y) && (0..s.w as i64).contains(&x) {
                    inside.push((y as usize, x as usize));
                }
            }
        }
        let count = if self.counts_padding() { all } else { inside.len() };
        (inside, count.max(1))
    }

    /// Whether a mean includes padding.
    pub(super) fn counts_padding(&self) -> bool {
        self.kind == PoolKind::Average { count_include_pad: true }
    }

    /// The kernel's description of the windows over an input of shape `s`.
    pub(super) fn geometry(&self, s: Shape) -> PoolGeometry {
        let [top, left, bottom, right] = self.padding;
        let pair = |v: [usize; 2]| v.map(|v| v as i32);
        PoolGeometry {
            size: pair([s.h, s.w]),
            padded: pair([s.h + bottom, s.w + right]),
            kernel: pair(self.kernel),
            stride: pair(self.stride),
            dilation: pair(self.dilation),
            padding: pair([top, left]),
        }
    }
}

impl Op for Pool2d {
    fn name(&self) -> &'static str {
        "pool2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        Ok(vec![TensorDesc::blocked(self.output(self.name(), inputs[0].shape)?)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let out = self.output(self.name(), s)?;
        Ok(vec![by_plane(out, |n, c, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                let (inside, count) = self.window(s, i / out.w, i % out.w);
                let elements = inside.iter().map(|&(y, x)| inputs[0].data()[s.index(n, c, y, x)]);
                *v = match self.kind {
                    PoolKind::Max => elements.fold(f32::MIN, f32::max),
                    PoolKind::Average { .. } => (elements.map(f64::from).sum::<f64>() / count as f64) as f32,
                };
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, o) = (cx.input(0), cx.output(0));
        let Size { w: ow, h: oh, blocks, .. } = o.into();
        let (x, y, counts_padding) = (cx.input_view(0), cx.output_view(0), self.counts_padding().into());
        let params = Pool2dParams { x, y, pool: self.geometry(s), ow, oh, blocks, counts_padding };
        let kernel = KernelKey::new("pool2d").flag("MAX", self.kind == PoolKind::Max);
        cx.dispatch(kernel, params, [Operand::Input(0), Operand::Output(0)], Lowering::per_vec4(o))
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        let window = |axis: usize| {
            let first = -(self.padding[axis] as i64);
            let reach = ((self.kernel[axis] - 1) * self.dilation[axis]) as i64;
            Window { num: self.stride[axis] as i64, den: 1, first, last: first + reach }
        };
        Spatial::Windows(vec![[window(0), window(1)]])
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(Pool2dGrad::emit(self.clone(), node.inputs[0], dy, builder)?)])
    }
}

shader_struct! {
    /// `Geometry` of `shaders/lib/pool.wgsl`.
    pub(super) struct PoolGeometry {
        /// H, W
        size: [i32; 2],
        /// H, W with the bottom and right padding.
        padded: [i32; 2],
        /// Rows, columns.
        kernel: [i32; 2],
        /// Rows, columns.
        stride: [i32; 2],
        /// Rows, columns.
        dilation: [i32; 2],
        /// Top, left.
        padding: [i32; 2],
    }

    /// Parameters of `pool2d`.
    struct Pool2dParams {
        x: View,
        y: View,
        pool: PoolGeometry,
        ow: u32,
        oh: u32,
        blocks: u32,
        /// Whether a mean includes padding.
        counts_padding: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, op: Pool2d, s: Shape| OpCase::new(format!("pool2d/{name}"), op, &[s]);
    let forward = all().into_iter().map(|(name, op, s)| case(name, op, s));
    forward.chain(grad::cases()).collect()
}

/// Geometries to test, each with an input shape.
pub(super) fn all() -> Vec<(&'static str, Pool2d, Shape)> {
    let s = Shape::new;
    let max = |k| Pool2d::new(PoolKind::Max, k);
    let mean = |k, count_include_pad| Pool2d::new(PoolKind::Average { count_include_pad }, k);
    let overlapping = |op: Pool2d| Pool2d { stride: [2; 2], padding: [1; 4], ..op };
    let uneven = |op: Pool2d| Pool2d { kernel: [2, 3], stride: [1, 2], padding: [0, 1, 1, 2], ..op };
    vec![
        ("max 3x3 stride 2 padding 1", overlapping(max(3)), s(2, 5, 9, 12)),
        ("max 5x5 stride 1", Pool2d { stride: [1; 2], padding: [2; 4], ..max(5) }, s(1, 3, 7, 6)),
        ("max 2x3, uneven padding", uneven(max(3)), s(1, 4, 6, 9)),
        ("max dilation 2", Pool2d { stride: [1, 2], padding: [1; 4], dilation: [2; 2], ..max(3) }, s(1, 6, 8, 9)),
        ("max 3x3 stride 2 ceil", Pool2d { stride: [2; 2], ceil_mode: true, ..max(3) }, s(1, 2, 6, 9)),
        ("max 2x2 stride 3", Pool2d { stride: [3; 2], ..max(2) }, s(1, 3, 8, 9)),
        ("mean 3x3 stride 2 padding 1, padding counted", overlapping(mean(3, true)), s(2, 5, 9, 12)),
        ("mean 3x3 stride 2 padding 1", overlapping(mean(3, false)), s(1, 3, 9, 12)),
        ("mean ceil, padding counted", Pool2d { ceil_mode: true, ..overlapping(mean(3, true)) }, s(1, 2, 6, 8)),
        ("mean ceil", Pool2d { ceil_mode: true, ..overlapping(mean(3, false)) }, s(1, 2, 6, 8)),
        ("mean 2x3, uneven padding", uneven(mean(3, false)), s(1, 4, 6, 9)),
        ("mean 4x4", mean(4, true), s(1, 9, 9, 17)),
    ]
}

#[cfg(test)]
#[path = "pool2d_tests.rs"]
mod tests;
