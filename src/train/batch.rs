//! Batches of random crops. The choice of images and crops depends on the seed and the step alone.

use std::sync::Arc;

use super::crop::{Crop, CropOptions};
use super::example::{Example, Examples};
use super::host_crop::HostCrops;
use super::rng::{CROP, Rng, SHUFFLE};
use crate::error::{Error, Result};
use crate::infer::mirror;
use crate::tensor::HostTensor;

/// Crops with their ground truth. All tensors have the network's *input* size; without padding the loss covers the
/// centre only. Of crops that are augmented on the host, targets and weights have the network's *output* size.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Step, from 0.
    pub step: u64,
    /// Epoch of the first crop, from 0.
    pub epoch: u64,
    /// `[N, C, H, W]`, normalised.
    pub images: HostTensor,
    /// Class ids `[N, 1, H, W]`, or for instances the planes of [`planes`](super::instance_target::planes), `[N, P, H, W]`.
    pub targets: HostTensor,
    /// Pixel weights `[N, 1, H, W]`, if the examples have them.
    pub weights: Option<HostTensor>,
    /// Origin of each crop.
    pub crops: Vec<Crop>,
}

/// Makes the batch of any step. An epoch takes one crop of every image, in an order of its own; a batch may span two
/// epochs.
#[derive(Clone, Debug)]
pub struct Batcher {
    examples: Arc<Examples>,
    batch: usize,
    crop: CropOptions,
    seed: u64,
    host: Option<Arc<HostCrops>>,
}

impl Batcher {
    /// Batches of `batch` crops. Errors if there are no crops, no examples, or if `margin` leaves no output.
    pub fn new(examples: Arc<Examples>, batch: usize, crop: CropOptions, seed: u64) -> Result<Self> {
        if batch == 0 || examples.is_empty() {
            return Err(Error::invalid("batch", format!("of {batch} crops of {} images", examples.len())));
        }
        let lost = crop.margin.saturating_mul(2);
        if crop.height <= lost || crop.width <= lost {
            let reason = format!("{}x{} pixels, of which the network loses {lost}", crop.width, crop.height);
            return Err(Error::invalid("crop", reason));
        }
        Ok(Self { examples, batch, crop, seed, host: None })
    }

    /// Augments crops on the host. Errors if an option is out of range, or if the examples do not fit.
    pub fn augmented(self, host: HostCrops) -> Result<Self> {
        host.check(&self.examples, &self.crop)?;
        Ok(Self { host: Some(Arc::new(host)), ..self })
    }

    /// The examples.
    pub fn examples(&self) -> &Arc<Examples> {
        &self.examples
    }

    /// Steps per epoch, rounded up.
    pub fn steps_per_epoch(&self) -> u64 {
        self.examples.len().div_ceil(self.batch) as u64
    }

    /// The batch of a step. Read errors name the file.
    pub fn batch(&self, step: u64) -> Result<Batch> {
        let (n, examples) = (self.batch as u64, self.examples.len() as u64);
        let first = step.wrapping_mul(n);
        let mut order = (u64::MAX, Vec::new());
        let (mut images, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut crops = Vec::with_capacity(self.batch);
        for sample in first..first.saturating_add(n) {
            let (epoch, at) = (sample / examples, (sample % examples) as usize);
            if order.0 != epoch {
                order = (epoch, self.order(epoch));
            }
            if let Some(host) = &self.host {
                let place = |rng: &mut Rng, example: &Example| self.place(rng, example);
                let drawn = host.draw(&self.examples, &self.crop, [self.seed, sample], order.1[at], place)?;
                images.extend(drawn.image);
                targets.extend(drawn.target);
                weights.extend(drawn.weights.into_iter().flatten());
                crops.push(drawn.crop);
                continue;
            }
            let example = self.examples.example(order.1[at])?;
            let maps = example.truth.class_maps();
            let maps =
                maps.ok_or_else(|| Error::invalid("batch", "instances need crops that are augmented on the host"))?;
            let [y, x] = self.place(&mut Rng::new(self.seed, CROP.wrapping_add(sample)), &example);
            for plane in example.image.chunks_exact(example.width * example.height) {
                self.cut(plane, &example, [y, x], &mut images, |v| v);
            }
            // Exact: class ids are far below 2^24.
            self.cut(maps.classes.labels(), &example, [y, x], &mut targets, |class| class as f32);
            if let Some(map) = &example.weights {
                self.cut(map, &example, [y, x], &mut weights, |v| v);
            }
            crops.push(Crop { example: order.1[at], name: example.name.clone(), x, y });
        }
        let CropOptions { height, width, margin } = self.crop;
        let lost = if self.host.is_some() { 2 * margin } else { 0 };
        let of_truth = |planes: usize| [self.batch, planes, height - lost, width - lost];
        let planes = self.host.as_ref().map_or(1, |host| host.planes(&self.examples));
        Ok(Batch {
            step,
            epoch: first / examples,
            images: HostTensor::new([self.batch, self.examples.options().channels, height, width], images)?,
            targets: HostTensor::new(of_truth(planes), targets)?,
            weights: (!weights.is_empty()).then(|| HostTensor::new(of_truth(1), weights)).transpose()?,
            crops,
        })
    }

    /// The order of the images in an epoch.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        Rng::new(self.seed, SHUFFLE.wrapping_add(epoch)).shuffle(&mut order);
        order
    }

