//! Reads pairs as examples for training and evaluation.

mod truth;

pub use truth::Truth;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::parallel::*;

use super::dataset::{Dataset, Pair};
use super::ground_truth::GroundTruth;
use super::weight_map::{WeightMap, class_pixels, separate_touching, unet_weight_map};
use crate::error::{Error, Message, Result};
use crate::infer::source::InMemory;
use crate::infer::{
    ChannelMap, Colour, Connectivity, LabelMap, LabelOptions, OpenOptions, SourceInfo, check_channels, components,
    median_diameter, normalise, read_image,
};
use crate::weights::Normalisation;

/// Options for reading examples.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleOptions {
    /// Input channels of the network.
    pub channels: usize,
    /// Classes, background first; two for a network with a single sigmoid output.
    pub classes: usize,
    /// Normalisation of the input.
    pub normalisation: Normalisation,
    /// How ground truth is read.
    pub labels: LabelOptions,
    /// Put background between touching instances, if there are labels.
    pub separate_touching: bool,
    /// How images are read.
    pub read: OpenOptions,
    /// Compute pixel weights. Without labels, instances are the 4-connected components of the foreground.
    pub weight_map: Option<WeightMap>,
    /// Read ground truth as instances to tell apart, not as classes; all pairs need labels. There are no pixel weights then,
    /// and touching instances stay together.
    pub instances: bool,
    /// Determine the diameter of the instances.
    pub diameters: bool,
}

/// A pair, read and normalised.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Name in the data set.
    pub name: String,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Network input `[C, H, W]`, normalised.
    pub image: Vec<f32>,
    /// The ground truth.
    pub truth: Truth,
    /// Pixels of each class.
    pub class_pixels: Vec<u64>,
    /// Median diameter of the instances, if requested and there are any: of a disc of the same area, pixels.
    pub diameter: Option<f64>,
    /// Pixel weights `[H, W]`.
    pub weights: Option<Vec<f32>>,
    /// Description of the image's channels.
    pub kind: String,
    /// Notes for users on how the image was read.
    pub notes: Vec<Message>,
}

impl Example {
    /// Reads a pair. Errors name the file.
    pub fn read(pair: &Pair, options: &ExampleOptions) -> Result<Self> {
        let about = |e| match e {
            e @ (Error::Io { .. } | Error::File { .. }) => e,
            e => Error::file(&pair.image, e.message()),
        };
        let (image, mut notes) = read_image(&pair.image, &options.read)?;
        let labels = options.labels.oriented_as(&options.read);
        let mut ground_truth = match options.instances {
            true => GroundTruth::read_known_for(&image, pair, options.classes, &labels)?,
            false => GroundTruth::read_for(&image, pair, options.classes, &labels)?,
        };
        check_channels(&pair.image, &InMemory::borrowed(&image), options.channels)?;
        let info = SourceInfo::of(&image);
        let kind = describe(&info);
        let map = ChannelMap::of(&info, image.channel_names(), options.channels).map_err(about)?;
        notes.extend(map.note(map.shows_colour(&image)).cloned());
        let image = map.apply(&image).map_err(about)?;
        let maps = normalise(&image, &options.normalisation).map_err(about)?;
        let (width, height) = (image.width(), image.height());
        let mut image = image.window(0, 0, width, height).map_err(about)?;
        for (plane, map) in image.chunks_exact_mut(width * height).zip(&maps) {
            plane.iter_mut().for_each(|x| *x = map.apply(*x));
        }
        let pieces = |classes: &LabelMap| {
            let foreground = |l: u32| u32::from(l > 0 && (l as usize) < options.classes);
            components(&classes.map(foreground), Connectivity::Four)
        };
        let diameter = match options.diameters {
            true => match &ground_truth.instances {
                Some(instances) => median_diameter(instances.areas()),
                None => median_diameter(pieces(&ground_truth.classes).areas()),
            },
            false => None,
        };
        if !options.instances
            && options.separate_touching
            && let Some(instances) = &mut ground_truth.instances
        {
            let separated = separate_touching(instances);
            let cleared = |i: usize| instances.labels()[i] > 0 && separated.labels()[i] == 0;
            let mut at = 0;
            ground_truth.classes = ground_truth.classes.map(|class| {
                at += 1;
                if cleared(at - 1) { 0 } else { class }
            });
            *instances = separated;
        }
        let class_pixels = class_pixels(&ground_truth.classes, options.classes);
        let weights = options.weight_map.as_ref().filter(|_| !options.instances).map(|weight_map| {
            let instances = ground_truth.instances.clone().unwrap_or_else(|| pieces(&ground_truth.classes));
            unet_weight_map(&ground_truth.classes, options.classes, Some(&instances), weight_map)
        });
        let weights = weights.transpose().map_err(about)?;
        let truth = match options.instances {
            true => Truth::instances(ground_truth, pair, options.classes)?,
            false => Truth::Classes(ground_truth),
        };
        let name = pair.name.clone();
        Ok(Self { name, width, height, image, truth, class_pixels, diameter, weights, kind, notes })
    }

