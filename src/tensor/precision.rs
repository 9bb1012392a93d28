//! How activations and packed weights are stored on a device. Arithmetic is `f32` either way.

use std::fmt;

/// Number format of activations and packed weights on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, 11 bits of mantissa, nothing above [`Precision::F16_MAX`].
    F16,
}

impl Precision {
    /// The largest finite `f16`.
    pub const F16_MAX: f32 = 65_504.0;

    /// Bytes of an element.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// `f32` or `f16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
