//! A resized image, computed window by window.

use std::collections::VecDeque;

use super::{ImageSource, SourceInfo};
use crate::error::{Error, Result};
use crate::infer::image::{Image, Pixels, Sample};
use crate::infer::resample::{Resize, Taps};
use crate::parallel::*;

/// Bytes of rows that are read at once, and of what they become, if more than one row.
const BAND: u64 = 4 << 20;

/// A source that is resized. Samples keep their type; integers are rounded to the nearest.
struct Rescaled<'a> {
    source: &'a mut dyn ImageSource,
    by: Resize,
}

/// Calls `f` with a source, resized if it is to be.
pub(in crate::low_level::infer) fn resized<T>(
    source: &mut dyn ImageSource,
    by: Option<Resize>,
    f: impl FnOnce(&mut dyn ImageSource) -> T,
) -> T {
    match by {
        None => f(source),
        Some(by) => f(&mut Rescaled::new(source, by)),
    }
}

impl<'a> Rescaled<'a> {
    /// Resizes a source, whose size `by` begins with.
    fn new(source: &'a mut dyn ImageSource, by: Resize) -> Self {
        Self { source, by }
    }

    /// Rows of the source that make so many rows.
    fn source_rows(&self, rows: usize) -> usize {
        let (height, resized) = (self.source.info().height, self.by.rows.len().max(1));
        let made = (rows as u64 * height as u64).div_ceil(resized as u64) as usize;
        (made + self.by.rows.most_taps()).min(height)
    }
}

impl ImageSource for Rescaled<'_> {
    fn inner(&self) -> Option<&dyn ImageSource> {
        Some(&*self.source)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ImageSource> {
        Some(&mut *self.source)
    }

    fn info(&self) -> SourceInfo {
        let [height, width] = self.by.size();
        SourceInfo { width, height, ..self.source.info() }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        self.info().check_inside(x0, y0, w, h)?;
        let SourceInfo { channels, sample, kind, .. } = self.source.info();
        let columns: Vec<Taps> = (x0..x0 + w).map(|x| self.by.columns.taps(x)).collect();
        let left = columns.first().map_or(0, |t| t.first);
        let width = columns.last().map_or(0, Taps::end) - left;
        let end = self.by.rows.taps(y0 + h - 1).end();
        let row = (width * channels * sample.bytes()).max(4 * w * channels);
        let at_once = (BAND / row.max(1) as u64).max(1) as usize;
        // Rows of the source that are resized across, of which the first is `first`.
        let mut across: VecDeque<Vec<f32>> = VecDeque::new();
        let mut first = self.by.rows.taps(y0).first;
        let mut out = Resized::new(sample, w * h * channels)?;
        let mut sum = vec![0.0f32; w * channels];
        for y in y0..y0 + h {
            let taps = self.by.rows.taps(y);
            while first + across.len() < taps.end() {
                let next = first + across.len();
                let band = self.source.read(left, next, width, at_once.min(end - next))?;
                let rows = (0..band.height()).into_par_iter().map(|row| resized_across(&band, row, &columns, left));
                across.extend(rows.collect::<Vec<_>>());
            }
            across.drain(..(taps.first - first).min(across.len()));
            first = taps.first;
            sum.fill(0.0);
            for (row, weight) in across.iter().zip(&taps.weights) {
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += weight * v);
            }
            out.push(&sum);
        }
        Ok(Image::new(w, h, channels, out.0)?.with_kind(kind))
    }

    fn rows_at_once(&self) -> usize {
        let (height, resized) = (self.source.info().height.max(1), self.by.rows.len());
        (self.source.rows_at_once() as u64 * resized as u64 / height as u64).max(1) as usize
    }

    fn held_bytes(&self) -> u64 {
        // A band as it is read, the same resized across, and the rows that are kept of it.
        let row = 4 * (self.info().width * self.info().channels) as u64;
        let band = BAND.max(self.source.info().row_bytes()).max(row);
        self.source.held_bytes() + 2 * band + row * self.by.rows.most_taps() as u64
    }

    fn cache_bytes(&self, rows: usize) -> u64 {
        self.source.cache_bytes(self.source_rows(rows))
    }
}

