//! Distance to the edge, relative to the instance's largest.

use super::boxes::Window;
use crate::infer::nearest_sites_here;

/// The distance of every pixel of the target to the nearest pixel outside of its instance, over the instance's largest; 0 on
/// background. What lies outside the window is outside of every instance.
pub(super) fn normalised_distance(window: &Window) -> Vec<f32> {
    let mut out = vec![0.0; window.target_pixels()];
    for instance in window.instances.iter().filter(|i| window.shows(i)) {
        let [rows, columns] = [&instance.rows, &instance.columns];
        // With a frame of one pixel around the box.
        let (width, height) = (columns.len() + 2, rows.len() + 2);
        let outside = |i: usize| {
            let (y, x) = (i / width, i % width);
            let framed = y == 0 || x == 0 || y == height - 1 || x == width - 1;
            framed || window.labels[(rows.start + y - 1) * window.width + columns.start + x - 1] != instance.number
        };
        let nearest = nearest_sites_here(width, width * height, outside);
        let largest = nearest.iter().map(|n| n.squared).max().unwrap_or(1);
        window.in_target(instance, |y, x, i| {
            let at = (y - rows.start + 1) * width + x - columns.start + 1;
            out[i] = ((nearest[at].squared as f64).sqrt() / (largest as f64).sqrt()) as f32;
        });
    }
    out
}
