//! Per-channel statistics of an image, band by band: exact, with bounded memory for any image size.
//!
//! Integers are counted in a histogram in a single pass. Floats take two passes: the first counts the upper 16 bits of
//! every value, the second the lower 16 bits of values whose upper bits contain a requested rank. This gives the exact
//! order statistic. Sums are `f64`, in pixel order.

use crate::error::{Error, Hint, Message, Result};
use crate::infer::image::Sample;
use crate::infer::image::{Image, Pixels};
use crate::infer::source::SourceInfo;

/// Minimum, maximum, mean and population standard deviation of a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub std: f64,
}

/// Statistics to gather from an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StatisticsRequest {
    /// Percentiles, 0 to 100.
    pub percentiles: Vec<f64>,
    /// The standard deviation (the other moments need no further pass).
    pub deviation: bool,
    /// Whether a non-finite pixel is an error.
    pub finite: bool,
    /// Whether to treat all channels as one.
    pub joint: bool,
}

/// Gathers statistics of an image that is fed from top to bottom, [`Collector::passes`] times.
#[derive(Debug)]
pub(crate) struct Collector {
    info: SourceInfo,
    /// Interleaved samples per pixel.
    samples: usize,
    requested: StatisticsRequest,
    pass: usize,
    /// Rows processed in this pass.
    rows: usize,
    channels: Vec<Channel>,
}

#[derive(Debug)]
enum Channel {
    /// Count of each value.
    Integers(Vec<u64>),
    Floats(Box<Floats>),
}

#[derive(Debug)]
struct Floats {
    min: f64,
    max: f64,
    sum: f64,
    count: f64,
    squares: f64,
    /// Counts by the upper 16 bits of the keys.
    coarse: Vec<u64>,
    /// Counts by the lower 16 bits of the keys, for upper bits that contain a requested rank.
    fine: Vec<(u32, Vec<u64>)>,
}

