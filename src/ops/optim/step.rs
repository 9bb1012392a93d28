//! One optimiser step on one parameter, as in `torch.optim`.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{InputKind, Lowering, Op, OpCase, expect_inputs};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};
use std::sync::Arc;

/// The optimiser, with the settings that stay constant over steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimiserKind {
    /// `torch.optim.SGD` without dampening.
    Sgd {
        /// 0 for none.
        momentum: f32,
        /// Nesterov momentum.
        nesterov: bool,
        /// L2 penalty, added to the gradient.
        weight_decay: f32,
    },
    /// `torch.optim.Adam`.
    Adam {
        /// Decay rates of the two moments.
        betas: [f32; 2],
        /// Added to the square root of the second moment.
        eps: f32,
        /// L2 penalty, added to the gradient.
        weight_decay: f32,
    },
    /// `torch.optim.AdamW`.
    AdamW {
        /// Decay rates of the two moments.
        betas: [f32; 2],
        /// Added to the square root of the second moment.
        eps: f32,
        /// Decoupled decay of the parameter, multiplied by the learning rate.
        weight_decay: f32,
    },
}

impl OptimiserKind {
    /// Number of moment tensors per parameter, each of its shape.
    pub const fn moments(&self) -> usize {
        match self {
            Self::Sgd { momentum, .. } if *momentum == 0.0 => 0,
            Self::Sgd { .. } => 1,
            Self::Adam { .. } | Self::AdamW { .. } => 2,
        }
    }

    /// L2 penalty added to the gradient.
    const fn decay(&self) -> f32 {
        match *self {
            Self::Sgd { weight_decay, .. } | Self::Adam { weight_decay, .. } => weight_decay,
            Self::AdamW { .. } => 0.0,
        }
    }
}

/// Hyper-parameters that change per step. They are a linear input `[1, 8, 1, 1]`, so a step neither compiles nor
/// allocates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// Learning rate.
    pub lr: f64,
    /// Step number, from 1.
    pub step: u64,
    /// Factor on the gradients: 1 over the number of accumulated batches.
    pub scale: f64,
    /// Whether to update the parameters, rather than only accumulate gradients.
    pub apply: bool,
    /// Whether to add to the accumulated gradients, rather than start over.
    pub keep: bool,
}

impl Hyper {
    /// Shape of the input.
    pub const SHAPE: Shape = Shape::new(1, 8, 1, 1);

    /// The elements of the input for an optimiser.
    pub fn words(&self, kind: &OptimiserKind) -> [f32; 8] {
        let t = self.step as f64;
        let (size, second, decay) = match *kind {
            OptimiserKind::Sgd { .. } => (self.lr, 1.0, 0.0),
            OptimiserKind::Adam { betas, .. } | OptimiserKind::AdamW { betas, .. } => {
                let [one, two] = betas.map(|b| 1.0 - f64::from(b).powf(t));
                let decay = if let OptimiserKind::AdamW { weight_decay, .. } = *kind { weight_decay } else { 0.0 };
                (self.lr / one, 1.0 / two.sqrt(), self.lr * f64::from(decay))
            }
        };
        let flag = |on: bool| f64::from(u8::from(on));
        [size, second, decay, self.scale, flag(self.apply), flag(self.keep), 0.0, 0.0].map(|v| v as f32)
    }
}

/// An optimiser step. Inputs, all linear: gradient, hyper-parameters ([`Hyper`]), a factor `[1, 1, 1, 1]` on the
/// gradient if `clip`, the parameter, then its moments. Parameter and moments are persistent variables that the outputs
/// update.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimiserStep {
    /// The optimiser.
    pub kind: OptimiserKind,
    /// Whether the gradient is multiplied by a clipping factor.
    pub clip: bool,
}

impl OptimiserStep {
    /// Index of the parameter among the inputs.
    const fn first(&self) -> usize {
        2 + self.clip as usize
    }
}

