//! Crops that are augmented on the host: geometry is sampled directly from the whole image, and the target and the pixel
//! weights are computed on the augmented labels.

mod field;
mod geometry;
mod intensity;
mod sample;

use super::augment::Augmentation;
use super::crop::{Crop, CropOptions};
use super::example::{Example, Examples, Truth};
use super::ground_truth::ignore_id_of;
use super::instance_target::{MARGIN, gap_weights, planes, target_planes};
use super::rng::{HOST, Rng};
use super::weight_map::{ClassWeights, WeightMap, class_weights_of, unet_weight_map};
use crate::error::{Error, Result};
use crate::infer::{Connectivity, LabelMap, components};
use crate::weights::{InstanceTarget, Normalisation};

use geometry::Geometry;
use sample::{bilinear, nearest};

/// A crop with less foreground is nearly empty.
const EMPTY: f64 = 0.02;
/// Draws of a crop: the first, and three more of nearly empty ones.
const DRAWS: usize = 4;
/// Median diameter of the instances of an image that has none, pixels.
const DIAMETER: f64 = 24.0;

/// How crops are augmented on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostCrops {
    /// Random augmentation.
    pub options: Augmentation,
    /// What the network is trained to predict for instances; without it, classes.
    pub target: Option<InstanceTarget>,
    /// Pixel weights, for targets that are class ids.
    pub weight_map: Option<WeightMap>,
    /// Whether class ids are mirrored beyond the image, as its pixels are, for losses in which all pixels count. Otherwise
    /// pixels beyond are ignored; for instances they are unknown in any case.
    pub mirrored: bool,
}

/// An augmented crop.
pub(super) struct Drawn {
    pub crop: Crop,
    /// `[C, H, W]`.
    pub image: Vec<f32>,
    /// `[P, H', W']`: the size of the network's output.
    pub target: Vec<f32>,
    /// `[H', W']`.
    pub weights: Option<Vec<f32>>,
}

/// Labels with [`MARGIN`] pixels more than the network's output on every side.
enum Window {
    Instances(LabelMap),
    /// Class ids, and instances if there are labels.
    Classes(LabelMap, Option<LabelMap>),
}

impl HostCrops {
    /// Errors if an option is out of range, or if the examples do not fit.
    pub(super) fn check(&self, examples: &Examples, crop: &CropOptions) -> Result<()> {
        self.options.validate()?;
        if crop.height != crop.width {
            let reason = format!("{}x{} pixels, but crops augmented on the host are square", crop.width, crop.height);
            return Err(Error::invalid("crop", reason));
        }
        if self.target.is_some() != examples.options().instances {
            return Err(Error::invalid(
                "examples",
                "a target for instances needs examples with instances, and no other",
            ));
        }
        if self.options.scale_by_size.is_some() && !examples.options().diameters {
            return Err(Error::invalid("examples", "`scale_by_size` needs examples with diameters"));
        }
        Ok(())
    }

    /// Planes of the target.
    pub(super) fn planes(&self, examples: &Examples) -> usize {
        self.target.map_or(1, |target| target_planes(target, examples.options().classes.saturating_sub(1)))
    }

    /// Draws a crop of an image. `place` draws where it lies in an image of that size. Depends on the seed, `sample` and
    /// `first` alone.
    pub(super) fn draw(
        &self,
        examples: &Examples,
        crop: &CropOptions,
        [seed, sample]: [u64; 2],
        first: usize,
        place: impl Fn(&mut Rng, &Example) -> [isize; 2],
    ) -> Result<Drawn> {
        let mut rng = Rng::new(seed, HOST.wrapping_add(sample));
        let mut index = first;
        let side = crop.width;
        let classes = examples.options().classes;
        for draw in 1.. {
            let example = examples.example(index)?;
            let [y, x] = place(&mut rng, &example);
            let scales = self.scales(&example);
            let geometry = Geometry::draw(&mut rng, &self.options, scales, side, [y, x])?;
            let window = self.labels(&example, &geometry, side - 2 * crop.margin + 2 * MARGIN, classes)?;
            let redrawn = self.options.redraw_empty > 0.0
                && foreground(&window, classes) <= EMPTY
                && rng.uniform() < self.options.redraw_empty;
            if redrawn && draw < DRAWS {
                index = rng.below(examples.len());
                continue;
            }
            let size = [example.width, example.height];
            let mut image = Vec::with_capacity(examples.options().channels * side * side);
            let places = geometry.positions(side);
            for plane in example.image.chunks_exact(example.width * example.height) {
                image.extend(places.iter().map(|&at| bilinear(plane, size, at)));
            }
            let nonnegative = is_nonnegative(&examples.options().normalisation);
            intensity::change(&mut rng, &self.options, nonnegative, &mut image, side);
            let (target, weights) = self.target(&example, &window, classes)?;
            let crop = Crop { example: index, name: example.name.clone(), x, y };
            return Ok(Drawn { crop, image, target, weights });
        }
        Err(Error::invalid("crop", "none was drawn"))
    }

