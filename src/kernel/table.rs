//! Adapter classes and the static table of their presets: how the matrix product fetches its operands, its tiles, when
//! Winograd pays, how large its chunks are. Only the row for `Cpu` was measured. The others are untuned: they are
//! derived from the output of these chips' compilers (docs/performance.md) and from their caches.

use super::{AdapterClass, TensorStorage};
use crate::error::{Error, Result};
use std::str::FromStr;

/// How the generated matrix product fetches its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperandPath {
    /// By subgroup broadcast; needs a fixed subgroup size, see [`super::DriverPolicy::broadcast_lanes`].
    Subgroup,
    /// Through workgroup memory.
    Workgroup,
    /// Through workgroup memory into cooperative matrices; needs [`Target::matrix`](super::Target::matrix) and f16.
    Matrix,
    /// Weights at addresses uniform across the workgroup, pixels straight from storage; no workgroup memory.
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

    /// The tiles that its kernels are generated for: rows, and columns / 8.
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
            // 64 sums per invocation whatever the shape: at most one byte of workgroup memory per multiply-add.
            Self::Workgroup => &[[128, 16], [128, 8], [64, 16], [64, 8], [32, 16], [128, 4], [16, 32], [8, 32]],
            // 16 matrices of 16 x 16 sums per subgroup of 32.
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

/// Part of a plane that a workgroup of 16 x `height` invocations computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Rows of invocations.
    pub height: u32,
    /// Columns of pixels, a multiple of 16.
    pub columns: u32,
    /// Rows of pixels, a multiple of `height`.
    pub rows: u32,
}

/// Tuning parameters of a class of adapters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    /// Operand path where operands are not shared by subgroup broadcast.
    pub operands: OperandPath,
    /// The same for tiles of up to 16 rows.
    pub narrow: OperandPath,
    /// Invocations that fill the device. With fewer, smaller tiles beat idle units.
    pub invocations: usize,
    /// Winograd pays where the product of input and output channels is more than this times their sum.
    pub winograd: usize,
    /// The same in training with subgroups of 8 lanes, where it differs.
    pub winograd_training: Option<usize>,
    /// F(2,3) may replace F(4,3) where the transformed weights of F(4,3) have more bytes than this. They exceed any
    /// last-level cache then, so each run reads them from memory.
    pub winograd2_weight_bytes: u64,
    /// It does where there are at most this many tiles of 4 x 4 outputs. A GEMM does a multiply-accumulate per tile and
    /// weight. With so few, reading the weights takes longer, and F(2,3) reads 16 where F(4,3) reads 36.
    pub winograd2_tiles: usize,
    /// Bytes of a Winograd chunk, both buffers together: a fraction of the last-level cache.
    pub chunk_bytes: u64,
    /// Min tiles of a chunk; fewer do not fill the device.
    pub chunk_tiles: usize,
    /// Workgroups of a reduction that fill the device.
    pub reduction_workgroups: usize,
    /// Rows of 16 invocations of a workgroup that sums over a map: 1 or 16.
    pub map_rows: u32,
    /// Rows and columns of outputs per invocation of `tap_sum`; outputs share loads. The second pair is for factors of
    /// 8 and more.
    pub tap_sum: [[usize; 2]; 2],
    /// Multiply-accumulates per submission: a fraction of a second on a slow device of the class.
    pub submission_macs: u64,
    /// Whether storing `f16` is faster, because bandwidth is scarce.
    pub gains_from_f16: bool,
    /// What a workgroup computes in passes over whole maps.
    pub area: Area,
    /// Costs that decide rewrites of resized inputs.
    pub resize: ResizeCosts,
}

/// Costs of the ways to convolve a resized map, per vec4 (four channels) of an output pixel, all in the same unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizeCosts {
    /// Mixing four channels into four: 16 multiply-adds.
    pub mix: f64,
    /// Upsampling an input in a separate pass.
    pub upsample: f64,
    /// Winograd's input transform.
    pub transform: f64,
    /// The same, upsampling by 2 on the fly.
    pub upsampling_transform: f64,
    /// Winograd's output transform.
    pub inverse_transform: f64,
    /// Writing the low-resolution map of one tap, per pixel of that map.
    pub map: f64,
    /// Sampling the map of one tap.
    pub tap: f64,
    /// Summing the samples.
    pub sum: f64,
}

