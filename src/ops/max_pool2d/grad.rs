//! Gradient of max pooling.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::ops::{Lowering, MaxPool2d, Op, OpCase, expect_inputs};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Gradient of [`MaxPool2d`] with windows that do not overlap. Inputs: x, dy. The first maximum of each window in
/// row-major order receives dy. Finding the maximum again is cheaper than storing its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool2dGrad {
    /// The pooling.
    pub pool: MaxPool2d,
}

impl Op for MaxPool2dGrad {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithData
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        if self.pool.stride != self.pool.kernel || self.pool.padding != 0 {
            return Err(Error::op(self.name(), format!("requires adjacent windows without padding: {:?}", self.pool)));
        }
        let out = self.pool.infer(&inputs[..1])?[0].shape;
        if inputs[1].shape != out {
            return Err(Error::op(self.name(), format!("dy is {}, the pooled map {out}", inputs[1].shape)));
        }
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (s, out) = (inputs[0].shape()?, inputs[1].shape()?);
        let mut dx = HostTensor::zeros(s);
        for (n, c) in (0..s.n).flat_map(|n| (0..s.c).map(move |c| (n, c))) {
            for (oy, ox) in (0..out.h).flat_map(|y| (0..out.w).map(move |x| (y, x))) {
                let range = |o: usize, n: usize| o * self.pool.stride..(o * self.pool.stride + self.pool.kernel).min(n);
                let window = range(oy, s.h).flat_map(|y| range(ox, s.w).map(move |x| (y, x)));
                let mut best: Option<usize> = None;
                for at in window.map(|(y, x)| s.index(n, c, y, x)) {
                    if best.is_none_or(|b| inputs[0].data()[at] > inputs[0].data()[b]) {
                        best = Some(at);
                    }
                }
                if let Some(at) = best {
                    dx.data_mut()[at] += inputs[1].data()[out.index(n, c, oy, ox)];
                }
            }
        }
        Ok(vec![dx])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, out, k) = (cx.input(0), cx.input(1), self.pool.kernel);
        let (Size { w, h, blocks, .. }, Size { w: ow, h: oh, .. }) = (s.into(), out.into());
        let params = MaxPool2dGradParams { x: cx.input_view(0), dy: cx.input_view(1), w, h, blocks, ow, oh };
        let windows = s.with_hw(s.h.div_ceil(k), s.w.div_ceil(k));
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        let (key, grid) = cx.per_area(KernelKey::new("max_pool2d_grad").with("K", k as u32), windows);
        cx.dispatch(key, params, bindings, grid)
    }
}

shader_struct! {
    /// Parameters of `max_pool2d_grad`.
    struct MaxPool2dGradParams {
        /// View of x and dx.
        x: View,
        dy: View,
        w: u32,
        h: u32,
        blocks: u32,
        ow: u32,
        oh: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, pool: MaxPool2d, s: Shape, out: [usize; 2]| {
        let dy = s.with_hw(out[0], out[1]);
        OpCase::new(format!("max_pool2d_grad/{name}"), MaxPool2dGrad { pool }, &[s, dy])
    };
    vec![
        case("2x2", MaxPool2d::new(2), Shape::new(2, 5, 8, 12), [4, 6]),
        case("2x2 odd size, floor", MaxPool2d::new(2), Shape::new(1, 3, 9, 11), [4, 5]),
        case("4x4 ceil", MaxPool2d::ceil(4), Shape::new(1, 8, 19, 22), [5, 6]),
        case("8x8 ceil, map smaller than the window", MaxPool2d::ceil(8), Shape::new(1, 4, 3, 17), [1, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first() {
        let x = HostTensor::new([1, 1, 2, 2], vec![1.0, 2.0, 2.0, 2.0]).unwrap();
        let dy = HostTensor::new([1, 1, 1, 1], vec![3.0]).unwrap();
        let dx = MaxPool2dGrad { pool: MaxPool2d::new(2) }.reference(&[&x, &dy]).unwrap();
        assert_eq!(dx[0].data(), [0.0, 3.0, 0.0, 0.0]);
    }
}
