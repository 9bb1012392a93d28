//! Instance measures: which instances are found, and how well they match.

use std::collections::{HashMap, HashSet};

use super::{pairs, ratio};
use crate::error::Result;
use crate::infer::LabelMap;

/// IoU thresholds of mean AP: 0.50, 0.55, .. 0.90.
pub const AP_THRESHOLDS: [f64; 9] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9];
/// IoU above which panoptic quality counts a match.
const PQ_THRESHOLD: f64 = 0.5;

/// Overlaps of predicted and ground truth instances of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceOverlaps {
    pred: usize,
    ground_truth: usize,
    /// Ground truth instance, predicted instance and their IoU, largest first.
    overlaps: Vec<(u32, u32, f64)>,
    /// Sum of SEG's terms over ground truth instances.
    seg: f64,
    aji: Jaccard,
}

/// Pixels of AJI's intersections and unions. Those of several images can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jaccard {
    /// Pixels that ground truth instances share with their predicted instances.
    pub intersection: u64,
    /// Pixels of both, and of predicted instances that no ground truth instance chose.
    pub union: u64,
}

/// Panoptic quality. Those of several images can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Panoptic {
    /// Matches above an IoU of 0.5.
    pub matches: Matches,
    /// Sum of their IoU.
    pub iou: f64,
}

/// Counts of matched and unmatched instances. Counts of several images can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// True positives: ground truth instances that were found.
    pub tp: usize,
    /// False positives: predicted instances without a match.
    pub fp: usize,
    /// False negatives: ground truth instances that were not found.
    pub fn_: usize,
}

impl InstanceOverlaps {
    /// Computes the overlaps of the instances of two maps. Errors if the maps differ in size.
    pub fn of(pred: &LabelMap, ground_truth: &LabelMap) -> Result<Self> {
        let pairs = pairs(pred, ground_truth)?;
        let (mut of_pred, mut of_ground_truth) = (HashMap::new(), HashMap::new());
        for ((t, p), n) in &pairs {
            *of_ground_truth.entry(*t).or_insert(0u64) += n;
            *of_pred.entry(*p).or_insert(0u64) += n;
        }
        let mut seg = 0.0;
        let mut overlaps = Vec::new();
        let shared: Vec<_> = pairs.into_iter().filter(|((t, p), _)| *t > 0 && *p > 0).collect();
        for &((t, p), n) in &shared {
            let iou = n as f64 / (of_ground_truth[&t] + of_pred[&p] - n) as f64;
            // At most one predicted instance covers more than half of a true one.
            if 2 * n > of_ground_truth[&t] {
                seg += iou;
            }
            overlaps.push((t, p, iou));
        }
        let aji = Jaccard::of(&shared, &of_ground_truth, &of_pred);
        overlaps.sort_by(|a, b| b.2.total_cmp(&a.2));
        let count = |sizes: &HashMap<u32, u64>| sizes.keys().filter(|&&label| label > 0).count();
        Ok(Self { pred: count(&of_pred), ground_truth: count(&of_ground_truth), overlaps, seg, aji })
    }

    /// Number of predicted instances.
    pub fn predicted(&self) -> usize {
        self.pred
    }

    /// Number of ground truth instances.
    pub fn true_instances(&self) -> usize {
        self.ground_truth
    }

    /// Matches predicted and ground truth instances whose IoU is at least a threshold, as COCO, StarDist and Cellpose do: greedily by
    /// IoU, each instance once. Above 0.5, matches are unique.
    pub fn matches(&self, threshold: f64) -> Matches {
        self.matched(|iou| iou >= threshold)
    }

    fn matched(&self, fits: impl Fn(f64) -> bool) -> Matches {
        let (mut of_ground_truth, mut of_pred) = (HashSet::new(), HashSet::new());
        for (t, p, _) in self.overlaps.iter().take_while(|(_, _, iou)| fits(*iou)) {
            if !of_ground_truth.contains(t) && !of_pred.contains(p) {
                of_ground_truth.insert(*t);
                of_pred.insert(*p);
            }
        }
        let tp = of_ground_truth.len();
        Matches { tp, fp: self.pred - tp, fn_: self.ground_truth - tp }
    }

    /// SEG of the Cell Tracking Challenge: the mean over ground truth instances of the IoU with the predicted instance
    /// that covers more than half of it, 0 if none does; 1 without ground truth instances.
    pub fn seg(&self) -> f64 {
        ratio(self.seg, self.ground_truth as f64)
    }

    /// The sum that [`Self::seg`] averages, for a mean over the instances of several images.
    pub fn seg_sum(&self) -> f64 {
        self.seg
    }

    /// The pixels that the aggregated Jaccard index compares.
    pub fn aji(&self) -> Jaccard {
        self.aji
    }

