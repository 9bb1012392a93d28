//! Scans all ground truth before training: a summary, and warnings about likely mistakes.

use std::collections::BTreeSet;

use crate::parallel::*;

use super::dataset::{Dataset, Reading};
use super::ground_truth::GroundTruth;
use crate::error::{Error, Result};
use crate::infer::{Connectivity, LabelMap, LabelOptions, components, median_diameter};

/// Summary of a data set's ground truth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroundTruthSummary {
    /// Number of images.
    pub images: usize,
    /// Pixels per class.
    pub pixels: Vec<u64>,
    /// Images per class that contain it.
    pub occurs_in: Vec<usize>,
    /// Ignored pixels.
    pub ignored: u64,
    /// Images of a single class, apart from ignored pixels.
    pub uniform: usize,
    /// Number of instances in all label images.
    pub instances: usize,
    /// Median diameter of these instances in pixels, as discs of the same area.
    pub diameter: Option<f64>,
    /// Label images with a single instance in several pieces: probably class masks.
    pub in_pieces: usize,
    /// How folders were read: `labels/ as instances`.
    pub readings: Vec<String>,
}

impl GroundTruthSummary {
    /// A class's fraction of all pixels that are not ignored.
    pub fn share(&self, class: usize) -> f64 {
        let all: u64 = self.pixels.iter().sum();
        self.pixels.get(class).map_or(0.0, |&n| n as f64 / all.max(1) as f64)
    }
}

