//! Learning rates over time: pure functions of the step.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the learning rate goes on from its first value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// As it is.
    #[default]
    Constant,
    /// Times `gamma` every `every` steps: `torch.optim.lr_scheduler.StepLR`.
    Step {
        /// Steps.
        every: u64,
        /// Factor.
        gamma: f64,
    },
    /// Along half a cosine to `min_lr` at the last step: `CosineAnnealingLR`.
    Cosine {
        /// Last learning rate.
        #[serde(default)]
        min_lr: f64,
    },
    /// Times `(1 - step / steps) ^ power`.
    Poly {
        /// Exponent.
        power: f64,
    },
    /// Times `factor` when the monitored value has not improved for `patience` evaluations: `ReduceLROnPlateau`.
    Plateau {
        /// Factor.
        factor: f64,
        /// Evaluations.
        patience: u32,
        /// Least learning rate.
        #[serde(default)]
        min_lr: f64,
    },
}

/// What a plateau remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Best value so far.
    pub best: Option<f64>,
    /// Evaluations since.
    pub waited: u32,
    /// How often the rate was reduced.
    pub reduced: u32,
}

impl Plateau {
    /// Takes the value of an evaluation, larger is better.
    pub fn evaluated(&mut self, schedule: &Schedule, value: f64) {
        let Schedule::Plateau { patience, .. } = *schedule else { return };
        if self.best.is_none_or(|b| value > b) {
            (self.best, self.waited) = (Some(value), 0);
            return;
        }
        self.waited += 1;
        if self.waited > patience {
            (self.waited, self.reduced) = (0, self.reduced + 1);
        }
    }
}

impl Schedule {
    /// The learning rate of a step, from 0, of `steps`. In the first `warmup` steps it rises to that linearly.
    pub fn lr(&self, base: f64, step: u64, steps: u64, warmup: u64, plateau: &Plateau) -> f64 {
        let part = (step as f64 / steps.max(1) as f64).min(1.0);
        let lr = match *self {
            Self::Constant => base,
            Self::Step { every, gamma } => base * gamma.powi((step / every.max(1)) as i32),
            Self::Cosine { min_lr } => min_lr + (base - min_lr) * (1.0 + (std::f64::consts::PI * part).cos()) / 2.0,
            Self::Poly { power } => base * (1.0 - part).powf(power),
            Self::Plateau { factor, min_lr, .. } => (base * factor.powi(plateau.reduced as i32)).max(min_lr),
        };
        if step < warmup { lr * (step + 1) as f64 / warmup as f64 } else { lr }
    }

    /// Whether every value is possible.
    pub fn validate(&self) -> Result<()> {
        let fine = match *self {
            Self::Constant => true,
            Self::Step { every, gamma } => every > 0 && gamma > 0.0 && gamma.is_finite(),
            Self::Cosine { min_lr } => min_lr >= 0.0,
            Self::Poly { power } => power > 0.0,
            Self::Plateau { factor, min_lr, .. } => factor > 0.0 && factor < 1.0 && min_lr >= 0.0,
        };
        if fine { Ok(()) } else { Err(Error::invalid("schedule", format!("{self:?} has an impossible value"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_pytorch() {
        let lr = |s: Schedule, step| s.lr(0.1, step, 100, 0, &Plateau::default());
        // torch.optim.lr_scheduler.CosineAnnealingLR(opt, 100, 0.001) after 0, 25, 50 and 100 steps.
        for (step, expected) in [(0, 0.1), (25, 0.085_501_785_7), (50, 0.0505), (100, 0.001)] {
            assert!((lr(Schedule::Cosine { min_lr: 0.001 }, step) - expected).abs() < 1e-9, "{step}");
        }
        assert!((lr(Schedule::Step { every: 30, gamma: 0.1 }, 59) - 0.01).abs() < 1e-12);
        assert!((lr(Schedule::Poly { power: 0.9 }, 50) - 0.1 * 0.5f64.powf(0.9)).abs() < 1e-12);
        assert_eq!(lr(Schedule::Constant, 99), 0.1);
    }

    #[test]
    fn warm_up_rises_linearly() {
        let lr = |step| Schedule::Constant.lr(1.0, step, 100, 4, &Plateau::default());
        assert_eq!([lr(0), lr(1), lr(3), lr(4)], [0.25, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn a_plateau_waits_then_reduces() {
        let schedule = Schedule::Plateau { factor: 0.5, patience: 1, min_lr: 0.2 };
        let mut plateau = Plateau::default();
        for value in [0.5, 0.6, 0.6, 0.6, 0.55, 0.58, 0.1, 0.1] {
            plateau.evaluated(&schedule, value);
        }
        assert_eq!(plateau.reduced, 3);
        assert_eq!(schedule.lr(1.0, 0, 1, 0, &plateau), 0.2);
    }
}
