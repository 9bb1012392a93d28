//! Reading pairs: what a network is trained on and measured against.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::parallel::*;

use super::dataset::{Dataset, Pair};
use super::ground_truth::GroundTruth;
use super::weight_map::{WeightMap, separate_touching, unet_weight_map};
use crate::error::{Error, Message, Result};
use crate::infer::source::InMemory;
use crate::infer::{
    ChannelMap, Colour, Connectivity, LabelOptions, OpenOptions, SourceInfo, check_channels, components, normalise,
    read_image,
};
use crate::weights::Normalisation;

/// How pairs become examples.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleOptions {
    /// Channels that the network takes.
    pub channels: usize,
    /// Classes, background first; two for a network with a single sigmoid output.
    pub classes: usize,
    /// How pixels become network input.
    pub normalisation: Normalisation,
    /// How ground truth is read.
    pub labels: LabelOptions,
    /// Put background between touching instances, where there are labels.
    pub separate_touching: bool,
    /// How images are read.
    pub read: OpenOptions,
    /// Compute pixel weights. Where there are no labels the instances are the 4-connected components of the foreground.
    pub weight_map: Option<WeightMap>,
}

/// A pair as the network sees it.
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
    /// The truth.
    pub ground_truth: GroundTruth,
    /// Pixel weights `[H, W]`.
    pub weights: Option<Vec<f32>>,
    /// What the image's channels are.
    pub kind: String,
    /// What users should know of the way the image was read.
    pub notes: Vec<Message>,
}

impl Example {
    /// Reads a pair. Every error names the file.
    pub fn read(pair: &Pair, options: &ExampleOptions) -> Result<Self> {
        let about = |e| match e {
            e @ (Error::Io { .. } | Error::File { .. }) => e,
            e => Error::file(&pair.image, e.message()),
        };
        let (image, mut notes) = read_image(&pair.image, &options.read)?;
        let mut ground_truth =
            GroundTruth::read_for(&image, pair, options.classes, &options.labels.oriented_as(&options.read))?;
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
        if options.separate_touching
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
        let weights = options.weight_map.as_ref().map(|weight_map| {
            let foreground = |l: u32| u32::from(l > 0 && (l as usize) < options.classes);
            let pieces = || components(&ground_truth.classes.map(foreground), Connectivity::Four);
            let instances = ground_truth.instances.clone().unwrap_or_else(pieces);
            unet_weight_map(&ground_truth.classes, options.classes, Some(&instances), weight_map)
        });
        let weights = weights.transpose().map_err(about)?;
        Ok(Self { name: pair.name.clone(), width, height, image, ground_truth, weights, kind, notes })
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> u64 {
        let maps = 1 + u64::from(self.ground_truth.instances.is_some()) + u64::from(self.weights.is_some());
        4 * (self.image.len() as u64 + maps * (self.width * self.height) as u64)
    }
}

/// The examples of a data set. Once read they are kept as long as memory is left for them.
#[derive(Debug)]
pub struct Examples {
    data: Dataset,
    options: ExampleOptions,
    kept: Vec<OnceLock<Arc<Example>>>,
    /// Bytes left for more.
    left: AtomicU64,
}

/// What a data set holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSummary {
    /// Number of images.
    pub images: usize,
    /// Pixels of every class.
    pub class_pixels: Vec<u64>,
    /// Columns and rows of the narrowest and of the lowest image.
    pub smallest: [usize; 2],
    /// Columns and rows of the widest and of the highest image.
    pub largest: [usize; 2],
    /// What the channels of images are, and in how many: `RGB`, `grey`, `4 separate channels`.
    pub kinds: Vec<(String, usize)>,
    /// What users should know of the way images were read, and of how many.
    pub notes: Vec<(Message, usize)>,
}

/// Texts and how often each comes, in the order of the first of each.
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

/// What the channels of an image are, in a word or two.
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
    /// Examples of which up to `memory` bytes are kept.
    pub fn new(data: Dataset, options: ExampleOptions, memory: u64) -> Self {
        let kept = data.pairs().iter().map(|_| OnceLock::new()).collect();
        Self { data, options, kept, left: AtomicU64::new(memory) }
    }

    /// The data set.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// How pairs become examples.
    pub fn options(&self) -> &ExampleOptions {
        &self.options
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The `i`-th example.
    pub fn example(&self, i: usize) -> Result<Arc<Example>> {
        let (Some(pair), Some(kept)) = (self.data.pairs().get(i), self.kept.get(i)) else {
            return Err(Error::invalid("example", format!("{i} does not exist, there are {}", self.len())));
        };
        if let Some(example) = kept.get() {
            return Ok(example.clone());
        }
        let example = Arc::new(Example::read(pair, &self.options)?);
        let (bytes, relaxed) = (example.bytes(), Ordering::Relaxed);
        if self.left.fetch_update(relaxed, relaxed, |left| left.checked_sub(bytes)).is_ok() {
            // Another thread may have been faster; both have read the same.
            let _ = kept.set(example.clone());
        }
        Ok(example)
    }

    /// Reads every example once, several at a time: what is wrong with the data shows before training. Gives the first
    /// error in the order of names.
    pub fn check(&self) -> Result<DataSummary> {
        let count = |i: usize| {
            let example = self.example(i)?;
            let mut pixels = vec![0u64; self.options.classes];
            for &class in example.ground_truth.classes.labels() {
                if let Some(n) = pixels.get_mut(class as usize) {
                    *n += 1;
                }
            }
            Ok((pixels, [example.width, example.height], example.kind.clone(), example.notes.clone()))
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
            let (pixels, size, kind, said) = one?;
            kinds.push(kind);
            notes.extend(said);
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
