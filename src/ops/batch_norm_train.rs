//! Batch normalisation in training mode.

use super::grad::{BatchNorm2dGrad, BatchStatistics};
use super::normalise::{Statistics, infer_affine, lower_normalise};
use super::{
    Backward, Function, GraphBuilder, InputKind, Lowering, Op, OpCase, Spatial, ValueId, map_elements, output_shape,
};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `torch.nn.BatchNorm2d` in training mode, followed by an activation: normalises every channel by its mean and biased
/// variance over the batch. Inputs: x, gamma, beta. Outputs: y, and linear `[1, C, 1, 1]` mean and biased variance.
/// Running statistics are [`MovingAverage`](super::MovingAverage)s of these.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm2dTrain {
    /// Added to the variance.
    pub eps: f32,
    /// Applied at the end; must be piecewise linear, so that its derivative follows from the sign of its argument.
    pub activation: Function,
}

impl Op for BatchNorm2dTrain {
    fn name(&self) -> &'static str {
        "batch_norm2d_train"
    }

    fn differentiable_outputs(&self, _: usize) -> usize {
        1
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        if !self.activation.is_piecewise_linear() {
            return Err(Error::op(
                self.name(),
                format!("activation {} is not piecewise linear", self.activation.name()),
            ));
        }
        let y = infer_affine(self.name(), self.eps, true, inputs)?;
        let statistic = TensorDesc::linear(Shape::new(1, y.shape.c, 1, 1));
        Ok(vec![y, statistic, statistic])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = output_shape(self, inputs)?;
        let statistics = Statistics::of(inputs[0], s.n)?;
        let y = map_elements(inputs[0], |_, c, v| {
            let (mean, var) = statistics.of_channel(c);
            let hat = (f64::from(v) - mean) / (var + f64::from(self.eps)).sqrt();
            let affine = hat * f64::from(inputs[1].data()[c]) + f64::from(inputs[2].data()[c]);
            self.activation.apply(affine) as f32
        })?;
        let per_channel = |f: &dyn Fn((f64, f64)) -> f64| {
            let all: Vec<f32> = (0..s.c).map(|c| f(statistics.of_channel(c)) as f32).collect();
            HostTensor::new([1, s.c, 1, 1], all)
        };
        Ok(vec![y, per_channel(&|s| s.0)?, per_channel(&|s| s.1)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let images = cx.input(0).n;
        lower_normalise(cx, images, self.eps, self.activation, true)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("batch norm in training mode averages over the whole image")
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        if node.grad(1).is_some() || node.grad(2).is_some() {
            return Err(Error::op(self.name(), "has no gradient through the outputs of its statistics"));
        }
        let Some(dy) = node.grad(0) else { return Ok(vec![None; 3]) };
        let op = BatchNorm2dGrad { eps: self.eps, activation: self.activation, statistics: BatchStatistics::Batch };
        let inputs = [node.inputs[0], dy, node.inputs[1], node.inputs[2], node.outputs[1], node.outputs[2]];
        Ok(builder.emit("grad", std::sync::Arc::new(op), &inputs)?.into_iter().map(Some).collect())
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, activation, s: Shape| {
        OpCase::new(format!("batch_norm2d_train/{name}"), BatchNorm2dTrain { eps: 1e-5, activation }, &[s])
            .parameter(&[s.c], InputKind::Positive)
            .parameter(&[s.c], InputKind::Parameter)
    };
    let none = Function::Identity;
    vec![
        case("batch", none, Shape::new(2, 3, 9, 11)),
        case("blocks, several rows per invocation", none, Shape::new(3, 9, 33, 50)),
        case("ReLU", Function::Relu, Shape::new(2, 5, 4, 6)),
        case("one image, leaky ReLU", Function::LeakyRelu { slope: 0.1 }, Shape::new(1, 8, 1, 40)),
        case("one pixel", none, Shape::new(4, 5, 1, 1)),
    ]
}