    /// Row and column of a crop's first pixel.
    fn place(&self, rng: &mut Rng, example: &Example) -> [isize; 2] {
        let y = self.start(rng, example.height, self.crop.height);
        [y, self.start(rng, example.width, self.crop.width)]
    }

    /// Start of a crop along an axis. The network's output lies inside the image, or the image inside the output.
    fn start(&self, rng: &mut Rng, image: usize, crop: usize) -> isize {
        let output = crop - 2 * self.crop.margin;
        let drawn = rng.below(image.abs_diff(output) + 1) as isize;
        (if image >= output { drawn } else { -drawn }) - self.crop.margin as isize
    }

    /// Appends a crop of a plane; outside the image, pixels are mirrored.
    fn cut<T: Copy>(
        &self,
        plane: &[T],
        of: &Example,
        [y, x]: [isize; 2],
        out: &mut Vec<f32>,
        value: impl Fn(T) -> f32,
    ) {
        let columns: Vec<usize> = (0..self.crop.width).map(|i| mirror(x + i as isize, of.width)).collect();
        for i in 0..self.crop.height {
            let row = mirror(y + i as isize, of.height) * of.width;
            out.extend(columns.iter().map(|&column| value(plane[row + column])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::tests::{data, options};
    use super::*;
    use crate::train::Prefetch;

    /// Five images of 12x10 pixels, numbered by their class; batches of three.
    fn batcher(crop: CropOptions, seed: u64) -> (tempfile::TempDir, Batcher) {
        let (dir, set) = data(5, [12, 10]);
        let examples = Arc::new(Examples::new(set, options(), 1 << 20));
        (dir, Batcher::new(examples, 3, crop, seed).unwrap())
    }

    #[test]
    fn an_epoch_visits_every_image_once() {
        let (_dir, batcher) = batcher(CropOptions { height: 4, width: 6, margin: 0 }, 1);
        let visited: Vec<usize> =
            (0..10).flat_map(|s| batcher.batch(s).unwrap().crops).map(|crop| crop.example).collect();
        let epochs: Vec<Vec<usize>> = visited.chunks(5).map(<[_]>::to_vec).collect();
        assert!(epochs.iter().any(|e| e != &epochs[0]), "{epochs:?}");
        for mut epoch in epochs {
            epoch.sort();
            assert_eq!(epoch, [0, 1, 2, 3, 4]);
        }
        assert_eq!((batcher.steps_per_epoch(), batcher.batch(4).unwrap().epoch), (2, 2));
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        let crop = CropOptions { height: 4, width: 6, margin: 0 };
        let (_dir, a) = batcher(crop, 1);
        let forward: Vec<Batch> = (0..4).map(|s| a.batch(s).unwrap()).collect();
        let again: Vec<Batch> = (0..4).rev().map(|s| a.clone().batch(s).unwrap()).collect();
        assert!(forward.iter().eq(again.iter().rev()));
        let (_dir, b) = batcher(crop, 2);
        assert_ne!(forward[0].crops, b.batch(0).unwrap().crops);
        let ahead = Prefetch::new([2, 2], 2..4, move |s| a.batch(s)).unwrap();
        let ahead: Vec<Batch> = ahead.map(Result::unwrap).collect();
        assert_eq!(ahead, forward[2..]);
    }

    #[test]
    fn crops_match_their_origin() {
        for (height, width, margin) in [(4, 6, 0), (8, 8, 2), (16, 20, 1), (10, 12, 0)] {
            let (_dir, batcher) = batcher(CropOptions { height, width, margin }, 3);
            for step in 0..6 {
                let batch = batcher.batch(step).unwrap();
                for (n, crop) in batch.crops.iter().enumerate() {
                    let example = batcher.examples().example(crop.example).unwrap();
                    assert_eq!(crop.name, example.name);
                    let out = |start: isize, side: usize| start + margin as isize..start + (side - margin) as isize;
                    let (rows, columns) = (out(crop.y, height), out(crop.x, width));
                    // The output lies inside the image, or the image inside the output.
                    assert!(rows.start >= 0 && rows.end <= 10 || rows.start <= 0 && rows.end >= 10, "{crop:?}");
                    assert!(
                        columns.start >= 0 && columns.end <= 12 || columns.start <= 0 && columns.end >= 12,
                        "{crop:?}"
                    );
                    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                        let from = mirror(crop.y + y as isize, 10) * 12 + mirror(crop.x + x as isize, 12);
                        let at = (n * height + y) * width + x;
                        assert_eq!(batch.images.data()[at], example.image[from]);
                        assert_eq!(
                            batch.targets.data()[at],
                            example.truth.class_maps().unwrap().classes.labels()[from] as f32
                        );
                        assert_eq!(batch.weights.as_ref().unwrap().data()[at], example.weights.as_ref().unwrap()[from]);
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_to_crop_is_an_error() {
        let (_dir, b) = batcher(CropOptions { height: 4, width: 4, margin: 0 }, 1);
        let make = |batch, side, margin| {
            Batcher::new(b.examples().clone(), batch, CropOptions { height: side, width: side, margin }, 0)
        };
        assert!(make(0, 4, 0).is_err());
        assert_eq!(make(1, 4, 2).unwrap_err().to_string(), "crop: 4x4 pixels, of which the network loses 4");
    }
}
