//! The section `[data]`: the data set, and how its images and ground truth are read.

use crate::infer::{ColourTable, LabelOptions, OpenOptions};
use crate::train::dataset::GroundTruthKind;
use crate::weights::Normalisation;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// A folder with `images/` and `masks/` or `labels/`, or of such folders.
    pub folder: PathBuf,
    /// Folder for validation; without it, a part of `folder` is held out.
    pub validation_folder: Option<PathBuf>,
    /// Fraction held out for validation.
    pub validation: Option<f64>,
    /// Alternatively, hold out the first image and every n-th after it.
    pub validation_every: Option<usize>,
    /// Image channels that the network gets, in this order, from 0; by default all but alpha.
    pub channels: Option<Vec<usize>>,
    /// Whether the pages of a TIFF file are the channels of one image.
    pub pages_as_channels: bool,
    /// Whether to ignore orientation tags of images, masks and labels.
    pub ignore_orientation: bool,
    /// Replacement for NaN and infinite values of float images; without it they are errors.
    pub fill_nan: Option<f32>,
    /// Ignore index: the value of mask pixels that do not count; may be negative.
    pub ignore: Option<i64>,
    /// Whether ground truth holds classes or instances, whatever its folder is called.
    pub ground_truth: Option<GroundTruthKind>,
    /// Put background between touching instances of `labels/`.
    pub separate_touching: bool,
    /// Normalisation of the input; stored in the model.
    pub normalisation: Normalisation,
    /// Class names, background first; stored in the model.
    pub classes: Vec<String>,
    /// Class ids by colour, for colour masks.
    #[serde(skip_serializing_if = "ColourTable::is_empty")]
    pub colours: ColourTable,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            validation_folder: None,
            validation: None,
            validation_every: None,
            channels: None,
            pages_as_channels: false,
            ignore_orientation: false,
            fill_nan: None,
            ignore: None,
            ground_truth: None,
            separate_touching: true,
            normalisation: Normalisation::Percentile { low: 1.0, high: 99.8, clamp: Some([0.0, 1.5]) },
            classes: Vec::new(),
            colours: ColourTable::default(),
        }
    }
}

impl DataConfig {
    /// How ground truth is read.
    pub fn labels(&self) -> LabelOptions {
        LabelOptions { colours: self.colours.clone(), ignore: self.ignore, ignore_orientation: self.ignore_orientation }
    }

    /// Classes of instances, without the background: as many as have names, at least one.
    pub fn instance_classes(&self) -> usize {
        self.classes.len().saturating_sub(1).max(1)
    }

    /// How images are read.
    pub fn read(&self) -> OpenOptions {
        OpenOptions {
            channels: self.channels.clone(),
            pages_as_channels: self.pages_as_channels,
            ignore_orientation: self.ignore_orientation,
            fill_nan: self.fill_nan,
            ..OpenOptions::default()
        }
    }
}