impl ResizeCosts {
    /// In vec4 loads, measured on a software rasteriser; a store costs half a load.
    const CPU: Self = Self {
        mix: 0.27,
        upsample: 4.5,
        transform: 3.4,
        upsampling_transform: 2.4,
        inverse_transform: 0.0,
        map: 0.5,
        tap: 0.7,
        sum: 1.5,
    };

    /// In vec4s moved to or from memory; estimated. At half of their peak, GPUs do 80 to 150 multiply-adds in the time
    /// they move 16 bytes. A vec4 in the last-level cache, such as in a chunk of Winograd's buffers, costs a third of
    /// one in memory; a sample from the first-level cache costs a tenth at most. So `upsample` writes a vec4 and reads
    /// it again; `transform` and its inverse each write and read 36 for 16 pixels in the cache; `map` is written once
    /// and read once.
    const GPU: Self = Self {
        mix: 0.12,
        upsample: 2.1,
        transform: 1.5,
        upsampling_transform: 1.75,
        inverse_transform: 1.5,
        map: 2.0,
        tap: 0.1,
        sum: 0.0,
    };
}

/// The preset of a class.
pub const fn preset(class: AdapterClass) -> Preset {
    let base = Preset {
        operands: OperandPath::Workgroup,
        narrow: OperandPath::Workgroup,
        invocations: 2048,
        winograd: 64,
        winograd_training: None,
        // 32 multiply-accumulates per 4 bytes of weights: CPUs do 5 to 10 in the time they read a byte, GPUs about 20.
        // On a software rasteriser U-Net 64 takes 389 MiB in place of 513, and 2 % more time.
        winograd2_weight_bytes: 64 << 20,
        winograd2_tiles: 32,
        chunk_bytes: 16 << 20,
        chunk_tiles: 1024,
        reduction_workgroups: 1024,
        map_rows: 16,
        // Half the loads, neighbouring lanes on neighbouring columns, few registers.
        tap_sum: [[4, 1]; 2],
        submission_macs: 100_000_000_000,
        gains_from_f16: true,
        area: Area { height: 4, columns: 16, rows: 4 },
        resize: ResizeCosts::GPU,
    };
    match class {
        // GEMM against Winograd at 128 x 128: 6.6 and 6.8 ms for 32 -> 64 channels, 5.7 and 6.5 ms for 64 -> 32. But
        // `nuclei`, which has both layers, is no slower with Winograd and has one kernel less to compile. Chunks are
        // fastest at 256 tiles of 64 channels each way.
        AdapterClass::Cpu => Preset {
            invocations: 1,
            winograd: 20,
            // A step of 16 -> 16 channels at 256 x 256 takes 33 ms with Winograd and 42 as a GEMM; with 16 lanes 14.6 and 11.
            winograd_training: Some(7),
            chunk_bytes: 5 << 20,
            chunk_tiles: 256,
            reduction_workgroups: 32,
            // A workgroup runs on one core, and each barrier costs a switch for every 8 or 16 invocations.
            map_rows: 1,
            // Loads dominate. At factor 2, one output takes 36, or about 7 in a group of 4 x 4; larger groups were no
            // faster.
            tap_sum: [[4, 4], [8, 4]],
            submission_macs: 2_000_000_000,
            // The CPU converts every value.
            gains_from_f16: false,
            // Every workgroup and subgroup costs a start; neighbours in a row are neighbours in memory.
            area: Area { height: 1, columns: 1024, rows: 16 },
            resize: ResizeCosts::CPU,
            ..base
        },
        // Some 500 to 4000 lanes; 16 MiB of cache on the discrete ones.
        AdapterClass::Intel => Preset { invocations: 4096, winograd: 48, submission_macs: 20_000_000_000, ..base },
        // Up to 6144 lanes with dual issue; 32 to 96 MiB of last-level cache.
        // Weights at uniform addresses become scalar loads, so tiles of few rows need no staging.
        AdapterClass::Amd => {
            Preset { narrow: OperandPath::Uniform, invocations: 8192, winograd: 40, chunk_bytes: 32 << 20, ..base }
        }
        // Up to 16384 lanes; 32 to 72 MiB of last-level cache since Ada, 6 MiB before.
        AdapterClass::Nvidia => Preset { invocations: 16_384, winograd: 40, chunk_bytes: 32 << 20, ..base },
        // 1024 to 5120 lanes; a system-level cache of 8 MiB or more.
        AdapterClass::Apple => Preset { invocations: 2048, winograd: 40, ..base },
        // Mobile chips. Adreno stages well. Mali's workgroup memory is plain memory, so `Uniform` may suit it, but
        // nothing identifies it here.
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
