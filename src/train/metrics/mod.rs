//! Measures of a segmentation against ground truth.
//!
//! Classes: [`Confusion`] with IoU (Jaccard) and Dice. Binary masks and probabilities: [`Overlap`], [`pixel_error`],
//! [`pixel_error_f`], [`warping_error`]. Instances: [`InstanceOverlaps`] with precision, recall, F1 and AP at IoU
//! thresholds, AJI, panoptic quality and the Cell Tracking Challenge's SEG, [`rand_scores`], [`rand_error`] and [`v_info`].
//!
//! Instances are numbered from 1, background is 0. A measure of 0 / 0 (no instance in either map) is 1.

mod binary;
mod confusion;
mod instances;
mod rand;
mod warping;

pub use binary::{Overlap, THRESHOLDS, above, pixel_error, pixel_error_f};
pub use confusion::{Classes, Confusion, Measure};
pub use instances::{AP_THRESHOLDS, InstanceOverlaps, Jaccard, Matches, Panoptic};
pub use rand::{RandScores, rand_error, rand_scores, v_info};
pub use warping::warping_error;

use crate::error::{Error, Result};
use crate::infer::LabelMap;

/// Counts of each pair of labels (ground truth, prediction), ascending. Errors if the maps differ in size.
fn pairs(pred: &LabelMap, ground_truth: &LabelMap) -> Result<Vec<((u32, u32), u64)>> {
    pred.check_same_size(ground_truth)?;
    let mut all: Vec<_> = ground_truth.labels().iter().copied().zip(pred.labels().iter().copied()).collect();
    all.sort_unstable();
    let mut found: Vec<((u32, u32), u64)> = Vec::new();
    for pair in all {
        match found.last_mut() {
            Some((last, n)) if *last == pair => *n += 1,
            _ => found.push((pair, 1)),
        }
    }
    Ok(found)
}

/// Errors unless there is a probability for every pixel.
fn check_plane(prob: &[f32], ground_truth: &LabelMap) -> Result<()> {
    if prob.len() == ground_truth.labels().len() {
        return Ok(());
    }
    let reason = format!("{} for {}x{} pixels", prob.len(), ground_truth.width(), ground_truth.height());
    Err(Error::invalid("probabilities", reason))
}

/// `a / b`; 1 if both are 0.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 && b == 0.0 { 1.0 } else { a / b }
}
