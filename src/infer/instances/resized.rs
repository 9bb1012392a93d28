//! Brings instances to another size of the image: every pixel belongs to the instance of the nearest one.

use std::path::Path;

use super::runs::{Rows, Run};
use super::{Instances, Source};
use crate::error::Result;
use crate::infer::resample::Resize;

/// Resizes the instances to `height` and `width`. Instances without a pixel there are dropped, the others numbered anew by their
/// first pixels.
pub(super) fn resize(instances: &mut Instances, [height, width]: [usize; 2], scratch: &Path) -> Result<()> {
    let by = Resize::new([instances.height, instances.width], [height, width]);
    let count = instances.count();
    let (mut out, mut runs) = (Rows::new(scratch), Vec::new());
    // Row and column of the first pixel, by number.
    let mut first = vec![(u32::MAX, 0); count + 1];
    let mut last = vec![0; count + 1];
    instances.rows(|y, row| {
        runs.clear();
        for run in row {
            let [start, end] = [run.start, run.end].map(|x| by.columns.first_of(x as usize) as u32);
            if start < end {
                runs.push(Run { start, end, label: run.label });
            }
        }
        for y in by.rows.first_of(y)..by.rows.first_of(y + 1) {
            for run in &runs {
                let n = run.label as usize;
                first[n] = first[n].min((y as u32, run.start));
                last[n] = y as u32;
            }
            out.push(&runs)?;
        }
        Ok(())
    })?;
    instances.source = Source::Rows(out);
    (instances.width, instances.height, instances.last) = (width, height, last);
    instances.number = (0..=count as u32).collect();
    instances.retain(|n| first[n].0 < u32::MAX);
    let mut n = 0;
    first.retain(|f| {
        n += 1;
        n == 1 || f.0 < u32::MAX
    });
    instances.renumber(&first);
    instances.whole.iter_mut().for_each(|place| place.push_str(" of the resized image"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{ConnectedComponents, InstanceOptions};
    use crate::infer::LabelMap;
    use proptest::prelude::*;

    proptest! {
        /// Labels are those of the nearest pixels, numbered by their first.
        #[test]
        fn labels_are_those_of_the_nearest_pixels(
            from in [1usize..40, 1usize..40], to in [1usize..60, 1usize..60], seed in 0usize..1000,
        ) {
            let [h, w] = from;
            let class = |y: usize, x: usize| (((y / 3 * 5 + x / 2 * 3 + seed) * 2_654_435_761) >> 7) as u32 % 3;
            let find = |resized: bool| {
                let components = ConnectedComponents::new(w, h, &InstanceOptions::default()).unwrap();
                let mut components = if resized { components.resized(to[1], to[0]) } else { components };
                (0..h).for_each(|y| components.push_row(&(0..w).map(|x| class(y, x)).collect::<Vec<_>>()).unwrap());
                components.finish().unwrap()
            };
            let (mut own, mut actual) = (find(false), find(true));
            let (own, actual_map) = (own.to_map().unwrap(), actual.to_map().unwrap());
            let nearest = |i: usize, axis: usize| (2 * i + 1) * from[axis] / (2 * to[axis]);
            let mut numbers = vec![0; own.classes.len()];
            let mut classes = vec![0];
            let expected = LabelMap::from_fn(to[1], to[0], |x, y| {
                let old = own.labels.labels()[nearest(y, 0) * w + nearest(x, 1)] as usize;
                if old > 0 && numbers[old] == 0 {
                    numbers[old] = classes.len() as u32;
                    classes.push(own.classes[old]);
                }
                numbers[old]
            });
            prop_assert_eq!(&actual_map.labels, &expected.unwrap());
            prop_assert_eq!(&actual_map.classes, &classes);
            prop_assert_eq!((actual.width(), actual.height(), actual.count()), (to[1], to[0], classes.len() - 1));
            // Each is reported once, with all of its pixels.
            let mut areas = vec![0; classes.len()];
            actual.instances(|i| { areas[i.number() as usize] += i.area(); Ok(()) }).unwrap();
            let pixels = |n: usize| actual_map.labels.labels().iter().filter(|&&l| l as usize == n).count() as u64;
            prop_assert!((1..classes.len()).all(|n| areas[n] == pixels(n) && areas[n] > 0));
        }
    }
}
