//! Resizing of an image along its axes: by weighted means for pixels, by the nearest pixel for labels.
//!
//! The edges of the image stay where they are, and pixel centres lie in between. Weights are a triangle's, as wide as two pixels
//! of the coarser grid: interpolation where an image grows, means over an area where it shrinks (PyTorch's `interpolate` with
//! `mode="bilinear", antialias=True`, and Pillow's `resize` with `BILINEAR`). They depend on the pixel's place in the whole image
//! alone, so any window has the values of the whole.

use crate::error::{Error, Result};

/// Largest factor by which an image is resized, and one over the smallest.
pub const MAX_SCALE: f64 = 16.0;

/// A resized axis: from how many pixels to how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    from: usize,
    to: usize,
}

/// The pixels that make a resized one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taps {
    /// The first of them.
    pub first: usize,
    /// Their weights; the sum is 1.
    pub weights: Vec<f32>,
}

impl Taps {
    /// One past the last of them.
    pub(super) fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

impl Axis {
    /// From `from` pixels to `to`, both at least 1 and below 2^32.
    fn new(from: usize, to: usize) -> Self {
        Self { from, to }
    }

    /// Pixels of the resized axis.
    pub(super) fn len(self) -> usize {
        self.to
    }

    /// The way back.
    fn inverse(self) -> Self {
        Self { from: self.to, to: self.from }
    }

    /// Half the width of the triangle, in pixels of the axis as it was.
    fn reach(self) -> f64 {
        (self.from as f64 / self.to as f64).max(1.0)
    }

    /// More pixels than any [`Taps`] has.
    pub(super) fn most_taps(self) -> usize {
        2 * self.reach().ceil() as usize + 2
    }

    /// What makes the resized pixel `i`.
    pub(super) fn taps(self, i: usize) -> Taps {
        // The product of two numbers below 2^33 fits.
        let centre = ((2 * i as u64 + 1) * self.from as u64) as f64 / (2 * self.to as u64) as f64;
        let reach = self.reach();
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(self.from);
        let weight = |k: usize| (1.0 - ((k as f64 + 0.5 - centre) / reach).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        Taps { first, weights: (first..end).map(|k| (weight(k) / sum) as f32).collect() }
    }

    /// The pixel that contains the centre of the resized pixel `i`; of two that share it, the later.
    pub(super) fn nearest(self, i: usize) -> usize {
        ((2 * i as u64 + 1) * self.from as u64 / (2 * self.to as u64)) as usize
    }

    /// The first resized pixel whose nearest is `k` or later.
    pub(super) fn first_of(self, k: usize) -> usize {
        let (from, to) = (self.from as u64, self.to as u64);
        (2 * to * k as u64).saturating_sub(from).div_ceil(2 * from) as usize
    }
}

/// How an image is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resize {
    pub rows: Axis,
    pub columns: Axis,
}

impl Resize {
    /// From rows and columns to rows and columns.
    pub(super) fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        let [rows, columns] = [0, 1].map(|axis| Axis::new(from[axis], to[axis]));
        Self { rows, columns }
    }

    /// An image of `size` rows and columns by factors down and across; `None` where its size stays. Fails for factors that are
    /// not from 1/16 to 16.
    pub(super) fn by(size: [usize; 2], factors: [f64; 2]) -> Result<Option<Self>> {
        // Written so that NaN fails.
        if let Some(factor) = factors.iter().find(|f| !(1.0 / MAX_SCALE..=MAX_SCALE).contains(*f)) {
            return Err(Error::invalid("scale", format!("{factor} is not from 1/{MAX_SCALE} to {MAX_SCALE}")));
        }
        let to = [0, 1].map(|axis| ((size[axis] as f64 * factors[axis]).round() as usize).max(1));
        if to.iter().any(|&n| n > i32::MAX as usize) {
            return Err(Error::invalid("scale", format!("an image of {}x{} pixels is too large", to[1], to[0])));
        }
        Ok((to != size).then(|| Self::new(size, to)))
    }

    /// Rows and columns of the resized image.
    pub(super) fn size(self) -> [usize; 2] {
        [self.rows.len(), self.columns.len()]
    }

    /// The way back.
    pub(super) fn inverse(self) -> Self {
        Self { rows: self.rows.inverse(), columns: self.columns.inverse() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nearest_pixels_and_weights(from in 1usize..400, to in 1usize..400) {
            let axis = Axis::new(from, to);
            let mut last = 0;
            for i in 0..to {
                let Taps { first, ref weights } = axis.taps(i);
                let nearest = axis.nearest(i);
                prop_assert!(!weights.is_empty() && weights.len() <= axis.most_taps());
                prop_assert!((first..first + weights.len()).contains(&nearest));
                prop_assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                // By the definition, with exact fractions.
                prop_assert!(2 * to * nearest <= (2 * i + 1) * from && (2 * i + 1) * from < 2 * to * (nearest + 1));
                prop_assert!(nearest >= last && nearest < from);
                last = nearest;
            }
            for k in 0..=from {
                prop_assert_eq!(axis.first_of(k), (0..to).find(|&i| axis.nearest(i) >= k).unwrap_or(to));
            }
        }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let axis = Axis::new(7, 7);
        assert!((0..7).all(|i| axis.nearest(i) == i));
        for i in 0..7 {
            let Taps { first, weights } = axis.taps(i);
            assert!(weights.iter().enumerate().all(|(k, &w)| w == f32::from(u8::from(first + k == i))), "{weights:?}");
        }
        assert_eq!(Resize::by([5, 7], [1.0, 1.04]).unwrap(), None);
        assert_eq!(Resize::by([5, 7], [0.5, 2.0]).unwrap().unwrap().size(), [3, 14]);
        assert_eq!(Resize::by([5, 7], [1.0 / 16.0; 2]).unwrap().unwrap().size(), [1, 1]);
        for bad in [0.0, -1.0, 17.0, 0.06, f64::NAN, f64::INFINITY] {
            assert!(Resize::by([5, 7], [bad, 1.0]).is_err(), "{bad}");
        }
    }
}
