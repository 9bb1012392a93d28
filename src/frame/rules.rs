//! A model's normalisation as the device follows it.
//!
//! A rule has at most one step that depends on the image. What comes before it is affine with fixed numbers, and what comes
//! after it too, so a channel is `gain / divisor * (x - centre) + offset` with `divisor = max(factor * spread + eps, floor)`,
//! then clamped.

use crate::error::{Error, Result};
use crate::infer::normalise::{FLOOR, constant_maps, per_channel, requested};
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

/// The rule of a channel in terms of a statistic.
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

/// How pixels become network input.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// The same for every image.
    Fixed(Vec<ChannelAffine>),
    /// By a statistic of each channel, or of all channels together.
    Measured { statistic: Statistic, pooled: bool, channels: Vec<ChannelRule> },
}

impl Rule {
    /// The rule for images of these properties, with the network's channels.
    pub(super) fn of(normalisation: &Normalisation, info: SourceInfo) -> Result<Self> {
        requested(normalisation)?;
        let floored = ChannelRule { floor: FLOOR, ..ChannelRule::PLAIN };
        let all = |statistic, rule: ChannelRule| Self::Measured {
            statistic,
            pooled: false,
            channels: vec![rule; info.channels],
        };
        match normalisation {
            Normalisation::Percentile { low, high, clamp } => {
                let [from, to] = clamp.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
                let rule = ChannelRule { low: from, high: to, ..floored };
                Ok(all(Statistic::Percentiles([*low, *high]), rule))
            }
            Normalisation::MinMax => Ok(all(Statistic::Extremes, floored)),
            Normalisation::ZScore => Ok(all(Statistic::Deviation, floored)),
            Normalisation::Steps { steps } => match steps.iter().filter(|s| s.joint().is_some()).count() {
                0 => Ok(Self::Fixed(constant_maps(info, normalisation)?)),
                1 => measured(steps, info.channels),
                n => {
                    let reason = format!("{n} steps depend on the image; a frame computes one");
                    Err(Error::invalid("normalisation", reason))
                }
            },
            _ => Ok(Self::Fixed(constant_maps(info, normalisation)?)),
        }
    }
}

/// Steps of which one depends on the image.
fn measured(steps: &[PixelStep], channels: usize) -> Result<Rule> {
    let (mut statistic, mut pooled) = (Statistic::Deviation, false);
    let mut rules = Vec::with_capacity(channels);
    for channel in 0..channels {
        let mut rule = ChannelRule::PLAIN;
        // The factor ahead of the statistic.
        let mut before = 1.0;
        let mut after = false;
        for step in steps {
            match step {
                PixelStep::Linear { gain, offset } => {
                    let gain = per_channel("gain", gain, channel, channels)?;
                    let offset = per_channel("offset", offset, channel, channels)?;
                    if after {
                        let [a, b] = [rule.low, rule.high].map(|v| v * gain + offset);
                        (rule.low, rule.high) = if gain < 0.0 { (b, a) } else { (a, b) };
                        (rule.gain, rule.offset) = (rule.gain * gain, rule.offset * gain + offset);
                    } else {
                        // A summand moves the centre as it moves the pixels.
                        before *= gain;
                    }
                }
                PixelStep::Clip { low, high } => {
                    let within = |v: f64| v.max(low.unwrap_or(f64::NEG_INFINITY)).min(high.unwrap_or(f64::INFINITY));
                    (rule.low, rule.high) = (within(rule.low), within(rule.high));
                }
                PixelStep::Standardise { eps, joint } => {
                    (statistic, pooled, after) = (Statistic::Deviation, *joint, true);
                    (rule.factor, rule.eps, rule.gain) = (f64::abs(before), *eps, before);
                }
                PixelStep::Range { low, high, eps, joint } => {
                    (statistic, pooled, after) = (Statistic::Percentiles([*low, *high]), *joint, true);
                    (rule.factor, rule.eps, rule.gain) = (before, *eps, before);
                }
            }
        }
        rules.push(rule);
    }
    Ok(Rule::Measured { statistic, pooled, channels: rules })
}