    /// Bytes of host memory.
    pub fn bytes(&self) -> u64 {
        let maps = self.truth.maps() + u64::from(self.weights.is_some());
        4 * (self.image.len() as u64 + maps * (self.width * self.height) as u64)
    }
}

/// The examples of a data set, cached within a memory budget.
#[derive(Debug)]
pub struct Examples {
    data: Dataset,
    options: ExampleOptions,
    cache: Vec<OnceLock<Arc<Example>>>,
    /// Bytes left in the cache.
    left: AtomicU64,
}

/// Summary of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSummary {
    /// Number of images.
    pub images: usize,
    /// Pixels per class.
    pub class_pixels: Vec<u64>,
    /// Smallest width and smallest height.
    pub smallest: [usize; 2],
    /// Largest width and largest height.
    pub largest: [usize; 2],
    /// Kinds of channels with the number of images: `RGB`, `grey`, `4 separate channels`.
    pub kinds: Vec<(String, usize)>,
    /// Notes for users on how images were read, with the number of images.
    pub notes: Vec<(Message, usize)>,
}

/// Counts equal items, in order of first occurrence.
pub(super) fn tally<T: PartialEq>(texts: impl IntoIterator<Item = T>) -> Vec<(T, usize)> {
    let mut found: Vec<(T, usize)> = Vec::new();
    for text in texts {
        match found.iter_mut().find(|f| f.0 == text) {
            Some(f) => f.1 += 1,
            None => found.push((text, 1)),
        }
    }
    found
}

/// Short description of an image's channels.
fn describe(info: &SourceInfo) -> String {
    match (info.kind.colour, info.channels) {
        (Colour::Grey, _) | (_, 1) => "grey".into(),
        (Colour::Rgb, 3) => "RGB".into(),
        (Colour::Rgb, n) => format!("RGB and {} more", n - 3),
        (Colour::Separate, n) => format!("{n} separate channels"),
        (Colour::Chosen, n) => format!("{n} chosen channels"),
    }
}

impl Examples {
    /// Examples with a cache of up to `memory` bytes.
    pub fn new(data: Dataset, options: ExampleOptions, memory: u64) -> Self {
        let cache = data.pairs().iter().map(|_| OnceLock::new()).collect();
        Self { data, options, cache, left: AtomicU64::new(memory) }
    }

    /// The data set.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// The options for reading.
    pub fn options(&self) -> &ExampleOptions {
        &self.options
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// The `i`-th example, read or from the cache.
    pub fn example(&self, i: usize) -> Result<Arc<Example>> {
        let (Some(pair), Some(cached)) = (self.data.pairs().get(i), self.cache.get(i)) else {
            return Err(Error::invalid("example", format!("{i} does not exist, there are {}", self.len())));
        };
        if let Some(example) = cached.get() {
            return Ok(example.clone());
        }
        let example = Arc::new(Example::read(pair, &self.options)?);
        let (bytes, relaxed) = (example.bytes(), Ordering::Relaxed);
        if self.left.fetch_update(relaxed, relaxed, |left| left.checked_sub(bytes)).is_ok() {
            // Another thread may have been faster; both have read the same.
            let _ = cached.set(example.clone());
        }
        Ok(example)
    }

    /// Reads every example once, in parallel, so that errors in the data show before training. Returns the first error
    /// in the order of names.
    pub fn check(&self) -> Result<DataSummary> {
        let count = |i: usize| {
            let example = self.example(i)?;
            Ok((
                example.class_pixels.clone(),
                [example.width, example.height],
                example.kind.clone(),
                example.notes.clone(),
            ))
        };
        let all: Vec<Result<_>> = (0..self.len()).into_par_iter().map(count).collect();
        let mut sum = DataSummary {
            images: self.len(),
            class_pixels: vec![0; self.options.classes],
            smallest: [usize::MAX; 2],
            largest: [0; 2],
            kinds: Vec::new(),
            notes: Vec::new(),
        };
        let (mut kinds, mut notes) = (Vec::new(), Vec::new());
        for one in all {
            let (pixels, size, kind, read_notes) = one?;
            kinds.push(kind);
            notes.extend(read_notes);
            sum.class_pixels.iter_mut().zip(pixels).for_each(|(a, b)| *a += b);
            for (axis, side) in size.into_iter().enumerate() {
                sum.smallest[axis] = sum.smallest[axis].min(side);
                sum.largest[axis] = sum.largest[axis].max(side);
            }
        }
        (sum.kinds, sum.notes) = (tally(kinds), tally(notes));
        Ok(sum)
    }
}

#[cfg(test)]
pub(super) mod tests;
