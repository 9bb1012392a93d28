//! Global pooling.

use super::{
    Backward, GlobalMaxPoolGrad, GraphBuilder, Lowering, Op, OpCase, Pool2d, Pool2dGrad, PoolKind, Spatial, ValueId,
    by_plane, expect_inputs, output_shape,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// `torch.nn.functional.adaptive_max_pool2d(x, 1)`: `[N, C, H, W]` to `[N, C, 1, 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalMaxPool;

/// `torch.nn.functional.adaptive_avg_pool2d(x, 1)`: `[N, C, H, W]` to `[N, C, 1, 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalAvgPool;

fn infer(op: &str, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
    expect_inputs(op, inputs, 1)?;
    let s = inputs[0].shape;
    if s.pixels() == 0 {
        return Err(Error::op(op, format!("input {s} has no pixels")));
    }
    Ok(vec![TensorDesc::blocked(s.with_hw(1, 1))])
}

fn reference(x: &HostTensor, out: Shape, f: impl Fn(&[f32]) -> f32 + Sync) -> Result<Vec<HostTensor>> {
    let s = x.shape()?;
    Ok(vec![by_plane(out, |n, c, plane| {
        let start = s.index(n, c, 0, 0);
        plane[0] = f(&x.data()[start..start + s.pixels()]);
    })])
}

fn lower(cx: &mut Lowering, max: bool) -> Result<()> {
    let s = cx.input(0);
    let Size { w, h, c, .. } = s.into();
    let factor = (1.0 / s.pixels() as f64) as f32;
    let params = GlobalReduceParams { x: cx.input_view(0), y: cx.output_view(0), w, h, c, factor };
    let kernel = KernelKey::new("global_reduce").flag("MAX", max);
    cx.dispatch(kernel, params, [Operand::Input(0), Operand::Output(0)], [s.c.div_ceil(LANES), s.n, 1])
}

impl Op for GlobalMaxPool {
    fn name(&self) -> &'static str {
        "global_max_pool"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        infer(self.name(), inputs)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        reference(inputs[0], out, |plane| plane.iter().copied().fold(f32::NEG_INFINITY, f32::max))
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower(cx, true)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("global max pooling depends on the whole image")
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(builder.node("grad", GlobalMaxPoolGrad, &[node.inputs[0], dy])?)])
    }
}

impl Op for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        infer(self.name(), inputs)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        reference(inputs[0], out, |plane| {
            (plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64) as f32
        })
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower(cx, false)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("global average pooling averages over the whole image")
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let s = builder.desc(node.inputs[0]).shape;
        let whole = Pool2d {
            kernel: [s.h, s.w],
            stride: [s.h, s.w],
            ..Pool2d::new(PoolKind::Average { count_include_pad: true }, 1)
        };
        Ok(vec![Some(Pool2dGrad::emit(whole, node.inputs[0], dy, builder)?)])
    }
}

shader_struct! {
    /// Parameters of `global_reduce`.
    struct GlobalReduceParams {
        x: View,
        y: View,
        w: u32,
        h: u32,
        c: u32,
        /// 1 / (H * W)
        factor: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let shapes = [
        ("batch", Shape::new(2, 3, 9, 11)),
        ("several rows per invocation", Shape::new(1, 10, 37, 53)),
        ("one row", Shape::new(2, 4, 1, 70)),
        ("one pixel", Shape::new(3, 5, 1, 1)),
    ];
    let max = shapes.map(|(name, s)| OpCase::new(format!("global_max_pool/{name}"), GlobalMaxPool, &[s]));
    let avg = shapes.map(|(name, s)| OpCase::new(format!("global_avg_pool/{name}"), GlobalAvgPool, &[s]));
    max.into_iter().chain(avg).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_pixels_is_refused() {
        let x = [TensorDesc::blocked(Shape::new(1, 2, 0, 3))];
        assert!(GlobalMaxPool.infer(&x).unwrap_err().to_string().contains("1x2x0x3"));
        assert!(GlobalAvgPool.infer(&x).is_err());
    }
}
