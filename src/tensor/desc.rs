//! Values with their storage.

use super::{BlockedLayout, HALO, LANES, Precision, Shape};
use crate::error::{Error, Result};

/// Maximum number of elements of a tensor in a graph: more than any device holds, and few enough that no sum or product
/// of sizes overflows. Rewrites remove some of the largest tensors, so plans have a limit of their own.
pub const MAX_ELEMENTS: u64 = 1 << 36;
/// Maximum number of elements of a tensor on a device: kernels index in 32 bits.
pub const MAX_INDEXED: u64 = u32::MAX as u64;

/// Layout of a value in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Layout {
    /// NC4HW4 with a zero halo, the layout of all kernels. See [`BlockedLayout`].
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
            Layout::Blocked => BlockedLayout::new(self.shape).bytes(precision),
            Layout::Linear => (self.shape.len() as u64 * 4).max(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
