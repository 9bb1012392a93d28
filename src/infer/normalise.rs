//! From pixels to network input: per-channel affine maps from image statistics.

mod statistics;
mod steps;

use super::channels::ChannelMap;
use super::image::Image;
use super::source::{ImageSource, InMemory, SourceInfo, pass};
use crate::error::{Error, Message, Result};
use crate::weights::Normalisation;

pub(crate) use statistics::{Collector, StatisticsRequest};

/// Smallest divisor of the data-dependent rules.
pub(crate) const FLOOR: f64 = 1e-6;

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
    /// Leaves pixels unchanged.
    pub const IDENTITY: Self = Self { offset: 0.0, scale: 1.0, low: -f32::MAX, high: f32::MAX };

    /// `(x - offset) / divisor`, not clamped.
    fn dividing(offset: f64, divisor: f64) -> Self {
        Self { offset: offset as f32, scale: (1.0 / divisor) as f32, ..Self::IDENTITY }
    }

    /// The network input for a pixel value.
    pub fn apply(&self, x: f32) -> f32 {
        ((x - self.offset) * self.scale).max(self.low).min(self.high)
    }
}

/// The maps of an image's channels under `rule`. Statistics are per channel over the whole image, in `f64`.
///
/// Fails on pixels that are not finite and on invalid rules.
pub fn normalise(image: &Image, rule: &Normalisation) -> Result<Vec<ChannelAffine>> {
    let mut source = InMemory::borrowed(image);
    let mut collector = Collector::new(source.info(), requested(rule)?);
    collect(&mut source, &mut [(&mut collector, None)])?;
    maps(&collector, source.info(), rule)
}

/// Feeds an image to collectors for as many passes as they need, unchanged or converted to a network's number of
/// channels.
pub(super) fn collect(
    source: &mut dyn ImageSource,
    collectors: &mut [(&mut Collector, Option<&ChannelMap>)],
) -> Result<()> {
    let passes = collectors.iter().map(|c| c.0.passes()).max().unwrap_or(0);
    for number in 0..passes {
        if number > 0 {
            collectors.iter_mut().for_each(|c| c.0.next_pass());
        }
        pass(source, |rows| {
            for (collector, channels) in collectors.iter_mut().filter(|c| number < c.0.passes()) {
                match *channels {
                    Some(map) => collector.see(&*map.apply(&rows)?)?,
                    None => collector.see(&rows)?,
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The statistics that `rule` needs; an error if the rule is invalid.
pub(crate) fn requested(rule: &Normalisation) -> Result<StatisticsRequest> {
    let mut requested = StatisticsRequest { finite: true, ..StatisticsRequest::default() };
    match rule {
        Normalisation::Percentile { low, high, .. } => {
            if !(0.0 <= *low && low < high && *high <= 100.0) {
                return Err(invalid(format!("percentiles {low} and {high} are not 0 <= low < high <= 100")));
            }
            requested.percentiles = vec![*low, *high];
        }
        Normalisation::ZScore => requested.deviation = true,
        Normalisation::Steps { steps } => return Ok(steps::requested(steps)),
        _ => {}
    }
    Ok(requested)
}

/// Whether `rule` needs integer pixels. Floats are always read, since they might not be finite.
pub(super) fn reads_integers(rule: &Normalisation) -> bool {
    match rule {
        Normalisation::Percentile { .. } | Normalisation::MinMax | Normalisation::ZScore => true,
        Normalisation::Steps { steps } => steps.iter().any(|s| s.joint().is_some()),
        _ => false,
    }
}

/// The maps of an image's channels, from the statistics that `collector` gathered for the same rule.
pub(super) fn maps(collector: &Collector, info: SourceInfo, rule: &Normalisation) -> Result<Vec<ChannelAffine>> {
    let unit = info.sample.unit();
    (0..info.channels)
        .map(|channel| match rule {
            Normalisation::None => Ok(ChannelAffine::IDENTITY),
            Normalisation::Unit => Ok(ChannelAffine::dividing(0.0, unit)),
            Normalisation::Scale { divisor } => Ok(ChannelAffine::dividing(0.0, *divisor)),
            Normalisation::Percentile { clamp, .. } => {
                let found = collector.percentiles(channel);
                let [bottom, top] = found[..] else { return Err(invalid("the percentiles were not requested")) };
                let mut map = ChannelAffine::dividing(bottom, (top - bottom).max(FLOOR));
                if let Some([min, max]) = *clamp {
                    if min.is_nan() || max.is_nan() || min > max {
                        return Err(invalid(format!("clamp [{min}, {max}] is not a range")));
                    }
                    (map.low, map.high) = ((min as f32).max(-f32::MAX), (max as f32).min(f32::MAX));
                }
                Ok(map)
            }
            Normalisation::MinMax => {
                let s = collector.moments(channel);
                Ok(ChannelAffine::dividing(s.min, (s.max - s.min).max(FLOOR)))
            }
            Normalisation::ZScore => {
                let s = collector.moments(channel);
                Ok(ChannelAffine::dividing(s.mean, s.std.max(FLOOR)))
            }
            Normalisation::Steps { steps } => {
                let found = collector.percentiles(channel);
                steps::map(steps, (channel, info.channels), &collector.moments(channel), &found)
            }
            Normalisation::Linear { gain, offset } => {
                let gain = per_channel("gain", gain, channel, info.channels)?;
                let offset = per_channel("offset", offset, channel, info.channels)?;
                Ok(ChannelAffine::dividing(-offset / gain, 1.0 / gain))
            }
            Normalisation::Fixed { mean, std } => {
                let mean = per_channel("mean", mean, channel, info.channels)?;
                let std = per_channel("std", std, channel, info.channels)?;
                let map = ChannelAffine::dividing(mean * unit, std * unit);
                if std <= 0.0 || !map.scale.is_finite() || !map.offset.is_finite() {
                    return Err(invalid(format!("mean {mean} and std {std} of channel {channel} are not usable")));
                }
                Ok(map)
            }
        })
        .collect()
}

/// The maps under a rule that needs no statistics of an image.
pub(crate) fn constant_maps(info: SourceInfo, rule: &Normalisation) -> Result<Vec<ChannelAffine>> {
    let requested = requested(rule)?;
    if requested.deviation || !requested.percentiles.is_empty() || *rule == Normalisation::MinMax {
        return Err(invalid("depends on the image"));
    }
    maps(&Collector::new(SourceInfo { width: 1, height: 1, ..info }, requested), info, rule)
}

/// Percentiles (0 to 100) of every channel of an image.
pub(super) fn percentiles<const N: usize>(image: &Image, q: [f64; N]) -> Result<Vec<[f64; N]>> {
    let mut source = InMemory::borrowed(image);
    let requested = StatisticsRequest { percentiles: q.to_vec(), ..StatisticsRequest::default() };
    let mut collector = Collector::new(source.info(), requested);
    collect(&mut source, &mut [(&mut collector, None)])?;
    let one = |channel| <[f64; N]>::try_from(collector.percentiles(channel)).unwrap_or([f64::NAN; N]);
    Ok((0..image.channels()).map(one).collect())
}

fn invalid(reason: impl Into<Message>) -> Error {
    Error::invalid("normalisation", reason)
}

pub(crate) fn per_channel(what: &str, values: &[f64], channel: usize, channels: usize) -> Result<f64> {
    match values {
        [all] => Ok(*all),
        _ if values.len() == channels => Ok(values[channel]),
        _ => Err(invalid(format!("{what} has {} values, the image has {channels} channels", values.len()))),
    }
}

#[cfg(test)]
mod tests;
