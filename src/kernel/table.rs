//! Classes of adapters, and the static table of what suits each: how the matrix product fetches its operands, its tiles,
//! when Winograd pays, how large its chunks are. Only the rows for `Cpu` were measured (lavapipe); the others are
//! reasoned from what the compilers of these chips say (docs/performance.md) and from their caches, and untuned.

use super::{AdapterClass, Caps, Images};
use crate::error::{Error, Result};
use std::str::FromStr;

/// How the generated matrix product fetches its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperandPath {
    /// By subgroup broadcast: needs subgroups of one size, see [`Caps::broadcast_lanes`].
    Subgroup,
    /// Through workgroup memory.
    Workgroup,
    /// Through workgroup memory into matrix instructions: needs [`Target::matrix`](super::Target::matrix), and f16.
    Matrix,
    /// Weights at addresses that are uniform in the workgroup, pixels straight from storage: no workgroup memory.
    Uniform,
}

impl OperandPath {
    /// All paths.
    pub const ALL: [Self; 4] = [Self::Subgroup, Self::Workgroup, Self::Matrix, Self::Uniform];

    /// Its name, as in `UNET_OPERANDS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subgroup => "subgroup",
            Self::Workgroup => "workgroup",
            Self::Matrix => "matrix",
            Self::Uniform => "uniform",
        }
    }

    /// The tiles that its kernels are made for: rows, and columns in eights.
    pub const fn tiles(self) -> &'static [[usize; 2]] {
        match self {
            Self::Subgroup => &[
                [64, 8],
                [64, 4],
                [64, 2],
                [32, 8],
                [32, 4],
                [32, 2],
                [16, 8],
                [16, 4],
                [16, 2],
                [8, 8],
                [8, 4],
                [8, 2],
                [4, 4],
                [4, 2],
            ],
            // 64 sums an invocation whatever the shape: at most one byte of workgroup memory a multiply-add.
            Self::Workgroup => &[[128, 16], [128, 8], [64, 16], [64, 8], [32, 16], [128, 4], [16, 32], [8, 32]],
            // 16 matrices of 16 x 16 sums in a subgroup of 32.
            Self::Matrix => &[[64, 8], [32, 8]],
            // 64 invocations side by side, each with all rows.
            Self::Uniform => &[[16, 32], [32, 16], [32, 8], [8, 32], [4, 32]],
        }
    }
}

impl FromStr for OperandPath {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        find(Self::ALL, Self::name, "operand path", s)
    }
}

impl AdapterClass {
    /// All classes.
    pub const ALL: [Self; 6] = [Self::Cpu, Self::Intel, Self::Amd, Self::Nvidia, Self::Apple, Self::Other];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Intel => "intel",
            Self::Amd => "amd",
            Self::Nvidia => "nvidia",
            Self::Apple => "apple",
            Self::Other => "other",
        }
    }
}

impl FromStr for AdapterClass {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        find(Self::ALL, Self::name, "adapter class", s)
    }
}

impl Images {
    /// All choices.
    pub const ALL: [Self; 4] = [Self::Never, Self::WhereRead, Self::Aliased, Self::Always];

    /// Its name in `unet tune` and its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "buffers",
            Self::WhereRead => "images",
            Self::Aliased => "aliased",
            Self::Always => "always images",
        }
    }
}

impl FromStr for Images {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        find(Self::ALL, Self::name, "choice of images", s)
    }
}

fn find<T: Copy, const N: usize>(all: [T; N], name: fn(T) -> &'static str, what: &str, requested: &str) -> Result<T> {
    all.into_iter().find(|&t| name(t) == requested).ok_or_else(|| {
        Error::invalid(format!("{what} `{requested}`"), format!("unknown; there are: {}", all.map(name).join(", ")))
    })
}

/// What suits a class of adapters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    /// Operand path where operands are not spread by subgroups.
    pub operands: OperandPath,
    /// The same for tiles of up to 16 rows.
    pub narrow: OperandPath,
    /// Invocations below which the device is not full: smaller tiles are then better than idle units.
    pub invocations: usize,
    /// Winograd pays where the product of input and output channels is more than this times their sum.
    pub winograd: usize,
    /// Bytes of a Winograd chunk, both buffers together: a part of the last cache.
    pub chunk_bytes: u64,
    /// Tiles that a chunk has at least, or the device is not full.
    pub chunk_tiles: usize,
}

/// The table.
pub const fn preset(class: AdapterClass) -> Preset {
    let base = Preset {
        operands: OperandPath::Workgroup,
        narrow: OperandPath::Workgroup,
        invocations: 2048,
        winograd: 64,
        chunk_bytes: 16 << 20,
        chunk_tiles: 1024,
    };
    match class {
        // Product against Winograd on lavapipe, ms: 32 -> 64 channels at 128 x 128 6.6 and 6.8, 64 -> 32 5.7 and 6.5; but
        // `nuclei`, which has both, is no slower with Winograd there, and has one kernel less to compile. 256 tiles of 64
        // channels each way: what it is fastest with.
        AdapterClass::Cpu => Preset { invocations: 1, winograd: 20, chunk_bytes: 5 << 20, chunk_tiles: 256, ..base },
        // Some 500 to 4000 lanes; 16 MiB of cache on the discrete ones.
        AdapterClass::Intel => Preset { invocations: 4096, winograd: 48, ..base },
        // Up to 6144 lanes that issue two at a time; 32 to 96 MiB of last cache.
        // Weights at uniform addresses become scalar loads: nothing is staged for few rows.
        AdapterClass::Amd => {
            Preset { narrow: OperandPath::Uniform, invocations: 8192, winograd: 40, chunk_bytes: 32 << 20, ..base }
        }
        // Up to 16384 lanes; 32 to 72 MiB of last cache since Ada, 6 MiB before.
        AdapterClass::Nvidia => Preset { invocations: 16_384, winograd: 40, chunk_bytes: 32 << 20, ..base },
        // 1024 to 5120 lanes; a system cache of 8 MiB and more.
        AdapterClass::Apple => Preset { invocations: 2048, winograd: 40, ..base },
        // Mobile chips: Adreno stages well; for Mali, where workgroup memory is plain memory, `Uniform` is the candidate,
        // but nothing tells it apart here.
        AdapterClass::Other => base,
    }
}

impl Caps {
    /// Lanes of the kernels by subgroup broadcast where they can run: 8, or 16 on llvmpipe with vectors of 512 bits.
    pub fn broadcast_lanes(&self) -> Option<u32> {
        self.subgroup.filter(|&lanes| lanes == 8 || lanes == 16 && self.class == AdapterClass::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_paths_have_names() {
        for class in AdapterClass::ALL {
            assert_eq!(class.name().parse::<AdapterClass>().unwrap(), class);
            assert_eq!(Caps::typical(class).class, class);
        }
        for path in OperandPath::ALL {
            assert_eq!(path.name().parse::<OperandPath>().unwrap(), path);
        }
        for images in Images::ALL {
            assert_eq!(images.name().parse::<Images>().unwrap(), images);
        }
        assert!("voodoo".parse::<AdapterClass>().unwrap_err().to_string().contains("nvidia"));
    }
}