/// A row of an image that begins at column `left`, resized across; interleaved.
fn resized_across(image: &Image, row: usize, columns: &[Taps], left: usize) -> Vec<f32> {
    fn mean<T: Copy>(v: &[T], channels: usize, columns: &[Taps], left: usize, f: impl Fn(T) -> f32) -> Vec<f32> {
        let mut out = vec![0.0f32; columns.len() * channels];
        for (to, taps) in out.chunks_exact_mut(channels).zip(columns) {
            let from = v.get((taps.first - left) * channels..).unwrap_or_default();
            for (pixel, weight) in from.chunks_exact(channels).zip(&taps.weights) {
                to.iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += weight * f(x));
            }
        }
        out
    }
    let (channels, samples) = (image.channels(), image.width() * image.channels());
    let at = row * samples..(row + 1) * samples;
    match image.pixels() {
        Pixels::U8(v) => mean(v.get(at).unwrap_or_default(), channels, columns, left, f32::from),
        Pixels::U16(v) => mean(v.get(at).unwrap_or_default(), channels, columns, left, f32::from),
        Pixels::F32(v) => mean(v.get(at).unwrap_or_default(), channels, columns, left, |x| x),
    }
}

/// Resized samples.
struct Resized(Pixels);

impl Resized {
    fn new(sample: Sample, len: usize) -> Result<Self> {
        fn room<T>(len: usize) -> Result<Vec<T>> {
            let mut v = Vec::new();
            let too_large = |_| Error::invalid("image", format!("{len} resized samples do not fit in memory"));
            v.try_reserve_exact(len).map_err(too_large)?;
            Ok(v)
        }
        Ok(Self(match sample {
            Sample::U8 => Pixels::U8(room(len)?),
            Sample::U16 => Pixels::U16(room(len)?),
            Sample::F32 => Pixels::F32(room(len)?),
        }))
    }

