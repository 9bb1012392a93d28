//! Max pooling.

mod grad;

pub use grad::MaxPool2dGrad;

use super::{
    Backward, GraphBuilder, Lowering, Op, OpCase, Pool2d, Pool2dGrad, PoolKind, Spatial, ValueId, Window, by_plane,
    expect_inputs,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `torch.nn.functional.max_pool2d`: input `[N, C, H, W]`; padding counts as minus infinity; `ceil_mode` rounds the
/// output size up, and the last window is then clipped at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Window edge, pixels.
    pub kernel: usize,
    /// Stride, pixels.
    pub stride: usize,
    /// Padding on every side, pixels, at most half the kernel.
    pub padding: usize,
    /// Round the output size up.
    pub ceil_mode: bool,
}

impl MaxPool2d {
    /// Kernel = stride = `k`, no padding, floor mode, as in the encoders.
    pub const fn new(k: usize) -> Self {
        Self { kernel: k, stride: k, padding: 0, ceil_mode: false }
    }

    /// The same in ceil mode: the skip connections of U-Net 3+.
    pub const fn ceil(k: usize) -> Self {
        Self { ceil_mode: true, ..Self::new(k) }
    }

    /// The equivalent [`Pool2d`].
    pub fn general(&self) -> Pool2d {
        Pool2d {
            kind: PoolKind::Max,
            kernel: [self.kernel; 2],
            stride: [self.stride; 2],
            padding: [self.padding; 4],
            dilation: [1; 2],
            ceil_mode: self.ceil_mode,
        }
    }

    /// The dispatch that pools `from`, described by `desc`, into output `to` of the node.
    pub(super) fn lower_from(&self, cx: &mut Lowering, from: Operand, desc: TensorDesc, to: usize) -> Result<()> {
        let (i, o) = (desc.shape, cx.output(to));
        let (x, y) = (Lowering::view(&desc), cx.output_view(to));
        let (Size { w: ow, h: oh, blocks, .. }, Size { w, h, .. }) = (o.into(), i.into());
        let (stride, padding) = (self.stride as u32, self.padding as u32);
        let params = MaxPool2dParams { x, y, ow, oh, blocks, w, h, stride, padding };
        let kernel = KernelKey::new("max_pool2d").with("KERNEL", self.kernel as u32);
        let (kernel, grid) = cx.per_area(kernel, o);
        cx.dispatch(kernel, params, [from, Operand::Output(to)], grid)
    }

    fn output_size(&self, n: usize) -> Option<usize> {
        pooled_size(n, self.kernel, self.stride, self.padding, self.ceil_mode)
    }
}

/// PyTorch's pooling size rule; `None` if no window fits.
pub(super) fn pooled_size(n: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> Option<usize> {
    let padded = n + 2 * padding;
    let span = padded.checked_sub(kernel)?;
    let mut out = if ceil { span.div_ceil(stride) } else { span / stride } + 1;
    // A window may not start in the right padding.
    if ceil && (out - 1) * stride >= n + padding {
        out -= 1;
    }
    Some(out)
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn has_kinks(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        let kernel = self.kernel;
        if kernel == 0 || self.stride == 0 || 2 * self.padding > kernel {
            return Err(Error::op(
                self.name(),
                format!("kernel {kernel}, stride {}, padding {}", self.stride, self.padding),
            ));
        }
        // In PyTorch only ceil mode accepts maps smaller than the window.
        let size =
            |n: usize| if self.ceil_mode && n > 0 { self.output_size(n.max(kernel)) } else { self.output_size(n) };
        let (Some(h), Some(w)) = (size(s.h), size(s.w)) else {
            return Err(Error::op(self.name(), format!("input {s} is smaller than the {kernel}x{kernel} window")));
        };
        Ok(vec![TensorDesc::blocked(s.with_hw(h, w))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let out = self.infer(&[TensorDesc::blocked(s)])?[0].shape;
        let x = inputs[0].data();
        let range = |o: usize, n: usize| {
            let start = o * self.stride;
            start.saturating_sub(self.padding)..(start + self.kernel).saturating_sub(self.padding).min(n)
        };
        Ok(vec![by_plane(out, |n, c, plane| {
            for oy in 0..out.h {
                for ox in 0..out.w {
                    let mut best = f32::NEG_INFINITY;
                    for y in range(oy, s.h) {
                        for x_ in range(ox, s.w) {
                            best = best.max(x[s.index(n, c, y, x_)]);
                        }
                    }
                    plane[oy * out.w + ox] = best;
                }
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.lower_from(cx, Operand::Input(0), cx.inputs[0], 0)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        let pad = self.padding as i64;
        let w = Window { num: self.stride as i64, den: 1, first: -pad, last: self.kernel as i64 - 1 - pad };
        Spatial::Windows(vec![[w; 2]])
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        if self.stride != self.kernel || self.padding != 0 {
            return Ok(vec![Some(Pool2dGrad::emit(self.general(), node.inputs[0], dy, builder)?)]);
        }
        let op = MaxPool2dGrad { pool: self.clone() };
        Ok(vec![Some(builder.node("grad", op, &[node.inputs[0], dy])?)])
    }
}

shader_struct! {
    /// Parameters of `max_pool2d`.
    struct MaxPool2dParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        blocks: u32,
        w: u32,
        h: u32,
        stride: u32,
        padding: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, op: MaxPool2d, s: Shape| OpCase::new(format!("max_pool2d/{name}"), op, &[s]);
    let mut all = vec![
        case("2x2", MaxPool2d::new(2), Shape::new(2, 5, 8, 12)),
        case("2x2 odd size, floor", MaxPool2d::new(2), Shape::new(1, 3, 9, 11)),
        case("2x2 odd size, ceil", MaxPool2d::ceil(2), Shape::new(1, 3, 9, 11)),
        case("4x4 ceil", MaxPool2d::ceil(4), Shape::new(1, 8, 19, 22)),
        case("8x8 ceil", MaxPool2d::ceil(8), Shape::new(1, 4, 24, 17)),
        case("8x8 ceil, map smaller than the window", MaxPool2d::ceil(8), Shape::new(1, 4, 3, 17)),
        case(
            "3x3 stride 2 padding 1",
            MaxPool2d { kernel: 3, stride: 2, padding: 1, ceil_mode: false },
            Shape::new(1, 3, 13, 10),
        ),
        case("one pixel left", MaxPool2d::new(2), Shape::new(3, 1, 2, 2)),
    ];
    all.extend(grad::cases());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_pytorch() {
        let size = |n, k, s, p, ceil| pooled_size(n, k, s, p, ceil);
        assert_eq!(size(9, 2, 2, 0, false), Some(4));
        assert_eq!(size(9, 2, 2, 0, true), Some(5));
        assert_eq!(size(13, 3, 2, 1, false), Some(7));
        assert_eq!(size(1, 2, 2, 0, false), None);
        // torch.nn.functional.max_pool2d(torch.zeros(1, 1, 4, 4), 2, 3, 1, ceil_mode=True) is 2x2.
        assert_eq!(size(4, 2, 3, 1, true), Some(3 - 1));
    }
}
