//! Element-wise losses: binary cross entropy, focal loss, and the pixel terms of the U-Net++ papers.

use super::{SCALAR, second_stage};
use super::{case, expect, expect_pixels, linear, logistic, masks, partials, parts, pixel_weights, probabilities};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::ops::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, Spatial, ValueId, by_plane};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// The loss of an element with prediction x and target t, 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PixelLossKind {
    /// `torch.nn.functional.binary_cross_entropy_with_logits`.
    BceWithLogits,
    /// `-a (1 - q)^gamma log q`, where q is the probability of the true class: arXiv 1708.02002. From logits.
    FocalWithLogits {
        /// Focusing parameter γ.
        gamma: f32,
        /// `a` is alpha where t = 1 and 1 - alpha elsewhere; 1 if `None`.
        alpha: Option<f32>,
    },
    /// `torch.nn.functional.binary_cross_entropy`: from probabilities, with logarithms clamped to at least -100.
    Bce,
    /// As [`Self::FocalWithLogits`], but from probabilities, clamped to `eps .. 1 - eps`.
    Focal {
        /// Focusing parameter γ.
        gamma: f32,
        /// `a` is alpha where t = 1 and 1 - alpha elsewhere; 1 if `None`.
        alpha: Option<f32>,
        /// Lower bound of probabilities.
        eps: f32,
    },
    /// `-t log max(p, eps)`: the positive half of cross entropy, U-Net++ paper, arXiv 1807.10165.
    PositiveLog {
        /// Lower bound of probabilities.
        eps: f32,
    },
    /// `-(t log max(p, eps) + 2 t p / max(t^2 + p^2, eps))`: the hybrid loss of U-Net++, arXiv 1912.05074.
    TmiHybrid {
        /// Lower bound of probabilities and denominators.
        eps: f32,
    },
}

/// The mean of a loss over all elements. Inputs: x `[N, K, H, W]`, target NCHW `[N, K, H, W]`, weights NCHW `[N, 1, H, W]` if
/// `weighted`. Output: a scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelLoss {
    /// The loss.
    pub kind: PixelLossKind,
    /// Whether there is a weight map.
    pub weighted: bool,
}

/// Gradient of [`PixelLoss`]. Inputs: those of the forward op, then dy. Output: `[N, K, H, W]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelLossGrad {
    /// The forward op.
    pub forward: PixelLoss,
}

impl PixelLossKind {
    /// The constant `KIND` of `shaders/lib/pixel_loss.wgsl`.
    const fn id(&self) -> u32 {
        match self {
            Self::BceWithLogits => 1,
            Self::FocalWithLogits { .. } => 2,
            Self::Bce => 3,
            Self::Focal { .. } => 4,
            Self::PositiveLog { .. } => 5,
            Self::TmiHybrid { .. } => 6,
        }
    }

    const fn gamma(&self) -> f32 {
        match *self {
            Self::FocalWithLogits { gamma, .. } | Self::Focal { gamma, .. } => gamma,
            _ => 0.0,
        }
    }

    /// `a` where t = 1, and elsewhere.
    fn alphas(&self) -> [f32; 2] {
        match *self {
            Self::FocalWithLogits { alpha: Some(a), .. } | Self::Focal { alpha: Some(a), .. } => [a, 1.0 - a],
            _ => [1.0, 1.0],
        }
    }

    const fn eps(&self) -> f32 {
        match *self {
            Self::Focal { eps, .. } | Self::PositiveLog { eps } | Self::TmiHybrid { eps } => eps,
            _ => 1e-7,
        }
    }

    /// Whether x holds logits rather than probabilities.
    pub const fn takes_logits(&self) -> bool {
        matches!(self, Self::BceWithLogits | Self::FocalWithLogits { .. })
    }

