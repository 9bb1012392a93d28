//! The loss of a network that predicts instances, from its sums.

use super::{SCALAR, case, expect, linear};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, ValueId};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// The loss from the sums of [`InstanceSums`](crate::ops::InstanceSums): each sum over its weights, or over 1 where those
/// are fewer, and four times the term of the distance. Input: NCHW `[1, 4 k, 1, 1]`; output: a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceMean;

/// Gradient of [`InstanceMean`]. Inputs: the sums, dy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceMeanGrad;

/// Factor of the term of the distance, the second.
const DISTANCE: f32 = 4.0;

fn factor(term: usize) -> f64 {
    if term == 1 { f64::from(DISTANCE) } else { 1.0 }
}

fn check(op: &str, inputs: &[TensorDesc], more: &[(&str, TensorDesc)]) -> Result<TensorDesc> {
    let sums = inputs.first().map_or(0, |x| x.shape.c);
    if sums == 0 || !sums.is_multiple_of(4) || sums > 64 {
        return Err(Error::op(op, format!("{sums} sums are not those of terms in pairs")));
    }
    let sums = TensorDesc::linear(Shape::new(1, sums, 1, 1));
    let expected: Vec<_> = [("sums", sums)].into_iter().chain(more.iter().copied()).collect();
    expect(op, inputs, &expected).map(|()| sums)
}

fn descs(inputs: &[&HostTensor]) -> Result<Vec<TensorDesc>> {
    inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect()
}

/// Each sum with its weights.
fn terms(sums: &HostTensor) -> impl Iterator<Item = [f64; 2]> {
    sums.data().chunks_exact(2).map(|pair| [0, 1].map(|i| f64::from(pair[i])))
}

fn lower(cx: &mut Lowering, grad: bool) -> Result<()> {
    let pairs = (cx.input(0).c / 2) as u32;
    let mut bindings: Vec<_> = (0..cx.inputs.len()).map(Operand::Input).collect();
    bindings.push(Operand::Output(0));
    let key = KernelKey::new("loss_means").with("Y", bindings.len() as u32).flag("GRAD", grad);
    cx.dispatch(key, MeansParams { pairs, distance: DISTANCE }, bindings, [1, 1, 1])
}

shader_struct! {
    /// Parameters of `loss_means`.
    struct MeansParams {
        pairs: u32,
        distance: f32,
    }
}

impl Op for InstanceMean {
    fn name(&self) -> &'static str {
        "instance_mean"
    }

    fn has_kinks(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check(self.name(), inputs, &[])?;
        Ok(vec![SCALAR])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.infer(&descs(inputs)?)?;
        let mean: f64 = terms(inputs[0]).enumerate().map(|(i, [sum, weight])| factor(i) * sum / weight.max(1.0)).sum();
        Ok(vec![HostTensor::new([1, 1, 1, 1], vec![mean as f32])?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower(cx, false)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(builder.node("grad", InstanceMeanGrad, &[node.inputs[0], dy])?)])
    }
}

impl Op for InstanceMeanGrad {
    fn name(&self) -> &'static str {
        "instance_mean_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![check(self.name(), inputs, &[("dy", SCALAR)])?])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = self.infer(&descs(inputs)?)?[0].shape;
        let dy = f64::from(inputs[1].data()[0]);
        let grad = terms(inputs[0]).enumerate().flat_map(|(i, [sum, weight])| {
            let slope = dy * factor(i) / weight.max(1.0);
            [slope, if weight >= 1.0 { -slope * sum / weight } else { 0.0 }].map(|v| v as f32)
        });
        Ok(vec![HostTensor::new(s.dims(), grad.collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower(cx, true)
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let mut all = Vec::new();
    for (name, sums) in [
        ("distance", vec![4.5, 6.0, 1.25, 4.0]),
        ("multi", vec![4.5, 6.0, 1.25, 4.0, 5.5, 9.0, 0.75, 3.0]),
        ("little counts", vec![0.5, 0.75, 1.25, 4.0, 0.25, 0.5, 0.75, 3.0, 2.0, 1.5, 0.0, 0.0]),
        ("nothing counts", vec![0.0; 8]),
    ] {
        let sums = (TensorDesc::linear(Shape::new(1, sums.len(), 1, 1)), InputKind::Fixed(sums));
        all.push(case(format!("instance_mean/{name}"), InstanceMean, vec![sums.clone()]));
        let inputs = vec![sums, linear(SCALAR.shape)];
        all.push(case(format!("instance_mean_grad/{name}"), InstanceMeanGrad, inputs));
    }
    all
}
