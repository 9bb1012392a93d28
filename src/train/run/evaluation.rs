//! Evaluations during a run: scores of the validation images, and the best model.

use std::collections::BTreeMap;

use super::{Event, TrainRun};
use crate::error::{Error, Result};
use crate::infer::{Image, InstanceSettings, SegmentOptions, Segmentation, Segmenter};
use crate::model::Model;
use crate::names::Named;
use crate::session::Backend;
use crate::tensor::HostTensor;
use crate::train::checkpoint::save_model;
use crate::train::config::Monitor;
use crate::train::dataset::Pair;
use crate::train::evaluate::{EvaluateOptions, Evaluation, evaluate_async};
use crate::train::metrics::{Classes, Measure};
use crate::weights::Weights;

/// Images in the grid of predictions.
const SHOWN: usize = 6;

impl TrainRun {
    /// The network with its current weights.
    fn model(&self, weights: &BTreeMap<String, HostTensor>) -> Result<Model> {
        let weights: Weights = weights.clone().into_iter().collect();
        Model::with_architecture("the network in training", self.architecture.clone(), self.metadata.clone(), weights)
    }

    pub(super) fn segmenter(&self, weights: &BTreeMap<String, HostTensor>) -> Result<Segmenter> {
        Ok(Segmenter::new(Backend::Gpu(self.gpu.clone()), self.model(weights)?))
    }

    /// Segments a validation image. A loss validates the weights before its step, this the weights after it: a
    /// prediction that is not finite ends the run before the weights replace good ones on disk.
    pub(super) async fn predict(&self, segmenter: &mut Segmenter, pair: &Pair, image: &Image) -> Result<Segmentation> {
        // As the model's file will say.
        let instances = self.metadata.instances.as_ref().map(|_| InstanceSettings::default());
        let options = SegmentOptions { probabilities: true, instances, ..SegmentOptions::default() };
        let result = segmenter.segment_async(image, &options, |_| Ok(())).await?;
        match result.probabilities.iter().flatten().find(|p| !p.is_finite()) {
            Some(p) => {
                let what = format!("after step {}, the network's prediction for {} is {p}", self.step, pair.name);
                Err(self.diverged(&what))
            }
            None => Ok(result),
        }
    }

    /// Scores the network on the validation images; saves it if it is the best.
    pub(super) async fn evaluate(&mut self, watch: &mut impl FnMut(Event) -> Result<bool>) -> Result<bool> {
        let weights = self.weights().await?;
        let mut segmenter = self.segmenter(&weights)?;
        let classes = segmenter.model().classes();
        let options = EvaluateOptions {
            grow: self.config.grow,
            thresholds: vec![0.5],
            labels: self.config.data.labels(),
            read: self.config.data.read(),
            ..EvaluateOptions::default()
        };
        let mut shown = Vec::new();
        let segment = async |i: usize, pair: &Pair, image: &Image| {
            let result = self.predict(&mut segmenter, pair, image).await?;
            if i < SHOWN {
                shown.push((i, result.mask.clone()));
            }
            Ok(result)
        };
        let evaluation = evaluate_async(&self.validation, classes, &options, segment).await?;
        let mut scores = scores(&evaluation)?;
        if let Some(validation) = &self.validation_loss {
            let loss = validation.of(&self.gpu, &weights).await?;
            if !loss.is_finite() {
                let what = format!("after step {}, the loss of the validation images is {loss}", self.step);
                return Err(self.diverged(&what));
            }
            scores.push(("loss", loss));
        }
        let monitor = self.config.monitor();
        let value = scores.iter().find(|s| s.0 == monitor.name()).map(|s| s.1);
        let value = value.ok_or_else(|| Error::invalid("monitor", format!("`{monitor}` has no value")))?;
        // NaN: nothing in the ground truth and nothing predicted, which is not an improvement.
        let gain = if value.is_nan() { 0.0 } else { monitor.gain(value) };
        let loss = scores.iter().find(|s| s.0 == Monitor::Loss.name()).map(|s| s.1);
        let order = compare((gain, loss), self.best.map(|best| (best, self.progress.best_loss)));
        self.progress.waited = if order == Rank::Better { 0 } else { self.progress.waited + 1 };
        self.progress.plateau.evaluated(&self.config.schedule, gain);
        let best = order != Rank::Behind;
        if best {
            (self.best, self.progress.best_loss) = (Some(gain), loss);
            save_model(self.files.best(), &weights, &self.metadata)?;
        }
        self.report.validation(self.step, &scores)?;
        self.report.curves()?;
        let data = &self.config.data;
        self.report.images(self.step, &self.validation, &data.read(), &data.labels(), &shown)?;
        watch(Event::Evaluated { step: self.step, scores: &scores, best })
    }
}

/// An evaluation beside the best one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// A better score.
    Better,
    /// The same score, and the network is to be preferred.
    Level,
    /// Neither.
    Behind,
}

/// Compares score and loss with those of the best evaluation so far. Of equal scores the smaller loss counts; where the losses are equal
/// too, or one is not known, the later network, which has trained longer.
fn compare((gain, loss): (f64, Option<f64>), best: Option<(f64, Option<f64>)>) -> Rank {
    match best {
        None => Rank::Better,
        Some((before, _)) if gain > before => Rank::Better,
        Some((before, lost)) if gain == before && loss.zip(lost).is_none_or(|(now, before)| now <= before) => {
            Rank::Level
        }
        Some(_) => Rank::Behind,
    }
}

/// The reported measures of an evaluation; NaN where undefined.
fn scores(evaluation: &Evaluation) -> Result<Vec<(&'static str, f64)>> {
    let foreground = |of, over| evaluation.foreground(of, over).unwrap_or(f64::NAN);
    let mut scores = vec![
        ("dice", foreground(Measure::Dice, Classes::Present)),
        ("iou", foreground(Measure::Iou, Classes::Present)),
        ("dice_all", foreground(Measure::Dice, Classes::All)),
        ("iou_all", foreground(Measure::Iou, Classes::All)),
    ];
    if evaluation.instances().next().is_some() {
        scores.push(("f1", evaluation.matches(0.5).f1()));
    }
    scores.push(("pixel_error", evaluation.confusion()?.pixel_error()));
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_told_apart_by_the_loss_and_then_by_the_step() {
        assert_eq!(compare((0.0, None), None), Rank::Better);
        assert_eq!(compare((0.4, Some(9.0)), Some((0.3, Some(1.0)))), Rank::Better);
        assert_eq!(compare((0.2, Some(0.1)), Some((0.3, Some(1.0)))), Rank::Behind);
        // As at the beginning of a run, while no instance is found.
        assert_eq!(compare((0.0, Some(0.8)), Some((0.0, Some(0.9)))), Rank::Level);
        assert_eq!(compare((0.0, Some(1.1)), Some((0.0, Some(0.9)))), Rank::Behind);
        assert_eq!(compare((0.0, Some(0.9)), Some((0.0, Some(0.9)))), Rank::Level);
        assert_eq!(compare((1.0, None), Some((1.0, None))), Rank::Level);
        // The state of a run of an earlier version has no loss.
        assert_eq!(compare((0.0, Some(0.9)), Some((0.0, None))), Rank::Level);
    }
}
