//! Measures of single instances: which are found, and how well they fit.

use std::collections::HashMap;

use super::{pairs, ratio};
use crate::error::Result;
use crate::infer::LabelMap;

/// The thresholds of IoU that mean AP is taken over: 0.50, 0.55, .. 0.95.
pub const AP_THRESHOLDS: [f64; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];

/// The instances of an image, predicted and true, and how they overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceOverlaps {
    pred: usize,
    ground_truth: usize,
    /// True and predicted instance with their IoU, the largest first.
    overlaps: Vec<(u32, u32, f64)>,
    /// Sum over the true instances of what SEG is the mean of.
    seg: f64,
}

/// Instances that were found and that were not. Those of several images add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// True instances that were found.
    pub tp: usize,
    /// Predicted instances that are none.
    pub fp: usize,
    /// True instances that were not found.
    pub fn_: usize,
}

impl InstanceOverlaps {
    /// Counts how the instances of two maps overlap. Fails if they differ in size.
    pub fn of(pred: &LabelMap, ground_truth: &LabelMap) -> Result<Self> {
        let pairs = pairs(pred, ground_truth)?;
        let (mut of_pred, mut of_ground_truth) = (HashMap::new(), HashMap::new());
        for ((t, p), n) in &pairs {
            *of_ground_truth.entry(*t).or_insert(0u64) += n;
            *of_pred.entry(*p).or_insert(0u64) += n;
        }
        let mut seg = 0.0;
        let mut overlaps = Vec::new();
        for ((t, p), n) in pairs.into_iter().filter(|((t, p), _)| *t > 0 && *p > 0) {
            let iou = n as f64 / (of_ground_truth[&t] + of_pred[&p] - n) as f64;
            // At most one predicted instance covers more than half of a true one.
            if 2 * n > of_ground_truth[&t] {
                seg += iou;
            }
            overlaps.push((t, p, iou));
        }
        overlaps.sort_by(|a, b| b.2.total_cmp(&a.2));
        let count = |sizes: &HashMap<u32, u64>| sizes.keys().filter(|&&label| label > 0).count();
        Ok(Self { pred: count(&of_pred), ground_truth: count(&of_ground_truth), overlaps, seg })
    }

    /// Number of predicted instances.
    pub fn predicted(&self) -> usize {
        self.pred
    }

    /// Number of true instances.
    pub fn true_instances(&self) -> usize {
        self.ground_truth
    }

    /// Matches predicted with true instances whose IoU is above a threshold, the best first, each instance once. From 0.5 on
    /// no instance has two candidates.
    pub fn matches(&self, threshold: f64) -> Matches {
        let (mut of_ground_truth, mut of_pred) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for (t, p, _) in self.overlaps.iter().take_while(|(_, _, iou)| *iou > threshold) {
            if !of_ground_truth.contains(t) && !of_pred.contains(p) {
                of_ground_truth.insert(*t);
                of_pred.insert(*p);
            }
        }
        let tp = of_ground_truth.len();
        Matches { tp, fp: self.pred - tp, fn_: self.ground_truth - tp }
    }

    /// SEG of the Cell Tracking Challenge: the mean over true instances of the IoU with the predicted instance that covers
    /// more than half of it, 0 if none does; 1 without true instances.
    pub fn seg(&self) -> f64 {
        ratio(self.seg, self.ground_truth as f64)
    }

    /// What [`Self::seg`] is the mean of, added up, for a mean over the instances of several images.
    pub fn seg_sum(&self) -> f64 {
        self.seg
    }
}

impl Matches {
    /// Share of the predicted instances that are true ones; without predicted instances 0, or 1 if there is no true one.
    pub fn precision(&self) -> f64 {
        match self.tp + self.fp {
            0 => f64::from(u8::from(self.fn_ == 0)),
            predicted => self.tp as f64 / predicted as f64,
        }
    }

    /// Share of the true instances that were found; 1 without true instances.
    pub fn recall(&self) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fn_) as f64)
    }

    /// Harmonic mean of precision and recall: `2 tp / (2 tp + fp + fn)`; 1 without instances.
    pub fn f1(&self) -> f64 {
        ratio(2.0 * self.tp as f64, (2 * self.tp + self.fp + self.fn_) as f64)
    }

    /// Average precision as in the 2018 Data Science Bowl: `tp / (tp + fp + fn)`; 1 without instances.
    pub fn ap(&self) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fp + self.fn_) as f64)
    }
}

impl std::ops::AddAssign for Matches {
    fn add_assign(&mut self, other: Self) {
        *self = Self { tp: self.tp + other.tp, fp: self.fp + other.fp, fn_: self.fn_ + other.fn_ };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(pred: &[u32], ground_truth: &[u32]) -> InstanceOverlaps {
        let row = |labels: &[u32]| LabelMap::new(labels.len(), 1, labels.to_vec()).unwrap();
        InstanceOverlaps::of(&row(pred), &row(ground_truth)).unwrap()
    }

    #[test]
    fn objects_match_above_the_threshold() {
        // IoU 2/3 for instance 1, exactly 1/2 for instance 4; 9 is not there.
        let o = instances(&[5, 5, 0, 2, 0, 0, 9], &[1, 1, 1, 4, 4, 0, 0]);
        assert_eq!((o.predicted(), o.true_instances()), (3, 2));
        assert_eq!(o.matches(0.5), Matches { tp: 1, fp: 2, fn_: 1 });
        assert_eq!(o.matches(0.49), Matches { tp: 2, fp: 1, fn_: 0 });
        assert_eq!(o.matches(0.7), Matches { tp: 0, fp: 3, fn_: 2 });
        let m = o.matches(0.5);
        assert_eq!((m.precision(), m.recall(), m.f1(), m.ap()), (1.0 / 3.0, 0.5, 0.4, 0.25));
        // Instance 4 is covered by half only, which is not more than half.
        assert_eq!(o.seg(), (2.0 / 3.0) / 2.0);
    }

    #[test]
    fn each_object_is_matched_once() {
        // Both halves overlap instance 1 by IoU 1/2; the whole prediction 3 overlaps 2 by 2/3 and 3 by 1/3.
        assert_eq!(instances(&[1, 2], &[1, 1]).matches(0.3), Matches { tp: 1, fp: 1, fn_: 0 });
        assert_eq!(instances(&[3, 3, 3], &[2, 2, 3]).matches(0.3), Matches { tp: 1, fp: 0, fn_: 1 });
    }

    #[test]
    fn no_instances() {
        let all = |m: Matches| [m.precision(), m.recall(), m.f1(), m.ap()];
        let none = instances(&[0, 0], &[0, 0]);
        assert_eq!((all(none.matches(0.5)), none.seg()), ([1.0; 4], 1.0));
        let missed = instances(&[0, 0], &[1, 1]);
        assert_eq!((all(missed.matches(0.5)), missed.seg()), ([0.0; 4], 0.0));
        assert_eq!(all(instances(&[1, 1], &[0, 0]).matches(0.5)), [0.0, 1.0, 0.0, 0.0]);
        let mut sum = none.matches(0.5);
        sum += missed.matches(0.5);
        assert_eq!(sum, Matches { tp: 0, fp: 0, fn_: 1 });
    }
}