    fn push(&mut self, row: &[f32]) {
        match &mut self.0 {
            // The casts saturate.
            Pixels::U8(v) => v.extend(row.iter().map(|x| (x + 0.5) as u8)),
            Pixels::U16(v) => v.extend(row.iter().map(|x| (x + 0.5) as u16)),
            Pixels::F32(v) => v.extend_from_slice(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::source::{InMemory, read_all};
    use proptest::prelude::*;

    fn floats(image: &Image) -> Vec<f32> {
        match image.pixels() {
            Pixels::U8(v) => v.iter().map(|&x| x.into()).collect(),
            Pixels::U16(v) => v.iter().map(|&x| x.into()).collect(),
            Pixels::F32(v) => v.clone(),
        }
    }

    fn whole(image: &Image, to: [usize; 2]) -> Image {
        let mut source = InMemory::borrowed(image);
        let by = Resize::new([image.height(), image.width()], to);
        read_all(&mut Rescaled::new(&mut source, by)).unwrap()
    }

    /// `torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True)`, PyTorch 2.15.
    #[test]
    fn values_are_those_of_pytorch() {
        let pixel = |r: usize, c: usize| ((7 * r * r + 13 * c + 5 * r * c) % 64) as f32;
        let pixels = (0..5).flat_map(|r| (0..7).map(move |c| pixel(r, c))).collect();
        let image = Image::new(7, 5, 1, Pixels::F32(pixels)).unwrap();
        let cases: [([usize; 2], &[f32]); 4] = [
            (
                [3, 4],
                &[
                    10.93197, 34.49715, 35.29714, 23.66666, 34.69312, 32.30222, 37.07555, 31.43386, 40.11564, 36.69143,
                    34.58857, 34.45578,
                ],
            ),
            (
                [2, 7],
                &[
                    12.09091, 27.18182, 30.63637, 45.72728, 37.54546, 17.72727, 35.72728, 47.72727, 29.18182, 42.63636,
                    24.09091, 49.18182, 16.09091, 44.0909,
                ],
            ),
            (
                [9, 10],
                &[
                    0.0, 7.15, 16.25, 25.35, 34.45, 43.55, 49.45002, 13.75, 6.85, 14.0, 2.33333, 10.4, 20.66667,
                    30.93334, 41.2, 44.0, 38.26667, 18.66667, 18.26666, 26.33334, 6.22222, 15.81667, 28.02778,
                    40.23889, 52.45, 44.75, 19.62777, 26.86111, 37.29444, 46.88889, 16.33334, 27.45556, 34.5, 28.74444,
                    41.47777, 43.18889, 32.81112, 27.05556, 34.09999, 45.22222, 28.0, 40.65, 40.75, 12.05, 24.95,
                    41.05, 53.95001, 25.25, 25.34999, 38.0, 47.44445, 42.06667, 37.0, 35.13335, 28.64445, 34.24444,
                    49.0889, 22.33333, 24.37777, 38.55555, 61.33333, 41.83889, 33.02778, 53.01667, 31.40556, 28.99444,
                    45.78334, 20.97222, 24.96111, 40.66667, 53.0, 35.03333, 28.16666, 50.1, 30.43334, 29.96667,
                    48.70001, 25.83334, 31.76666, 49.0, 48.0, 30.95, 25.25, 48.35, 29.85, 30.55, 50.45001, 28.75,
                    35.84999, 54.0,
                ],
            ),
            ([1, 1], &[33.13656]),
        ];
        for (size, expected) in cases {
            let actual = floats(&whole(&image, size));
            assert_eq!(actual.len(), expected.len());
            let off = actual.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // PyTorch's weights are f32 throughout; the rule for operations.
            let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!(off <= 1e-5 * largest, "{size:?}: {off}");
        }
    }

    proptest! {
        /// Windows are parts of the whole, to the last bit; the whole has the values of plain sums over the triangle, in f64.
        #[test]
        fn windows_are_parts_of_the_whole(
            size in [1usize..40, 1usize..40], to in [1usize..60, 1usize..60], channels in 1usize..4, kind in 0usize..3,
            at in [0.0f64..1.0, 0.0f64..1.0], part in [0.0f64..1.0, 0.0f64..1.0], seed in 0usize..1000,
        ) {
            let [height, width] = size;
            let value = |i: usize| (i * 7919 + seed * 104_729) % 65_521;
            let samples = 0..height * width * channels;
            let pixels = match kind {
                0 => Pixels::U8(samples.map(|i| value(i) as u8).collect()),
                1 => Pixels::U16(samples.map(|i| value(i) as u16).collect()),
                _ => Pixels::F32(samples.map(|i| value(i) as f32 / 100.0 - 300.0).collect()),
            };
            let image = Image::new(width, height, channels, pixels).unwrap();
            let whole = whole(&image, to);
            let begin = [0, 1].map(|a| (at[a] * (to[a] - 1) as f64) as usize);
            let [h, w] = [0, 1].map(|a| 1 + (part[a] * (to[a] - begin[a] - 1) as f64) as usize);
            let mut source = InMemory::borrowed(&image);
            let window = Rescaled::new(&mut source, Resize::new(size, to)).read(begin[1], begin[0], w, h).unwrap();
            let expected = whole.part(begin[1], begin[0], w, h).unwrap();
            prop_assert_eq!(window.pixels(), expected.pixels());
            let from = floats(&image);
            let triangle = |i: usize, axis: usize| -> Vec<f64> {
                let ratio = size[axis] as f64 / to[axis] as f64;
                let (centre, reach) = ((i as f64 + 0.5) * ratio, ratio.max(1.0));
                let weights = (0..size[axis]).map(|k| (1.0 - ((k as f64 + 0.5 - centre) / reach).abs()).max(0.0));
                let weights: Vec<f64> = weights.collect();
                let sum: f64 = weights.iter().sum();
                weights.into_iter().map(|w| w / sum).collect()
            };
            let (y, x) = (begin[0] + h / 2, begin[1] + w / 2);
            let (down, across) = (triangle(y, 0), triangle(x, 1));
            for c in 0..channels {
                let mut sum = 0.0;
                for (r, wy) in down.iter().enumerate() {
                    for (k, wx) in across.iter().enumerate() {
                        sum += wy * wx * f64::from(from[(r * width + k) * channels + c]);
                    }
                }
                let actual = f64::from(floats(&whole)[(y * to[1] + x) * channels + c]);
                let allowed = if kind == 2 { 1e-3 } else { 0.51 };
                prop_assert!((actual - sum).abs() <= allowed, "{} {}", actual, sum);
            }
        }
    }

    #[test]
    fn equal_pixels_stay_equal_and_channels_stay_apart() {
        let pixels = (0..30 * 20).flat_map(|_| [200u8, 3]).collect();
        let image = Image::new(30, 20, 2, Pixels::U8(pixels)).unwrap();
        for to in [[7, 9], [41, 64], [20, 11]] {
            let Pixels::U8(v) = whole(&image, to).pixels().clone() else { panic!() };
            assert!(v.chunks(2).all(|p| p == [200, 3]), "{to:?}");
        }
    }
}
