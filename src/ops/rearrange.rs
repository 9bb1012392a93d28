//! Reshape, transpose and shuffle.

use super::strided::Strided;
use super::{
    Backward, GraphBuilder, Lowering, Op, OpCase, Spatial, ValueId, Window, by_plane, expect_inputs, output_shape,
};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// The input reshaped to `dims`, its axes permuted, then reshaped to an NCHW shape: `reshape`, `transpose`, `flatten`,
/// channel shuffles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rearrange {
    /// Dimensions that the input is viewed as, at most 8.
    pub dims: Vec<usize>,
    /// Axis `i` after the permutation is axis `order[i]` of `dims`.
    pub order: Vec<usize>,
    /// The output shape.
    pub shape: Shape,
}

impl Rearrange {
    /// `x.reshape(shape)`.
    pub fn reshape(from: Shape, to: Shape) -> Self {
        Self { dims: from.dims().to_vec(), order: vec![0, 1, 2, 3], shape: to }
    }

    /// `x.permute(order)`.
    pub fn transpose(from: Shape, order: [usize; 4]) -> Self {
        let dims = from.dims();
        let [n, c, h, w] = order.map(|axis| dims.get(axis).copied().unwrap_or(0));
        Self { dims: dims.to_vec(), order: order.to_vec(), shape: Shape::new(n, c, h, w) }
    }
}

/// Channel order of [`DepthToSpace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthOrder {
    /// Depth, column, row: channel `(dy * block + dx) * C + c`. The default of ONNX.
    Dcr,
    /// Column, row, depth: channel `(c * block + dy) * block + dx`. `torch.nn.PixelShuffle`.
    Crd,
}

/// `[N, C b b, H, W]` to `[N, C, H b, W b]`: channels become pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthToSpace {
    /// b.
    pub block: usize,
    /// Order of the channels.
    pub order: DepthOrder,
}

/// `[N, C, H b, W b]` to `[N, C b b, H, W]`: the inverse of [`DepthToSpace`]. ONNX uses [`DepthOrder::Dcr`], PyTorch's
/// `PixelUnshuffle` [`DepthOrder::Crd`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceToDepth {
    /// b.
    pub block: usize,
    /// Order of the channels.
    pub order: DepthOrder,
}

