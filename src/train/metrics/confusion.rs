//! The confusion matrix of classes, and what follows from it.

use super::ratio;
use crate::error::{Error, Result};
use crate::infer::LabelMap;

/// Pixel counts by true and predicted class. Counts of several images add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

/// A measure of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// [`Confusion::dice`]
    Dice,
    /// [`Confusion::iou`]
    Iou,
}

impl Measure {
    fn value(self, of: &Confusion, class: usize) -> f64 {
        match self {
            Self::Dice => of.dice(class),
            Self::Iou => of.iou(class),
        }
    }
}

/// Which classes a mean is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// Those that occur in the ground truth or in the prediction.
    Present,
    /// All; one that occurs in neither counts as 1.
    All,
}

impl Confusion {
    /// No pixels yet.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// The matrix of an image. Pixels whose true class does not exist (to be ignored) are left out. Fails if the maps
    /// differ in size, or if a class is predicted that does not exist.
    pub fn of(pred: &LabelMap, ground_truth: &LabelMap, classes: usize) -> Result<Self> {
        pred.check_same_size(ground_truth)?;
        if let Some(id) = pred.labels().iter().find(|&&id| id as usize >= classes) {
            return Err(Error::invalid("prediction", format!("class {id} does not exist, there are {classes}")));
        }
        let mut matrix = Self::new(classes);
        for (&t, &p) in ground_truth.labels().iter().zip(pred.labels()).filter(|(t, _)| (**t as usize) < classes) {
            matrix.counts[t as usize * classes + p as usize] += 1;
        }
        Ok(matrix)
    }

    /// Adds the pixels of another matrix. Fails if it has other classes.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        if self.classes != other.classes {
            return Err(Error::invalid("confusion", format!("{} and {} classes", self.classes, other.classes)));
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        Ok(())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Counts, a row for each true class, a column for each predicted one.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes.max(1))
    }

    /// Pixels of a class: in both maps, predicted, true.
    fn pixels(&self, class: usize) -> [f64; 3] {
        let at = |t: usize, p: usize| self.counts.get(t * self.classes + p).copied().unwrap_or(0);
        let predicted: u64 = (0..self.classes).map(|t| at(t, class)).sum();
        let ground_truth: u64 = (0..self.classes).map(|p| at(class, p)).sum();
        [at(class, class), predicted, ground_truth].map(|n| n as f64)
    }

    /// Whether a class occurs in either map.
    pub fn occurs(&self, class: usize) -> bool {
        let [_, predicted, ground_truth] = self.pixels(class);
        predicted + ground_truth > 0.0
    }

    /// Intersection over union (Jaccard index) of a class; 1 if it occurs in neither map.
    pub fn iou(&self, class: usize) -> f64 {
        let [both, predicted, ground_truth] = self.pixels(class);
        ratio(both, predicted + ground_truth - both)
    }

    /// Dice coefficient (F-score) of a class: `2 |P n T| / (|P| + |T|)`; 1 if it occurs in neither map.
    pub fn dice(&self, class: usize) -> f64 {
        let [both, predicted, ground_truth] = self.pixels(class);
        ratio(2.0 * both, predicted + ground_truth)
    }

    /// A measure of a class; none if it occurs in neither map.
    pub fn if_present(&self, class: usize, of: Measure) -> Option<f64> {
        self.occurs(class).then(|| of.value(self, class))
    }

    /// The mean of a measure over the classes from `first` on: over those that occur in either map, or over all, with 1 for
    /// a class that occurs in neither. None where there is no class to average.
    pub fn mean(&self, first: usize, of: Measure, over: Classes) -> Option<f64> {
        let counted = (first..self.classes).filter(|&c| over == Classes::All || self.occurs(c));
        let (sum, count) = counted.fold((0.0, 0.0), |(sum, n), c| (sum + of.value(self, c), n + 1.0));
        (count > 0.0).then(|| sum / count)
    }

    /// Mean IoU over the classes that occur in either map; 1 if none does.
    pub fn mean_iou(&self) -> f64 {
        let occurring = (0..self.classes).filter(|&c| self.occurs(c));
        let (sum, count) = occurring.fold((0.0, 0.0), |(sum, n), c| (sum + self.iou(c), n + 1.0));
        ratio(sum, count)
    }

    /// Share of pixels whose class is wrong: the pixel error; 0 if there are no pixels.
    pub fn pixel_error(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.counts[c * self.classes + c]).sum();
        1.0 - ratio(right as f64, self.counts.iter().sum::<u64>() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(labels: &[u32]) -> LabelMap {
        LabelMap::new(labels.len(), 1, labels.to_vec()).unwrap()
    }

    #[test]
    fn counts_and_measures() {
        let m = Confusion::of(&row(&[0, 1, 1, 0, 2, 0]), &row(&[0, 0, 1, 1, 1, 255]), 4).unwrap();
        let rows: Vec<_> = m.rows().collect();
        assert_eq!(rows, [[1, 1, 0, 0], [1, 1, 1, 0], [0; 4], [0; 4]]);
        assert_eq!((m.iou(0), m.iou(1), m.iou(2), m.iou(3)), (1.0 / 3.0, 0.25, 0.0, 1.0));
        assert_eq!((m.dice(0), m.dice(1)), (0.5, 0.4));
        // The class that occurs nowhere does not count.
        assert_eq!(m.mean_iou(), (1.0 / 3.0 + 0.25) / 3.0);
        // By numpy: nanmean of 2 * |P & T| / (|P| + |T|) over classes 1 to 3, and the mean with 1 for nan.
        assert_eq!(m.mean(1, Measure::Dice, Classes::Present), Some(0.2));
        assert!((m.mean(1, Measure::Dice, Classes::All).unwrap() - 1.4 / 3.0).abs() < 1e-12);
        assert_eq!((m.if_present(3, Measure::Iou), m.if_present(2, Measure::Iou)), (None, Some(0.0)));
        let empty = Confusion::of(&row(&[0]), &row(&[0]), 2).unwrap();
        assert_eq!(empty.mean(1, Measure::Dice, Classes::Present), None);
        assert_eq!(empty.mean(1, Measure::Dice, Classes::All), Some(1.0));
        assert!((m.pixel_error() - 0.6).abs() < 1e-12);
        assert_eq!((Confusion::new(2).mean_iou(), Confusion::new(2).pixel_error()), (1.0, 0.0));
    }

    #[test]
    fn images_add_up() {
        let (a, b) = (row(&[0, 1]), row(&[1, 1]));
        let mut sum = Confusion::of(&a, &b, 2).unwrap();
        sum.add(&Confusion::of(&b, &a, 2).unwrap()).unwrap();
        assert_eq!(sum.rows().collect::<Vec<_>>(), [[0, 1], [1, 2]]);
        assert!(sum.add(&Confusion::new(3)).is_err());
        assert!(Confusion::of(&row(&[2]), &row(&[0]), 2).unwrap_err().to_string().contains("class 2"));
        assert!(Confusion::of(&row(&[0, 0]), &row(&[0]), 2).is_err());
    }
}
