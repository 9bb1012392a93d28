//! Gradient of pooling with any geometry.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::ops::pool2d::PoolGeometry;
use crate::ops::{GraphBuilder, Lowering, Op, OpCase, Pool2d, PoolKind, ValueId, expect_inputs};
use crate::tensor::{HostTensor, TensorDesc};

/// Gradient of [`Pool2d`]. Inputs: dy and, for max pooling, x. Each element gathers from the windows that cover it. In
/// max pooling the first maximum of a window in row-major order, found again, receives all of dy; in average pooling
/// all elements receive equal shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool2dGrad {
    /// The pooling.
    pub pool: Pool2d,
    /// Rows of x.
    pub h: usize,
    /// Columns of x.
    pub w: usize,
}

impl Pool2dGrad {
    /// Adds the gradient with respect to `x` to the graph.
    pub fn emit(pool: Pool2d, x: ValueId, dy: ValueId, builder: &mut dyn GraphBuilder) -> Result<ValueId> {
        let s = builder.desc(x).shape;
        let max = pool.kind == PoolKind::Max;
        let op = Self { pool, h: s.h, w: s.w };
        if max { builder.node("grad", op, &[dy, x]) } else { builder.node("grad", op, &[dy]) }
    }
}

impl Op for Pool2dGrad {
    fn name(&self) -> &'static str {
        "pool2d_grad"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithAll
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let max = self.pool.kind == PoolKind::Max;
        expect_inputs(self.name(), inputs, if max { 2 } else { 1 })?;
        let dy = inputs[0].shape;
        let x = dy.with_hw(self.h, self.w);
        let out = self.pool.output(self.name(), x)?;
        if dy != out || (max && inputs[1].shape != x) {
            return Err(Error::op(self.name(), format!("dy is {dy}, the pooled map {out} of {x}")));
        }
        Ok(vec![TensorDesc::blocked(x)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = inputs[0].shape()?;
        let s = out.with_hw(self.h, self.w);
        let mut dx = vec![0.0f64; s.len()];
        for (n, c) in (0..s.n).flat_map(|n| (0..s.c).map(move |c| (n, c))) {
            for (oy, ox) in (0..out.h).flat_map(|y| (0..out.w).map(move |x| (y, x))) {
                let dy = f64::from(inputs[0].data()[out.index(n, c, oy, ox)]);
                let (inside, count) = self.pool.window(s, oy, ox);
                let indices = inside.into_iter().map(|(y, x)| s.index(n, c, y, x));
                if self.pool.kind != PoolKind::Max {
                    indices.for_each(|at| dx[at] += dy / count as f64);
                    continue;
                }
                let x = inputs[1].data();
                if let Some(best) = indices.reduce(|best, at| if x[at] > x[best] { at } else { best }) {
                    dx[best] += dy;
                }
            }
        }
        Ok(vec![HostTensor::new(s.dims(), dx.into_iter().map(|v| v as f32).collect())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (dy, s) = (cx.input(0), cx.output(0));
        let max = self.pool.kind == PoolKind::Max;
        let (Size { w, h, blocks, .. }, Size { w: ow, h: oh, .. }) = (s.into(), dy.into());
        let params = Pool2dGradParams {
            dy: cx.input_view(0),
            x: cx.output_view(0),
            pool: self.pool.geometry(s),
            w,
            h,
            blocks,
            counts_padding: self.pool.counts_padding().into(),
            ow,
            oh,
        };
        let mut bindings = vec![Operand::Input(0)];
        bindings.extend(max.then_some(Operand::Input(1)));
        bindings.push(Operand::Output(0));
        cx.dispatch(KernelKey::new("pool2d_grad").flag("MAX", max), params, bindings, Lowering::per_vec4(s))
    }
}

shader_struct! {
    /// Parameters of `pool2d_grad`.
    struct Pool2dGradParams {
        dy: View,
        /// View of x and dx.
        x: View,
        pool: PoolGeometry,
        w: u32,
        h: u32,
        blocks: u32,
        /// Whether a mean includes padding.
        counts_padding: u32,
        ow: u32,
        oh: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |(name, pool, s): (&str, Pool2d, crate::tensor::Shape)| {
        let dy = pool.output("pool2d", s).unwrap_or(s);
        let max = pool.kind == PoolKind::Max;
        let op = Pool2dGrad { pool, h: s.h, w: s.w };
        let inputs = [dy, s];
        OpCase::new(format!("pool2d_grad/{name}"), op, if max { &inputs } else { &inputs[..1] })
    };
    crate::ops::pool2d::all().into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first_of_each_window() {
        let pool = Pool2d { stride: [1; 2], ..Pool2d::new(PoolKind::Max, 2) };
        let x = HostTensor::new([1, 1, 2, 3], vec![2.0, 2.0, 1.0, 2.0, 2.0, 2.0]).unwrap();
        let dy = HostTensor::new([1, 1, 1, 2], vec![3.0, 5.0]).unwrap();
        let dx = Pool2dGrad { pool, h: 2, w: 3 }.reference(&[&dy, &x]).unwrap();
        assert_eq!(dx[0].data(), [3.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
