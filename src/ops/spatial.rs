//! How output pixels depend on input pixels. Receptive fields, halos and tile safety are computed from this.

/// Spatial dependency of an op's outputs on its inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Spatial {
    /// Each output pixel needs the same pixel of every input.
    Pointwise,
    /// Output pixel `o` needs a window of input pixels: per input, for rows and columns.
    Windows(Vec<[Window; 2]>),
    /// Output pixels depend on the whole image, or on its size, so the network cannot be tiled exactly; with the
    /// reason.
    Global(&'static str),
}

/// Output pixel `o` of an axis needs the input pixels `floor(o * num / den) + first ..= floor(o * num / den) + last`.
///
/// Stride-2 pooling is `num = 2, den = 1`; bilinear upsampling by 2 is `num = 1, den = 2` with one pixel on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Input pixels per `den` output pixels.
    pub num: i64,
    /// Output pixels per `num` input pixels.
    pub den: i64,
    /// Offset of the first pixel needed.
    pub first: i64,
    /// Offset of the last pixel needed.
    pub last: i64,
}

impl Window {
    /// The same pixel.
    pub const SAME: Self = Self { num: 1, den: 1, first: 0, last: 0 };

    /// Input pixels needed for the output pixels `from ..= to`.
    pub fn range(&self, from: i64, to: i64) -> (i64, i64) {
        ((from * self.num).div_euclid(self.den) + self.first, (to * self.num).div_euclid(self.den) + self.last)
    }

    /// [`Self::range`], or `None` if it overflows.
    pub fn checked_range(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        let at = |n: i64, shift: i64| n.checked_mul(self.num)?.checked_div_euclid(self.den)?.checked_add(shift);
        at(from, self.first).zip(at(to, self.last))
    }
}
