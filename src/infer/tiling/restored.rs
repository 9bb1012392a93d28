//! Rows in the size of the image, from those of a network that takes it resized: class ids of the nearest pixel,
//! probabilities as weighted means.

use std::collections::VecDeque;

use super::buffers::{no_ids, zeros};
use crate::error::{Error, Result};
use crate::infer::band::Band;
use crate::infer::mask::Ids;
use crate::infer::resample::{Resize, Taps};

/// Takes the network's rows, gives those of the image.
pub(in crate::low_level::infer) struct Restored {
    /// From the network's size to the image's.
    by: Resize,
    classes: usize,
    /// Planes of probabilities.
    planes: usize,
    columns: Vec<Taps>,
    /// The network's rows that are still needed, of which the first is `first`.
    kept: VecDeque<Row>,
    first: usize,
    /// The next row of the image.
    next: usize,
}

/// A row of the network, in the image's columns.
struct Row {
    ids: Vec<u16>,
    /// Planar.
    probabilities: Vec<f32>,
}

/// Rows of the image.
pub(in crate::low_level::infer) struct ImageRows {
    pub height: usize,
    pub classes: Ids,
    /// Planar; empty if not needed.
    pub probabilities: Vec<f32>,
}

impl Restored {
    /// Undoes `resize`, by which the image became the network's input. `planes`: of probabilities, as far as they are needed.
    pub(crate) fn new(resize: Resize, classes: usize, planes: usize) -> Self {
        let by = resize.inverse();
        let columns = match planes {
            0 => Vec::new(),
            _ => (0..by.columns.len()).map(|x| by.columns.taps(x)).collect(),
        };
        Self { by, classes, planes, columns, kept: VecDeque::new(), first: 0, next: 0 }
    }

    /// Bytes of host memory that the rows need.
    pub(crate) fn bytes(resize: Resize, planes: usize) -> u64 {
        let by = resize.inverse();
        let row = by.columns.len() as u64 * (2 + 4 * planes as u64);
        row * by.rows.most_taps() as u64
    }

    /// Takes the network's next rows.
    pub(crate) fn push(&mut self, band: &Band) {
        let Self { by, planes, columns, .. } = self;
        for y in 0..band.height {
            let id = |x: usize| band.classes.id(y * band.width + by.columns.nearest(x)) as u16;
            let ids = (0..by.columns.len()).map(id).collect();
            let mut probabilities = Vec::with_capacity(*planes * columns.len());
            let all = band.probabilities.unwrap_or_default();
            for plane in all.chunks_exact((band.height * band.width).max(1)).take(*planes) {
                let row = plane.get(y * band.width..(y + 1) * band.width).unwrap_or_default();
                let mean = |t: &Taps| t.weights.iter().zip(row.iter().skip(t.first)).map(|(w, p)| w * p).sum::<f32>();
                probabilities.extend(columns.iter().map(mean));
            }
            self.kept.push_back(Row { ids, probabilities });
        }
    }

