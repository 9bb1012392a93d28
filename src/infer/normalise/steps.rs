//! Several steps as one map: an affine one and a clamp after it.

use super::ChannelAffine;
use super::statistics::{Moments, StatisticsRequest};
use crate::error::{Error, Result};
use crate::weights::PixelStep;

/// What the steps must know of an image.
pub(super) fn requested(steps: &[PixelStep]) -> StatisticsRequest {
    let mut requested = StatisticsRequest { finite: true, ..StatisticsRequest::default() };
    for step in steps {
        match *step {
            PixelStep::Standardise { .. } => requested.deviation = true,
            PixelStep::Range { low, high, .. } => requested.percentiles.extend([low, high]),
            PixelStep::Linear { .. } | PixelStep::Clip { .. } => {}
        }
        requested.joint |= step.joint() == Some(true);
    }
    requested
}

/// `clamp(scale * x + shift, low, high)` of raw pixels, in `f64`.
#[derive(Clone, Copy, Debug)]
struct Map {
    scale: f64,
    shift: f64,
    low: f64,
    high: f64,
}

impl Map {
    /// What comes out, and then `* gain + offset`.
    fn then(self, gain: f64, offset: f64) -> Self {
        let [a, b] = [self.low, self.high].map(|v| v * gain + offset);
        let (low, high) = if gain < 0.0 { (b, a) } else { (a, b) };
        Self { scale: self.scale * gain, shift: self.shift * gain + offset, low, high }
    }

    fn of(self, x: f64) -> f64 {
        self.scale * x + self.shift
    }
}

/// The map of one channel. `percentiles` are those of [`requested`], in its order.
pub(super) fn map(
    steps: &[PixelStep],
    (channel, channels): (usize, usize),
    moments: &Moments,
    percentiles: &[f64],
) -> Result<ChannelAffine> {
    let mut map = Map { scale: 1.0, shift: 0.0, low: f64::NEG_INFINITY, high: f64::INFINITY };
    let mut percentiles = percentiles.iter().copied();
    let mut percentile = || percentiles.next().ok_or_else(|| super::wrong("the percentiles were not gathered"));
    for step in steps {
        map = match step {
            PixelStep::Linear { gain, offset } => map.then(
                super::per_channel("gain", gain, channel, channels)?,
                super::per_channel("offset", offset, channel, channels)?,
            ),
            PixelStep::Standardise { eps, .. } => {
                let divisor = map.scale.abs() * moments.std + eps;
                map.then(1.0 / divisor, -map.of(moments.mean) / divisor)
            }
            PixelStep::Range { eps, .. } => {
                let (bottom, top) = (map.of(percentile()?), map.of(percentile()?));
                let divisor = top - bottom + eps;
                map.then(1.0 / divisor, -bottom / divisor)
            }
            PixelStep::Clip { low, high } => {
                let (low, high) = (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY));
                let within = |v: f64| v.max(low).min(high);
                Map { low: within(map.low), high: within(map.high), ..map }
            }
        };
    }
    let (offset, scale) = ((-map.shift / map.scale) as f32, map.scale as f32);
    if !offset.is_finite() || !scale.is_normal() {
        let reason = format!("channel {channel}: pixels would become (x - {offset}) * {scale}");
        return Err(Error::invalid("normalisation", reason));
    }
    let (low, high) = ((map.low as f32).max(-f32::MAX), (map.high as f32).min(f32::MAX));
    Ok(ChannelAffine { offset, scale, low, high })
}

#[cfg(test)]
mod tests {
    use crate::infer::{Image, Pixels, normalise};
    use crate::weights::{Normalisation, PixelStep::*};

    /// The steps one after the other, on all pixels, as numpy would do them.
    fn plainly(steps: &Normalisation, planes: &mut [Vec<f64>]) {
        let Normalisation::Steps { steps } = steps else { panic!() };
        let std = |v: &[f64]| {
            let mean = v.iter().sum::<f64>() / v.len() as f64;
            (mean, (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / v.len() as f64).sqrt())
        };
        let percentile = |v: &[f64], q: f64| {
            let mut v = v.to_vec();
            v.sort_by(f64::total_cmp);
            let rank = (v.len() - 1) as f64 * q / 100.0;
            let at = rank.floor() as usize;
            v[at] + (v[(at + 1).min(v.len() - 1)] - v[at]) * rank.fract()
        };
        for step in steps {
            let all: Vec<f64> = planes.concat();
            for (c, plane) in planes.iter_mut().enumerate() {
                let pool = if step.joint() == Some(true) { all.clone() } else { plane.clone() };
                let at = |v: &[f64]| v[if v.len() == 1 { 0 } else { c }];
                plane.iter_mut().for_each(|x| {
                    *x = match step {
                        Linear { gain, offset } => *x * at(gain) + at(offset),
                        Standardise { eps, .. } => (*x - std(&pool).0) / (std(&pool).1 + eps),
                        Range { low, high, eps, .. } => {
                            let (a, b) = (percentile(&pool, *low), percentile(&pool, *high));
                            (*x - a) / (b - a + eps)
                        }
                        Clip { low, high } => x.max(low.unwrap_or(f64::MIN)).min(high.unwrap_or(f64::MAX)),
                    };
                });
            }
        }
    }

    #[test]
    fn steps_are_one_map() {
        let (w, h, c) = (9, 7, 3);
        let value = |i: usize| ((i * 7919) % 251) as f64;
        let linear = |gain: &[f64], offset: &[f64]| Linear { gain: gain.to_vec(), offset: offset.to_vec() };
        let clip = |low, high| Clip { low, high };
        for joint in [false, true] {
            let (std, range) = (Standardise { eps: 0.05, joint }, Range { low: 3.0, high: 96.5, eps: 0.5, joint });
            let each = if joint { vec![0.25] } else { vec![0.5, 0.25, 2.0] };
            for steps in [
                vec![std.clone()],
                vec![range.clone()],
                vec![linear(&each, &[1.0]), range.clone(), clip(Some(0.0), Some(1.0)), linear(&[-255.0], &[10.0])],
                vec![linear(&[-0.01], &[1.0]), std.clone(), clip(None, Some(1.0)), clip(Some(-0.5), None)],
                vec![range, std, linear(&[2.0, 3.0, 4.0], &[1.0, 0.0, -1.0]), clip(Some(-2.0), Some(3.0))],
            ] {
                let rule = Normalisation::Steps { steps };
                for floats in [false, true] {
                    let raw: Vec<f64> = (0..w * h * c).map(|i| value(i) / if floats { 16.0 } else { 1.0 }).collect();
                    let pixels = match floats {
                        false => Pixels::U8(raw.iter().map(|&v| v as u8).collect()),
                        true => Pixels::F32(raw.iter().map(|&v| v as f32).collect()),
                    };
                    let maps = normalise(&Image::new(w, h, c, pixels).unwrap(), &rule).unwrap();
                    let mut expected: Vec<Vec<f64>> =
                        (0..c).map(|k| raw.iter().skip(k).step_by(c).copied().collect()).collect();
                    plainly(&rule, &mut expected);
                    for (k, plane) in expected.iter().enumerate() {
                        let scale = plane.iter().fold(1.0, |a: f64, v| a.max(v.abs()));
                        for (i, expected) in plane.iter().enumerate() {
                            let got = f64::from(maps[k].apply(raw[i * c + k] as f32));
                            assert!(
                                (got - expected).abs() < 1e-5 * scale,
                                "{rule:?} {floats} {k} {i}: {got} {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}