impl Op for OptimiserStep {
    fn name(&self) -> &'static str {
        "optimiser_step"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let count = self.first() + 1 + self.kind.moments();
        expect_inputs(self.name(), inputs, count)?;
        let variables = &inputs[self.first()..];
        let linear = inputs.iter().all(|i| i.layout == Layout::Linear);
        if !linear || inputs[1].shape != Hyper::SHAPE || variables.iter().any(|s| s.shape != inputs[0].shape) {
            return Err(Error::op(self.name(), format!("inputs {inputs:?} do not fit")));
        }
        Ok(variables.to_vec())
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let hyper: Vec<f64> = inputs[1].data().iter().map(|&v| f64::from(v)).collect();
        let mut variables: Vec<HostTensor> = inputs[self.first()..].iter().map(|&t| t.clone()).collect();
        if hyper[4] == 0.0 {
            return Ok(variables);
        }
        let clip = if self.clip { f64::from(inputs[2].data()[0]) } else { 1.0 };
        for i in 0..inputs[0].data().len() {
            let old: Vec<f64> = variables.iter().map(|s| f64::from(s.data()[i])).collect();
            let g = f64::from(inputs[0].data()[i]) * hyper[3] * clip + f64::from(self.kind.decay()) * old[0];
            let (step, moments) = match self.kind {
                OptimiserKind::Sgd { momentum: 0.0, .. } => (g, vec![]),
                OptimiserKind::Sgd { momentum, nesterov, .. } => {
                    let m = f64::from(momentum) * old[1] + g;
                    (if nesterov { g + f64::from(momentum) * m } else { m }, vec![m])
                }
                OptimiserKind::Adam { betas, eps, .. } | OptimiserKind::AdamW { betas, eps, .. } => {
                    let [one, two] = betas.map(f64::from);
                    let (m, v) = (one * old[1] + (1.0 - one) * g, two * old[2] + (1.0 - two) * g * g);
                    (m / (v.sqrt() * hyper[1] + f64::from(eps)), vec![m, v])
                }
            };
            variables[0].data_mut()[i] = (old[0] * (1.0 - hyper[2]) - hyper[0] * step) as f32;
            for (variable, m) in variables[1..].iter_mut().zip(moments) {
                variable.data_mut()[i] = m as f32;
            }
        }
        Ok(variables)
    }

    fn updates(&self) -> &[(usize, usize)] {
        match (self.clip, self.kind.moments()) {
            (false, 0) => &[(0, 2)],
            (false, 1) => &[(0, 2), (1, 3)],
            (false, _) => &[(0, 2), (1, 3), (2, 4)],
            (true, 0) => &[(0, 3)],
            (true, 1) => &[(0, 3), (1, 4)],
            (true, _) => &[(0, 3), (1, 4), (2, 5)],
        }
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let elements = cx.output(0).len();
        let fours = elements.is_multiple_of(4);
        let len = if fours { elements / 4 } else { elements };
        let (first, second, eps, nesterov) = match self.kind {
            OptimiserKind::Sgd { momentum, nesterov, .. } => (momentum, 0.0, 0.0, nesterov),
            OptimiserKind::Adam { betas, eps, .. } | OptimiserKind::AdamW { betas, eps, .. } => {
                (betas[0], betas[1], eps, false)
            }
        };
        let each = cx.elements_each();
        let invocations = len.div_ceil(each);
        let params = OptimiserStepParams {
            len: len as u32,
            row: cx.linear_row(invocations),
            first,
            second,
            eps,
            decay: self.kind.decay(),
            nesterov: nesterov.into(),
        };
        let moments = self.kind.moments();
        let key = KernelKey::new("optimiser_step")
            .with("FIRST", self.first() as u32 + 1)
            .with("EACH", each as u32)
            .flag("CLIP", self.clip)
            .flag("ADAM", moments == 2)
            .flag("HAS_M", moments > 0)
            .flag("HAS_V", moments > 1)
            .flag("FOURS", fours);
        let mut bindings: Vec<_> = (0..self.first()).map(Operand::Input).collect();
        bindings.extend((0..=moments).map(Operand::Output));
        cx.dispatch(key, params, bindings, cx.per_element(invocations))
    }
}

shader_struct! {
    /// Parameters of `optimiser_step`.
    struct OptimiserStepParams {
        len: u32,
        row: u32,
        /// Momentum, or beta1.
        first: f32,
        /// beta2
        second: f32,
        eps: f32,
        /// L2 penalty: times the parameter, added to the gradient.
        decay: f32,
        nesterov: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, kind: OptimiserKind, clip: bool, apply: bool, len: usize| {
        let linear = |s: Shape| TensorDesc::linear(s);
        let shape = Shape::new(len, 1, 1, 1);
        let hyper = Hyper { lr: 0.05, step: 3, scale: 0.5, apply, keep: false };
        let mut inputs = vec![
            (linear(shape), InputKind::Data),
            (linear(Hyper::SHAPE), InputKind::Fixed(hyper.words(&kind).to_vec())),
        ];
        inputs.extend(clip.then(|| (linear(Shape::new(1, 1, 1, 1)), InputKind::Fixed(vec![0.7]))));
        inputs.extend((0..=kind.moments()).map(|i| {
            // A second moment is positive.
            (linear(shape), if i == 2 { InputKind::Positive } else { InputKind::Data })
        }));
        OpCase { name: format!("optimiser_step/{name}"), op: Arc::new(OptimiserStep { kind, clip }), inputs }
    };
    let sgd = |momentum, nesterov, weight_decay| OptimiserKind::Sgd { momentum, nesterov, weight_decay };
    let (betas, eps) = ([0.9, 0.999], 1e-8);
    vec![
        case("sgd", sgd(0.0, false, 0.0), false, true, 70),
        case("sgd, momentum, decay", sgd(0.9, false, 1e-2), false, true, 5),
        case("sgd, nesterov, clipped", sgd(0.9, true, 0.0), true, true, 129),
        case("sgd, in fours", sgd(0.0, false, 0.1), false, true, 72),
        case("sgd, nesterov, clipped, in fours", sgd(0.9, true, 0.0), true, true, 132),
        case("adam", OptimiserKind::Adam { betas, eps, weight_decay: 1e-2 }, false, true, 200),
        case("adamw, clipped", OptimiserKind::AdamW { betas, eps, weight_decay: 0.1 }, true, true, 33),
        case("adam, not applied", OptimiserKind::Adam { betas, eps, weight_decay: 0.0 }, false, false, 9),
    ]
}
