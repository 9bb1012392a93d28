//! Scores of a model on labelled images, by image, the worst first.

use super::model::ModelFile;
use super::reporter::Reporter;
use super::segment::Segmenters;
use super::{Event, SelectedChannels};
use serde::{Deserialize, Serialize};
use std::path::Path;
use unet_wgpu::low_level::infer::{InstanceSettings, LabelOptions, OpenOptions};
use unet_wgpu::low_level::train::evaluate::evaluate_async;
use unet_wgpu::low_level::train::metrics::{Classes, Measure};
use unet_wgpu::low_level::train::{Dataset, EvaluateOptions};
use unet_wgpu::{Result, SegmentOptions};

/// The value of unlabelled pixels in files of labels.
pub(super) const UNLABELLED: i64 = -1;

/// Scores of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageScore {
    /// Its name in the data set.
    pub name: String,
    /// F1 of instances at an IoU above 0.5; none without labelled instances.
    pub f1: Option<f64>,
    /// Dice of the foreground; none if it is absent.
    pub dice: Option<f64>,
    /// Instances found, missed, and wrongly found.
    pub counts: [usize; 3],
}

/// Scores of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Name of the model.
    pub model: String,
    /// F1 at an IoU above 0.5, of the instances of all images.
    pub f1: f64,
    /// Mean average precision over IoU 0.5 to 0.9.
    pub mean_ap: f64,
    /// Mean Dice of the foreground per image.
    pub dice: Option<f64>,
    /// By image, the worst first.
    pub images: Vec<ImageScore>,
}

pub(super) async fn score(
    segmenters: &mut Segmenters,
    model: &ModelFile,
    settings: &InstanceSettings,
    data: &Path,
    channels: SelectedChannels,
    reporter: &Reporter,
) -> Result<Event> {
    let data = Dataset::open(data)?;
    let model = segmenters.model(model).await?;
    let segmenter = segmenters.of(&model);
    let labels = LabelOptions { ignore: Some(UNLABELLED), ..LabelOptions::default() };
    let read = OpenOptions { channels, ..OpenOptions::default() };
    let options = EvaluateOptions { labels, read, ..EvaluateOptions::default() };
    let segment = SegmentOptions::default().with_instances(Some(settings.clone()));
    let count = data.pairs().len().max(1) as f64;
    let evaluation = evaluate_async(&data, segmenter.classes(), &options, async |i, _, image| {
        segmenter.segment_async(image, &segment, |done| reporter.progress((i as f64 + done) / count)).await
    })
    .await?;
    let mut images: Vec<ImageScore> = evaluation
        .images
        .iter()
        .map(|image| {
            let matches = image.instances.as_ref().map(|i| i.instances.matches(0.5));
            let foreground =
                (1..evaluation.classes.len()).filter_map(|class| image.confusion.if_present(class, Measure::Dice));
            let (sum, classes) = foreground.fold((0.0, 0), |(sum, n), dice| (sum + dice, n + 1));
            ImageScore {
                name: image.name.clone(),
                f1: matches.as_ref().map(|m| m.f1()),
                dice: (classes > 0).then(|| sum / f64::from(classes)),
                counts: matches.map_or([0; 3], |m| [m.tp, m.fn_, m.fp]),
            }
        })
        .collect();
    let rank = |s: &ImageScore| s.f1.or(s.dice).unwrap_or(2.0);
    images.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    Ok(Event::Scored(Box::new(Scores {
        model: model.name.clone(),
        f1: evaluation.matches(0.5).f1(),
        mean_ap: evaluation.mean_ap(),
        dice: evaluation.foreground(Measure::Dice, Classes::Present),
        images,
    })))
}
