//! Classes of adapters, and the static table of what suits each: how the matrix product fetches its operands, its tiles,
//! when Winograd pays, how large its chunks are. Only the row for `Cpu` was measured; the others are
//! reasoned from what the compilers of these chips say (docs/performance.md) and from their caches, and untuned.

use super::{AdapterClass, TensorStorage};
use crate::error::{Error, Result};
use std::str::FromStr;

/// How the generated matrix product fetches its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperandPath {
    /// By subgroup broadcast: needs subgroups of one size, see [`super::DriverPolicy::broadcast_lanes`].
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

impl TensorStorage {
    /// All choices.
    pub const ALL: [Self; 4] = [Self::Buffers, Self::Textures, Self::Aliased, Self::AlwaysTextures];

    /// Its name in `unet tune` and its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buffers => "buffers",
            Self::Textures => "textures",
            Self::Aliased => "aliased",
            Self::AlwaysTextures => "always textures",
        }
    }
}

impl FromStr for TensorStorage {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        find(Self::ALL, Self::name, "tensor storage", s)
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
    /// Workgroups of a reduction that fill the device.
    pub reduction_workgroups: usize,
    /// Rows and columns of outputs that an invocation of `tap_sum` makes together; they share what they load. The second is
    /// for factors of 8 and more.
    pub tap_sum: [[usize; 2]; 2],
    /// Multiply-accumulates of a submission: what a slow device of the class does in a fraction of a second.
    pub submission_macs: u64,
    /// Whether storing `f16` is faster: where bandwidth is scarce.
    pub gains_from_f16: bool,
    /// What rewrites of resized inputs weigh.
    pub resize: ResizeCosts,
}

/// What the ways to convolve a resized map cost per vec4 (four channels) of an output pixel, each in the same unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizeCosts {
    /// Mixing four channels into four: 16 multiply-adds.
    pub mix: f64,
    /// Enlarging an input in a pass of its own.
    pub upsample: f64,
    /// Winograd's transform of an input.
    pub transform: f64,
    /// The same, upsampling by 2 on the way.
    pub enlarging_transform: f64,
    /// Winograd's transform of an output.
    pub inverse_transform: f64,
    /// Writing one of the small maps of taps, per pixel of that map.
    pub map: f64,
    /// Sampling one of them.
    pub tap: f64,
    /// The sum of the samples.
    pub sum: f64,
}

impl ResizeCosts {
    /// In loads of a vec4, as measured where the CPU does the GPU's work; a store is half of one.
    const CPU: Self = Self {
        mix: 0.27,
        upsample: 4.5,
        transform: 3.4,
        enlarging_transform: 2.4,
        inverse_transform: 0.0,
        map: 0.5,
        tap: 0.7,
        sum: 1.5,
    };

    /// In vec4s moved to or from memory, reasoned: GPUs do 80 to 150 multiply-adds in the time they move 16 bytes, at half of
    /// their peak. What stays in the last cache, as a chunk of Winograd's buffers, costs a third of that; a sample that comes
    /// from the first cache a tenth at most. So: `upsample` writes a vec4 and reads it again, `transform` writes and reads 36
    /// for 16 pixels in the cache, as the inverse does, `map` is written once and read once.
    const GPU: Self = Self {
        mix: 0.12,
        upsample: 2.1,
        transform: 1.5,
        enlarging_transform: 1.75,
        inverse_transform: 1.5,
        map: 2.0,
        tap: 0.1,
        sum: 0.0,
    };
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
        reduction_workgroups: 1024,
        // Half the loads, neighbouring lanes on neighbouring columns, few registers.
        tap_sum: [[4, 1]; 2],
        submission_macs: 100_000_000_000,
        gains_from_f16: true,
        resize: ResizeCosts::GPU,
    };
    match class {
        // Product against Winograd, ms: 32 -> 64 channels at 128 x 128 6.6 and 6.8, 64 -> 32 5.7 and 6.5; but
        // `nuclei`, which has both, is no slower with Winograd there, and has one kernel less to compile. 256 tiles of 64
        // channels each way: what it is fastest with.
        AdapterClass::Cpu => Preset {
            invocations: 1,
            winograd: 20,
            chunk_bytes: 5 << 20,
            chunk_tiles: 256,
            reduction_workgroups: 32,
            // Loads are what costs. At factor 2: 36 an output by itself, about 7 in 4 x 4; larger groups were no faster.
            tap_sum: [[4, 4], [8, 4]],
            submission_macs: 2_000_000_000,
            // It converts every number.
            gains_from_f16: false,
            resize: ResizeCosts::CPU,
            ..base
        },
        // Some 500 to 4000 lanes; 16 MiB of cache on the discrete ones.
        AdapterClass::Intel => Preset { invocations: 4096, winograd: 48, submission_macs: 20_000_000_000, ..base },
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
        AdapterClass::Other => Preset { submission_macs: 20_000_000_000, ..base },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_paths_have_names() {
        for class in AdapterClass::ALL {
            assert_eq!(class.name().parse::<AdapterClass>().unwrap(), class);
            assert_eq!(crate::kernel::Caps::typical(class).class, class);
        }
        for path in OperandPath::ALL {
            assert_eq!(path.name().parse::<OperandPath>().unwrap(), path);
        }
        for storage in TensorStorage::ALL {
            assert_eq!(storage.name().parse::<TensorStorage>().unwrap(), storage);
        }
        assert!("voodoo".parse::<AdapterClass>().unwrap_err().to_string().contains("nvidia"));
    }
}