    /// Panoptic quality.
    pub fn pq(&self) -> Panoptic {
        // A sum in the order of labels would be another one: this order is that of IoU, which is the same for any labels.
        let iou = self.overlaps.iter().map(|o| o.2).take_while(|iou| *iou > PQ_THRESHOLD).sum();
        Panoptic { matches: self.matched(|iou| iou > PQ_THRESHOLD), iou }
    }

    /// The mean of AP over thresholds.
    pub fn mean_ap(&self, thresholds: &[f64]) -> f64 {
        thresholds.iter().map(|&t| self.matches(t).ap()).sum::<f64>() / thresholds.len().max(1) as f64
    }
}

impl Jaccard {
    /// Every ground truth instance chooses the predicted one of the largest IoU, of equal ones the first; several may choose
    /// the same. `shared`: labels (ground truth, prediction) and the pixels they share, ascending.
    fn of(shared: &[((u32, u32), u64)], of_ground_truth: &HashMap<u32, u64>, of_pred: &HashMap<u32, u64>) -> Self {
        let (mut sum, mut chosen, mut overlapped) = (Self::default(), HashSet::new(), HashSet::new());
        for of_one in shared.chunk_by(|a, b| a.0.0 == b.0.0) {
            let jaccard =
                |((t, p), n): ((u32, u32), u64)| Self { intersection: n, union: of_ground_truth[&t] + of_pred[&p] - n };
            let best = of_one.iter().copied().reduce(|best, o| match jaccard(o).index() > jaccard(best).index() {
                true => o,
                false => best,
            });
            if let Some(best) = best {
                sum += jaccard(best);
                overlapped.insert(best.0.0);
                chosen.insert(best.0.1);
            }
        }
        let rest = |areas: &HashMap<u32, u64>, without: &HashSet<u32>| -> u64 {
            areas.iter().filter(|(label, _)| **label > 0 && !without.contains(label)).map(|(_, area)| area).sum()
        };
        sum.union += rest(of_ground_truth, &overlapped) + rest(of_pred, &chosen);
        sum
    }

    /// The aggregated Jaccard index (Kumar and others, 2017); 1 without instances.
    pub fn index(&self) -> f64 {
        ratio(self.intersection as f64, self.union as f64)
    }
}

impl Panoptic {
    /// The quality (Kirillov and others, 2019): the sum of IoU over `tp + fp / 2 + fn / 2`; 1 without instances.
    pub fn quality(&self) -> f64 {
        let Matches { tp, fp, fn_ } = self.matches;
        ratio(self.iou, tp as f64 + (fp + fn_) as f64 / 2.0)
    }
}

impl Matches {
    /// Fraction of predicted instances that match; without predicted instances 0, or 1 if there are no ground truth
    /// ones.
    pub fn precision(&self) -> f64 {
        match self.tp + self.fp {
            0 => f64::from(u8::from(self.fn_ == 0)),
            predicted => self.tp as f64 / predicted as f64,
        }
    }