    /// The loss and its derivative.
    fn at(&self, x: f64, t: f64) -> (f64, f64) {
        let (gamma, eps) = (f64::from(self.gamma()), f64::from(self.eps()));
        let alpha = f64::from(self.alphas()[if t > 0.5 { 0 } else { 1 }]);
        let sign = if t > 0.5 { 1.0 } else { -1.0 };
        // log(1 / (1 + exp(-v)))
        let log_logistic = |v: f64| v.min(0.0) - (-v.abs()).exp().ln_1p();
        match self {
            Self::BceWithLogits => (x.max(0.0) - x * t + (-x.abs()).exp().ln_1p(), logistic(x) - t),
            Self::FocalWithLogits { .. } => {
                let (z, complement) = (sign * x, logistic(-sign * x));
                let power = alpha * (gamma * log_logistic(-z)).exp();
                (-power * log_logistic(z), sign * power * (gamma * logistic(z) * log_logistic(z) - complement))
            }
            Self::Bce => {
                let loss = t * x.ln().max(-100.0) + (1.0 - t) * (1.0 - x).ln().max(-100.0);
                (-loss, (x - t) / (x * (1.0 - x)).max(1e-12))
            }
            Self::Focal { .. } => {
                let p = x.clamp(eps, 1.0 - eps);
                let own = if t > 0.5 { p } else { 1.0 - p };
                let power = alpha * (1.0 - own).powf(gamma);
                let slope = sign * power * (gamma * own.ln() / (1.0 - own) - 1.0 / own);
                (-power * own.ln(), if x == p { slope } else { 0.0 })
            }
            Self::PositiveLog { .. } => (-t * x.max(eps).ln(), if x >= eps { -t / x } else { 0.0 }),
            Self::TmiHybrid { .. } => {
                let square = t * t + x * x;
                let log = if x >= eps { 1.0 / x } else { 0.0 };
                let dice = if square >= eps { (t * t - x * x) / (square * square) } else { 1.0 / eps };
                (-t * (x.max(eps).ln() + 2.0 * x / square.max(eps)), -t * (log + 2.0 * dice))
            }
        }
    }
}

impl PixelLoss {
    fn infer_inputs(&self, op: &str, inputs: &[TensorDesc], more: &[(&str, TensorDesc)]) -> Result<Shape> {
        let s = expect_pixels(op, inputs)?;
        let (gamma, eps) = (self.kind.gamma(), self.kind.eps());
        if !(gamma >= 0.0 && gamma.is_finite() && eps > 0.0 && eps < 0.5) {
            return Err(Error::op(op, format!("gamma is {gamma}, eps is {eps}")));
        }
        let mut expected = vec![("x", TensorDesc::blocked(s)), ("target", TensorDesc::linear(s))];
        if self.weighted {
            expected.push(("weight", TensorDesc::linear(s.with_c(1))));
        }
        expected.extend(more);
        expect(op, inputs, &expected).map(|()| s)
    }

    fn key(&self, shader: &'static str, bindings: usize) -> KernelKey {
        KernelKey::new(shader).with("Y", bindings as u32).with("KIND", self.kind.id()).flag("WEIGHTED", self.weighted)
    }

    fn weight(&self, inputs: &[&HostTensor], i: usize) -> f64 {
        if self.weighted { f64::from(inputs[2].data()[i]) } else { 1.0 }
    }
}

fn descs(inputs: &[&HostTensor]) -> Result<Vec<TensorDesc>> {
    let desc = |(i, t): (usize, &&HostTensor)| {
        t.shape().map(|s| if i == 0 { TensorDesc::blocked(s) } else { TensorDesc::linear(s) })
    };
    inputs.iter().enumerate().map(desc).collect()
}

