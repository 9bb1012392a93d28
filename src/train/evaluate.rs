//! A model's scores on a data set.

use crate::parallel::*;

use super::dataset::{Dataset, Pair};
use super::example::tally;
use super::metrics::{
    AP_THRESHOLDS, Classes, Confusion, Matches, Measure, Objects, RandScores, THRESHOLDS, pixel_error_f, rand_error,
    rand_scores, v_info, warping_error,
};
use super::truth::Truth;
use crate::error::{Error, Message, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::infer::{
    Connectivity, Ids, LabelMap, LabelOptions, Mask, OpenOptions, Picture, Segmentation, components, grow, read_picture,
};

/// Which objects are the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectTruth {
    /// Those of `labels/`; pictures without have no scores of objects.
    #[default]
    Labels,
    /// Those of `labels/`, and where there are none the connected components of the true mask.
    Components,
    /// None.
    None,
}

/// What is measured, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluateOptions {
    /// Which objects are the truth.
    pub truth: ObjectTruth,
    /// Which pixels of the predicted mask belong to one object.
    pub connectivity: Connectivity,
    /// The class whose components are the predicted objects; of all classes but the background if none is given.
    pub object_class: Option<u32>,
    /// Pixels that predicted objects grow by before they are compared: undoes a gap that a network was trained to leave.
    pub grow: usize,
    /// Thresholds of IoU above which an object counts as found.
    pub thresholds: Vec<f64>,
    /// How ground truth is read. Pixels to be ignored do not count for classes; objects have none.
    pub labels: LabelOptions,
    /// Also the ISBI 2012 challenge's measures, which take the best of ten thresholds of probability. For two classes.
    pub em: bool,
    /// How images are read.
    pub read: OpenOptions,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            truth: ObjectTruth::Labels,
            connectivity: Connectivity::Four,
            object_class: None,
            grow: 0,
            thresholds: AP_THRESHOLDS.to_vec(),
            labels: LabelOptions::default(),
            em: false,
            read: OpenOptions::default(),
        }
    }
}

/// Scores of a picture's objects.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectScores {
    /// How they overlap: matches over thresholds, SEG.
    pub objects: Objects,
    /// Rand scores.
    pub rand: RandScores,
    /// Information score.
    pub v_info: f64,
}

/// ISBI 2012's measures of a picture; 0 is best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmScores {
    /// 1 - the largest F-score of the foreground over ten thresholds.
    pub pixel_error: f64,
    /// 1 - the largest V_rand over ten thresholds.
    pub rand_error: f64,
    /// At threshold 0.5.
    pub warping_error: f64,
}

/// Scores of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureScores {
    /// Name in the data set.
    pub name: String,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels by true and predicted class.
    pub confusion: Confusion,
    /// Scores of objects, where the truth has any.
    pub objects: Option<ObjectScores>,
    /// ISBI 2012's measures, if asked for.
    pub em: Option<EmScores>,
}

/// Scores of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Class names, background first.
    pub classes: Vec<String>,
    /// The thresholds of IoU.
    pub thresholds: Vec<f64>,
    /// Scores of every picture, in the order of the data set.
    pub pictures: Vec<PictureScores>,
    /// What users should know of the way images were read, and of how many.
    pub notes: Vec<(Message, usize)>,
}

/// Segments every picture of a data set with `segment` and compares with the truth, after a look at every file. `segment` gets the picture's number
/// too, and may cancel; it must give probabilities if [`EvaluateOptions::em`] is set. Errors name the file.
#[cfg(not(target_arch = "wasm32"))]
pub fn evaluate(
    data: &Dataset,
    classes: Vec<String>,
    options: &EvaluateOptions,
    mut segment: impl FnMut(usize, &Pair, &Picture) -> Result<Segmentation>,
) -> Result<Evaluation> {
    block_on(evaluate_async(data, classes, options, async |i, pair, picture| segment(i, pair, picture)))
}

