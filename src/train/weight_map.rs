//! Pixel weights that make a network separate touching instances (Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015,
//! section 3): `w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))`.
//!
//! `w_c` balances the classes; `d1` and `d2` are the Euclidean distances, in pixels from centre to centre, to the
//! nearest and the second nearest instance. A background pixel beside an instance has distance 1, the instance's own
//! pixels 0.

use crate::parallel::*;

use crate::error::{Error, Result};
use crate::infer::{LabelMap, nearest_sites};

/// Class weights, before the border term is added.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// 1 for all.
    None,
    /// `P / (K count)` for a class of `count` of all `P` pixels, `K` classes: the mean weight is 1 where every class
    /// occurs. A class that does not occur has weight 0.
    #[default]
    Balanced,
    /// Explicit weights, one per class.
    Explicit(Vec<f64>),
}

/// Options of [`unet_weight_map`], with the paper's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightMap {
    /// Largest border weight.
    pub w0: f64,
    /// Width of the border term, pixels.
    pub sigma: f64,
    /// Weights of the classes.
    pub class_weights: ClassWeights,
    /// Add the border term to background pixels only. Not in the formula, but in the paper's figure and in most code.
    pub background_only: bool,
}

impl Default for WeightMap {
    fn default() -> Self {
        Self { w0: 10.0, sigma: 5.0, class_weights: ClassWeights::Balanced, background_only: true }
    }
}

/// Puts background between touching instances: clears every pixel that has a 4-neighbour of a different label above 0.
/// Decisions use the input only, so the gap is always two pixels wide.
pub fn separate_touching(labels: &LabelMap) -> LabelMap {
    let (w, h, from) = (labels.width(), labels.height(), labels.labels());
    let mut at = 0;
    labels.map(|own| {
        let (i, x, y) = (at, at % w, at / w);
        at += 1;
        let before = [(x > 0).then(|| from[i - 1]), (y > 0).then(|| from[i - w])];
        let after = [(x + 1 < w).then(|| from[i + 1]), (y + 1 < h).then(|| from[i + w])];
        let touches = before.into_iter().chain(after).flatten().any(|other| other > 0 && other != own);
        if touches { 0 } else { own }
    })
}

/// The weight of each of `count` classes for a map of class ids. Ids from `count` on (ignored pixels) do not count.
pub fn class_weights(classes: &LabelMap, count: usize, mode: &ClassWeights) -> Result<Vec<f64>> {
    class_weights_of(&class_pixels(classes, count), count, mode)
}

/// Pixels of each of `count` classes.
pub(super) fn class_pixels(classes: &LabelMap, count: usize) -> Vec<u64> {
    let mut pixels = vec![0u64; count];
    for &id in classes.labels() {
        if let Some(n) = pixels.get_mut(id as usize) {
            *n += 1;
        }
    }
    pixels
}

/// [`class_weights`] of an image with so many `pixels` of each class.
pub(super) fn class_weights_of(pixels: &[u64], count: usize, mode: &ClassWeights) -> Result<Vec<f64>> {
    match mode {
        ClassWeights::None => Ok(vec![1.0; count]),
        ClassWeights::Balanced => {
            if pixels.len() != count {
                return Err(Error::invalid(
                    "class weights",
                    format!("balanced for {count} of {} classes", pixels.len()),
                ));
            }
            let total = pixels.iter().sum::<u64>() as f64;
            Ok(pixels.iter().map(|&n| if n > 0 { total / (count as f64 * n as f64) } else { 0.0 }).collect())
        }
        ClassWeights::Explicit(weights) => {
            if weights.len() != count {
                return Err(Error::invalid("class weights", format!("{} for {count} classes", weights.len())));
            }
            match weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
                Some(w) => Err(Error::invalid("class weights", format!("{w} is not a finite number from 0"))),
                None => Ok(weights.clone()),
            }
        }
    }
}

