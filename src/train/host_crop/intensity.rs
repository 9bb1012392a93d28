//! Random changes of intensity, blur and noise.

use super::geometry::{log_within, within};
use crate::train::augment::Augmentation;
use crate::train::rng::Rng;

/// Changes the intensities of an image of square planes of `side` pixels: gain and offset, gamma, blur, noise. Where
/// intensities are never negative (`nonnegative`), gamma takes negative ones for 0; otherwise the power of a negative value
/// is that of its magnitude, with its sign.
pub(super) fn change(rng: &mut Rng, options: &Augmentation, nonnegative: bool, image: &mut [f32], side: usize) {
    let gain = within(rng, options.gain) as f32;
    let offset = within(rng, options.offset) as f32;
    image.iter_mut().for_each(|v| *v = *v * gain + offset);
    let curved = rng.uniform() < options.gamma_probability;
    let gamma = if options.log_scale { log_within(rng, options.gamma) } else { within(rng, options.gamma) } as f32;
    if curved && gamma != 1.0 {
        let power = |v: f32| match v < 0.0 {
            true if nonnegative => 0.0,
            true => -(-v).powf(gamma),
            false => v.powf(gamma),
        };
        image.iter_mut().for_each(|v| *v = power(*v));
    }
    let blurred = rng.uniform() < options.blur_probability;
    let sigma = within(rng, options.blur);
    if blurred && sigma > 0.0 {
        image.chunks_exact_mut(side * side).for_each(|plane| blur(plane, side, sigma));
    }
    let noisy = rng.uniform() < options.noise_probability;
    let std = within(rng, options.noise);
    if noisy && std > 0.0 {
        image.iter_mut().for_each(|v| *v += (std * rng.normal()) as f32);
    }
}

/// Gaussian blur of a square plane: radius `floor(4 sigma + 0.5)`, mirrored with the edge pixel.
pub(super) fn blur(plane: &mut [f32], side: usize, sigma: f64) {
    let radius = (4.0 * sigma + 0.5) as usize;
    let window: Vec<f64> =
        (0..=2 * radius).map(|i| (-0.5 * ((i as f64 - radius as f64) / sigma).powi(2)).exp()).collect();
    let sum: f64 = window.iter().sum();
    let window: Vec<f32> = window.into_iter().map(|w| (w / sum) as f32).collect();
    let inside = |i: usize| {
        let at = (i as isize - radius as isize).rem_euclid(2 * side as isize) as usize;
        if at < side { at } else { 2 * side - 1 - at }
    };
    let from: Vec<usize> = (0..side + 2 * radius).map(inside).collect();
    let mut line = vec![0.0; from.len()];
    let weighted = |line: &[f32], at: usize| line[at..].iter().zip(&window).map(|(v, w)| v * w).sum::<f32>();
    for row in plane.chunks_exact_mut(side) {
        line.iter_mut().zip(&from).for_each(|(v, &i)| *v = row[i]);
        row.iter_mut().enumerate().for_each(|(x, v)| *v = weighted(&line, x));
    }
    // Rows of the result are weighted sums of whole rows, which is faster than column by column.
    let rows = plane.to_vec();
    for (y, row) in plane.chunks_exact_mut(side).enumerate() {
        row.fill(0.0);
        for (&i, w) in from[y..].iter().zip(&window) {
            row.iter_mut().zip(&rows[i * side..]).for_each(|(v, from)| *v += w * from);
        }
    }
}