/// [`evaluate`] as a future, of a `segment` that is one.
pub async fn evaluate_async(
    data: &Dataset,
    classes: Vec<String>,
    options: &EvaluateOptions,
    mut segment: impl AsyncFnMut(usize, &Pair, &Picture) -> Result<Segmentation>,
) -> Result<Evaluation> {
    check(options, classes.len())?;
    let read = |pair: &Pair| {
        let (picture, notes) = read_picture(&pair.image, &options.read)?;
        let truth = Truth::read_for(&picture, pair, classes.len(), &options.labels.turned_as(&options.read))?;
        Ok((picture, truth, notes))
    };
    // Reading is cheap beside segmenting: a bad file shows before the work begins, the first by name.
    let checked: Vec<Result<()>> = data.pairs().par_iter().map(|pair| read(pair).map(drop)).collect();
    checked.into_iter().collect::<Result<()>>()?;
    let mut pictures = Vec::with_capacity(data.pairs().len());
    let mut notes = Vec::new();
    for (i, pair) in data.pairs().iter().enumerate() {
        let (picture, truth, said) = read(pair)?;
        let result = segment(i, pair, &picture).await?;
        notes.extend(said.into_iter().chain(result.notes));
        let probability = result.probabilities.as_deref();
        let scores = score(&pair.name, &result.mask, probability, &truth, classes.len(), options);
        pictures.push(scores.map_err(|e| Error::file(&pair.image, e.message()))?);
    }
    Ok(Evaluation { classes, thresholds: options.thresholds.clone(), pictures, notes: tally(notes) })
}

fn check(options: &EvaluateOptions, classes: usize) -> Result<()> {
    if let Some(t) = options.thresholds.iter().find(|t| !(0.0..1.0).contains(*t)) {
        return Err(Error::invalid("threshold of IoU", format!("{t} is not from 0 to below 1")));
    }
    if let Some(class) = options.object_class.filter(|&c| c as usize >= classes) {
        return Err(Error::invalid("class of objects", format!("{class} does not exist, there are {classes}")));
    }
    if options.em && classes != 2 {
        return Err(Error::invalid("ISBI 2012's measures", format!("are for 2 classes, there are {classes}")));
    }
    Ok(())
}

/// Compares a mask, and the probabilities `[K, H, W]` behind it (K = 1 or 2) if [`EvaluateOptions::em`] is set, with the
/// truth.
pub fn score(
    name: &str,
    mask: &Mask,
    probability: Option<&[f32]>,
    truth: &Truth,
    classes: usize,
    options: &EvaluateOptions,
) -> Result<PictureScores> {
    check(options, classes)?;
    let (width, height) = (mask.width(), mask.height());
    let pred = match mask.ids() {
        Ids::U8(ids) => ids.iter().map(|&id| id.into()).collect(),
        Ids::U16(ids) => ids.iter().map(|&id| id.into()).collect(),
    };
    let pred = LabelMap::new(width, height, pred)?;
    let confusion = Confusion::of(&pred, &truth.classes, classes)?;
    let found = |map: &LabelMap| {
        let wanted = |id: u32| match options.object_class {
            Some(class) => u32::from(id == class),
            None => id,
        };
        components(&map.map(wanted), options.connectivity)
    };
    // Pixels to be ignored are no object.
    let known = || truth.classes.map(|id| if (id as usize) < classes { id } else { 0 });
    let true_objects = match (options.truth, &truth.objects) {
        (ObjectTruth::None, _) | (ObjectTruth::Labels, None) => None,
        (_, Some(objects)) => Some(objects.clone()),
        (ObjectTruth::Components, None) => Some(found(&known())),
    };
    let objects = true_objects.map(|objects| {
        let pred = grow(&found(&pred), options.grow);
        Ok::<_, Error>(ObjectScores {
            objects: Objects::of(&pred, &objects)?,
            rand: rand_scores(&pred, &objects)?,
            v_info: v_info(&pred, &objects)?,
        })
    });
    let em = options.em.then(|| {
        let planes = probability.ok_or_else(|| Error::invalid("probabilities", "are needed, but not there"))?;
        // The foreground's is the last of one or two planes.
        let plane = &planes[planes.len().saturating_sub(width * height)..];
        let foreground = known();
        // Whole objects whatever the thresholds: those that are numbered, or the pieces of the true mask.
        let objects = match &truth.objects {
            Some(objects) => objects.clone(),
            None => components(&foreground, Connectivity::Four),
        };
        Ok::<_, Error>(EmScores {
            pixel_error: pixel_error_f(plane, &foreground, &THRESHOLDS)?,
            rand_error: rand_error(plane, &objects, &THRESHOLDS)?,
            warping_error: warping_error(plane, &foreground, 0.5)?.0,
        })
    });
    Ok(PictureScores {
        name: name.into(),
        width,
        height,
        confusion,
        objects: objects.transpose()?,
        em: em.transpose()?,
    })
}

