//! Gradient of instance normalisation.

use super::batch_norm::{BatchNormGradParams, StatisticsParams};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size};
use crate::ops::Packing;
use crate::ops::{Function, InputKind, Lowering, Op, OpCase, expect_inputs, expect_per_channel};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// Gradient of [`InstanceNorm2d`](crate::ops::InstanceNorm2d). Inputs: x, dy, and gamma if `affine`. Outputs: dx, and linear
/// dgamma and dbeta. Recomputing the statistics is cheaper than storing them.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceNorm2dGrad {
    /// Added to the variance.
    pub eps: f32,
    /// Whether there is a gamma; otherwise it is 1.
    pub affine: bool,
}

impl Op for InstanceNorm2dGrad {
    fn name(&self) -> &'static str {
        "instance_norm2d_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2 + usize::from(self.affine))?;
        let s = inputs[0].shape;
        if inputs[1].shape != s || s.is_empty() {
            return Err(Error::op(self.name(), format!("x is {s}, dy is {}", inputs[1].shape)));
        }
        inputs[2..].iter().try_for_each(|p| expect_per_channel(self.name(), "gamma", p, s.c))?;
        let per_channel = TensorDesc::linear(Shape::new(1, s.c, 1, 1));
        Ok(vec![TensorDesc::blocked(s), per_channel, per_channel])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let count = s.pixels() as f64;
        let mut dx = HostTensor::zeros(s);
        let (mut dgamma, mut dbeta) = (vec![0.0; s.c], vec![0.0; s.c]);
        for (n, c) in (0..s.n).flat_map(|n| (0..s.c).map(move |c| (n, c))) {
            let start = s.index(n, c, 0, 0);
            let plane = |i: usize| inputs[i].data()[start..start + s.pixels()].iter().map(|&v| f64::from(v));
            let mean = plane(0).sum::<f64>() / count;
            let var = plane(0).map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            let inverse = 1.0 / (var + f64::from(self.eps)).sqrt();
            let gamma = inputs.get(2).map_or(1.0, |g| f64::from(g.data()[c]));
            let pairs: Vec<(f64, f64)> = plane(0).map(|v| (v - mean) * inverse).zip(plane(1)).collect();
            let (sum, product) = pairs.iter().fold((0.0, 0.0), |a, (hat, dy)| (a.0 + dy, a.1 + dy * hat));
            for (to, (hat, dy)) in dx.data_mut()[start..].iter_mut().zip(&pairs) {
                *to = (gamma * inverse * (dy - (sum + hat * product) / count)) as f32;
            }
            dgamma[c] += product;
            dbeta[c] += sum;
        }
        let per_channel = |v: Vec<f64>| HostTensor::new([1, s.c, 1, 1], v.into_iter().map(|v| v as f32).collect());
        Ok(vec![dx, per_channel(dgamma)?, per_channel(dbeta)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let blocks = s.c.div_ceil(LANES);
        let parameters: Vec<usize> = (2..cx.inputs.len()).collect();
        // Without an activation the shift does not matter.
        let affine = Packing::affine(s.c, parameters.len().min(1));
        let affine = cx.weights_f32(parameters, Packing::pairs_len(s.c), affine);
        let coefficients = cx.scratch((s.n * blocks * 8 * LANES * 4) as u64);
        let Size { w, h, c, blocks: channel_blocks } = s.into();
        let factor = (1.0 / s.pixels() as f64) as f32;
        let [alpha, beta] = Function::Identity.arguments();
        let (x, dy) = (cx.input_view(0), cx.input_view(1));
        let params = StatisticsParams { x, dy, w, h, c, images: 1, factor, eps: self.eps, alpha, beta };
        let id = Function::Identity.id();
        let bindings = [Operand::Input(0), Operand::Input(1), affine, Operand::ScratchWrite(coefficients)];
        let key = KernelKey::new("batch_norm_grad_statistics").with("ACTIVATION", id).flag("INSTANCE", true);
        let key = cx.per_map(key);
        cx.reads(Operand::Input(0), 4.0);
        cx.dispatch(key, params, bindings, [blocks, s.n, 1])?;
        cx.reads(Operand::ScratchRead(coefficients), s.pixels() as f64);
        let params = BatchNormGradParams {
            x,
            dx: cx.output_view(0),
            w,
            h,
            blocks: channel_blocks,
            alpha,
            beta,
            c,
            image: 8 * channel_blocks,
            images: s.n as u32,
        };
        let mut bindings = vec![Operand::Input(0), Operand::Input(1), Operand::ScratchRead(coefficients)];
        bindings.extend([0, 1, 2].map(Operand::Output));
        let (key, grid) = cx.per_area(KernelKey::new("batch_norm_grad").with("ACTIVATION", id), s);
        cx.dispatch(key, params, bindings, grid)
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, affine: bool, s: Shape| {
        let op = InstanceNorm2dGrad { eps: 1e-3, affine };
        let case = OpCase::new(format!("instance_norm2d_grad/{name}"), op, &[s, s]);
        if affine { case.parameter(&[s.c], InputKind::Positive) } else { case }
    };
    vec![
        case("batch", true, Shape::new(2, 3, 9, 11)),
        case("blocks", true, Shape::new(3, 9, 37, 23)),
        case("not affine", false, Shape::new(2, 6, 5, 18)),
    ]
}
