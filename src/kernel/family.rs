//! Families of convolution kernels.

use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::str::FromStr;

/// A family of convolution kernels. Ops choose by geometry, channels and [`super::Target`];
/// [`super::KernelOverrides::conv`] forces one wherever it applies, for tests and measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConvFamily {
    /// Any geometry, one vec4 of outputs per invocation: the baseline of the others.
    Plain,
    /// A register tile per invocation; weights are read at uniform addresses.
    Tile,
    /// Direct; operands are shared by subgroup broadcast.
    Subgroup,
    /// Direct, through workgroup memory: pixels are staged once for all taps.
    Window,
    /// Implicit GEMM.
    Gemm,
    /// Winograd F(4, 3): transforms around a batched GEMM.
    Winograd,
    /// Winograd F(2, 3): more multiplications, less than half the weights, more accurate.
    Winograd2,
}

impl ConvFamily {
    /// All families.
    pub const ALL: [Self; 7] =
        [Self::Plain, Self::Tile, Self::Subgroup, Self::Window, Self::Gemm, Self::Winograd, Self::Winograd2];

    /// Its name, as in `UNET_CONV`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tile => "tile",
            Self::Subgroup => "subgroup",
            Self::Window => "window",
            Self::Gemm => "gemm",
            Self::Winograd => "winograd",
            Self::Winograd2 => "winograd2",
        }
    }
}

impl FromStr for ConvFamily {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|f| f.name() == s).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("convolution family `{s}`"), format!("unknown; there are: {known}"))
        })
    }
}

impl Serialize for ConvFamily {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ConvFamily {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// The family that a convolution chose, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConvChoice {
    /// The family.
    pub family: ConvFamily,
    /// Why.
    pub reason: &'static str,
}

impl<'de> Deserialize<'de> for ConvChoice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Stored {
            family: ConvFamily,
            reason: String,
        }
        let Stored { family, reason } = Stored::deserialize(from)?;
        Ok(Self { family, reason: super::name(&reason).map_err(de::Error::custom)? })
    }
}