    /// The image's next rows that follow from those so far, at most `most`; `None` if there are none.
    pub(crate) fn take(&mut self, most: usize) -> Result<Option<ImageRows>> {
        let (rows, arrived) = (self.by.rows, self.first + self.kept.len());
        let ready = (self.next..rows.len()).take(most.max(1)).take_while(|&y| rows.taps(y).end() <= arrived);
        let (width, height) = (self.by.columns.len(), ready.count());
        if height == 0 {
            return Ok(None);
        }
        let mut classes = no_ids(self.classes, height * width)?;
        let mut probabilities: Vec<f32> = zeros(self.planes * height * width)?;
        let row = |at: usize| {
            let row = at.checked_sub(self.first).and_then(|i| self.kept.get(i));
            row.ok_or_else(|| Error::invalid("rows", "are missing of a resized image"))
        };
        for i in 0..height {
            let y = self.next + i;
            let ids = &row(rows.nearest(y))?.ids;
            match &mut classes {
                Ids::U8(v) => v.iter_mut().skip(i * width).zip(ids).for_each(|(to, &id)| *to = id as u8),
                Ids::U16(v) => v.iter_mut().skip(i * width).zip(ids).for_each(|(to, &id)| *to = id),
            }
            if self.planes == 0 {
                continue;
            }
            let Taps { first, weights } = rows.taps(y);
            for (k, weight) in weights.iter().enumerate() {
                let from = row(first + k)?.probabilities.chunks_exact(width.max(1));
                for (plane, from) in probabilities.chunks_exact_mut((height * width).max(1)).zip(from) {
                    let to = plane.iter_mut().skip(i * width);
                    to.zip(from).for_each(|(sum, p)| *sum += weight * p);
                }
            }
        }
        self.next += height;
        let needed = if self.next < rows.len() { rows.taps(self.next).first } else { arrived };
        self.kept.drain(..(needed - self.first).min(self.kept.len()));
        self.first = needed;
        Ok(Some(ImageRows { height, classes, probabilities }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Rows in bands of any height give the same; each has the classes of the nearest pixels and means of probabilities.
        #[test]
        fn rows_are_those_of_the_whole(
            image in [1usize..50, 1usize..50], network in [1usize..50, 1usize..50], bands in 1usize..20, most in 1usize..9,
        ) {
            let [h, w] = network;
            let ids: Vec<u8> = (0..h * w).map(|i| (i * 7 % 3) as u8).collect();
            let planes: Vec<f32> = (0..2 * h * w).map(|i| (i * 13 % 101) as f32 / 100.0).collect();
            let resize = Resize::new(image, network);
            let mut restored = Restored::new(resize, 3, 2);
            let (mut classes, mut probabilities) = (Vec::new(), [Vec::new(), Vec::new()]);
            for first in (0..h).step_by(bands) {
                let height = bands.min(h - first);
                let part = |v: &[f32]| v[first * w..(first + height) * w].to_vec();
                let values = [part(&planes[..h * w]), part(&planes[h * w..])].concat();
                let ids = Ids::U8(ids[first * w..(first + height) * w].to_vec());
                let (geometry, pixels, probabilities_of) = (None, None, Some(&values[..]));
                let band = Band { first, height, width: w, classes: &ids, probabilities: probabilities_of, geometry, pixels };
                restored.push(&band);
                while let Some(rows) = restored.take(most).unwrap() {
                    prop_assert!((1..=most).contains(&rows.height));
                    let Ids::U8(v) = rows.classes else { panic!() };
                    classes.extend(v);
                    let each = rows.probabilities.chunks_exact(rows.height * image[1]);
                    probabilities.iter_mut().zip(each).for_each(|(all, part)| all.extend_from_slice(part));
                }
            }
            let nearest = |i: usize, axis: usize| (2 * i + 1) * network[axis] / (2 * image[axis]);
            let pixels = || (0..image[0]).flat_map(|y| (0..image[1]).map(move |x| (y, x)));
            let expected: Vec<u8> = pixels().map(|(y, x)| ids[nearest(y, 0) * w + nearest(x, 1)]).collect();
            prop_assert_eq!(classes, expected);
            let back = resize.inverse();
            for (plane, all) in probabilities.iter().enumerate() {
                prop_assert_eq!(all.len(), image[0] * image[1]);
                for (i, (y, x)) in pixels().enumerate() {
                    let (down, across) = (back.rows.taps(y), back.columns.taps(x));
                    let mut sum = 0.0;
                    for (r, wy) in (down.first..).zip(&down.weights) {
                        for (c, wx) in (across.first..).zip(&across.weights) {
                            sum += wy * wx * planes[(plane * h + r) * w + c];
                        }
                    }
                    prop_assert!((all[i] - sum).abs() < 1e-5);
                }
            }
        }
    }
}
