//! Where the pixels of an augmented crop lie in its image.

use super::field::Field;
use crate::error::Result;
use crate::train::augment::Augmentation;
use crate::train::instance_target::MARGIN;
use crate::train::rng::Rng;

/// The map from a square crop to its image: quarter turns and flips, rotation and scaling, elastic deformation, shift.
#[derive(Debug)]
pub(super) struct Geometry {
    /// Quarter turns and flips, exact in integers: from offsets from the centre to those before.
    turned: [[i32; 2]; 2],
    /// Rotation and scaling.
    linear: [[f64; 2]; 2],
    /// The centre in the image, row and column.
    centre: [f64; 2],
    field: Option<Field>,
    /// Factor of the displacements.
    strength: f64,
}

impl Geometry {
    /// Draws the map of a crop of `side` pixels whose first pixel is at `start` (row, column), with a scale in `scales`.
    pub(super) fn draw(
        rng: &mut Rng,
        options: &Augmentation,
        scales: [f64; 2],
        side: usize,
        start: [isize; 2],
    ) -> Result<Self> {
        let scale = if options.log_scale { log_within(rng, scales) } else { within(rng, scales) };
        let rotated = rng.uniform() < options.rotate_probability;
        let angle = within(rng, [-options.rotate, options.rotate]).to_radians();
        let (sin, cos) = if rotated { angle.sin_cos() } else { (0.0, 1.0) };
        let turns = if options.turns { rng.below(4) } else { 0 };
        let flips = [0, 1].map(|_| options.flips && rng.uniform() < 0.5);
        let shift = [0, 1].map(|_| within(rng, [-options.shift, options.shift]));
        // Covers the labels around the crop too.
        let field = Field::draw(rng, options, side + 2 * MARGIN)?;
        let mut turned = [[1, 0], [0, 1]];
        for _ in 0..turns {
            turned = [turned[1], turned[0].map(|v| -v)];
        }
        for (axis, _) in flips.iter().enumerate().filter(|(_, flip)| **flip) {
            turned.iter_mut().for_each(|row| row[axis] = -row[axis]);
        }
        let middle = (side as f64 - 1.0) / 2.0;
        Ok(Self {
            turned,
            linear: [[cos / scale, sin / scale], [-sin / scale, cos / scale]],
            centre: [0, 1].map(|axis| start[axis] as f64 + middle + shift[axis]),
            field,
            strength: 1.0 / scale.max(1.0),
        })
    }

    /// The row and column in the image of every pixel of a square of `side` pixels with the crop's centre, row by row.
    pub(super) fn positions(&self, side: usize) -> Vec<[f64; 2]> {
        let last = side as i32 - 1;
        let mut out = Vec::with_capacity(side * side);
        for y in 0..side as i32 {
            for x in 0..side as i32 {
                // Twice the offset from the centre, which is an integer.
                let doubled = [2 * y - last, 2 * x - last];
                let [v, w] = self.turned.map(|row| row[0] * doubled[0] + row[1] * doubled[1]);
                let offset = [f64::from(v) / 2.0, f64::from(w) / 2.0];
                let displacement = self.field.as_ref().map_or([0.0; 2], |field| {
                    let last = field.side as i32 - 1;
                    field.at(((v + last) / 2) as usize, ((w + last) / 2) as usize)
                });
                out.push([0, 1].map(|axis| {
                    let [a, b] = self.linear[axis];
                    a * offset[0] + b * offset[1] + self.strength * displacement[axis] + self.centre[axis]
                }));
            }
        }
        out
    }
}

/// Uniform in a range.
pub(super) fn within(rng: &mut Rng, [a, b]: [f64; 2]) -> f64 {
    a + (b - a) * rng.uniform()
}

/// Uniform in a range's logarithm.
pub(super) fn log_within(rng: &mut Rng, [a, b]: [f64; 2]) -> f64 {
    within(rng, [a.ln(), b.ln()]).exp()
}
