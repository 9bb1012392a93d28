//! Rand and information scores of a division into instances, restricted to the true foreground (Arganda-Carreras et al.,
//! "Crowdsourcing the creation of image segmentation algorithms for connectomics", 2015; details as in Fiji).
//!
//! Pixels of the true background are left out. Of the rest, those that the prediction calls background count as instances
//! of one pixel each.

use std::collections::BTreeMap;

use super::{above, check_plane, pairs};
use crate::error::Result;
use crate::infer::{Connectivity, LabelMap, components};

/// Rand statistics. 1 is best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandScores {
    /// Merge score: low where true instances are merged.
    pub precision: f64,
    /// Split score: low where true instances are split.
    pub recall: f64,
    /// V_rand: the harmonic mean of the two.
    pub v_rand: f64,
}

/// Shares of the pixels of the true foreground.
struct Shares {
    /// Their number.
    n: f64,
    /// Of each pair of a true and a predicted instance.
    both: Vec<f64>,
    ground_truth: Vec<f64>,
    pred: Vec<f64>,
    /// Of the predicted background.
    loose: f64,
}

impl Shares {
    /// None if there is no true foreground.
    fn of(pred: &LabelMap, ground_truth: &LabelMap) -> Result<Option<Self>> {
        let pairs: Vec<_> = pairs(pred, ground_truth)?.into_iter().filter(|((t, _), _)| *t > 0).collect();
        let n = pairs.iter().map(|(_, count)| count).sum::<u64>() as f64;
        let (mut by_ground_truth, mut by_pred) = (BTreeMap::new(), BTreeMap::new());
        for ((t, p), count) in &pairs {
            *by_ground_truth.entry(*t).or_insert(0u64) += count;
            *by_pred.entry(*p).or_insert(0u64) += count;
        }
        let loose = by_pred.remove(&0).unwrap_or(0) as f64 / n;
        let share = |count: u64| count as f64 / n;
        Ok((n > 0.0).then(|| Self {
            n,
            both: pairs.iter().filter(|((_, p), _)| *p > 0).map(|(_, count)| share(*count)).collect(),
            ground_truth: by_ground_truth.into_values().map(share).collect(),
            pred: by_pred.into_values().map(share).collect(),
            loose,
        }))
    }
}

/// Rand statistics of predicted instances; all 1 if there is no true instance. Fails if the maps differ in size.
pub fn rand_scores(pred: &LabelMap, ground_truth: &LabelMap) -> Result<RandScores> {
    let Some(s) = Shares::of(pred, ground_truth)? else {
        return Ok(RandScores { precision: 1.0, recall: 1.0, v_rand: 1.0 });
    };
    let squares = |v: &[f64]| v.iter().map(|p| p * p).sum::<f64>();
    let singles = s.loose / s.n;
    let (both, ground_truth, pred) = (squares(&s.both) + singles, squares(&s.ground_truth), squares(&s.pred) + singles);
    Ok(RandScores { precision: both / pred, recall: both / ground_truth, v_rand: 2.0 * both / (ground_truth + pred) })
}

/// ISBI 2012's Rand error: 1 - the largest V_rand over `thresholds` of the foreground's probability `[H, W]`; the
/// instances are the 4-connected components above the threshold.
pub fn rand_error(prob: &[f32], ground_truth: &LabelMap, thresholds: &[f64]) -> Result<f64> {
    check_plane(prob, ground_truth)?;
    let mut best = 0.0f64;
    for &threshold in thresholds {
        let instances = components(&above(prob, threshold, ground_truth)?, Connectivity::Four);
        best = best.max(rand_scores(&instances, ground_truth)?.v_rand);
    }
    Ok(1.0 - best)
}

/// V_info: mutual information of ground truth and prediction over the mean of their entropies; 1 if both entropies are 0.
/// Fails if the maps differ in size.
pub fn v_info(pred: &LabelMap, ground_truth: &LabelMap) -> Result<f64> {
    let Some(s) = Shares::of(pred, ground_truth)? else { return Ok(1.0) };
    let entropy = |v: &[f64]| -v.iter().map(|p| p * p.ln()).sum::<f64>();
    let singles = s.loose * s.n.ln();
    let (of_ground_truth, of_pred, joint) =
        (entropy(&s.ground_truth), entropy(&s.pred) + singles, entropy(&s.both) + singles);
    let mean = 0.5 * (of_ground_truth + of_pred);
    Ok(if mean > 0.0 { (of_ground_truth + of_pred - joint) / mean } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(labels: &[u32]) -> LabelMap {
        LabelMap::new(labels.len(), 1, labels.to_vec()).unwrap()
    }

    #[test]
    fn merging_and_splitting() {
        let ground_truth = row(&[1, 1, 2, 2, 0]);
        assert_eq!(rand_scores(&row(&[7, 7, 3, 3, 3]), &ground_truth).unwrap().v_rand, 1.0);
        assert!((v_info(&row(&[7, 7, 3, 3, 3]), &ground_truth).unwrap() - 1.0).abs() < 1e-12);
        let merged = rand_scores(&row(&[1, 1, 1, 1, 1]), &ground_truth).unwrap();
        assert_eq!(merged, RandScores { precision: 0.5, recall: 1.0, v_rand: 2.0 / 3.0 });
        assert_eq!(v_info(&row(&[1, 1, 1, 1, 1]), &ground_truth).unwrap(), 0.0);
        // Background in the prediction: two instances of one pixel.
        let lost = rand_scores(&row(&[0, 0, 1, 1, 1]), &ground_truth).unwrap();
        let both = 0.25 + 0.5 / 4.0;
        assert_eq!(lost, RandScores { precision: 1.0, recall: both / 0.5, v_rand: 2.0 * both / (0.5 + both) });
    }

    #[test]
    fn no_true_object_is_no_error() {
        let none = row(&[0, 0]);
        assert_eq!(rand_scores(&row(&[1, 1]), &none).unwrap().v_rand, 1.0);
        assert_eq!(v_info(&row(&[1, 1]), &none).unwrap(), 1.0);
        assert_eq!(v_info(&row(&[1, 1]), &row(&[1, 1])).unwrap(), 1.0);
        assert!(rand_scores(&row(&[1]), &none).is_err());
    }
}
