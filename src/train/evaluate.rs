//! Evaluation of a model on a data set.

mod document;

use std::collections::BTreeMap;

use crate::parallel::*;

use super::dataset::{Dataset, Pair};
use super::example::tally;
use super::ground_truth::GroundTruth;
use super::metrics::{
    AP_THRESHOLDS, Classes, Confusion, InstanceOverlaps, Jaccard, Matches, Measure, Panoptic, RandScores, THRESHOLDS,
    pixel_error_f, rand_error, rand_scores, v_info, warping_error,
};
use crate::error::{Error, Message, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::infer::{
    Connectivity, Ids, Image, LabelMap, LabelOptions, OpenOptions, Segmentation, components, grow, read_image,
};

/// The source of ground truth instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceTruth {
    /// Those of `labels/`; an image without labels has no instance scores.
    #[default]
    Labels,
    /// Those of `labels/`; without labels, the connected components of the ground truth mask.
    Components,
    /// None: instances are not scored.
    None,
}

/// Options of [`evaluate`](fn@evaluate).
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluateOptions {
    /// The source of ground truth instances.
    pub ground_truth: InstanceTruth,
    /// Connectivity of ground truth instances that are components of a mask; of predicted ones too, if the segmentation has
    /// no instances.
    pub connectivity: Connectivity,
    /// The class of the instances that are compared; without it, every class but the background.
    pub instance_class: Option<u32>,
    /// Pixels by which components of the mask are dilated before they are compared, during training, where the instances
    /// are not those of [`Segmentation::instances`]: closes the gap that a network is trained to leave.
    pub grow: usize,
    /// IoU thresholds above which an instance counts as found, in `[0, 1)`.
    pub thresholds: Vec<f64>,
    /// How ground truth is read. Ignored pixels do not count for classes and belong to no
    /// instance; a predicted instance that lies mostly there is left out.
    pub labels: LabelOptions,
    /// Also compute the ISBI 2012 challenge's measures, at the best of ten probability thresholds. Two classes only.
    pub em: bool,
    /// How images are read.
    pub read: OpenOptions,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            ground_truth: InstanceTruth::Labels,
            connectivity: Connectivity::Four,
            instance_class: None,
            grow: 0,
            thresholds: AP_THRESHOLDS.to_vec(),
            labels: LabelOptions::default(),
            em: false,
            read: OpenOptions::default(),
        }
    }
}

/// Instance scores of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceScores {
    /// Overlaps: matches at IoU thresholds, SEG.
    pub instances: InstanceOverlaps,
    /// Rand scores.
    pub rand: RandScores,
    /// Information score.
    pub v_info: f64,
}

/// ISBI 2012's measures of an image; 0 is best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmScores {
    /// 1 - the largest F-score of the foreground over ten thresholds.
    pub pixel_error: f64,
    /// 1 - the largest V_rand over ten thresholds.
    pub rand_error: f64,
    /// Warping error at threshold 0.5.
    pub warping_error: f64,
}

/// Scores of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageScores {
    /// Name in the data set.
    pub name: String,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels by ground truth and predicted class.
    pub confusion: Confusion,
    /// Instance scores, if there are ground truth instances.
    pub instances: Option<InstanceScores>,
    /// ISBI 2012's measures, if requested.
    pub em: Option<EmScores>,
}

/// Scores of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Class names, background first.
    pub classes: Vec<String>,
    /// The IoU thresholds.
    pub thresholds: Vec<f64>,
    /// Scores of every image, in the order of the data set.
    pub images: Vec<ImageScores>,
    /// Notes for users on how images were read, with the number of images.
    pub notes: Vec<(Message, usize)>,
}

/// Segments every image of a data set with `segment` and compares it with the ground truth. Predicted instances are
/// [`Segmentation::instances`], or else the components of the mask. All files are read and checked first. `segment` gets the image's index too, and may cancel by an error; it must return probabilities if
/// [`EvaluateOptions::em`] is set. Errors name the file.
#[cfg(not(target_arch = "wasm32"))]
pub fn evaluate(
    data: &Dataset,
    classes: Vec<String>,
    options: &EvaluateOptions,
    mut segment: impl FnMut(usize, &Pair, &Image) -> Result<Segmentation>,
) -> Result<Evaluation> {
    block_on(evaluate_async(data, classes, options, async |i, pair, image| segment(i, pair, image)))
}

