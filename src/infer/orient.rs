//! The eight orientations of an image, and of tiles in it.

use std::ops::Range;

/// Pixel `(y, x)` of the oriented image is pixel `(y, x)` of the image, with coordinates swapped by `transpose`, then
/// counted from the other end by `flip_rows` and `flip_columns`. The eight combinations are the symmetries of a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Orientation {
    /// Rows become columns.
    pub transpose: bool,
    /// The image's last row comes first.
    pub flip_rows: bool,
    /// The image's last column comes first.
    pub flip_columns: bool,
}

impl Orientation {
    /// All eight; the identity first, then those without a transpose.
    pub fn all() -> [Self; 8] {
        [0, 1, 2, 3, 4, 5, 6, 7].map(|i| Self { flip_columns: i & 1 > 0, flip_rows: i & 2 > 0, transpose: i & 4 > 0 })
    }

    /// The orientation that undoes this one.
    #[must_use]
    pub fn inverse(self) -> Self {
        let Self { transpose, flip_rows, flip_columns } = self;
        match transpose {
            true => Self { transpose, flip_rows: flip_columns, flip_columns: flip_rows },
            false => self,
        }
    }

    /// The orientation by TIFF and EXIF tag 274, from stored rows to the upright image. `None` for an invalid value.
    pub fn from_tag(tag: u16) -> Option<Self> {
        let [transpose, flip_rows, flip_columns] = match tag {
            1 => [false, false, false],
            2 => [false, false, true],
            3 => [false, true, true],
            4 => [false, true, false],
            5 => [true, false, false],
            6 => [true, true, false],
            7 => [true, true, true],
            8 => [true, false, true],
            _ => return None,
        };
        Some(Self { transpose, flip_rows, flip_columns })
    }

    /// The tag's value for this orientation, 1 to 8.
    pub fn tag(self) -> u16 {
        (1..=8).find(|&t| Self::from_tag(t) == Some(self)).unwrap_or(1)
    }

    /// A description for messages.
    pub fn describe(self) -> &'static str {
        match (self.transpose, self.flip_rows, self.flip_columns) {
            (false, false, false) => "as it is stored",
            (false, false, true) => "mirrored left to right",
            (false, true, false) => "mirrored top to bottom",
            (false, true, true) => "rotated by 180 degrees",
            (true, false, false) => "mirrored along its diagonal",
            (true, true, false) => "rotated by 90 degrees clockwise",
            (true, false, true) => "rotated by 90 degrees counterclockwise",
            (true, true, true) => "mirrored along its other diagonal",
        }
    }

    /// Maps the rectangle of `w` x `h` pixels at column `x0`, row `y0` of the oriented image to the image of `width` x
    /// `height` pixels. The rectangle must lie in the image.
    pub fn stored_window(self, [x0, y0, w, h]: [usize; 4], [width, height]: [usize; 2]) -> [usize; 4] {
        let [x0, y0, w, h] = if self.transpose { [y0, x0, h, w] } else { [x0, y0, w, h] };
        let x0 = if self.flip_columns { width.saturating_sub(x0 + w) } else { x0 };
        let y0 = if self.flip_rows { height.saturating_sub(y0 + h) } else { y0 };
        [x0, y0, w, h]
    }

    /// Orients interleaved samples of `width` x `height` pixels with `channels` channels.
    pub(super) fn interleaved<T: Copy>(self, v: &[T], [width, height]: [usize; 2], channels: usize) -> Vec<T> {
        let [rows, columns] = self.size([height, width]);
        let mut out = Vec::with_capacity(v.len());
        for y in 0..rows {
            for x in 0..columns {
                let (iy, ix) = if self.transpose { (x, y) } else { (y, x) };
                let iy = if self.flip_rows { height - 1 - iy } else { iy };
                let ix = if self.flip_columns { width - 1 - ix } else { ix };
                let at = (iy * width + ix) * channels;
                out.extend_from_slice(v.get(at..at + channels).unwrap_or_default());
            }
        }
        out
    }

    /// Rows and columns of the oriented version of an image with `h` rows and `w` columns.
    pub fn size(self, [h, w]: [usize; 2]) -> [usize; 2] {
        if self.transpose { [w, h] } else { [h, w] }
    }

    /// Turns vectors (rows, columns) of the oriented image into those of the image; their pixels must be in place already.
    pub(super) fn vectors_back(self, rows: &mut [f32], columns: &mut [f32]) {
        if self.transpose {
            rows.swap_with_slice(columns);
        }
        for (flip, plane) in [(self.flip_rows, rows), (self.flip_columns, columns)] {
            if flip {
                plane.iter_mut().for_each(|v| *v = -*v);
            }
        }
    }

    /// Orients planes of `h` rows and `w` columns.
    pub fn planes(self, planes: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
        if self == Self::default() || h * w == 0 {
            return planes.to_vec();
        }
        let [rows, columns] = self.size([h, w]);
        let mut out = Vec::with_capacity(planes.len());
        for plane in planes.chunks_exact(h * w) {
            for y in 0..rows {
                out.extend((0..columns).map(|x| {
                    let (iy, ix) = if self.transpose { (x, y) } else { (y, x) };
                    let iy = if self.flip_rows { h - 1 - iy } else { iy };
                    let ix = if self.flip_columns { w - 1 - ix } else { ix };
                    plane[iy * w + ix]
                }));
            }
        }
        out
    }
}

