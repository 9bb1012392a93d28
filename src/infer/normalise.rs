//! From pixels to network input: statistics of a picture as one affine map per channel.

use super::image::{Picture, Pixels};
use crate::error::{Error, Result};
use crate::weights::Normalisation;

/// Smallest divisor of the data-dependent rules.
const FLOOR: f64 = 1e-6;

/// How the pixels of one channel become network input: `y = clamp((x - offset) * scale, low, high)`.
///
/// The subtraction comes first because it is exact for integer pixels. In the form `x * scale + shift` both terms grow
/// with the scale and a fused multiply-add leaves the rounding error of `shift` behind: on a flat background, where the
/// scale is `1 / 1e-6`, that is whole units.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct ChannelAffine {
    /// Pixel value that becomes 0.
    pub offset: f32,
    /// Output per pixel unit.
    pub scale: f32,
    /// Smallest output; `-f32::MAX` for none.
    pub low: f32,
    /// Largest output; `f32::MAX` for none.
    pub high: f32,
}

impl ChannelAffine {
    /// Pixels as they are.
    pub const IDENTITY: Self = Self { offset: 0.0, scale: 1.0, low: -f32::MAX, high: f32::MAX };

    /// `(x - offset) / divisor`, not clamped.
    fn dividing(offset: f64, divisor: f64) -> Self {
        Self { offset: offset as f32, scale: (1.0 / divisor) as f32, ..Self::IDENTITY }
    }

    /// The network input of a pixel value.
    pub fn apply(&self, x: f32) -> f32 {
        ((x - self.offset) * self.scale).max(self.low).min(self.high)
    }
}

/// The maps of a picture's channels under `rule`. Statistics are per channel over the whole picture, in `f64`.
///
/// Fails on pixels that are not finite and on rules that make no sense.
pub fn normalise(picture: &Picture, rule: &Normalisation) -> Result<Vec<ChannelAffine>> {
    let unit = picture.pixels().unit();
    check_finite(picture)?;
    (0..picture.channels())
        .map(|channel| match rule {
            Normalisation::None => Ok(ChannelAffine::IDENTITY),
            Normalisation::Unit => Ok(ChannelAffine::dividing(0.0, unit)),
            Normalisation::Percentile { low, high, clamp } => {
                if !(0.0 <= *low && low < high && *high <= 100.0) {
                    return Err(wrong(format!("percentiles {low} and {high} are not 0 <= low < high <= 100")));
                }
                let [bottom, top] = percentiles(picture, channel, [*low, *high])?;
                let mut map = ChannelAffine::dividing(bottom, (top - bottom).max(FLOOR));
                if let Some([least, most]) = *clamp {
                    if least.is_nan() || most.is_nan() || least > most {
                        return Err(wrong(format!("clamp [{least}, {most}] is not a range")));
                    }
                    (map.low, map.high) = ((least as f32).max(-f32::MAX), (most as f32).min(f32::MAX));
                }
                Ok(map)
            }
            Normalisation::MinMax => {
                let s = Statistics::of(picture, channel);
                Ok(ChannelAffine::dividing(s.min, (s.max - s.min).max(FLOOR)))
            }
            Normalisation::ZScore => {
                let s = Statistics::of(picture, channel);
                Ok(ChannelAffine::dividing(s.mean, s.std.max(FLOOR)))
            }
            Normalisation::Linear { gain, offset } => {
                let gain = per_channel("gain", gain, channel, picture.channels())?;
                let offset = per_channel("offset", offset, channel, picture.channels())?;
                Ok(ChannelAffine::dividing(-offset / gain, 1.0 / gain))
            }
            Normalisation::Fixed { mean, std } => {
                let mean = per_channel("mean", mean, channel, picture.channels())?;
                let std = per_channel("std", std, channel, picture.channels())?;
                let map = ChannelAffine::dividing(mean * unit, std * unit);
                if std <= 0.0 || !map.scale.is_finite() || !map.offset.is_finite() {
                    return Err(wrong(format!("mean {mean} and std {std} of channel {channel} are not usable")));
                }
                Ok(map)
            }
        })
        .collect()
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::invalid("normalisation", reason)
}

fn per_channel(what: &str, values: &[f64], channel: usize, channels: usize) -> Result<f64> {
    match values {
        [all] => Ok(*all),
        _ if values.len() == channels => Ok(values[channel]),
        _ => Err(wrong(format!("{what} has {} values, the picture has {channels} channels", values.len()))),
    }
}

