//! Gradient of batch normalisation.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Packing;
use crate::ops::{Function, InputKind, Lowering, Op, OpCase, expect_inputs, expect_per_channel};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// Source of the statistics of a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchStatistics {
    /// The batch: statistics depend on x.
    Batch,
    /// Previous batches: statistics are constants.
    Running,
}

/// Gradient of [`BatchNorm2dTrain`](crate::ops::BatchNorm2dTrain) and [`BatchNorm2d`](crate::ops::BatchNorm2d). Inputs: x, dy,
/// gamma, beta, and the mean and (biased) variance. Outputs: dx, and linear dgamma and dbeta.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm2dGrad {
    /// Added to the variance.
    pub eps: f32,
    /// The activation after the normalisation.
    pub activation: Function,
    /// Source of mean and variance.
    pub statistics: BatchStatistics,
}

impl Op for BatchNorm2dGrad {
    fn name(&self) -> &'static str {
        "batch_norm2d_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 6)?;
        let s = inputs[0].shape;
        if inputs[1].shape != s || s.is_empty() || !self.activation.is_piecewise_linear() {
            let reason = format!("x is {s}, dy is {}, activation {:?}", inputs[1].shape, self.activation);
            return Err(Error::op(self.name(), reason));
        }
        for (name, p) in ["gamma", "beta", "mean", "variance"].iter().zip(&inputs[2..]) {
            expect_per_channel(self.name(), name, p, s.c)?;
        }
        let per_channel = TensorDesc::linear(Shape::new(1, s.c, 1, 1));
        Ok(vec![TensorDesc::blocked(s), per_channel, per_channel])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let count = (s.n * s.pixels()) as f64;
        let mut dx = HostTensor::zeros(s);
        let (mut dgamma, mut dbeta) = (Vec::new(), Vec::new());
        for c in 0..s.c {
            let [gamma, beta, mean, var] = [2, 3, 4, 5].map(|i| f64::from(inputs[i].data()[c]));
            let inverse = 1.0 / (var + f64::from(self.eps)).sqrt();
            let indices = || (0..s.n).flat_map(move |n| s.index(n, c, 0, 0)..s.index(n, c, 0, 0) + s.pixels());
            // The normalised element, and the gradient before the activation.
            let at = |i: usize| {
                let hat = (f64::from(inputs[0].data()[i]) - mean) * inverse;
                (hat, f64::from(inputs[1].data()[i]) * self.activation.slope(hat * gamma + beta))
            };
            let (sum, product) = indices().map(at).fold((0.0, 0.0), |a, (hat, dy)| (a.0 + dy, a.1 + dy * hat));
            for i in indices() {
                let (hat, dy) = at(i);
                // The gradient through the statistics.
                let through = match self.statistics {
                    BatchStatistics::Batch => (sum + hat * product) / count,
                    BatchStatistics::Running => 0.0,
                };
                dx.data_mut()[i] = (gamma * inverse * (dy - through)) as f32;
            }
            dgamma.push(product as f32);
            dbeta.push(sum as f32);
        }
        Ok(vec![dx, HostTensor::new([1, s.c, 1, 1], dgamma)?, HostTensor::new([1, s.c, 1, 1], dbeta)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let blocks = s.c.div_ceil(LANES);
        let affine = cx.weights_f32([2, 3], Packing::pairs_len(s.c), Packing::affine(s.c, 2));
        let coefficients = cx.scratch((blocks * 8 * LANES * 4) as u64);
        let Size { w, h, c, blocks: channel_blocks } = s.into();
        let factor = match self.statistics {
            BatchStatistics::Batch => (1.0 / (s.n * s.pixels()) as f64) as f32,
            BatchStatistics::Running => 0.0,
        };
        let [alpha, beta] = self.activation.arguments();
        let (x, dy) = (cx.input_view(0), cx.input_view(1));
        let params = StatisticsParams { x, dy, w, h, c, images: s.n as u32, factor, eps: self.eps, alpha, beta };
        let id = self.activation.id();
        cx.dispatch(
            cx.per_map(KernelKey::new("batch_norm_grad_statistics").with("ACTIVATION", id)),
            params,
            [
                Operand::Input(0),
                Operand::Input(1),
                affine,
                Operand::Input(4),
                Operand::Input(5),
                Operand::ScratchWrite(coefficients),
            ],
            [blocks, 1, 1],
        )?;
        cx.reads(Operand::ScratchRead(coefficients), s.pixels() as f64);
        let dx = cx.output_view(0);
        let params = BatchNormGradParams { x, dx, w, h, blocks: channel_blocks, alpha, beta, c, image: 0, images: 1 };
        let mut bindings = vec![Operand::Input(0), Operand::Input(1), Operand::ScratchRead(coefficients)];
        bindings.extend([0, 1, 2].map(Operand::Output));
        let (key, grid) = cx.per_area(KernelKey::new("batch_norm_grad").with("ACTIVATION", id), s);
        cx.dispatch(key, params, bindings, grid)
    }
}

shader_struct! {
    /// Parameters of `batch_norm_grad_statistics`.
    pub(super) struct StatisticsParams {
        x: View,
        dy: View,
        w: u32,
        h: u32,
        c: u32,
        /// Images that share statistics.
        images: u32,
        /// 1 / elements that share statistics; 0 for constant statistics.
        factor: f32,
        eps: f32,
        alpha: f32,
        beta: f32,
    }

    /// Parameters of `batch_norm_grad`.
    pub(super) struct BatchNormGradParams {
        x: View,
        /// View of dx and dy.
        dx: View,
        w: u32,
        h: u32,
        blocks: u32,
        alpha: f32,
        beta: f32,
        c: u32,
        /// Stride of the coefficients per image; 0 if all images share them.
        image: u32,
        /// Images whose dgamma and dbeta are summed.
        images: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, activation, statistics, s: Shape| {
        let op = BatchNorm2dGrad { eps: 1e-5, activation, statistics };
        let mut case = OpCase::new(format!("batch_norm2d_grad/{name}"), op, &[s, s])
            .parameter(&[s.c], InputKind::Positive)
            .parameter(&[s.c], InputKind::Parameter);
        let statistic = TensorDesc::linear(Shape::new(1, s.c, 1, 1));
        case.inputs.extend([(statistic, InputKind::Data), (statistic, InputKind::Fixed(vec![0.4; s.c]))]);
        case
    };
    vec![
        case("batch", Function::Identity, BatchStatistics::Batch, Shape::new(2, 3, 9, 11)),
        case("ReLU, blocks", Function::Relu, BatchStatistics::Batch, Shape::new(2, 9, 37, 23)),
        case("running statistics", Function::Identity, BatchStatistics::Running, Shape::new(2, 6, 5, 7)),
        case("leaky ReLU", Function::LeakyRelu { slope: 0.1 }, BatchStatistics::Batch, Shape::new(1, 4, 5, 7)),
    ]
}