/// The pixel weights `[H, W]` for a map of class ids below `count`; ids from `count` on have weight 0. The border term
/// is computed from `instances`, already separated by [`separate_touching`]; with fewer than two there is none. With
/// two classes, `classes` is usually `instances > 0`.
///
/// Errors if the maps differ in size, or if an option is out of range.
pub fn unet_weight_map(
    classes: &LabelMap,
    count: usize,
    instances: Option<&LabelMap>,
    options: &WeightMap,
) -> Result<Vec<f32>> {
    let WeightMap { w0, sigma, background_only, .. } = *options;
    if !(w0.is_finite() && w0 >= 0.0 && sigma.is_finite() && sigma > 0.0) {
        return Err(Error::invalid("weight map", format!("w0 {w0} must be at least 0 and sigma {sigma} above 0")));
    }
    let table = class_weights(classes, count, &options.class_weights)?;
    let weight = |id: u32| table.get(id as usize).copied().unwrap_or(0.0);
    let plain = || classes.labels().iter().map(|&id| weight(id) as f32).collect();
    let Some(instances) = instances else { return Ok(plain()) };
    classes.check_same_size(instances)?;
    let [nearest, second] = instance_distances(instances);
    let pixels = classes.labels().iter().zip(instances.labels()).zip(nearest.iter().zip(&second));
    Ok(pixels
        .map(|((&id, &instance), (d1, d2))| {
            let border = if background_only && instance > 0 || id as usize >= count || d2.is_infinite() {
                0.0
            } else {
                w0 * (-(d1 + d2).powi(2) / (2.0 * sigma * sigma)).exp()
            };
            (weight(id) + border) as f32
        })
        .collect())
}

