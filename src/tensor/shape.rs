//! Logical shapes, NCHW.

use crate::error::{Error, Result};

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
}
