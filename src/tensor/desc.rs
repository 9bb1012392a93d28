//! Logical shapes (NCHW) and storage layouts.

use super::{HALO, LANES, Precision};
use crate::error::{Error, Result};

/// Maximum number of elements of a tensor in a graph: more than any device holds, and few enough that no sum or product
/// of sizes overflows. Rewrites remove some of the largest tensors, so plans have a limit of their own.
pub const MAX_ELEMENTS: u64 = 1 << 36;
/// Maximum number of elements of a tensor on a device: kernels index in 32 bits.
pub const MAX_INDEXED: u64 = u32::MAX as u64;

/// Logical shape of a tensor: images, channels, rows, columns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Images in the batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Rows (pixels).
    pub h: usize,
    /// Columns (pixels).
    pub w: usize,
}

impl Shape {
    /// A shape from its four dimensions in NCHW order.
    pub const fn new(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self { n, c, h, w }
    }

    /// Reads `dims` of rank 0 to 4 as NCHW: `[C]` is `1xCx1x1`, `[N, C]` is `NxCx1x1`, `[C, H, W]` is `1xCxHxW`.
    pub fn from_dims(dims: &[usize]) -> Result<Self> {
        match *dims {
            [] => Ok(Self::new(1, 1, 1, 1)),
            [c] => Ok(Self::new(1, c, 1, 1)),
            [n, c] => Ok(Self::new(n, c, 1, 1)),
            [c, h, w] => Ok(Self::new(1, c, h, w)),
            [n, c, h, w] => Ok(Self::new(n, c, h, w)),
            _ => Err(Error::invalid("shape", format!("rank {} of {dims:?} is more than 4 (NCHW)", dims.len()))),
        }
    }

    /// `[N, C, H, W]`.
    pub const fn dims(&self) -> [usize; 4] {
        [self.n, self.c, self.h, self.w]
    }

    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.n * self.c * self.h * self.w
    }

    /// Whether the tensor has no element.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pixels of one plane.
    pub const fn pixels(&self) -> usize {
        self.h * self.w
    }

    /// The same images and pixels with `c` channels.
    pub const fn with_c(self, c: usize) -> Self {
        Self { c, ..self }
    }

    /// The same images and channels with `h` x `w` pixels.
    pub const fn with_hw(self, h: usize, w: usize) -> Self {
        Self { h, w, ..self }
    }

    /// Linear index of an element in NCHW order.
    #[inline]
    pub const fn index(&self, n: usize, c: usize, y: usize, x: usize) -> usize {
        ((n * self.c + c) * self.h + y) * self.w + x
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}x{}", self.n, self.c, self.h, self.w)
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Layout of a value in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Layout {
    /// NC4HW4 with a zero halo, the layout of all kernels. See [`super::BlockedLayout`].
    Blocked,
    /// Plain NCHW in `f32`, for the engine's inputs and outputs.
    Linear,
}

/// A value's logical shape and storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TensorDesc {
    /// Logical shape.
    pub shape: Shape,
    /// Storage.
    pub layout: Layout,
}

impl TensorDesc {
    /// A value in the kernels' layout.
    pub const fn blocked(shape: Shape) -> Self {
        Self { shape, layout: Layout::Blocked }
    }

    /// A value in plain NCHW.
    pub const fn linear(shape: Shape) -> Self {
        Self { shape, layout: Layout::Linear }
    }

    /// Errors if the tensor, named `what`, has more than `max` elements, halo and unused lanes included.
    pub fn check_size(&self, what: &str, max: u64) -> Result<()> {
        let Shape { n, c, h, w } = self.shape;
        let dims = match self.layout {
            Layout::Blocked => {
                [Some(n), c.checked_next_multiple_of(LANES), h.checked_add(2 * HALO), w.checked_add(2 * HALO)]
            }
            Layout::Linear => [Some(n), Some(c), Some(h), Some(w)],
        };
        let count = dims.into_iter().try_fold(1u64, |a, d| a.checked_mul(d? as u64));
        if count.is_some_and(|e| e <= max) {
            return Ok(());
        }
        let needed = count.map_or_else(|| "more than 2^64".into(), |e| e.to_string());
        let limit = format!("{max} elements");
        Err(Error::Limit { what: format!("{what}: a tensor of shape {}", self.shape), needed, limit })
    }

    /// Bytes in device memory, with blocked tensors stored in `precision`.
    pub fn bytes(&self, precision: Precision) -> u64 {
        match self.layout {
            Layout::Blocked => super::BlockedLayout::new(self.shape).bytes(precision),
            Layout::Linear => (self.shape.len() as u64 * 4).max(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims_of_every_rank_become_nchw() {
        assert_eq!(Shape::from_dims(&[7]).unwrap(), Shape::new(1, 7, 1, 1));
        assert_eq!(Shape::from_dims(&[2, 7]).unwrap(), Shape::new(2, 7, 1, 1));
        assert_eq!(Shape::from_dims(&[3, 4, 5]).unwrap(), Shape::new(1, 3, 4, 5));
        assert!(Shape::from_dims(&[1, 1, 1, 1, 1]).unwrap_err().to_string().contains("rank 5"));
    }

    #[test]
    fn uncountable_tensors_are_errors() {
        let linear = |n, c, h, w| TensorDesc::linear(Shape::new(n, c, h, w)).check_size("x", MAX_INDEXED);
        assert!(linear(1, 1, 1, u32::MAX as usize).is_ok() && linear(2, 1, 1, 1 << 31).is_err());
        let e = linear(1, 64, 100_000, 100_000).unwrap_err().to_string();
        assert_eq!(e, "x: a tensor of shape 1x64x100000x100000 needs 640000000000, the limit is 4294967295 elements");
        for side in [1 << 31, usize::MAX - 1, usize::MAX] {
            assert!(matches!(linear(side, side, side, side), Err(Error::Limit { .. })));
            let blocked = TensorDesc::blocked(Shape::new(1, side, 1, side));
            assert!(matches!(blocked.check_size("x", MAX_ELEMENTS), Err(Error::Limit { .. })));
        }
    }
}