impl Evaluation {
    /// Pixels of all pictures.
    pub fn confusion(&self) -> Result<Confusion> {
        let mut sum = Confusion::new(self.classes.len());
        self.pictures.iter().try_for_each(|p| sum.add(&p.confusion))?;
        Ok(sum)
    }

    /// The mean of a score over the pictures that have it; none if none has.
    pub fn mean(&self, of: impl Fn(&PictureScores) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.pictures.iter().filter_map(of).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The mean over pictures of a measure's mean over the classes but the background. Over the classes that are present in a
    /// picture, those without any have no score and are left out; over all, they count as 1. None if no picture has a score.
    pub fn foreground(&self, of: Measure, over: Classes) -> Option<f64> {
        self.mean(|p| p.confusion.mean(1, of, over))
    }

    /// The scores of objects, of the pictures that have them.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectScores> {
        self.pictures.iter().filter_map(|p| p.objects.as_ref())
    }

    /// Objects found and not found in all pictures together.
    pub fn matches(&self, threshold: f64) -> Matches {
        let mut sum = Matches::default();
        self.objects().for_each(|o| sum += o.objects.matches(threshold));
        sum
    }

    /// SEG over the objects of all pictures; none if there are no true objects.
    pub fn seg(&self) -> Option<f64> {
        let (sum, count) = self
            .objects()
            .fold((0.0, 0), |(sum, count), o| (sum + o.objects.seg_sum(), count + o.objects.true_objects()));
        (count > 0).then(|| sum / count as f64)
    }

