//! A model's normalisation as the device follows it.
//!
//! All that comes before a statistic is affine, so the statistic follows from that of the pixels as they are, and all statistics
//! are of those. A step that depends on the image makes `gain / divisor * (x - centre) + offset` of a channel, with
//! `divisor = max(factor * spread + eps, floor)`, where `gain` and `factor` contain the scale of the steps before; only the last
//! one has an offset, and is clamped.

use crate::error::{Error, Result};
use crate::infer::normalise::{FLOOR, constant_maps, per_channel};
use crate::infer::{ChannelAffine, SourceInfo};
use crate::weights::{Normalisation, PixelStep};

/// What centre and spread are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Statistic {
    /// Two percentiles: the low one, and its distance to the high one.
    Percentiles([f64; 2]),
    /// The least value, and its distance to the largest.
    Extremes,
    /// Mean and population standard deviation.
    Deviation,
}

/// What a step makes of a channel, in terms of a statistic. The device multiplies `factor` and `gain` by the scale of the step
/// that depended on the image before, if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ChannelRule {
    pub factor: f64,
    pub eps: f64,
    pub floor: f64,
    pub gain: f64,
    pub offset: f64,
    pub low: f64,
    pub high: f64,
}

impl ChannelRule {
    const PLAIN: Self =
        Self { factor: 1.0, eps: 0.0, floor: 0.0, gain: 1.0, offset: 0.0, low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// As the kernel reads it.
    pub(super) fn words(&self) -> [f32; 8] {
        let Self { factor, eps, floor, gain, offset, low, high } = *self;
        let [low, high] = [(low as f32).max(-f32::MAX), (high as f32).min(f32::MAX)];
        [factor as f32, eps as f32, floor as f32, gain as f32, offset as f32, low, high, 0.0]
    }
}

/// A step that depends on the image, with the fixed ones around it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub statistic: Statistic,
    pub channels: Vec<ChannelRule>,
}

/// How pixels become network input.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// The same for every image.
    Fixed(Vec<ChannelAffine>),
    /// By statistics of each channel, or of all channels together, one step after another.
    Measured { steps: Vec<Measured>, pooled: bool },
}

impl Rule {
    /// The rule for images of these properties, with the network's channels.
    pub(super) fn of(normalisation: &Normalisation, info: SourceInfo) -> Result<Self> {
        normalisation.validate().map_err(|e| Error::invalid("normalisation", e))?;
        let floored = ChannelRule { floor: FLOOR, ..ChannelRule::PLAIN };
        let all = |statistic, rule: ChannelRule| {
            let steps = vec![Measured { statistic, channels: vec![rule; info.channels] }];
            Self::Measured { steps, pooled: false }
        };
        match normalisation {
            Normalisation::Percentile { low, high, clamp } => {
                let [from, to] = clamp.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
                let rule = ChannelRule { low: from, high: to, ..floored };
                Ok(all(Statistic::Percentiles([*low, *high]), rule))
            }
            Normalisation::MinMax => Ok(all(Statistic::Extremes, floored)),
            Normalisation::ZScore => Ok(all(Statistic::Deviation, floored)),
            Normalisation::Steps { steps } if steps.iter().any(|s| s.joint().is_some()) => {
                measured(steps, info.channels)
            }
            _ => Ok(Self::Fixed(constant_maps(info, normalisation)?)),
        }
    }
}

/// The fixed steps since the last one that depends on the image: `gain * x + offset`, then clamped.
#[derive(Clone, Copy)]
struct Since {
    gain: f64,
    offset: f64,
    low: f64,
    high: f64,
}

impl Since {
    const NOTHING: Self = Self { gain: 1.0, offset: 0.0, low: f64::NEG_INFINITY, high: f64::INFINITY };

    fn then(self, gain: f64, offset: f64) -> Self {
        let [a, b] = [self.low, self.high].map(|v| v * gain + offset);
        let (low, high) = if gain < 0.0 { (b, a) } else { (a, b) };
        Self { gain: self.gain * gain, offset: self.offset * gain + offset, low, high }
    }

    fn clamped(self, low: Option<f64>, high: Option<f64>) -> Self {
        let within = |v: f64| v.max(low.unwrap_or(f64::NEG_INFINITY)).min(high.unwrap_or(f64::INFINITY));
        Self { low: within(self.low), high: within(self.high), ..self }
    }
}

/// Steps of which some depend on the image.
fn measured(steps: &[PixelStep], channels: usize) -> Result<Rule> {
    let statistic = |step: &PixelStep| match *step {
        PixelStep::Standardise { .. } => Some(Statistic::Deviation),
        PixelStep::Range { low, high, .. } => Some(Statistic::Percentiles([low, high])),
        PixelStep::Linear { .. } | PixelStep::Clip { .. } => None,
    };
    let mut all: Vec<Measured> =
        steps.iter().filter_map(statistic).map(|statistic| Measured { statistic, channels: Vec::new() }).collect();
    for channel in 0..channels {
        let (mut since, mut rules) = (Since::NOTHING, Vec::with_capacity(all.len()));
        for step in steps {
            match step {
                PixelStep::Linear { gain, offset } => {
                    let gain = per_channel("gain", gain, channel, channels)?;
                    since = since.then(gain, per_channel("offset", offset, channel, channels)?);
                }
                PixelStep::Clip { low, high } => since = since.clamped(*low, *high),
                // What was added before moves the centre as it moves the pixels.
                PixelStep::Standardise { eps, .. } | PixelStep::Range { eps, .. } => {
                    let factor = since.gain.abs();
                    rules.push(ChannelRule { factor, eps: *eps, gain: since.gain, ..ChannelRule::PLAIN });
                    since = Since::NOTHING;
                }
            }
        }
        if let Some(last) = rules.last_mut() {
            let Since { gain, offset, low, high } = since;
            *last = ChannelRule { gain: last.gain * gain, offset, low, high, ..*last };
        }
        all.iter_mut().zip(rules).for_each(|(step, rule)| step.channels.push(rule));
    }
    let pooled = steps.iter().any(|s| s.joint() == Some(true));
    Ok(Rule::Measured { steps: all, pooled })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{ChannelKind, Sample};

    /// Statistics that do not follow from those of the pixels are refused, as they are where models are read.
    #[test]
    fn statistics_that_cannot_be_had_are_refused() {
        let std = |joint| PixelStep::Standardise { eps: 0.1, joint };
        let clip = PixelStep::Clip { low: Some(0.0), high: None };
        let info = SourceInfo { width: 8, height: 8, channels: 3, sample: Sample::U8, kind: ChannelKind::RGB };
        for (steps, part) in [
            (vec![std(false), clip, std(false)], "statistics of clipped pixels"),
            (vec![std(false), std(true)], "of single channels and of all together"),
        ] {
            let e = Rule::of(&Normalisation::Steps { steps }, info).unwrap_err().to_string();
            assert!(e.contains("normalisation") && e.contains(part), "{e}");
        }
    }
}