impl Op for PixelLoss {
    fn name(&self) -> &'static str {
        "pixel_loss"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithData
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.infer_inputs(self.name(), inputs, &[])?;
        Ok(vec![SCALAR])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.infer(&descs(inputs)?)?;
        let s = inputs[0].shape()?;
        let mut sum = 0.0;
        for n in 0..s.n {
            for (i, k) in (s.index(n, 0, 0, 0)..s.index(n + 1, 0, 0, 0)).enumerate() {
                let (x, t) = (f64::from(inputs[0].data()[k]), f64::from(inputs[1].data()[k]));
                sum += self.kind.at(x, t).0 * self.weight(inputs, n * s.pixels() + i % s.pixels());
            }
        }
        Ok(vec![HostTensor::new([1, 1, 1, 1], vec![(sum / s.len() as f64) as f32])?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let (parts, planes) = (parts(s), s.n * s.c.div_ceil(LANES));
        let scratch = partials(cx, planes * parts);
        let mut bindings: Vec<_> = (0..cx.inputs.len()).map(Operand::Input).collect();
        bindings.push(Operand::ScratchWrite(scratch));
        let key = self.key("loss_pixel", bindings.len());
        let Size { w, h, c, .. } = s.into();
        let [positive, negative] = self.kind.alphas();
        let params = PixelLossParams {
            x: cx.input_view(0),
            w,
            h,
            c,
            parts: parts as u32,
            gamma: self.kind.gamma(),
            positive,
            negative,
            eps: self.kind.eps(),
        };
        cx.dispatch(key, params, bindings, [parts, planes, 1])?;
        second_stage(cx, scratch, [1, planes * parts], 1, 0, 1.0 / s.len() as f64)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let mut grads = vec![None; node.inputs.len()];
        if let (Some(dy), true) = (node.grad(0), node.needs_grad(0)) {
            let inputs = [node.inputs, &[dy]].concat();
            grads[0] = Some(builder.node("grad", PixelLossGrad { forward: self.clone() }, &inputs)?);
        }
        Ok(grads)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("a loss sums over the whole image")
    }
}

impl Op for PixelLossGrad {
    fn name(&self) -> &'static str {
        "pixel_loss_grad"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithData
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let s = self.forward.infer_inputs(self.name(), inputs, &[("dy", SCALAR)])?;
        Ok(vec![TensorDesc::blocked(s)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = self.infer(&descs(inputs)?)?[0].shape;
        let dy = inputs.last().map_or(0.0, |d| f64::from(d.data()[0])) / s.len() as f64;
        Ok(vec![by_plane(s, |n, c, plane| {
            for (i, dx) in plane.iter_mut().enumerate() {
                let k = s.index(n, c, 0, 0) + i;
                let (x, t) = (f64::from(inputs[0].data()[k]), f64::from(inputs[1].data()[k]));
                *dx = (dy * self.forward.kind.at(x, t).1 * self.forward.weight(inputs, n * s.pixels() + i)) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let mut bindings: Vec<_> = (0..cx.inputs.len()).map(Operand::Input).collect();
        bindings.push(Operand::Output(0));
        let key = self.forward.key("loss_pixel_grad", bindings.len());
        let Size { w, h, c, .. } = s.into();
        let kind = &self.forward.kind;
        let [positive, negative] = kind.alphas();
        let params = PixelLossGradParams {
            x: cx.input_view(0),
            w,
            h,
            c,
            gamma: kind.gamma(),
            positive,
            negative,
            eps: kind.eps(),
            factor: (1.0 / s.len() as f64) as f32,
        };
        cx.dispatch(key, params, bindings, Lowering::per_vec4(s))
    }
}

shader_struct! {
    /// Parameters of `loss_pixel`.
    struct PixelLossParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        parts: u32,
        gamma: f32,
        positive: f32,
        negative: f32,
        eps: f32,
    }

    /// Parameters of `loss_pixel_grad`.
    struct PixelLossGradParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        gamma: f32,
        positive: f32,
        negative: f32,
        eps: f32,
        /// 1 / elements
        factor: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let (alpha, eps) = (Some(0.25), 1e-7);
    let small = Shape::new(1, 3, 2, 3);
    let mut all = Vec::new();
    for (name, kind, s, weighted) in [
        ("bce with logits", PixelLossKind::BceWithLogits, small, false),
        ("bce with logits, weighted, several workgroups", PixelLossKind::BceWithLogits, Shape::new(2, 5, 61, 73), true),
        ("focal with logits", PixelLossKind::FocalWithLogits { gamma: 2.0, alpha }, small, false),
        ("focal with logits, no alpha", PixelLossKind::FocalWithLogits { gamma: 1.5, alpha: None }, small, true),
        ("bce", PixelLossKind::Bce, small, true),
        ("bce of scores", PixelLossKind::Bce, Shape::new(5, 2, 1, 1), false),
        ("focal", PixelLossKind::Focal { gamma: 2.0, alpha, eps }, small, false),
        ("focal, plain", PixelLossKind::Focal { gamma: 0.0, alpha: None, eps }, Shape::new(1, 9, 7, 5), false),
        ("positive log", PixelLossKind::PositiveLog { eps }, small, false),
        ("tmi hybrid", PixelLossKind::TmiHybrid { eps }, small, false),
        ("tmi hybrid, batch", PixelLossKind::TmiHybrid { eps }, Shape::new(3, 2, 17, 19), false),
    ] {
        let forward = PixelLoss { kind, weighted };
        let x = if kind.takes_logits() { (TensorDesc::blocked(s), InputKind::Data) } else { probabilities(s) };
        let mut inputs = vec![x, masks(s)];
        inputs.extend(weighted.then(|| pixel_weights(s)));
        all.push(case(format!("pixel_loss/{name}"), forward.clone(), inputs.clone()));
        // Scales dy as if the mean were a sum, so that the gradient is of order 1.
        inputs.push((SCALAR, InputKind::Fixed(vec![s.len() as f32])));
        all.push(case(format!("pixel_loss_grad/{name}"), PixelLossGrad { forward }, inputs));
    }
    let mut extreme = vec![0.0, 1.0, 1e-9, 1.0 - 1e-7, 0.0, 1.0, 1e-9, 0.5];
    for (name, kind) in [
        ("bce", PixelLossKind::Bce),
        ("focal", PixelLossKind::Focal { gamma: 2.0, alpha, eps }),
        ("tmi", PixelLossKind::TmiHybrid { eps }),
    ] {
        let s = Shape::new(1, 1, 2, 4);
        let x = (TensorDesc::blocked(s), InputKind::Fixed(extreme.clone()));
        let inputs = vec![x, (TensorDesc::linear(s), InputKind::Fixed(vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]))];
        all.push(case(format!("pixel_loss/{name} of certainties"), PixelLoss { kind, weighted: false }, inputs));
    }
    extreme.iter_mut().for_each(|v| *v = (*v - 0.5) * 200.0);
    let s = Shape::new(1, 1, 2, 4);
    for kind in [PixelLossKind::BceWithLogits, PixelLossKind::FocalWithLogits { gamma: 2.0, alpha }] {
        let forward = PixelLoss { kind, weighted: false };
        let mut inputs = vec![(TensorDesc::blocked(s), InputKind::Fixed(extreme.clone())), masks(s)];
        all.push(case(format!("pixel_loss/logits of 100, {}", kind.id()), forward.clone(), inputs.clone()));
        inputs.push(linear(SCALAR.shape));
        all.push(case(format!("pixel_loss_grad/logits of 100, {}", kind.id()), PixelLossGrad { forward }, inputs));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_match_finite_differences() {
        let (alpha, eps) = (Some(0.25), 1e-7);
        for kind in [
            PixelLossKind::BceWithLogits,
            PixelLossKind::FocalWithLogits { gamma: 2.0, alpha },
            PixelLossKind::FocalWithLogits { gamma: 0.5, alpha: None },
            PixelLossKind::Bce,
            PixelLossKind::Focal { gamma: 2.0, alpha, eps },
            PixelLossKind::PositiveLog { eps },
            PixelLossKind::TmiHybrid { eps },
        ] {
            for t in [0.0, 1.0] {
                for x in [0.01, 0.2, 0.5, 0.9, 0.99] {
                    let h = 1e-6;
                    let expected = (kind.at(x + h, t).0 - kind.at(x - h, t).0) / (2.0 * h);
                    let got = kind.at(x, t).1;
                    assert!(
                        (got - expected).abs() < 1e-6 * expected.abs().max(1.0),
                        "{kind:?} at {x}, {t}: {got}, not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn settings_are_checked() {
        let s = Shape::new(1, 1, 2, 2);
        let inputs = [TensorDesc::blocked(s), TensorDesc::linear(s)];
        let of = |kind| PixelLoss { kind, weighted: false }.infer(&inputs);
        assert!(of(PixelLossKind::Bce).is_ok());
        assert!(of(PixelLossKind::Focal { gamma: f32::NAN, alpha: None, eps: 1e-7 }).is_err());
        assert!(of(PixelLossKind::PositiveLog { eps: 0.0 }).is_err());
    }
}
