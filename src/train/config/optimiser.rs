//! The section `[optimiser]`.

use crate::error::{Error, Result};
use crate::names::{Name, Named, named};
use crate::ops::OptimiserKind;
use serde::{Deserialize, Serialize};

/// The name of an optimiser, as in `torch.optim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptimiserName {
    /// Stochastic gradient descent.
    Sgd,
    /// Adam.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
}

impl Named for OptimiserName {
    const WHAT: &'static str = "optimiser";
    const NAMES: &'static [Name<Self>] = &[
        Name::new(Self::Sgd, "sgd", "Stochastic gradient descent"),
        Name::new(Self::Adam, "adam", "Adam"),
        Name::new(Self::AdamW, "adamw", "Adam with decoupled weight decay"),
    ];
}

named!(OptimiserName);

/// The optimiser: names and defaults as in `torch.optim`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserConfig {
    /// `sgd`, `adam` or `adamw`.
    pub kind: OptimiserName,
    /// Learning rate.
    pub lr: f64,
    /// Momentum, for `sgd`.
    pub momentum: f32,
    /// Nesterov momentum, for `sgd`.
    pub nesterov: bool,
    /// L2 penalty; decoupled decay for `adamw`.
    pub weight_decay: f32,
    /// Decay rates of the moments, for `adam` and `adamw`.
    pub betas: [f32; 2],
    /// Added to the denominator, for `adam` and `adamw`.
    pub eps: f32,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            kind: OptimiserName::Adam,
            lr: 1e-3,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            eps: 1e-8,
        }
    }
}

impl OptimiserConfig {
    /// The optimiser's kind and parameters. Errors if a value is out of range.
    pub fn kind(&self) -> Result<OptimiserKind> {
        let Self { momentum, nesterov, weight_decay, betas, eps, .. } = *self;
        let positive = self.lr > 0.0 && self.lr.is_finite() && weight_decay >= 0.0 && eps > 0.0;
        if !positive || !(0.0..1.0).contains(&momentum) || betas.iter().any(|b| !(0.0..1.0).contains(b)) {
            return Err(Error::invalid("optimiser", format!("{self:?} has an impossible value")));
        }
        Ok(match self.kind {
            OptimiserName::Sgd => OptimiserKind::Sgd { momentum, nesterov, weight_decay },
            OptimiserName::Adam => OptimiserKind::Adam { betas, eps, weight_decay },
            OptimiserName::AdamW => OptimiserKind::AdamW { betas, eps, weight_decay },
        })
    }
}
