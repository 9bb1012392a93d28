//! Normalisation in several steps, as model descriptions define it.

use serde::{Deserialize, Serialize};

/// Maximum number of steps; real rules have three.
const MAX_STEPS: usize = 32;

/// A step of [`Normalisation::Steps`](super::Normalisation::Steps).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum PixelStep {
    /// `x * gain + offset`.
    Linear {
        /// Factor of each channel (or one for all), not 0.
        gain: Vec<f64>,
        /// Summand of each channel (or one for all).
        offset: Vec<f64>,
    },
    /// `(x - mean) / (std + eps)`, population standard deviation.
    Standardise {
        /// Above 0.
        eps: f64,
        /// Pools the statistics of all channels.
        #[serde(default)]
        joint: bool,
    },
    /// `(x - p_low) / (p_high - p_low + eps)`, percentiles with linear interpolation.
    Range {
        /// Lower percentile, 0 to 100.
        low: f64,
        /// Upper percentile, 0 to 100.
        high: f64,
        /// Above 0.
        eps: f64,
        /// Pools the statistics of all channels.
        #[serde(default)]
        joint: bool,
    },
    /// Clamps to `low` and `high`.
    Clip {
        /// Smallest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        low: Option<f64>,
        /// Largest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        high: Option<f64>,
    },
}

impl PixelStep {
    /// Whether its statistics pool all channels; `None` for a step without statistics.
    pub fn joint(&self) -> Option<bool> {
        match *self {
            Self::Standardise { joint, .. } | Self::Range { joint, .. } => Some(joint),
            Self::Linear { .. } | Self::Clip { .. } => None,
        }
    }

    fn validate(&self) -> Result<(), String> {
        // Pixels are f32, so values are checked as f32.
        let finite = |v: f64| (v as f32).is_finite();
        match self {
            Self::Linear { gain, offset } => {
                let (g, o) = (gain.len(), offset.len());
                if g == 0 || o == 0 || (g != o && g != 1 && o != 1) {
                    return Err(format!("{g} gains and {o} offsets do not go together"));
                }
                if let Some(v) = gain.iter().find(|&&v| !(v as f32).is_normal()) {
                    return Err(format!("gain {v} is not a finite number other than 0"));
                }
                offset.iter().find(|&&v| !finite(v)).map_or(Ok(()), |v| Err(format!("offset {v} is not finite")))
            }
            Self::Standardise { eps, .. } | Self::Range { eps, .. } if !(*eps > 0.0 && (*eps as f32).is_normal()) => {
                Err(format!("eps {eps} is not a finite number above 0"))
            }
            Self::Range { low, high, .. } if !(0.0 <= *low && low < high && *high <= 100.0) => {
                Err(format!("percentiles must be 0 <= low < high <= 100, they are {low} and {high}"))
            }
            Self::Standardise { .. } | Self::Range { .. } => Ok(()),
            Self::Clip { low, high } => {
                let (a, b) = (low.unwrap_or(f64::from(f32::MIN)), high.unwrap_or(f64::from(f32::MAX)));
                if finite(a) && finite(b) && a < b {
                    return Ok(());
                }
                Err(format!("a clip from {low:?} to {high:?} is not a range of finite numbers"))
            }
        }
    }
}

/// Checks the order of steps: together they must be one affine map and one clamp per channel.
pub(super) fn validate(steps: &[PixelStep]) -> Result<(), String> {
    if steps.is_empty() || steps.len() > MAX_STEPS {
        return Err(format!("{} steps; 1 to {MAX_STEPS} are possible", steps.len()));
    }
    let (mut clipped, mut turned, mut single, mut scope) = (false, false, false, None);
    for step in steps {
        step.validate()?;
        match step {
            PixelStep::Clip { .. } => clipped = true,
            PixelStep::Linear { gain, offset } => {
                turned |= gain.iter().any(|&g| g < 0.0);
                single |= gain.len() > 1 || offset.len() > 1;
            }
            PixelStep::Standardise { joint, .. } | PixelStep::Range { joint, .. } => {
                if clipped {
                    return Err("statistics of clipped pixels are not supported".into());
                }
                if turned && matches!(step, PixelStep::Range { .. }) {
                    return Err("percentiles of pixels times a negative number are not supported".into());
                }
                if *joint && single {
                    return Err("statistics of all channels together, after steps of single channels".into());
                }
                if scope.replace(*joint).is_some_and(|before| before != *joint) {
                    return Err("statistics of single channels and of all together in one rule".into());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::PixelStep::*;
    use super::*;

    #[test]
    fn what_is_no_affine_map_is_refused() {
        let linear = |gain: &[f64]| Linear { gain: gain.to_vec(), offset: vec![0.0] };
        let std = |joint| Standardise { eps: 1e-6, joint };
        let range = |joint| Range { low: 1.0, high: 99.0, eps: 1e-6, joint };
        let clip = |low, high| Clip { low, high };
        let fine = [linear(&[2.0, 3.0]), range(false), std(false), linear(&[-1.0]), clip(Some(0.0), None)];
        assert_eq!(validate(&fine), Ok(()));
        for (steps, part) in [
            (vec![], "0 steps"),
            (vec![std(true); 40], "40 steps"),
            (vec![clip(Some(0.0), Some(1.0)), std(false)], "of clipped pixels"),
            (vec![linear(&[-1.0]), range(false)], "negative"),
            (vec![linear(&[1.0, 2.0]), std(true)], "after steps of single channels"),
            (vec![std(true), range(false)], "in one rule"),
            (vec![linear(&[0.0])], "gain 0"),
            (vec![linear(&[])], "0 gains"),
            (vec![linear(&[f64::NAN])], "gain NaN"),
            (vec![Standardise { eps: 0.0, joint: false }], "eps 0"),
            (vec![Range { low: 9.0, high: 9.0, eps: 1.0, joint: false }], "percentiles"),
            (vec![clip(Some(1.0), Some(f64::INFINITY))], "clip"),
            (vec![clip(Some(1.0), Some(0.0))], "clip"),
        ] {
            let e = validate(&steps).unwrap_err();
            assert!(e.contains(part), "{part}: {e}");
        }
    }
}