    /// The labels of a window of `side` pixels.
    fn labels(&self, example: &Example, geometry: &Geometry, side: usize, classes: usize) -> Result<Window> {
        let places = geometry.positions(side);
        let of = |map: &LabelMap, outside: Option<u32>| {
            LabelMap::new(side, side, places.iter().map(|&at| nearest(map, at, outside)).collect())
        };
        let beyond = |label: u32| (!self.mirrored).then_some(label);
        Ok(match &example.truth {
            Truth::Instances { labels, .. } => Window::Instances(of(labels, Some(LabelMap::IGNORED))?),
            Truth::Classes(truth) => {
                let instances = truth.instances.as_ref().map(|map| of(map, beyond(0))).transpose()?;
                Window::Classes(of(&truth.classes, beyond(ignore_id_of(classes)))?, instances)
            }
        })
    }

    /// The range of the scale for an image.
    fn scales(&self, example: &Example) -> [f64; 2] {
        let [lowest, highest] = self.options.scale;
        let Some([smallest, largest]) = self.options.scale_by_size else { return [lowest, highest] };
        let diameter = example.diameter.unwrap_or(DIAMETER);
        let highest = highest.min((largest / diameter).max(1.0));
        let lowest = lowest.max((smallest / diameter).min(1.0));
        [lowest.min(highest), highest]
    }

    /// The target and the pixel weights.
    fn target(&self, example: &Example, window: &Window, classes: usize) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        let class_weights = |count: usize| {
            let of = |map: &WeightMap| class_weights_of(&example.class_pixels, count, &map.class_weights);
            self.weight_map.as_ref().map(of).transpose()
        };
        match (window, self.target, &example.truth) {
            (Window::Instances(labels), Some(target), Truth::Instances { classes: of, .. }) => {
                let of = (classes > 2 && target.is_geometry()).then_some(&of[..]);
                let weights = match &self.weight_map {
                    Some(map) if !target.is_geometry() => {
                        let table = class_weights(target.planes())?.unwrap_or_default();
                        Some(gap_weights(target, labels, MARGIN, &table, map)?)
                    }
                    _ => None,
                };
                Ok((planes(target, labels, MARGIN, of)?, weights))
            }
            (Window::Classes(ids, instances), None, Truth::Classes(_)) => {
                let target = middle(ids.labels(), ids.width()).map(|id| id as f32).collect();
                let Some(table) = class_weights(classes)? else { return Ok((target, None)) };
                let pieces = || {
                    let foreground = |id: u32| u32::from(id > 0 && (id as usize) < classes);
                    components(&ids.map(foreground), Connectivity::Four)
                };
                let instances = instances.clone().unwrap_or_else(pieces);
                let map = self.weight_map.clone().unwrap_or_default();
                let map = WeightMap { class_weights: ClassWeights::Explicit(table), ..map };
                let weights = unet_weight_map(ids, classes, Some(&instances), &map)?;
                Ok((target, Some(middle(&weights, ids.width()).collect())))
            }
            _ => Err(Error::invalid("crop", "its ground truth is not of the kind that the target needs")),
        }
    }
}

/// The fraction of the network's output that is foreground.
fn foreground(window: &Window, classes: usize) -> f64 {
    let (map, end) = match window {
        Window::Instances(labels) => (labels, LabelMap::IGNORED as usize),
        Window::Classes(ids, _) => (ids, classes),
    };
    let (mut all, mut some) = (0u32, 0u32);
    for label in middle(map.labels(), map.width()) {
        all += 1;
        some += u32::from(label > 0 && (label as usize) < end);
    }
    f64::from(some) / f64::from(all.max(1))
}

/// A square window without [`MARGIN`] pixels on every side.
fn middle<T: Copy>(values: &[T], side: usize) -> impl Iterator<Item = T> + '_ {
    let rows = values.chunks_exact(side).skip(MARGIN).take(side - 2 * MARGIN);
    rows.flat_map(move |row| row[MARGIN..side - MARGIN].iter().copied())
}

/// Whether normalised intensities are never negative, so that an augmented one below 0 is black.
fn is_nonnegative(normalisation: &Normalisation) -> bool {
    match normalisation {
        Normalisation::Unit | Normalisation::MinMax => true,
        Normalisation::Percentile { clamp, .. } => clamp.is_some_and(|[low, _]| low >= 0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
