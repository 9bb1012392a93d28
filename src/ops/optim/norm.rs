//! Gradient clipping by the global norm.

use super::Hyper;
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{InputKind, Lowering, Op, OpCase, OptimiserKind, expect_inputs};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};
use std::sync::Arc;

const SCALAR: Shape = Shape::new(1, 1, 1, 1);

/// Sum of the squares of all elements of a linear tensor: a linear scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SquaredNorm;

/// `torch.nn.utils.clip_grad_norm_`: the factor that brings the norm of all gradients down to `max`. Inputs: the sum of
/// the squares of the unscaled gradients, a linear scalar, and hyper-parameters ([`Hyper`]), whose scale multiplies the
/// norm. Output: a scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipFactor {
    /// Largest norm.
    pub max: f32,
}

impl Op for SquaredNorm {
    fn name(&self) -> &'static str {
        "squared_norm"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        if inputs[0].layout != Layout::Linear {
            return Err(Error::op(self.name(), format!("of {:?}", inputs[0])));
        }
        Ok(vec![TensorDesc::linear(SCALAR)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let sum: f64 = inputs[0].data().iter().map(|&v| f64::from(v).powi(2)).sum();
        Ok(vec![HostTensor::new([1, 1, 1, 1], vec![sum as f32])?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let len = cx.input(0).len();
        // 16 elements per invocation, and no more partial sums than one workgroup adds at once.
        let groups = len.div_ceil(256 * 16).clamp(1, 256);
        let parts = cx.scratch(groups as u64 * 4);
        let params = |len: usize, groups: usize| SquaredNormParams { len: len as u32, groups: groups as u32 };
        let key = KernelKey::new("squared_norm");
        let bindings = [Operand::Input(0), Operand::ScratchWrite(parts)];
        cx.dispatch(key.clone(), params(len, groups), bindings, [groups, 1, 1])?;
        let bindings = [Operand::ScratchRead(parts), Operand::Output(0)];
        cx.dispatch(key.flag("LAST", true), params(groups, 1), bindings, [1; 3])
    }
}

impl Op for ClipFactor {
    fn name(&self) -> &'static str {
        "clip_factor"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        if inputs[0] != TensorDesc::linear(SCALAR) || inputs[1] != TensorDesc::linear(Hyper::SHAPE) {
            return Err(Error::op(self.name(), format!("inputs {inputs:?} do not fit")));
        }
        Ok(vec![inputs[0]])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let norm = f64::from(inputs[0].data()[0]).sqrt() * f64::from(inputs[1].data()[3]);
        let factor = (f64::from(self.max) / (norm + 1e-6)).min(1.0);
        Ok(vec![HostTensor::new([1, 1, 1, 1], vec![factor as f32])?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        cx.dispatch(KernelKey::new("clip_factor"), ClipFactorParams { max: self.max }, bindings, [1; 3])
    }
}

shader_struct! {
    /// Parameters of `squared_norm`.
    struct SquaredNormParams {
        len: u32,
        groups: u32,
    }

    /// Parameters of `clip_factor`.
    struct ClipFactorParams {
        max: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let norm = |shape: Shape| OpCase {
        name: format!("squared_norm/{shape}"),
        op: Arc::new(SquaredNorm),
        inputs: vec![(TensorDesc::linear(shape), InputKind::Data)],
    };
    let clip = |name: &str, total: f32| {
        let hyper = Hyper { lr: 0.1, step: 1, scale: 0.5, apply: true, keep: false };
        let kind = OptimiserKind::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        OpCase {
            name: format!("clip_factor/{name}"),
            op: Arc::new(ClipFactor { max: 1.5 }),
            inputs: vec![
                (TensorDesc::linear(SCALAR), InputKind::Fixed(vec![total])),
                (TensorDesc::linear(Hyper::SHAPE), InputKind::Fixed(hyper.words(&kind).to_vec())),
            ],
        }
    };
    vec![
        norm(SCALAR),
        norm(Shape::new(5, 7, 3, 3)),
        norm(Shape::new(64, 130, 3, 3)),
        clip("clipped", 100.0),
        clip("small", 4.0),
    ]
}
