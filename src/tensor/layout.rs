//! The device layout: NC4HW4 with a zero halo.
//!
//! Channels are packed in fours (a `vec4<f32>`, or `vec4<f16>`: see [`Precision`]), and planes have a halo of one zero
//! pixel: `[N][C/4][H+2][W+2]` of vec4. One 16-byte load per lane is coalesced, sums over channels come in fours, and a
//! 3x3 convolution with padding 1 needs no branches at edges. Kernels never write the halo; the planner keeps it zero.
//! Lanes past the last channel hold finite values that zero weights cancel.

use super::{Precision, Shape};

/// Zero pixels around every plane.
pub const HALO: usize = 1;
/// Channels per vec4.
pub const LANES: usize = 4;

/// Strides of a blocked tensor, in vec4s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockedLayout {
    /// Logical shape.
    pub shape: Shape,
    /// Channel blocks, `ceil(C / 4)`.
    pub blocks: usize,
    /// Stride of a row.
    pub row: usize,
    /// Stride of a channel block.
    pub plane: usize,
    /// Stride of an image.
    pub batch: usize,
    /// Index of pixel (0, 0) of block 0 of image 0.
    pub origin: usize,
}

impl BlockedLayout {
    /// The layout of `shape`.
    pub const fn new(shape: Shape) -> Self {
        let blocks = shape.c.div_ceil(LANES);
        let row = shape.w + 2 * HALO;
        let plane = row * (shape.h + 2 * HALO);
        Self { shape, blocks, row, plane, batch: plane * blocks, origin: HALO * row + HALO }
    }

    /// Bytes, halo included.
    pub const fn bytes(&self, precision: Precision) -> u64 {
        (self.shape.n * self.batch * LANES) as u64 * precision.bytes()
    }

    /// Index of the scalar that holds element `(n, c, y, x)`.
    pub const fn element(&self, n: usize, c: usize, y: usize, x: usize) -> usize {
        (self.origin + n * self.batch + (c / LANES) * self.plane + y * self.row + x) * LANES + c % LANES
    }

    /// Whether two tensors have the same plane geometry, so that their halos coincide wherever their planes do.
    pub const fn same_planes(&self, other: &Self) -> bool {
        self.row == other.row && self.plane == other.plane
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_distinct_and_inside() {
        let layout = BlockedLayout::new(Shape::new(2, 5, 3, 4));
        let mut seen = std::collections::HashSet::new();
        for n in 0..2 {
            for c in 0..5 {
                for y in 0..3 {
                    for x in 0..4 {
                        let e = layout.element(n, c, y, x);
                        assert!((e as u64) * 4 < layout.bytes(Precision::F32));
                        assert!(seen.insert(e));
                    }
                }
            }
        }
    }
}