/// Position of a tile in its image, and the image's pixels that are read for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TilePlace {
    /// Rows and columns of the image.
    pub image: [usize; 2],
    /// Row and column of the tile's first pixel; negative above and left of the image.
    pub start: [isize; 2],
    /// Rows and columns of the tile.
    pub size: [usize; 2],
    /// Rows of the image that are read.
    pub rows: Range<usize>,
    /// Columns that are read.
    pub columns: Range<usize>,
}

impl TilePlace {
    /// The same pixels' place in the oriented image.
    #[must_use]
    pub fn oriented(&self, by: Orientation) -> Self {
        let axis = |n: usize, start: isize, size: usize, read: &Range<usize>, flip: bool| match flip {
            true => (n, n as isize - start - size as isize, size, n - read.end..n - read.start),
            false => (n, start, size, read.clone()),
        };
        let y = axis(self.image[0], self.start[0], self.size[0], &self.rows, by.flip_rows);
        let x = axis(self.image[1], self.start[1], self.size[1], &self.columns, by.flip_columns);
        let (y, x) = if by.transpose { (x, y) } else { (y, x) };
        Self { image: [y.0, x.0], start: [y.1, x.1], size: [y.2, x.2], rows: y.3, columns: x.3 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{mirror, source_window};

    #[test]
    fn the_eight_orientations_differ_and_have_inverses() {
        let x = [0., 1., 2., 3., 4., 5.];
        let oriented: Vec<_> = Orientation::all().iter().map(|o| (o.size([2, 3]), o.planes(&x, [2, 3]))).collect();
        assert_eq!(oriented[0].1, x);
        assert_eq!(oriented[1].1, [2., 1., 0., 5., 4., 3.]);
        assert_eq!(oriented[4], ([3, 2], vec![0., 3., 1., 4., 2., 5.]));
        // A quarter turn clockwise: the last row becomes the first column.
        assert_eq!(oriented[6].1, [3., 0., 4., 1., 5., 2.]);
        for (i, (size, planes)) in oriented.iter().enumerate() {
            assert!(oriented[..i].iter().all(|o| o != &oriented[i]), "{i}");
            assert_eq!(Orientation::all()[i].inverse().planes(planes, *size), x, "{i}");
        }
    }

    /// The vector from each pixel to a fixed one, measured in the oriented image.
    #[test]
    fn vectors_turn_with_the_image() {
        let (h, w, target) = (5usize, 7usize, [1usize, 4usize]);
        let to = |[y, x]: [usize; 2], h: usize, w: usize| -> Vec<f32> {
            let rows = (0..h * w).map(|i| y as f32 - (i / w) as f32);
            rows.chain((0..h * w).map(|i| x as f32 - (i % w) as f32)).collect()
        };
        let mark: Vec<f32> = (0..h * w).map(|i| f32::from(u8::from(i == target[0] * w + target[1]))).collect();
        for by in Orientation::all() {
            let [oh, ow] = by.size([h, w]);
            let at = by.planes(&mark, [h, w]).iter().position(|&v| v == 1.0).unwrap();
            let mut back = by.inverse().planes(&to([at / ow, at % ow], oh, ow), [oh, ow]);
            let (rows, columns) = back.split_at_mut(h * w);
            by.vectors_back(rows, columns);
            assert_eq!(back, to(target, h, w), "{by:?}");
        }
    }

    /// A tile's pixels, oriented, equal those of the oriented tile in the oriented image, mirrored edges included.
    #[test]
    fn places_follow_the_orientation() {
        let (h, w) = (9usize, 13usize);
        let pixels: Vec<f32> = (0..h * w).map(|i| i as f32).collect();
        let tile = |pixels: &[f32], place: &TilePlace| -> Vec<f32> {
            let [h, w] = place.image;
            let at = |y: usize, x: usize| {
                let (y, x) = (mirror(place.start[0] + y as isize, h), mirror(place.start[1] + x as isize, w));
                assert!(place.rows.contains(&y) && place.columns.contains(&x));
                pixels[y * w + x]
            };
            (0..place.size[0]).flat_map(|y| (0..place.size[1]).map(move |x| at(y, x))).collect()
        };
        for (start, size) in [([0, 0], [9, 13]), ([-3, 4], [8, 12]), ([2, -5], [16, 20]), ([4, 3], [4, 8])] {
            let (rows, columns) = (source_window(start[0], size[0], h), source_window(start[1], size[1], w));
            let place = TilePlace { image: [h, w], start, size, rows, columns };
            for by in Orientation::all() {
                let expected = by.planes(&tile(&pixels, &place), size);
                let oriented = place.oriented(by);
                assert_eq!(tile(&by.planes(&pixels, [h, w]), &oriented), expected, "{by:?}");
                assert_eq!(oriented.oriented(by.inverse()), place, "{by:?}");
            }
        }
    }
}
