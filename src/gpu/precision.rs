//! Choosing how activations and weights are stored.

use super::Gpu;
use crate::error::{Error, Result};
use crate::tensor::Precision;
use std::str::FromStr;

/// A requested precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PrecisionChoice {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, with sums in 32: half the memory. An error where shaders have no `f16`.
    F16,
    /// `f16` on GPUs whose shaders have it, else `f32`.
    Auto,
}

impl PrecisionChoice {
    /// The precision to use on a device.
    pub fn resolve(self, gpu: &Gpu) -> Result<Precision> {
        let caps = gpu.caps();
        let gains = gpu.target().preset().gains_from_f16;
        match self {
            Self::F32 => Ok(Precision::F32),
            Self::F16 if caps.f16 => Ok(Precision::F16),
            Self::F16 => {
                let reason = format!("{} has no f16 in shaders; use f32 or auto", gpu.describe());
                Err(Error::invalid("precision f16", reason))
            }
            Self::Auto if caps.f16 && gains => Ok(Precision::F16),
            Self::Auto => Ok(Precision::F32),
        }
    }
}

impl FromStr for PrecisionChoice {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "auto" => Ok(Self::Auto),
            _ => Err(Error::invalid(format!("precision `{s}`"), "is not one of f32, f16, auto")),
        }
    }
}