    /// Fraction of ground truth instances that were found; 1 without ground truth instances.
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

impl std::ops::AddAssign for Jaccard {
    fn add_assign(&mut self, other: Self) {
        self.intersection += other.intersection;
        self.union += other.union;
    }
}

impl std::ops::AddAssign for Panoptic {
    fn add_assign(&mut self, other: Self) {
        self.matches += other.matches;
        self.iou += other.iou;
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
    fn instances_match_from_the_threshold_on() {
        // IoU 2/3 for instance 1, exactly 1/2 for instance 4; 9 matches nothing.
        let o = instances(&[5, 5, 0, 2, 0, 0, 9], &[1, 1, 1, 4, 4, 0, 0]);
        assert_eq!((o.predicted(), o.true_instances()), (3, 2));
        assert_eq!(o.matches(0.5), Matches { tp: 2, fp: 1, fn_: 0 });
        assert_eq!(o.matches(0.51), Matches { tp: 1, fp: 2, fn_: 1 });
        assert_eq!(o.matches(0.7), Matches { tp: 0, fp: 3, fn_: 2 });
        let m = o.matches(0.51);
        assert_eq!((m.precision(), m.recall(), m.f1(), m.ap()), (1.0 / 3.0, 0.5, 0.4, 0.25));
        // Two halves of one instance reach the threshold, and one of them is a match.
        assert_eq!(instances(&[1, 2], &[3, 3]).matches(0.5), Matches { tp: 1, fp: 1, fn_: 0 });
        // 3 of 5 pixels: neither quotient nor threshold is exact in binary, and they are the same number.
        assert_eq!(instances(&[1, 1, 1, 0, 0], &[1; 5]).matches(0.6), Matches { tp: 1, fp: 0, fn_: 0 });
        // Instance 4 is covered by half only, which is not more than half.
        assert_eq!(o.seg(), (2.0 / 3.0) / 2.0);
    }

    #[test]
    fn each_instance_is_matched_once() {
        // Both halves overlap instance 1 by IoU 1/2; the whole prediction 3 overlaps 2 by 2/3 and 3 by 1/3.
        assert_eq!(instances(&[1, 2], &[1, 1]).matches(0.3), Matches { tp: 1, fp: 1, fn_: 0 });
        assert_eq!(instances(&[3, 3, 3], &[2, 2, 3]).matches(0.3), Matches { tp: 1, fp: 0, fn_: 1 });
    }

    /// By hand, see scripts/check_instance_scores.py for larger maps.
    #[test]
    fn aggregated_jaccard_and_panoptic_quality() {
        // IoU of (1, 5) is 2/3, of (4, 2) 1/2; 9 and the ground truth instance 3 match nothing.
        let o = instances(&[5, 5, 0, 2, 0, 0, 9, 0], &[1, 1, 1, 4, 4, 0, 0, 3]);
        // 2 + 1 pixels shared; unions 3 + 2, and one each of what is left.
        assert_eq!(o.aji(), Jaccard { intersection: 3, union: 7 });
        assert_eq!(o.pq(), Panoptic { matches: Matches { tp: 1, fp: 2, fn_: 2 }, iou: 2.0 / 3.0 });
        assert_eq!((o.aji().index(), o.pq().quality()), (3.0 / 7.0, (2.0 / 3.0) / 3.0));
        // Unlike AP, whose match of 0.5 counts.
        assert_eq!(o.mean_ap(&[0.5, 0.7]), (2.0 / 4.0) / 2.0);
        // Two ground truth instances choose the same predicted one.
        let both = instances(&[7, 7, 7], &[1, 1, 2]);
        assert_eq!((both.aji(), both.pq().quality()), (Jaccard { intersection: 3, union: 6 }, (2.0 / 3.0) / 1.5));
    }

    #[test]
    fn no_instances() {
        let all = |m: Matches| [m.precision(), m.recall(), m.f1(), m.ap()];
        let none = instances(&[0, 0], &[0, 0]);
        assert_eq!((all(none.matches(0.5)), none.seg()), ([1.0; 4], 1.0));
        assert_eq!((none.aji().index(), none.pq().quality(), none.mean_ap(&[0.5])), (1.0, 1.0, 1.0));
        let missed = instances(&[0, 0], &[1, 1]);
        assert_eq!((missed.aji().index(), missed.pq().quality()), (0.0, 0.0));
        assert_eq!((all(missed.matches(0.5)), missed.seg()), ([0.0; 4], 0.0));
        assert_eq!(all(instances(&[1, 1], &[0, 0]).matches(0.5)), [0.0, 1.0, 0.0, 0.0]);
        let mut sum = none.matches(0.5);
        sum += missed.matches(0.5);
        assert_eq!(sum, Matches { tp: 0, fp: 0, fn_: 1 });
    }
    /// Label maps with their scores by scripts/check_instance_scores.py, each image and all together.
    #[test]
    fn scores_match_numpy() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/instance_scores.json");
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut all = Vec::new();
        let compare = |of: &[InstanceOverlaps], expected: &serde_json::Value| {
            let matches = |t: f64| {
                let mut sum = Matches::default();
                of.iter().for_each(|o| sum += o.matches(t));
                sum
            };
            let (mut aji, mut pq) = (Jaccard::default(), Panoptic::default());
            for o in of {
                aji += o.aji();
                pq += o.pq();
            }
            let real = of.iter().map(|o| o.true_instances()).sum::<usize>() as f64;
            let mut scores = vec![
                ("mean_ap".to_string(), AP_THRESHOLDS.map(|t| matches(t).ap()).iter().sum::<f64>() / 9.0),
                ("aji".into(), aji.index()),
                ("pq".into(), pq.quality()),
                ("seg".into(), ratio(of.iter().map(InstanceOverlaps::seg_sum).sum(), real)),
            ];
            for t in AP_THRESHOLDS {
                scores.extend([(format!("f1@{t}"), matches(t).f1()), (format!("ap@{t}"), matches(t).ap())]);
            }
            assert_eq!(scores.len(), expected.as_object().unwrap().len());
            for (name, score) in scores {
                assert!((score - expected[&name].as_f64().unwrap()).abs() < 1e-12, "{name}: {score}, {expected}");
            }
        };
        for image in file["images"].as_array().unwrap() {
            let [width, height] = ["width", "height"].map(|k| image[k].as_u64().unwrap() as usize);
            let map = |key: &str| {
                let labels = image[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect();
                LabelMap::new(width, height, labels).unwrap()
            };
            let overlaps = InstanceOverlaps::of(&map("found"), &map("truth")).unwrap();
            compare(std::slice::from_ref(&overlaps), &image["scores"]);
            let ap = image["scores"]["mean_ap"].as_f64().unwrap();
            assert!((overlaps.mean_ap(&AP_THRESHOLDS) - ap).abs() < 1e-12);
            all.push(overlaps);
        }
        assert!(all.len() > 2);
        compare(&all, &file["pooled"]);
    }
}
