//! A Gaussian filter for an image that arrives row by row.

use std::collections::VecDeque;

use crate::error::Result;

/// Smooths as SciPy's `gaussian_filter` does: along columns, then along rows, each in `f64` and rounded to `f32`, with the
/// image mirrored at its edges (the pixel at the edge twice).
///
/// Every sum has the same order wherever its pixel lies, so results do not depend on how rows arrive.
#[derive(Debug)]
pub(super) struct Smoothing {
    height: usize,
    /// Weights by distance from the centre.
    weights: Vec<f64>,
    /// Rows `first..pushed` of the image.
    window: VecDeque<Vec<f32>>,
    first: usize,
    pushed: usize,
    /// The next row of the result.
    next: usize,
    sums: Vec<f64>,
    mirrored: Vec<f64>,
    out: Vec<f32>,
}

impl Smoothing {
    /// For rows of `width` pixels, with a standard deviation of `sigma` pixels. 0 changes nothing.
    pub(super) fn new(width: usize, height: usize, sigma: f64) -> Self {
        let weights = weights(sigma);
        let mirrored = vec![0.0; width + 2 * (weights.len() - 1)];
        Self {
            height,
            weights,
            window: VecDeque::new(),
            first: 0,
            pushed: 0,
            next: 0,
            sums: vec![0.0; width],
            mirrored,
            out: vec![0.0; width],
        }
    }

    /// Takes the next row, and passes on each row of the result that it completes.
    pub(super) fn push(&mut self, row: &[f32], mut each: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let radius = self.weights.len() - 1;
        if radius == 0 {
            return each(row);
        }
        let mut own = if self.window.len() > 2 * radius { self.window.pop_front() } else { None }.unwrap_or_default();
        own.clear();
        own.extend_from_slice(row);
        self.window.push_back(own);
        self.pushed += 1;
        self.first = self.pushed - self.window.len();
        while self.next < self.height && (self.next + radius < self.pushed || self.pushed == self.height) {
            self.columns();
            self.rows();
            each(&self.out)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Filters row `next` along columns, into `out`.
    fn columns(&mut self) {
        let Self { height, weights, window, first, next, sums, out, .. } = self;
        let row = |offset: isize| {
            let at = mirror(*next as isize + offset, *height).saturating_sub(*first);
            window.get(at).map_or(&[][..], Vec::as_slice)
        };
        sums.iter_mut().zip(row(0)).for_each(|(s, &v)| *s = f64::from(v) * weights[0]);
        for (k, &weight) in weights.iter().enumerate().skip(1).rev() {
            let (above, below) = (row(-(k as isize)), row(k as isize));
            for ((s, &a), &b) in sums.iter_mut().zip(above).zip(below) {
                *s += (f64::from(a) + f64::from(b)) * weight;
            }
        }
        out.iter_mut().zip(sums.iter()).for_each(|(o, &s)| *o = s as f32);
    }

    /// Filters `out` along rows.
    fn rows(&mut self) {
        let Self { weights, sums, mirrored, out, .. } = self;
        let (radius, width) = (weights.len() - 1, out.len());
        for (i, v) in mirrored.iter_mut().enumerate() {
            let inside = i.wrapping_sub(radius);
            let at = if inside < width { inside } else { mirror(i as isize - radius as isize, width) };
            *v = f64::from(out[at]);
        }
        let shifted = |by: usize| &mirrored[by..by + width];
        sums.iter_mut().zip(shifted(radius)).for_each(|(s, &v)| *s = v * weights[0]);
        for (k, &weight) in weights.iter().enumerate().skip(1).rev() {
            for ((s, &a), &b) in sums.iter_mut().zip(shifted(radius - k)).zip(shifted(radius + k)) {
                *s += (a + b) * weight;
            }
        }
        out.iter_mut().zip(sums.iter()).for_each(|(o, &s)| *o = s as f32);
    }
}

/// The weights of a Gaussian from its centre outwards, up to four standard deviations.
fn weights(sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5).max(0.0) as usize;
    let raw: Vec<f64> =
        (0..=radius).map(|x| if x == 0 { 1.0 } else { (-0.5 / (sigma * sigma) * (x * x) as f64).exp() }).collect();
    let sum = raw[0] + 2.0 * raw[1..].iter().sum::<f64>();
    raw.iter().map(|w| w / sum).collect()
}

/// The pixel of an axis of `length` that stands for pixel `i` beyond its ends.
fn mirror(i: isize, length: usize) -> usize {
    let period = 2 * length as isize;
    let i = i.rem_euclid(period);
    i.min(period - 1 - i) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smoothed(width: usize, image: &[f32], sigma: f64) -> Vec<f32> {
        let mut smoothing = Smoothing::new(width, image.len() / width, sigma);
        let mut out = Vec::new();
        for row in image.chunks(width) {
            smoothing
                .push(row, |r| {
                    out.extend_from_slice(r);
                    Ok(())
                })
                .unwrap();
        }
        out
    }

    /// The filter by its definition, in one sum over both axes.
    #[test]
    fn rows_are_filtered_as_the_whole_image() {
        for (width, height, sigma) in [(7, 9, 1.0), (3, 2, 1.0), (1, 1, 2.0), (20, 3, 1.6), (2, 30, 0.3), (5, 4, 0.0)] {
            let image: Vec<f32> = (0..width * height).map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 0.7).collect();
            let kernel = weights(sigma);
            let radius = kernel.len() as isize - 1;
            let total: f64 = (-radius..=radius).map(|k| kernel[k.unsigned_abs()]).sum();
            assert!((total - 1.0).abs() < 1e-12);
            let actual = smoothed(width, &image, sigma);
            assert_eq!(actual.len(), image.len());
            for (i, &v) in actual.iter().enumerate() {
                let (x, y) = ((i % width) as isize, (i / width) as isize);
                let mut sum = 0.0;
                for (dy, dx) in (-radius..=radius).flat_map(|dy| (-radius..=radius).map(move |dx| (dy, dx))) {
                    let at = mirror(y + dy, height) * width + mirror(x + dx, width);
                    sum += f64::from(image[at]) * kernel[dy.unsigned_abs()] * kernel[dx.unsigned_abs()];
                }
                assert!((f64::from(v) - sum).abs() < 1e-6, "{width}x{height} sigma {sigma} at {i}: {v} {sum}");
            }
        }
    }

    #[test]
    fn edges_are_mirrored_with_their_pixel() {
        let at: Vec<usize> = (-5..8).map(|i| mirror(i, 3)).collect();
        assert_eq!(at, [1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
    }

    /// `scipy.ndimage.gaussian_filter(a, 1)` of a float32 array.
    #[test]
    fn a_point_is_spread_as_by_scipy() {
        let mut image = vec![0.0; 25];
        image[6] = 1.0;
        let expected = [0.08759385, 0.119384, 0.0716541, 0.01597935, 0.00135127, 0.119384, 0.16271165, 0.0976593];
        let actual = smoothed(5, &image, 1.0);
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() < 1e-7, "{actual:?}");
        }
    }
}