impl Op for Rearrange {
    fn name(&self) -> &'static str {
        "rearrange"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        let product = |dims: &[usize]| dims.iter().try_fold(1usize, |a, &d| a.checked_mul(d));
        let mut axes = self.order.clone();
        axes.sort_unstable();
        let elements = [product(&self.dims), product(&self.shape.dims())];
        let fits = axes.iter().copied().eq(0..self.dims.len()) && elements == [Some(s.len()); 2] && !s.is_empty();
        if !fits || self.dims.len() > 8 {
            return Err(Error::op(
                self.name(),
                format!("{s} cannot be {:?} in the order {:?}, {}", self.dims, self.order, self.shape),
            ));
        }
        Ok(vec![TensorDesc::blocked(self.shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        // Destination of each element, one input axis at a time.
        let mut data = vec![0.0; out.len()];
        for (at, &v) in inputs[0].data().iter().enumerate() {
            let mut coordinates = vec![0; self.dims.len()];
            let mut rest = at;
            for (i, &dim) in self.dims.iter().enumerate().rev() {
                coordinates[i] = rest % dim;
                rest /= dim;
            }
            let to = self.order.iter().fold(0, |to, &axis| to * self.dims[axis] + coordinates[axis]);
            data[to] = v;
        }
        Ok(vec![HostTensor::new(out.dims(), data)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        Strided::permuted(&self.dims, &self.order).lower(cx)
    }

    fn spatial(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Spatial {
        let (s, o) = (inputs[0].shape, outputs[0].shape);
        let (k, pixels) = (self.dims.len(), [s.h, s.w]);
        if k >= 2 && self.dims[k - 2..] == pixels && self.order[k - 2..] == [k - 2, k - 1] && [o.h, o.w] == pixels {
            return Spatial::Pointwise;
        }
        Spatial::Global("pixels are rearranged")
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let mut order = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(i, &axis)| order[axis] = i);
        let dims = self.order.iter().map(|&axis| self.dims[axis]).collect();
        let back = Self { dims, order, shape: builder.desc(node.inputs[0]).shape };
        Ok(vec![Some(builder.node("grad", back, &[dy])?)])
    }
}

/// The deep channel that holds pixel `(dy, dx)` of a block of channel `c`, of `channels`.
fn deep(order: DepthOrder, block: usize, channels: usize, c: usize, dy: usize, dx: usize) -> usize {
    match order {
        DepthOrder::Dcr => (dy * block + dx) * channels + c,
        DepthOrder::Crd => (c * block + dy) * block + dx,
    }
}

impl Op for DepthToSpace {
    fn name(&self) -> &'static str {
        "depth_to_space"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let (s, b) = (inputs[0].shape, self.block);
        let size = s.h.checked_mul(b).zip(s.w.checked_mul(b)).filter(|_| !s.is_empty());
        match (size, b.checked_mul(b).filter(|&d| d > 0 && s.c.is_multiple_of(d))) {
            (Some((h, w)), Some(depth)) => Ok(vec![TensorDesc::blocked(Shape::new(s.n, s.c / depth, h, w))]),
            _ => Err(Error::op(self.name(), format!("the channels of input {s} do not divide into {b}x{b} blocks"))),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (s, out, b) = (inputs[0].shape()?, output_shape(self, inputs)?, self.block);
        Ok(vec![by_plane(out, |n, c, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                let (y, x) = (i / out.w, i % out.w);
                let from = deep(self.order, b, out.c, c, y % b, x % b);
                *v = inputs[0].data()[s.index(n, from, y / b, x / b)];
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, c, b) = (cx.input(0), cx.output(0).c, self.block);
        let strided = match self.order {
            DepthOrder::Dcr => Strided::permuted(&[s.n, b, b, c, s.h, s.w], &[0, 3, 4, 1, 5, 2]),
            DepthOrder::Crd => Strided::permuted(&[s.n, c, b, b, s.h, s.w], &[0, 1, 4, 2, 5, 3]),
        };
        strided.lower(cx)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Windows(vec![[Window { num: 1, den: self.block as i64, first: 0, last: 0 }; 2]])
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(builder.node("grad", SpaceToDepth { block: self.block, order: self.order }, &[dy])?)])
    }
}

impl Op for SpaceToDepth {
    fn name(&self) -> &'static str {
        "space_to_depth"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let (s, b) = (inputs[0].shape, self.block);
        let divides = b > 0 && s.h.is_multiple_of(b) && s.w.is_multiple_of(b) && !s.is_empty();
        match b.checked_mul(b).and_then(|d| d.checked_mul(s.c)).filter(|_| divides) {
            Some(c) => Ok(vec![TensorDesc::blocked(Shape::new(s.n, c, s.h / b, s.w / b))]),
            None => Err(Error::op(self.name(), format!("input {s} does not divide into {b}x{b} blocks"))),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (s, out, b) = (inputs[0].shape()?, output_shape(self, inputs)?, self.block);
        let mut y = HostTensor::zeros(out);
        for (n, c) in (0..s.n).flat_map(|n| (0..s.c).map(move |c| (n, c))) {
            for (iy, ix) in (0..s.h).flat_map(|y| (0..s.w).map(move |x| (y, x))) {
                let to = deep(self.order, b, s.c, c, iy % b, ix % b);
                y.data_mut()[out.index(n, to, iy / b, ix / b)] = inputs[0].data()[s.index(n, c, iy, ix)];
            }
        }
        Ok(vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, o, b) = (cx.input(0), cx.output(0), self.block);
        let dims = [s.n, s.c, o.h, b, o.w, b];
        let order = match self.order {
            DepthOrder::Dcr => [0, 3, 5, 1, 2, 4],
            DepthOrder::Crd => [0, 1, 3, 5, 2, 4],
        };
        Strided::permuted(&dims, &order).lower(cx)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        let b = self.block as i64;
        Spatial::Windows(vec![[Window { num: b, den: 1, first: 0, last: b - 1 }; 2]])
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(builder.node("grad", DepthToSpace { block: self.block, order: self.order }, &[dy])?)])
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let s = Shape::new;
    let rearrange = |name: &str, op: Rearrange, x: Shape| OpCase::new(format!("rearrange/{name}"), op, &[x]);
    let shuffle = Rearrange { dims: vec![2, 2, 3, 4, 5], order: vec![0, 2, 1, 3, 4], shape: s(2, 6, 4, 5) };
    let mut cases = vec![
        rearrange("reshape", Rearrange::reshape(s(2, 6, 4, 5), s(1, 5, 16, 3)), s(2, 6, 4, 5)),
        rearrange("flatten", Rearrange::reshape(s(2, 3, 4, 5), s(2, 60, 1, 1)), s(2, 3, 4, 5)),
        rearrange("transpose to NHWC", Rearrange::transpose(s(2, 5, 4, 7), [0, 2, 3, 1]), s(2, 5, 4, 7)),
        rearrange("channel shuffle", shuffle, s(2, 6, 4, 5)),
    ];
    for (name, order) in [("dcr", DepthOrder::Dcr), ("crd", DepthOrder::Crd)] {
        let (up, down) = (DepthToSpace { block: 2, order }, SpaceToDepth { block: 2, order });
        cases.push(OpCase::new(format!("depth_to_space/{name}"), up, &[s(2, 12, 3, 5)]));
        cases.push(OpCase::new(format!("space_to_depth/{name}"), down, &[s(2, 3, 6, 10)]));
        let (up, down) = (DepthToSpace { block: 3, order }, SpaceToDepth { block: 3, order });
        cases.push(OpCase::new(format!("depth_to_space/{name} 3"), up, &[s(1, 45, 2, 2)]));
        cases.push(OpCase::new(format!("space_to_depth/{name} 3"), down, &[s(1, 1, 9, 18)]));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in ONNX's operator documentation.
    #[test]
    fn depth_to_space_matches_onnx_documentation() {
        let data: Vec<f32> = [0., 9., 18., 27., 36., 45., 54., 63.]
            .iter()
            .flat_map(|&b| [0., 1., 2., 3., 4., 5.].map(|v| b + v))
            .collect();
        let x = HostTensor::new([1, 8, 2, 3], data).unwrap();
        let first = |order| DepthToSpace { block: 2, order }.reference(&[&x]).unwrap()[0].data()[..12].to_vec();
        assert_eq!(first(DepthOrder::Dcr), [0., 18., 1., 19., 2., 20., 36., 54., 37., 55., 38., 56.]);
        assert_eq!(first(DepthOrder::Crd), [0., 9., 1., 10., 2., 11., 18., 27., 19., 28., 20., 29.]);
    }

    #[test]
    fn invalid_shapes_are_refused() {
        let x = [TensorDesc::blocked(Shape::new(1, 6, 3, 4))];
        assert!(
            DepthToSpace { block: 2, order: DepthOrder::Dcr }.infer(&x).unwrap_err().to_string().contains("1x6x3x4")
        );
        assert!(DepthToSpace { block: 0, order: DepthOrder::Dcr }.infer(&x).is_err());
        assert!(SpaceToDepth { block: 2, order: DepthOrder::Crd }.infer(&x).is_err());
        assert!(Rearrange { order: vec![0, 0, 2, 3], ..Rearrange::reshape(x[0].shape, x[0].shape) }.infer(&x).is_err());
        assert!(Rearrange::reshape(x[0].shape, Shape::new(1, 6, 3, 5)).infer(&x).is_err());
    }

    #[test]
    fn a_channel_shuffle_is_pointwise() {
        let x = Shape::new(1, 6, 4, 5);
        let shuffle = Rearrange { dims: vec![2, 3, 4, 5], order: vec![1, 0, 2, 3], shape: x };
        let spatial = |op: &Rearrange| op.spatial(&[TensorDesc::blocked(x)], &[TensorDesc::blocked(op.shape)]);
        assert_eq!(spatial(&shuffle), Spatial::Pointwise);
        assert!(matches!(spatial(&Rearrange::transpose(x, [0, 1, 3, 2])), Spatial::Global(_)));
    }
}