/// An integer key in the order of `f32::total_cmp`.
fn key(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// The bin of a rank in a histogram, and the count of all bins before it.
fn find(histogram: &[u64], rank: u64) -> (usize, u64) {
    let mut seen = 0;
    for (i, &n) in histogram.iter().enumerate() {
        if seen + n > rank {
            return (i, seen);
        }
        seen += n;
    }
    (0, 0)
}

impl Collector {
    pub(crate) fn new(info: SourceInfo, requested: StatisticsRequest) -> Self {
        let samples = info.channels;
        // Interleaved samples of several channels count as a longer row of one channel.
        let info = match requested.joint {
            true => SourceInfo { channels: 1, width: info.width * samples, ..info },
            false => info,
        };
        let values = |sample| match sample {
            Sample::U8 => 1 << 8,
            Sample::U16 => 1 << 16,
            Sample::F32 => 0,
        };
        let coarse = if requested.percentiles.is_empty() { 0 } else { 1 << 16 };
        let channel = |_| match info.sample {
            Sample::F32 => Channel::Floats(Box::new(Floats {
                min: f64::INFINITY,
                max: f64::NEG_INFINITY,
                sum: 0.0,
                count: 0.0,
                squares: 0.0,
                coarse: vec![0; coarse],
                fine: Vec::new(),
            })),
            sample => Channel::Integers(vec![0; values(sample)]),
        };
        Self { info, samples, requested, pass: 0, rows: 0, channels: (0..info.channels).map(channel).collect() }
    }

    /// Number of passes over the image.
    pub(crate) fn passes(&self) -> usize {
        match self.info.sample {
            Sample::F32 if self.requested.deviation || !self.requested.percentiles.is_empty() => 2,
            _ => 1,
        }
    }

    /// Processes the next rows of the image.
    pub(crate) fn see(&mut self, rows: &Image) -> Result<()> {
        let (c, first) = (self.info.channels, self.rows);
        self.rows += rows.height();
        match rows.pixels() {
            Pixels::U8(v) if self.pass == 0 => self.count(v),
            Pixels::U16(v) if self.pass == 0 => self.count(v),
            Pixels::F32(v) => {
                if self.requested.finite
                    && self.pass == 0
                    && let Some((i, x)) = v.iter().enumerate().find(|(_, x)| !x.is_finite())
                {
                    let pixels = self.info.width * self.info.channels / self.samples;
                    let (pixel, width) = (i / self.samples, pixels);
                    let place = format!("column {}, row {}", pixel % width, first + pixel / width);
                    let reason = Message::from(format!("the pixel at {place} is {x}; ")).then(Hint::FillNan);
                    return Err(Error::invalid("image", reason.then(" replaces such values")));
                }
                for (i, channel) in self.channels.iter_mut().enumerate() {
                    let Channel::Floats(floats) = channel else { continue };
                    let values = v.iter().skip(i).step_by(c).copied();
                    if self.pass == 0 { floats.first(values) } else { floats.second(values) }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn count<T: Copy + Into<usize>>(&mut self, samples: &[T]) {
        let c = self.info.channels;
        for (i, channel) in self.channels.iter_mut().enumerate() {
            let Channel::Integers(histogram) = channel else { continue };
            for &x in samples.iter().skip(i).step_by(c) {
                if let Some(n) = histogram.get_mut(x.into()) {
                    *n += 1;
                }
            }
        }
    }

    /// Starts the next pass from the top of the image.
    pub(crate) fn next_pass(&mut self) {
        (self.pass, self.rows) = (self.pass + 1, 0);
        let ranks: Vec<u64> = self.requested.percentiles.iter().flat_map(|&q| self.place(q).0).collect();
        for channel in &mut self.channels {
            let Channel::Floats(floats) = channel else { continue };
            for &rank in ranks.iter().filter(|_| !floats.coarse.is_empty()) {
                let upper = find(&floats.coarse, rank).0 as u32;
                if !floats.fine.iter().any(|f| f.0 == upper) {
                    floats.fine.push((upper, vec![0; 1 << 16]));
                }
            }
        }
    }

    /// The two ranks that a percentile lies between, and its distance from the first.
    fn place(&self, q: f64) -> ([u64; 2], f64) {
        let count = self.info.width * self.info.height;
        let rank = (count - 1) as f64 * (q / 100.0);
        let below = (rank.floor().max(0.0) as usize).min(count - 1);
        ([below as u64, (below + 1).min(count - 1) as u64], rank - rank.floor())
    }

    /// Percentiles of a channel: the order statistic at `(n - 1) q / 100`, interpolated linearly between neighbours, as
    /// is numpy's default.
    pub(crate) fn percentiles(&self, channel: usize) -> Vec<f64> {
        let channel = if self.requested.joint { 0 } else { channel };
        let mix = |a: f64, b: f64, t: f64| if t < 0.5 { a + (b - a) * t } else { b - (b - a) * (1.0 - t) };
        let of = |rank| self.channels.get(channel).map_or(0.0, |c| c.at(rank));
        let all = self.requested.percentiles.iter().map(|&q| self.place(q));
        all.map(|([below, above], t)| mix(of(below), of(above), t)).collect()
    }

    /// Moments of a channel.
    pub(crate) fn moments(&self, channel: usize) -> Moments {
        let channel = if self.requested.joint { 0 } else { channel };
        match self.channels.get(channel) {
            None => Moments { min: 0.0, max: 0.0, mean: 0.0, std: 0.0 },
            Some(Channel::Floats(f)) => {
                Moments { min: f.min, max: f.max, mean: f.sum / f.count, std: (f.squares / f.count).sqrt() }
            }
            Some(Channel::Integers(histogram)) => {
                let values = histogram.iter().enumerate().filter(|(_, n)| **n > 0);
                let values = values.map(|(x, &n)| (x as f64, n as f64));
                let (mut min, mut max, mut sum, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0);
                for (x, n) in values.clone() {
                    (min, max) = (min.min(x), max.max(x));
                    sum += x * n;
                    count += n;
                }
                let mean = sum / count;
                // Second pass over the values: the variance from plain sums would cancel.
                let squares: f64 = values.map(|(x, n)| (x - mean) * (x - mean) * n).sum();
                Moments { min, max, mean, std: (squares / count).sqrt() }
            }
        }
    }
}

impl Channel {
    /// The value at this rank.
    fn at(&self, rank: u64) -> f64 {
        match self {
            Self::Integers(histogram) => find(histogram, rank).0 as f64,
            Self::Floats(f) => {
                let (upper, before) = find(&f.coarse, rank);
                let fine = f.fine.iter().find(|(u, _)| *u == upper as u32);
                let lower = fine.map_or(0, |(_, histogram)| find(histogram, rank - before).0);
                f64::from(value((upper as u32) << 16 | lower as u32))
            }
        }
    }
}

impl Floats {
    fn first(&mut self, values: impl Iterator<Item = f32>) {
        for v in values {
            let x = f64::from(v);
            (self.min, self.max) = (self.min.min(x), self.max.max(x));
            self.sum += x;
            self.count += 1.0;
            if let Some(n) = self.coarse.get_mut((key(v) >> 16) as usize) {
                *n += 1;
            }
        }
    }

    fn second(&mut self, values: impl Iterator<Item = f32>) {
        let mean = self.sum / self.count;
        for v in values {
            let x = f64::from(v);
            self.squares += (x - mean) * (x - mean);
            let key = key(v);
            for (upper, histogram) in &mut self.fine {
                if key >> 16 == *upper
                    && let Some(n) = histogram.get_mut((key & 0xffff) as usize)
                {
                    *n += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_floats_are() {
        let mut values = [0.0, -0.0, 1.0, -1.0, f32::MIN, f32::MAX, 1e-40, -1e-40, f32::INFINITY, f32::NAN, -f32::NAN];
        values.sort_by(f32::total_cmp);
        assert!(values.windows(2).all(|w| key(w[0]) < key(w[1])));
        assert!(values.iter().all(|&v| value(key(v)).to_bits() == v.to_bits()));
    }
}
