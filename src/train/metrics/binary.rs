//! Measures of binary masks: true or false, and probabilities at thresholds.

use super::{check_plane, ratio};
use crate::error::Result;
use crate::infer::LabelMap;

/// The thresholds of probability that ISBI 2012's measures take the best of: 0.0, 0.1, .. 0.9.
pub const THRESHOLDS: [f64; 10] = {
    let mut thresholds = [0.0; 10];
    let mut i = 0;
    while i < 10 {
        thresholds[i] = i as f64 * 0.1;
        i += 1;
    }
    thresholds
};

/// How far two masks overlap: numbers of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// In both masks.
    pub both: u64,
    /// In the prediction.
    pub pred: u64,
    /// In the truth.
    pub ground_truth: u64,
}

impl Overlap {
    /// Counts pixels: whether each is in the prediction, and in the truth.
    pub fn of(pixels: impl IntoIterator<Item = (bool, bool)>) -> Self {
        pixels.into_iter().fold(Self::default(), |n, (pred, ground_truth)| Self {
            both: n.both + u64::from(pred && ground_truth),
            pred: n.pred + u64::from(pred),
            ground_truth: n.ground_truth + u64::from(ground_truth),
        })
    }

    /// Intersection over union; 1 if both are empty.
    pub fn iou(&self) -> f64 {
        ratio(self.both as f64, (self.pred + self.ground_truth - self.both) as f64)
    }

    /// `2 |P n T| / (|P| + |T|)`; 1 if both are empty.
    pub fn dice(&self) -> f64 {
        ratio(2.0 * self.both as f64, (self.pred + self.ground_truth) as f64)
    }
}

/// 1 where the probability is above a threshold, else 0. Fails unless there is one for every pixel of `ground_truth`.
pub fn above(prob: &[f32], threshold: f64, ground_truth: &LabelMap) -> Result<LabelMap> {
    check_plane(prob, ground_truth)?;
    let labels = prob.iter().map(|&p| u32::from(f64::from(p) > threshold)).collect();
    LabelMap::new(ground_truth.width(), ground_truth.height(), labels)
}

/// Share of pixels that are foreground (above 0) in one map only. Fails if they differ in size.
pub fn pixel_error(pred: &LabelMap, ground_truth: &LabelMap) -> Result<f64> {
    pred.check_same_size(ground_truth)?;
    let wrong = pred.labels().iter().zip(ground_truth.labels()).filter(|(p, t)| (**p > 0) != (**t > 0)).count();
    Ok(wrong as f64 / ground_truth.labels().len() as f64)
}

/// ISBI 2012's pixel error: 1 - the largest F-score of the foreground over `thresholds` of its probability `[H, W]`.
pub fn pixel_error_f(prob: &[f32], ground_truth: &LabelMap, thresholds: &[f64]) -> Result<f64> {
    check_plane(prob, ground_truth)?;
    let score = |&threshold: &f64| {
        let pixels = prob.iter().zip(ground_truth.labels());
        Overlap::of(pixels.map(|(&p, &t)| (f64::from(p) > threshold, t > 0))).dice()
    };
    Ok(1.0 - thresholds.iter().map(score).fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        let n = Overlap::of([(true, true), (true, false), (false, true), (false, false)]);
        assert_eq!((n.iou(), n.dice()), (1.0 / 3.0, 0.5));
        assert_eq!((Overlap::default().iou(), Overlap::default().dice()), (1.0, 1.0));
        assert_eq!(Overlap::of([(true, false)]).dice(), 0.0);
    }

    #[test]
    fn the_best_threshold_counts() {
        let ground_truth = LabelMap::new(4, 1, vec![0, 0, 9, 9]).unwrap();
        let prob = [0.0, 0.35, 0.45, 0.95];
        assert_eq!(pixel_error_f(&prob, &ground_truth, &THRESHOLDS).unwrap(), 0.0);
        assert!((pixel_error_f(&prob, &ground_truth, &[0.5]).unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(pixel_error(&above(&prob, 0.5, &ground_truth).unwrap(), &ground_truth).unwrap(), 0.25);
        assert!(pixel_error_f(&prob[1..], &ground_truth, &THRESHOLDS).is_err());
        assert_eq!((THRESHOLDS[0], THRESHOLDS[5], THRESHOLDS[9]), (0.0, 0.5, 0.9));
    }
}