/// [`evaluate`] as a future, with an async `segment`.
pub async fn evaluate_async(
    data: &Dataset,
    classes: Vec<String>,
    options: &EvaluateOptions,
    mut segment: impl AsyncFnMut(usize, &Pair, &Image) -> Result<Segmentation>,
) -> Result<Evaluation> {
    check(options, classes.len())?;
    let read = |pair: &Pair| {
        let (image, notes) = read_image(&pair.image, &options.read)?;
        let ground_truth =
            GroundTruth::read_for(&image, pair, classes.len(), &options.labels.oriented_as(&options.read))?;
        Ok((image, ground_truth, notes))
    };
    // Reading is cheap beside segmenting: report a bad file before the work begins, the first by name.
    let checked: Vec<Result<()>> = data.pairs().par_iter().map(|pair| read(pair).map(drop)).collect();
    checked.into_iter().collect::<Result<()>>()?;
    let mut images = Vec::with_capacity(data.pairs().len());
    let mut notes = Vec::new();
    for (i, pair) in data.pairs().iter().enumerate() {
        let (image, ground_truth, read_notes) = read(pair)?;
        let result = segment(i, pair, &image).await?;
        notes.extend(read_notes);
        let scores = score(&pair.name, &result, &ground_truth, classes.len(), options);
        notes.extend(result.notes);
        images.push(scores.map_err(|e| Error::file(&pair.image, e.message()))?);
    }
    Ok(Evaluation { classes, thresholds: options.thresholds.clone(), images, notes: tally(notes) })
}

fn check(options: &EvaluateOptions, classes: usize) -> Result<()> {
    if let Some(t) = options.thresholds.iter().find(|t| !(0.0..1.0).contains(*t)) {
        return Err(Error::invalid("IoU threshold", format!("{t} is not in [0, 1)")));
    }
    if let Some(class) = options.instance_class.filter(|&c| c as usize >= classes) {
        return Err(Error::invalid("instance class", format!("{class} does not exist, there are {classes}")));
    }
    if options.em && classes != 2 {
        return Err(Error::invalid("ISBI 2012's measures", format!("are for 2 classes, there are {classes}")));
    }
    Ok(())
}

/// Compares a segmentation with the ground truth; with [`EvaluateOptions::em`], also its probabilities `[K, H, W]`, K = 1
/// or 2. Errors if sizes differ, or if `em` is set without probabilities.
pub fn score(
    name: &str,
    result: &Segmentation,
    ground_truth: &GroundTruth,
    classes: usize,
    options: &EvaluateOptions,
) -> Result<ImageScores> {
    check(options, classes)?;
    let Segmentation { mask, probabilities, .. } = result;
    let probability = probabilities.as_deref();
    let (width, height) = (mask.width(), mask.height());
    let pred = match mask.ids() {
        Ids::U8(ids) => ids.iter().map(|&id| id.into()).collect(),
        Ids::U16(ids) => ids.iter().map(|&id| id.into()).collect(),
    };
    let pred = LabelMap::new(width, height, pred)?;
    let confusion = Confusion::of(&pred, &ground_truth.classes, classes)?;
    let found = |map: &LabelMap| {
        let requested = |id: u32| match options.instance_class {
            Some(class) => u32::from(id == class),
            None => id,
        };
        components(&map.map(requested), options.connectivity)
    };
    // Ignored pixels belong to no instance.
    let foreground_ids = || ground_truth.classes.map(|id| if (id as usize) < classes { id } else { 0 });
    let true_instances = match (options.ground_truth, &ground_truth.instances) {
        (InstanceTruth::None, _) | (InstanceTruth::Labels, None) => None,
        (_, Some(instances)) => Some(instances.clone()),
        (InstanceTruth::Components, None) => Some(found(&foreground_ids())),
    };
    let instances = true_instances.map(|instances| {
        let requested = |class: usize| options.instance_class.is_none_or(|c| c as usize == class);
        let pred = match &result.instances {
            Some(own) => own.labels.map(|n| if requested(own.classes[n as usize]) { n } else { 0 }),
            None => grow(&found(&pred), options.grow),
        };
        let pred = where_known(&pred, &ground_truth.classes, classes)?;
        Ok::<_, Error>(InstanceScores {
            instances: InstanceOverlaps::of(&pred, &instances)?,
            rand: rand_scores(&pred, &instances)?,
            v_info: v_info(&pred, &instances)?,
        })
    });
    let em = options.em.then(|| {
        let planes = probability.ok_or_else(|| Error::invalid("probabilities", "are missing"))?;
        // The foreground is the last of one or two planes.
        let plane = &planes[planes.len().saturating_sub(width * height)..];
        let foreground = foreground_ids();
        // Ground truth instances do not depend on the threshold: the labels, or the components of the mask.
        let instances = match &ground_truth.instances {
            Some(instances) => instances.clone(),
            None => components(&foreground, Connectivity::Four),
        };
        Ok::<_, Error>(EmScores {
            pixel_error: pixel_error_f(plane, &foreground, &THRESHOLDS)?,
            rand_error: rand_error(plane, &instances, &THRESHOLDS)?,
            warping_error: warping_error(plane, &foreground, 0.5)?.0,
        })
    });
    Ok(ImageScores {
        name: name.into(),
        width,
        height,
        confusion,
        instances: instances.transpose()?,
        em: em.transpose()?,
    })
}