    /// The scores of a picture by name, for tables. All pictures have the same names; those without a score have none.
    pub fn columns(&self, picture: &PictureScores) -> Vec<(String, Option<f64>)> {
        let c = &picture.confusion;
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
        if self.objects().next().is_some() {
            let o = picture.objects.as_ref();
            let mut push = |name: &str, of: &dyn Fn(&ObjectScores) -> f64| out.push((name.into(), o.map(of)));
            push("true_objects", &|o| o.objects.true_objects() as f64);
            push("predicted_objects", &|o| o.objects.predicted() as f64);
            for &t in &self.thresholds {
                push(&format!("f1@{t}"), &|o| o.objects.matches(t).f1());
                push(&format!("ap@{t}"), &|o| o.objects.matches(t).ap());
            }
            push("seg", &|o| o.objects.seg());
            push("v_rand", &|o| o.rand.v_rand);
            push("rand_precision", &|o| o.rand.precision);
            push("rand_recall", &|o| o.rand.recall);
            push("v_info", &|o| o.v_info);
        }
        if self.pictures.iter().any(|p| p.em.is_some()) {
            let mut push = |name: &str, of: fn(&EmScores) -> f64| out.push((name.into(), picture.em.as_ref().map(of)));
            push("em_pixel_error", |e| e.pixel_error);
            push("em_rand_error", |e| e.rand_error);
            push("em_warping_error", |e| e.warping_error);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::tests::data;
    use super::*;
    use crate::tensor::Precision;

    /// What a perfect network gives, with the pixel at column 9, row 8 as foreground too.
    fn segmentation(picture: &Picture) -> Segmentation {
        let (w, h) = (picture.width(), picture.height());
        let id = |i: usize| u8::from(matches!((i % w, i / w), (2..=7, 2..=5) | (9, 8)));
        let ids: Vec<u8> = (0..w * h).map(id).collect();
        Segmentation {
            probabilities: Some(ids.iter().map(|&id| 0.1 + 0.8 * f32::from(id)).collect()),
            mask: Mask::new(w, h, 2, Ids::U8(ids)).unwrap(),
            tiles: [1, 1],
            tile: [h, w],
            precision: Precision::F32,
            fallback: None,
            notes: Vec::new(),
        }
    }

    fn run(options: &EvaluateOptions) -> Result<Evaluation> {
        let (_dir, set) = data(2, [12, 10]);
        let classes = vec!["background".to_string(), "nucleus".into()];
        evaluate(&set, classes, options, |_, _, picture| Ok(segmentation(picture)))
    }

    #[test]
    fn pictures_are_scored_and_pooled() {
        let e = run(&EvaluateOptions { em: true, ..Default::default() }).unwrap();
        let c = e.confusion().unwrap();
        assert_eq!((c.dice(1), c.iou(1)), (96.0 / 98.0, 48.0 / 50.0));
        // The two touching nuclei are one in the mask: each covers half of it, and the stray pixel is a third object.
        let m = e.matches(0.5);
        assert_eq!((m.tp, m.fp, m.fn_), (0, 4, 4));
        assert_eq!(e.matches(0.45).tp, 2);
        assert_eq!((e.seg(), e.mean(|p| p.objects.as_ref().map(|o| o.rand.v_rand))), (Some(0.5), Some(2.0 / 3.0)));
        let em = e.pictures[0].em.unwrap();
        assert!(
            (em.pixel_error - 2.0 / 98.0).abs() < 1e-12 && (em.warping_error - 1.0 / 120.0).abs() < 1e-12,
            "{em:?}"
        );
        let names: Vec<String> = e.columns(&e.pictures[0]).into_iter().map(|c| c.0).collect();
        assert!(
            ["dice.nucleus", "f1@0.5", "ap@0.95", "v_info", "em_rand_error"]
                .iter()
                .all(|n| names.contains(&n.to_string()))
        );
    }

    #[test]
    fn objects_can_be_components_or_left_out() {
        let without = run(&EvaluateOptions { truth: ObjectTruth::None, ..Default::default() }).unwrap();
        assert!(without.objects().next().is_none() && without.seg().is_none());
        let (dir, _) = data(1, [12, 10]);
        std::fs::remove_dir_all(dir.path().join("labels")).unwrap();
        let set = Dataset::open(dir.path()).unwrap();
        let scores = |truth| {
            let options = EvaluateOptions { truth, ..Default::default() };
            let classes = vec!["a".to_string(), "b".into()];
            evaluate(&set, classes, &options, |_, _, picture| Ok(segmentation(picture))).unwrap().matches(0.5)
        };
        assert_eq!(scores(ObjectTruth::Labels), Matches::default());
        assert_eq!(scores(ObjectTruth::Components), Matches { tp: 1, fp: 1, fn_: 0 });
    }

    #[test]
    fn bad_options_are_named() {
        let error = |options: EvaluateOptions| run(&options).unwrap_err().to_string();
        assert!(error(EvaluateOptions { thresholds: vec![1.0], ..Default::default() }).contains("1 is not from 0"));
        let class = EvaluateOptions { object_class: Some(2), ..Default::default() };
        assert_eq!(error(class), "class of objects: 2 does not exist, there are 2");
    }
}
