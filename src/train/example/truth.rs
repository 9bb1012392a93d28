//! The ground truth of an example, in the form that training takes it.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::infer::LabelMap;
use crate::train::dataset::Pair;
use crate::train::ground_truth::GroundTruth;

/// What a network is trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Class ids, and instances if there are labels.
    Classes(GroundTruth),
    /// Instances to tell apart.
    Instances {
        /// Instances, numbered from 1; [`LabelMap::IGNORED`] where unknown.
        labels: LabelMap,
        /// The class of every number, from 1; 0 is the background. Empty for a single class of instances.
        classes: Vec<u32>,
    },
}

impl Truth {
    /// Number of maps it holds.
    pub(super) fn maps(&self) -> u64 {
        match self {
            Self::Classes(truth) => 1 + u64::from(truth.instances.is_some()),
            Self::Instances { .. } => 1,
        }
    }

    /// Class ids and instances, if those are trained on.
    pub fn class_maps(&self) -> Option<&GroundTruth> {
        match self {
            Self::Classes(truth) => Some(truth),
            Self::Instances { .. } => None,
        }
    }

    /// The instances of a ground truth of `count` classes, in which unknown ones are [`LabelMap::IGNORED`]. An instance is of
    /// the class that most of its pixels have, of equals the smaller. Errors name the file: if it has no labels, or if an
    /// instance has no class.
    pub(super) fn instances(ground_truth: GroundTruth, pair: &Pair, count: usize) -> Result<Self> {
        let (Some(instances), Some(path)) = (ground_truth.instances, &pair.labels) else {
            return Err(Error::file(&pair.image, "has no labels/, which [instances] needs"));
        };
        // Pixels of every class by instance.
        let mut pixels: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (&label, &class) in instances.labels().iter().zip(ground_truth.classes.labels()) {
            if label > 0 && label != LabelMap::IGNORED {
                let of = pixels.entry(label).or_insert_with(|| vec![0; count]);
                if let Some(n) = of.get_mut(class as usize) {
                    *n += 1;
                }
            }
        }
        let number: BTreeMap<u32, u32> = pixels.keys().zip(1..).map(|(&label, number)| (label, number)).collect();
        let mut classes = Vec::new();
        if count > 2 {
            classes.push(0);
            for (label, of) in &pixels {
                let largest = of[1..].iter().max().copied().unwrap_or(0);
                let class = of[1..].iter().position(|&n| n == largest && n > 0);
                let class = class.ok_or_else(|| {
                    Error::file(path, format!("instance {label} has no class: its pixels are background in the mask"))
                })?;
                classes.push(class as u32 + 1);
            }
        }
        let labels = instances.map(|label| number.get(&label).copied().unwrap_or(label));
        Ok(Self::Instances { labels, classes })
    }
}
