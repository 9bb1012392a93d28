//! Images, ground truth and predictions side by side.

use std::io;

use super::super::{Dataset, GroundTruth};
use crate::error::{Error, Result};
use crate::infer::{Display, LabelOptions, Mask, OpenOptions, palette, read_image};

/// Largest side of a cell, pixels. Larger images are downsampled, smaller ones upsampled, by integer factors.
const CELL: usize = 320;
/// Pixels between cells.
const GAP: usize = 6;
/// Grey value between cells.
const BACKGROUND: u8 = 40;
/// Colour of ignored pixels.
const IGNORED: [u8; 3] = [128; 3];

/// An RGB image of 8 bits.
pub(super) struct Rgb {
    pub width: usize,
    pub height: usize,
    data: Vec<u8>,
}

/// A grid with a row per pair: image, ground truth, prediction.
pub(super) fn grid(
    data: &Dataset,
    read: &OpenOptions,
    labels: &LabelOptions,
    predicted: &[(usize, Mask)],
) -> Result<Rgb> {
    let rows = predicted.iter().map(|(i, mask)| {
        let pair = data.pairs().get(*i);
        let pair = pair.ok_or_else(|| Error::invalid("prediction", format!("of image {i}, which does not exist")))?;
        let (image, _) = read_image(&pair.image, read)?;
        let ground_truth = GroundTruth::read_for(&image, pair, mask.classes(), &labels.oriented_as(read))?.classes;
        let (width, height) = (image.width(), image.height());
        if [mask.width(), mask.height()] != [width, height] {
            let reason = format!("the prediction has {}x{} pixels", mask.width(), mask.height());
            return Err(Error::file(&pair.image, format!("has {width}x{height} pixels, {reason}")));
        }
        let display = Display::of(&image).map_err(|e| Error::file(&pair.image, e.message()))?;
        let colour = |class: usize| if class < mask.classes() { palette(class) } else { IGNORED };
        let shown = |id: &dyn Fn(usize) -> usize| {
            let mut data = Vec::with_capacity(3 * width * height);
            (0..height).for_each(|y| display.row(y, id, colour, &mut data));
            Rgb { width, height, data }.fitted()
        };
        Ok([shown(&|_| 0), shown(&|at| ground_truth.labels()[at] as usize), shown(&|at| mask.id(at))])
    });
    Ok(joined(&rows.collect::<Result<Vec<_>>>()?))
}

/// Joins rows of cells into one image.
fn joined(rows: &[[Rgb; 3]]) -> Rgb {
    let widest = rows.iter().map(|r| r[0].width).max().unwrap_or(0);
    let (width, height) = (GAP + 3 * (widest + GAP), GAP + rows.iter().map(|r| r[0].height + GAP).sum::<usize>());
    let mut data = vec![BACKGROUND; 3 * width * height];
    let mut top = GAP;
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let left = GAP + column * (widest + GAP) + (widest - cell.width) / 2;
            for (y, line) in cell.data.chunks_exact(3 * cell.width).enumerate() {
                let at = 3 * ((top + y) * width + left);
                data[at..at + line.len()].copy_from_slice(line);
            }
        }
        top += row[0].height + GAP;
    }
    Rgb { width, height, data }
}

impl Rgb {
    /// The image resized to a cell.
    fn fitted(self) -> Self {
        let side = self.width.max(self.height);
        if side > CELL {
            return self.shrunk(side.div_ceil(CELL));
        }
        let by = CELL / side.max(1);
        let (width, height) = (self.width * by, self.height * by);
        let at = |x: usize, y: usize| 3 * (y / by * self.width + x / by);
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let data = pixels.flat_map(|(x, y)| self.data[at(x, y)..][..3].to_vec()).collect();
        Self { width, height, data }
    }

    /// Means of blocks of `by` x `by` pixels; blocks at the right and bottom may be smaller.
    fn shrunk(&self, by: usize) -> Self {
        let (width, height) = (self.width.div_ceil(by), self.height.div_ceil(by));
        let mut data = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            for x in 0..width {
                let (mut sum, mut count) = ([0u32; 3], 0);
                for row in y * by..(y * by + by).min(self.height) {
                    for column in x * by..(x * by + by).min(self.width) {
                        let at = 3 * (row * self.width + column);
                        sum.iter_mut().zip(&self.data[at..at + 3]).for_each(|(s, &v)| *s += u32::from(v));
                        count += 1;
                    }
                }
                data.extend(sum.map(|s| ((s + count / 2) / count) as u8));
            }
        }
        Self { width, height, data }
    }

    /// The image as a PNG file.
    pub(super) fn png(&self) -> io::Result<Vec<u8>> {
        let side = |n: usize| u32::try_from(n).map_err(io::Error::other);
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, side(self.width)?, side(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.data)?;
        writer.finish()?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_resized_by_integer_factors() {
        let of = |width: usize, height: usize| {
            let data = (0..width * height).flat_map(|i| [(i % 251) as u8; 3]).collect();
            Rgb { width, height, data }.fitted()
        };
        for (w, h, expected) in [
            (1, 1, [320, 320]),
            (100, 50, [300, 150]),
            (320, 7, [320, 7]),
            (321, 5, [161, 3]),
            (2000, 1000, [286, 143]),
        ] {
            let got = of(w, h);
            assert_eq!(([got.width, got.height], got.data.len()), (expected, 3 * expected[0] * expected[1]));
        }
        let got = of(160, 1);
        assert_eq!(got.data[..9], [0, 0, 0, 0, 0, 0, 1, 1, 1], "each pixel twice");
        // Blocks of 2; the last is 1 wide.
        let got = Rgb { width: 3, height: 1, data: vec![1, 2, 3, 3, 4, 6, 9, 9, 9] }.shrunk(2);
        assert_eq!(got.data, [2, 3, 5, 9, 9, 9]);
    }

    #[test]
    fn rows_of_different_sizes_are_joined() {
        let cell = |w: usize, h: usize, v: u8| Rgb { width: w, height: h, data: vec![v; 3 * w * h] };
        let row = |w, h| [cell(w, h, 1), cell(w, h, 2), cell(w, h, 3)];
        let got = joined(&[row(4, 2), row(2, 5)]);
        assert_eq!([got.width, got.height], [GAP + 3 * (4 + GAP), GAP + 2 + GAP + 5 + GAP]);
        let at = |x: usize, y: usize| got.data[3 * (y * got.width + x)];
        assert_eq!([at(GAP, GAP), at(2 * GAP + 4, GAP + 1), at(3 * GAP + 8, GAP), at(0, 0)], [1, 2, 3, BACKGROUND]);
        let top = 2 * GAP + 2;
        assert_eq!(
            [at(GAP, top), at(GAP + 1, top), at(GAP + 2, top + 4), at(GAP + 3, top)],
            [BACKGROUND, 1, 1, BACKGROUND]
        );
        assert!(got.png().unwrap().starts_with(b"\x89PNG"));
    }
}