/// The exact distance of every pixel to the nearest and to the second nearest instance (label above 0), in pixels;
/// infinite if there are fewer.
pub fn instance_distances(labels: &LabelMap) -> [Vec<f64>; 2] {
    let instances = labels.instances();
    let (w, map) = (labels.width(), labels.labels());
    // Renumber instances from 0; background pixels have none.
    let number: Vec<Option<u32>> = map.iter().map(|l| instances.binary_search(l).ok().map(|i| i as u32)).collect();
    let first = nearest_sites(w, map.len(), |i| number[i].is_some());
    let mut second = vec![u64::MAX; map.len()];
    // Two numbers differ in some bit. So the second nearest instance is the nearest of those that differ from the
    // nearest in bit 0, or in bit 1, ...: two distance transforms per bit, not one per instance.
    let bits = usize::BITS - instances.len().saturating_sub(1).leading_zeros();
    for bit in 0..bits {
        for value in 0..2 {
            let others = nearest_sites(w, map.len(), |i| number[i].is_some_and(|n| n >> bit & 1 == value));
            second.par_iter_mut().zip(&first).zip(&others).for_each(|((second, first), other)| {
                if number.get(first.site).copied().flatten().is_some_and(|n| n >> bit & 1 != value) {
                    *second = (*second).min(other.squared);
                }
            });
        }
    }
    let root = |d: u64| if d == u64::MAX { f64::INFINITY } else { (d as f64).sqrt() };
    [first.iter().map(|n| root(n.squared)).collect(), second.into_iter().map(root).collect()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Rng;

    /// Discs at random positions, of random radii; later ones cover earlier ones.
    fn cells(seed: u64, w: usize, h: usize, count: u32, radius: f64) -> LabelMap {
        let mut rng = Rng::new(seed, 0);
        let mut labels = vec![0; w * h];
        for id in 1..=count {
            let (cx, cy) = (rng.uniform() * w as f64, rng.uniform() * h as f64);
            let r = radius * (0.5 + rng.uniform());
            for (i, label) in labels.iter_mut().enumerate() {
                let (dx, dy) = ((i % w) as f64 - cx, (i / w) as f64 - cy);
                if dx * dx + dy * dy <= r * r {
                    *label = 3 * id;
                }
            }
        }
        LabelMap::new(w, h, labels).unwrap()
    }

    /// Brute force over all pairs of pixels.
    fn plain_distances(map: &LabelMap) -> [Vec<f64>; 2] {
        let w = map.width();
        let mut out = [vec![], vec![]];
        for i in 0..map.labels().len() {
            let mut squares = std::collections::BTreeMap::new();
            for (j, &label) in map.labels().iter().enumerate().filter(|(_, l)| **l > 0) {
                let d = (i % w).abs_diff(j % w).pow(2) + (i / w).abs_diff(j / w).pow(2);
                squares.entry(label).and_modify(|s: &mut usize| *s = d.min(*s)).or_insert(d);
            }
            let mut squares: Vec<usize> = squares.into_values().collect();
            squares.sort();
            for (k, out) in out.iter_mut().enumerate() {
                out.push(squares.get(k).map_or(f64::INFINITY, |&s| (s as f64).sqrt()));
            }
        }
        out
    }

    #[test]
    fn distances_are_exact() {
        for (seed, w, h, count, radius) in
            [(1, 40, 30, 9, 4.0), (2, 33, 17, 40, 2.0), (3, 1, 50, 5, 3.0), (4, 50, 1, 3, 2.0), (5, 30, 30, 2, 3.0)]
        {
            let map = cells(seed, w, h, count, radius);
            assert!(map.instances().len() > 1, "{seed}");
            assert!(instance_distances(&map) == plain_distances(&map), "{seed}");
        }
    }

    #[test]
    fn fewer_than_two_instances_have_no_border() {
        let none = LabelMap::new(3, 1, vec![0; 3]).unwrap();
        assert!(instance_distances(&none).concat().iter().all(|d| d.is_infinite()));
        let one = LabelMap::new(4, 1, vec![0, 0, 5, 0]).unwrap();
        let [nearest, second] = instance_distances(&one);
        assert_eq!(nearest, [2.0, 1.0, 0.0, 1.0]);
        assert!(second.iter().all(|d| d.is_infinite()));
        let foreground = one.map(|l| (l > 0).into());
        let weights = unet_weight_map(&foreground, 2, Some(&one), &WeightMap::default()).unwrap();
        let background = 4.0 / (2.0 * 3.0);
        assert_eq!(weights, [background as f32, background as f32, 2.0, background as f32]);
    }

    #[test]
    fn touching_instances_are_separated_by_two_pixels() {
        let map = LabelMap::from_fn(6, 1, |x, _| [1, 1, 1, 2, 2, 0][x]).unwrap();
        assert_eq!(separate_touching(&map).labels(), [1, 1, 0, 0, 2, 0]);
        let corner = LabelMap::new(2, 2, vec![1, 0, 0, 2]).unwrap();
        assert_eq!(separate_touching(&corner), corner);
    }

    #[test]
    fn weights_are_largest_in_the_gap() {
        let instances = LabelMap::from_fn(9, 1, |x, _| [1, 1, 0, 0, 2, 2, 0, 0, 0][x]).unwrap();
        let classes = instances.map(|l| (l > 0).into());
        let options = WeightMap { class_weights: ClassWeights::None, ..WeightMap::default() };
        let weights = unet_weight_map(&classes, 2, Some(&instances), &options).unwrap();
        let border = |d: f64| (1.0 + 10.0 * (-d * d / 50.0).exp()) as f32;
        assert_eq!(weights[2..4], [border(3.0); 2]);
        assert_eq!((weights[0], weights[6]), (1.0, border(6.0)));
        let all = WeightMap { background_only: false, ..options };
        assert_eq!(unet_weight_map(&classes, 2, Some(&instances), &all).unwrap()[1], border(3.0));
    }

    #[test]
    fn ignored_pixels_have_weight_zero() {
        let classes = LabelMap::new(4, 1, vec![0, 255, 1, 1]).unwrap();
        let weights = unet_weight_map(&classes, 2, None, &WeightMap::default()).unwrap();
        assert_eq!(weights, [1.5, 0.0, 0.75, 0.75]);
        let absent = LabelMap::new(2, 1, vec![0, 0]).unwrap();
        assert_eq!(class_weights(&absent, 2, &ClassWeights::Balanced).unwrap(), [0.5, 0.0]);
    }

    #[test]
    fn bad_options_are_named() {
        let classes = LabelMap::new(1, 1, vec![0]).unwrap();
        let error = |options: WeightMap| unet_weight_map(&classes, 2, None, &options).unwrap_err().to_string();
        let explicit =
            |w: &[f64]| WeightMap { class_weights: ClassWeights::Explicit(w.to_vec()), ..Default::default() };
        assert_eq!(error(explicit(&[1.0])), "class weights: 1 for 2 classes");
        assert_eq!(error(explicit(&[1.0, f64::NAN])), "class weights: NaN is not a finite number from 0");
        assert!(error(WeightMap { sigma: 0.0, ..Default::default() }).contains("sigma 0 above 0"));
    }
}