fn check_finite(picture: &Picture) -> Result<()> {
    let Pixels::F32(v) = picture.pixels() else { return Ok(()) };
    match v.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(i) => {
            let (pixel, width) = (i / picture.channels(), picture.width());
            let reason = format!("the pixel at column {}, row {} is {}", pixel % width, pixel / width, v[i]);
            Err(Error::invalid("picture", reason))
        }
    }
}

/// Percentiles (0 to 100) of one channel: the order statistic at `(n - 1) q / 100`, linear between neighbours, which is
/// numpy's default. Pixels must be finite.
pub(super) fn percentiles<const N: usize>(picture: &Picture, channel: usize, q: [f64; N]) -> Result<[f64; N]> {
    let count = picture.width() * picture.height();
    // The pair of ranks that a percentile lies between, and how far it is from the first.
    let place = |q: f64| {
        let rank = (count - 1) as f64 * (q / 100.0);
        let below = (rank.floor().max(0.0) as usize).min(count - 1);
        (below, (below + 1).min(count - 1), rank - rank.floor())
    };
    let mix = |a: f64, b: f64, t: f64| if t < 0.5 { a + (b - a) * t } else { b - (b - a) * (1.0 - t) };
    match picture.pixels() {
        Pixels::F32(v) => {
            let mut values: Vec<f32> = Vec::new();
            let memory = |_| Error::invalid("picture", "no memory for the percentiles of its pixels");
            values.try_reserve_exact(count).map_err(memory)?;
            values.extend(v.iter().skip(channel).step_by(picture.channels()));
            Ok(q.map(|q| {
                let (below, above, t) = place(q);
                let (_, &mut a, rest) = values.select_nth_unstable_by(below, f32::total_cmp);
                let b = if above == below { a } else { rest.iter().copied().min_by(f32::total_cmp).unwrap_or(a) };
                mix(f64::from(a), f64::from(b), t)
            }))
        }
        Pixels::U8(_) | Pixels::U16(_) => {
            let histogram = histogram(picture, channel);
            let value_of = |rank: usize| {
                let mut seen = 0;
                let holds = |&n: &u64| {
                    seen += n;
                    seen > rank as u64
                };
                histogram.iter().position(holds).unwrap_or(0) as f64
            };
            Ok(q.map(|q| {
                let (below, above, t) = place(q);
                mix(value_of(below), value_of(above), t)
            }))
        }
    }
}

/// How often each value occurs in a channel of integers; empty for floats.
fn histogram(picture: &Picture, channel: usize) -> Vec<u64> {
    fn count<T: Copy + Into<usize>>(v: &[T], channel: usize, channels: usize, values: usize) -> Vec<u64> {
        let mut h = vec![0u64; values];
        for &x in v.iter().skip(channel).step_by(channels) {
            h[x.into()] += 1;
        }
        h
    }
    match picture.pixels() {
        Pixels::U8(v) => count(v, channel, picture.channels(), 1 << 8),
        Pixels::U16(v) => count(v, channel, picture.channels(), 1 << 16),
        Pixels::F32(_) => Vec::new(),
    }
}

struct Statistics {
    min: f64,
    max: f64,
    mean: f64,
    std: f64,
}

impl Statistics {
    fn of(picture: &Picture, channel: usize) -> Self {
        match picture.pixels() {
            Pixels::F32(v) => {
                let values = v.iter().skip(channel).step_by(picture.channels()).map(|&x| (f64::from(x), 1.0));
                Self::weighted(values)
            }
            Pixels::U8(_) | Pixels::U16(_) => {
                let histogram = histogram(picture, channel);
                let values = histogram.iter().enumerate().filter(|(_, n)| **n > 0);
                Self::weighted(values.map(|(x, &n)| (x as f64, n as f64)))
            }
        }
    }

    /// Two passes: the variance of the plain sums would cancel.
    fn weighted(values: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let (mut min, mut max, mut sum, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0);
        for (x, n) in values.clone() {
            (min, max) = (min.min(x), max.max(x));
            sum += x * n;
            count += n;
        }
        let mean = sum / count;
        let squares: f64 = values.map(|(x, n)| (x - mean) * (x - mean) * n).sum();
        Self { min, max, mean, std: (squares / count).sqrt() }
    }
}

#[cfg(test)]
mod tests;