/// Predicted instances without their ignored pixels. Those that lie mostly there are left out: nobody knows whether they are right.
fn where_known(pred: &LabelMap, truth: &LabelMap, classes: usize) -> Result<LabelMap> {
    let ignored = |id: u32| id as usize >= classes;
    if !truth.labels().iter().any(|&id| ignored(id)) {
        return Ok(pred.clone());
    }
    // Pixels of each instance: all, ignored.
    let mut pixels: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
    for (&number, &id) in pred.labels().iter().zip(truth.labels()) {
        let counts = pixels.entry(number).or_default();
        counts[0] += 1;
        counts[1] += u64::from(ignored(id));
    }
    let counts = |number: &u32| pixels.get(number).is_some_and(|[all, ignored]| 2 * ignored <= *all);
    let pairs = pred.labels().iter().zip(truth.labels());
    let known = pairs.map(|(&number, &id)| if !ignored(id) && counts(&number) { number } else { 0 });
    LabelMap::new(pred.width(), pred.height(), known.collect())
}

impl Evaluation {
    /// The confusion matrix of all images.
    pub fn confusion(&self) -> Result<Confusion> {
        let mut sum = Confusion::new(self.classes.len());
        self.images.iter().try_for_each(|p| sum.add(&p.confusion))?;
        Ok(sum)
    }

    /// The mean of a score over the images that have it; `None` if no image has it.
    pub fn mean(&self, of: impl Fn(&ImageScores) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.images.iter().filter_map(of).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The mean over images of a measure's mean over the foreground classes. With [`Classes::Present`], a class that is
    /// absent from an image is left out; with [`Classes::All`], it counts as 1. `None` if no image has a score.
    pub fn foreground(&self, of: Measure, over: Classes) -> Option<f64> {
        self.mean(|p| p.confusion.mean(1, of, over))
    }

    /// Instance scores of the images that have them.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceScores> {
        self.images.iter().filter_map(|p| p.instances.as_ref())
    }

    /// Matches over all images at an IoU threshold.
    pub fn matches(&self, threshold: f64) -> Matches {
        let mut sum = Matches::default();
        self.instances().for_each(|o| sum += o.instances.matches(threshold));
        sum
    }

    /// SEG over the instances of all images; `None` without ground truth instances.
    pub fn seg(&self) -> Option<f64> {
        let (sum, count) = self
            .instances()
            .fold((0.0, 0), |(sum, count), o| (sum + o.instances.seg_sum(), count + o.instances.true_instances()));
        (count > 0).then(|| sum / count as f64)
    }

    /// The mean of AP over the thresholds, of the matches in all images.
    pub fn mean_ap(&self) -> f64 {
        self.thresholds.iter().map(|&t| self.matches(t).ap()).sum::<f64>() / self.thresholds.len().max(1) as f64
    }

    /// The aggregated Jaccard index over the pixels of all images.
    pub fn aji(&self) -> f64 {
        let mut sum = Jaccard::default();
        self.instances().for_each(|o| sum += o.instances.aji());
        sum.index()
    }

    /// Panoptic quality over the matches in all images.
    pub fn pq(&self) -> f64 {
        let mut sum = Panoptic::default();
        self.instances().for_each(|o| sum += o.instances.pq());
        sum.quality()
    }

    /// The scores of an image by name, for tables. All images have the same names; a missing score is `None`.
    pub fn columns(&self, image: &ImageScores) -> Vec<(String, Option<f64>)> {
        let c = &image.confusion;
        let mut out = vec![
            ("pixel_error".to_string(), Some(c.pixel_error())),
            ("mean_dice".into(), c.mean(1, Measure::Dice, Classes::Present)),
            ("mean_dice_all".into(), c.mean(1, Measure::Dice, Classes::All)),
            ("mean_iou".into(), c.mean(0, Measure::Iou, Classes::Present)),
            ("mean_iou_all".into(), c.mean(0, Measure::Iou, Classes::All)),
        ];
        for (class, name) in self.classes.iter().enumerate() {
            out.push((format!("dice.{name}"), c.if_present(class, Measure::Dice)));
            out.push((format!("iou.{name}"), c.if_present(class, Measure::Iou)));
        }
        if self.instances().next().is_some() {
            let o = image.instances.as_ref();
            let mut push = |name: &str, of: &dyn Fn(&InstanceScores) -> f64| out.push((name.into(), o.map(of)));
            push("true_instances", &|o| o.instances.true_instances() as f64);
            push("predicted_instances", &|o| o.instances.predicted() as f64);
            for &t in &self.thresholds {
                push(&format!("f1@{t}"), &|o| o.instances.matches(t).f1());
                push(&format!("ap@{t}"), &|o| o.instances.matches(t).ap());
            }
            push("mean_ap", &|o| o.instances.mean_ap(&self.thresholds));
            push("aji", &|o| o.instances.aji().index());
            push("pq", &|o| o.instances.pq().quality());
            push("seg", &|o| o.instances.seg());
            push("v_rand", &|o| o.rand.v_rand);
            push("rand_precision", &|o| o.rand.precision);
            push("rand_recall", &|o| o.rand.recall);
            push("v_info", &|o| o.v_info);
        }
        if self.images.iter().any(|p| p.em.is_some()) {
            let mut push = |name: &str, of: fn(&EmScores) -> f64| out.push((name.into(), image.em.as_ref().map(of)));
            push("em_pixel_error", |e| e.pixel_error);
            push("em_rand_error", |e| e.rand_error);
            push("em_warping_error", |e| e.warping_error);
        }
        out
    }
}

#[cfg(test)]
mod tests;
