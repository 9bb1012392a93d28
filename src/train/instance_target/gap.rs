//! Gaps between touching instances, and the weights of the pixels in them.

use super::boxes::{Window, is_instance};
use super::planes;
use crate::error::Result;
use crate::infer::{LabelMap, nearest_sites_here};
use crate::train::weight_map::{WeightMap, separate_touching};
use crate::weights::InstanceTarget;

/// Labels with gaps of two pixels between touching instances. Unknown pixels stay so and touch nothing.
pub(super) fn separated(labels: &LabelMap) -> LabelMap {
    let apart = separate_touching(&labels.map(|l| if is_instance(l) { l } else { 0 }));
    let mut at = 0;
    labels.map(|l| {
        at += 1;
        if l == LabelMap::IGNORED { l } else { apart.labels()[at - 1] }
    })
}

/// The pixel weights of targets `gap` and `border`: the weight of the pixel's class (`class_weights`, one per class, in
/// place of those of `options`), and on background `w0 exp(-(d1 + d2)^2 / (2 sigma^2))`, with the distances to the two
/// nearest instances once they are separated. Instances farther than 3.2 `sigma` do not count. Unknown pixels weigh 0.
pub fn gap_weights(
    target: InstanceTarget,
    labels: &LabelMap,
    margin: usize,
    class_weights: &[f64],
    options: &WeightMap,
) -> Result<Vec<f32>> {
    let ids = planes(target, labels, margin, None)?;
    let apart = separated(labels);
    let window = Window::new(&apart, margin)?;
    let [w0, sigma] = [options.w0, options.sigma];
    let nearest = (w0 > 0.0).then(|| two_nearest(&window, (3.2 * sigma).ceil() as usize));
    let weight = |(i, (id, label)): (usize, (f32, u32))| {
        let Some(class) = class_weights.get(id as usize) else { return 0.0 };
        let near = nearest.as_ref().filter(|_| !(options.background_only && is_instance(label)));
        let border = near.map_or(0.0, |near| {
            let sum = f64::from(near[0][i]) + f64::from(near[1][i]);
            w0 * (-sum.powi(2) / (2.0 * sigma * sigma)).exp()
        });
        (class + border) as f32
    };
    Ok(ids.into_iter().zip(window.target()).enumerate().map(weight).collect())
}

/// Stands for a distance that is larger than the reach.
const FAR: f32 = 1e3;

/// Distances of every pixel of the target to the nearest and to the second nearest instance, as far as their boxes, grown by
/// `reach`, hold the pixel.
fn two_nearest(window: &Window, reach: usize) -> [Vec<f32>; 2] {
    let [mut first, mut second] = [0, 1].map(|_| vec![FAR; window.target_pixels()]);
    let (target_rows, target_columns) = (window.target_rows(), window.target_columns());
    for instance in &window.instances {
        let grown = |of: &std::ops::Range<usize>, size: usize| {
            of.start.saturating_sub(reach)..(of.end.saturating_add(reach)).min(size)
        };
        let (rows, columns) = (grown(&instance.rows, window.height), grown(&instance.columns, window.width));
        let (from, to) = (rows.start.max(target_rows.start), rows.end.min(target_rows.end));
        let (left, right) = (columns.start.max(target_columns.start), columns.end.min(target_columns.end));
        if from >= to || left >= right {
            continue;
        }
        let width = columns.len();
        let inside = |i: usize| {
            let (y, x) = (rows.start + i / width, columns.start + i % width);
            window.labels[y * window.width + x] == instance.number
        };
        let nearest = nearest_sites_here(width, rows.len() * width, inside);
        for y in from..to {
            for x in left..right {
                let d = (nearest[(y - rows.start) * width + x - columns.start].squared as f64).sqrt() as f32;
                let i = (y - target_rows.start) * target_columns.len() + x - target_columns.start;
                second[i] = second[i].min(first[i].max(d));
                first[i] = first[i].min(d);
            }
        }
    }
    [first, second]
}
