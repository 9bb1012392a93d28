//! Offsets to the centres of instances.

use super::boxes::{Instance, Window};

/// (y, x) in pixels from every pixel of the target to its instance's centre; 0 on background.
pub(super) fn centre_offset(window: &Window) -> [Vec<f32>; 2] {
    let mut out = [0, 1].map(|_| vec![0.0; window.target_pixels()]);
    for instance in window.instances.iter().filter(|i| window.shows(i)) {
        let [cy, cx] = centre(window, instance);
        window.in_target(instance, |y, x, i| {
            out[0][i] = cy as f32 - y as f32;
            out[1][i] = cx as f32 - x as f32;
        });
    }
    out
}

/// The pixel of an instance nearest to its centroid, the first in raster order.
fn centre(window: &Window, instance: &Instance) -> [usize; 2] {
    let pixels = || {
        let columns = instance.columns.clone();
        let all = instance.rows.clone().flat_map(move |y| columns.clone().map(move |x| [y, x]));
        all.filter(|&[y, x]| window.labels[y * window.width + x] == instance.number)
    };
    // Relative to the box, as the reference has it: so that ties fall alike.
    let origin = [instance.rows.start, instance.columns.start];
    let relative = |at: [usize; 2]| [at[0] - origin[0], at[1] - origin[1]];
    let (mut sum, mut count) = ([0; 2], 0);
    for [y, x] in pixels().map(relative) {
        sum = [sum[0] + y, sum[1] + x];
        count += 1;
    }
    let [my, mx] = sum.map(|s| s as f64 / f64::from(count));
    let mut best = (f64::INFINITY, origin);
    for at in pixels() {
        let [y, x] = relative(at);
        let squared = (y as f64 - my).powi(2) + (x as f64 - mx).powi(2);
        if squared < best.0 {
            best = (squared, at);
        }
    }
    best.1
}