/// Reads the ground truth of every pair, in parallel, but no image. Returns the first error in the order of names, or
/// [`Error::Cancelled`] soon after `go_on` returns false.
pub fn scan(
    data: &Dataset,
    classes: usize,
    options: &LabelOptions,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<GroundTruthSummary> {
    let one = |pair| {
        if !go_on() {
            return Err(Error::Cancelled);
        }
        let ground_truth = GroundTruth::read(pair, classes, options)?;
        let (mut pixels, mut ignored) = (vec![0u64; classes], 0u64);
        for &class in ground_truth.classes.labels() {
            *pixels.get_mut(class as usize).unwrap_or(&mut ignored) += 1;
        }
        let instances = ground_truth.instances.as_ref();
        let areas = instances.map_or_else(Vec::new, LabelMap::areas);
        let pieces = instances.filter(|_| areas.len() == 1).map(|o| components(o, Connectivity::Eight).largest());
        Ok((pixels, ignored, areas, pieces.is_some_and(|n| n > 1)))
    };
    let all: Vec<Result<_>> = data.pairs().par_iter().map(one).collect();
    let mut sum = GroundTruthSummary {
        images: all.len(),
        pixels: vec![0; classes],
        occurs_in: vec![0; classes],
        readings: data.readings().iter().map(Reading::to_string).collect::<BTreeSet<_>>().into_iter().collect(),
        ..GroundTruthSummary::default()
    };
    let mut all_areas = Vec::new();
    for one in all {
        let (pixels, ignored, areas, in_pieces) = one?;
        sum.uniform += usize::from(pixels.iter().filter(|&&n| n > 0).count() < 2);
        sum.pixels.iter_mut().zip(&pixels).for_each(|(a, b)| *a += b);
        sum.occurs_in.iter_mut().zip(&pixels).for_each(|(a, &b)| *a += usize::from(b > 0));
        sum.ignored += ignored;
        sum.instances += areas.len();
        all_areas.extend(areas);
        sum.in_pieces += usize::from(in_pieces);
    }
    sum.diameter = median_diameter(all_areas);
    Ok(sum)
}

/// Warnings about ground truth for users, each a sentence, most serious first.
pub fn findings(training: &GroundTruthSummary, validation: &GroundTruthSummary, classes: &[String]) -> Vec<String> {
    let name = |class: usize| match classes.get(class) {
        Some(name) if *name != class.to_string() => format!("class {class} ({name})"),
        _ => format!("class {class}"),
    };
    let count = training.pixels.len();
    let mut out = Vec::new();
    for (data, what) in [(training, "training"), (validation, "validation")] {
        let present: Vec<usize> = (0..count).filter(|&c| data.pixels.get(c).is_some_and(|&n| n > 0)).collect();
        match present.as_slice() {
            [] => out.push(format!("all pixels of the {what} masks are ignored")),
            [0] => out.push(format!("all {} {what} masks are empty: every pixel is background (class 0)", data.images)),
            [one] => out.push(format!(
                "every pixel of all {} {what} masks is of {}: there is no other class to learn",
                data.images,
                name(*one)
            )),
            _ => {
                let absent: Vec<String> = (0..count).filter(|c| !present.contains(c)).map(name).collect();
                if !absent.is_empty() {
                    out.push(format!("no {what} mask has a pixel of {}", absent.join(", ")));
                }
            }
        }
        if data.in_pieces > 0 && data.in_pieces == data.images {
            out.push(format!(
                "every {what} label image has a single instance in several pieces: if its values are class ids, set ground_truth = \
                 \"classes\""
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::example::tests::{data, png};
    use super::*;

    fn scanned(masks: &[&[u8]], classes: usize, folder: &str) -> (GroundTruthSummary, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        for (i, mask) in masks.iter().enumerate() {
            png(&dir.path().join(format!("images/{i}.png")), [mask.len(), 1], &vec![0; mask.len()]);
            png(&dir.path().join(format!("{folder}/{i}.png")), [mask.len(), 1], mask);
        }
        let set = Dataset::open(dir.path()).unwrap();
        let options = LabelOptions { ignore: Some(9), ..LabelOptions::default() };
        (scan(&set, classes, &options, &|| true).unwrap(), dir)
    }

    #[test]
    fn classes_are_counted() {
        let (sum, _dir) = scanned(&[&[0, 1, 1, 9], &[0, 0, 2, 9], &[1, 1, 1, 1]], 4, "masks");
        assert_eq!((sum.images, sum.ignored, sum.uniform), (3, 2, 1));
        assert_eq!((sum.pixels.as_slice(), sum.occurs_in.as_slice()), (&[3, 6, 1, 0][..], &[2, 2, 1, 0][..]));
        assert_eq!((sum.share(1), sum.readings.as_slice()), (0.6, &["masks/ as class ids".to_string()][..]));
        let names = ["background", "a", "b", "3"].map(String::from);
        assert_eq!(
            findings(&sum, &sum, &names),
            ["no training mask has a pixel of class 3", "no validation mask has a pixel of class 3"]
        );
    }

    #[test]
    fn masks_of_one_class_are_reported() {
        let names = ["background".to_string(), "cell".into()];
        let of = |masks: &[&[u8]], folder| {
            let (sum, _dir) = scanned(masks, 2, folder);
            let (good, _dir) = scanned(&[&[0, 1]], 2, "masks");
            findings(&sum, &good, &names)
        };
        assert_eq!(
            of(&[&[0, 0], &[0, 0]], "masks"),
            ["all 2 training masks are empty: every pixel is background (class 0)"]
        );
        let full = ["every pixel of all 1 training masks is of class 1 (cell): there is no other class to learn"];
        assert_eq!(of(&[&[255, 255]], "masks"), full);
        assert_eq!(of(&[&[9, 9]], "masks"), ["all pixels of the training masks are ignored"]);
        let pieces = of(&[&[255, 0, 255]], "labels");
        assert!(pieces.len() == 1 && pieces[0].contains("ground_truth = \"classes\""), "{pieces:?}");
        assert!(of(&[&[1, 0, 2]], "labels").is_empty() && of(&[&[0, 1]], "masks").is_empty());
    }

    #[test]
    fn scan_can_be_cancelled() {
        let (_dir, set) = data(3, [12, 10]);
        assert!(matches!(scan(&set, 2, &LabelOptions::default(), &|| false), Err(Error::Cancelled)));
    }
}
