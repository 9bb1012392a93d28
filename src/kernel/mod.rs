//! Compute kernels as plain data: which shader, which constants, which bindings, how many workgroups. No GPU handle here.

mod compose;
mod family;
mod function;
mod generate;
mod params;
mod policy;
mod sources;
mod stored;
mod table;
mod target;
mod textures;
mod tuning;
mod validate;

pub use compose::{F16, HIDE_TRIP_COUNTS, compose};
pub use family::ConvFamily;
pub use function::{Function, Onnx, Term};
pub(crate) use params::shader_struct;
pub use params::{KernelParams, Member, ParamType, Params, ShaderType, Size, View};
pub use policy::{BroadcastCosts, DriverPolicy};
pub use sources::{all_shaders, source};
pub use stored::name;
pub use table::{OperandPath, Preset, ResizeCosts, preset};
pub use target::{Caps, KernelOverrides, PlanOptions, Target};
pub use textures::{TEXTURES, may_be_texture, texture_size};
pub use tuning::{ConvClass, Tuning};
pub use validate::{BindingKind, Reflected, parse};

use crate::tensor::Precision;
use std::fmt;

/// The constant of kernels that add to what their output holds.
const ACCUMULATE: &str = "ACCUMULATE";

/// A shader with its constants: what a compiled pipeline is looked up by. Sizes of images never enter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct KernelKey {
    /// Name of the file in a folder of `shaders/`, without `.wgsl`.
    pub shader: &'static str,
    /// Constants, in order: `const NAME: u32 = VALUE;` in front of the source, and what `#ifdef` tests.
    pub consts: Vec<(&'static str, u32)>,
}

impl KernelKey {
    /// The shader without constants.
    pub const fn new(shader: &'static str) -> Self {
        Self { shader, consts: Vec::new() }
    }

    /// The same with one constant more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: u32) -> Self {
        self.consts.push((name, value));
        self
    }

    /// The value of a constant.
    pub fn value(&self, name: &str) -> Option<u32> {
        self.consts.iter().find(|c| c.0 == name).map(|c| c.1)
    }

    /// The same for tensors and weights stored in `precision`; `bindings` is the number of the kernel's own, the parameters
    /// aside.
    #[must_use]
    pub fn stored(self, precision: Precision, bindings: usize) -> Self {
        match precision {
            Precision::F32 => self,
            Precision::F16 => self.with(F16, bindings as u32 + 1),
        }
    }

    /// The same, adding to what the output holds if `on`.
    #[must_use]
    pub fn accumulating(self, on: bool) -> Self {
        self.flag(ACCUMULATE, on)
    }

    /// Whether it adds to what its output holds.
    pub fn accumulates(&self) -> bool {
        self.value(ACCUMULATE).is_some()
    }

    /// Whether it is a transform of Winograd's, whose points amplify rounding.
    pub fn is_winograd(&self) -> bool {
        self.shader.starts_with("winograd")
    }

    /// The same with a constant of value 1 if `on`, else without it (for `#ifdef`).
    #[must_use]
    pub fn flag(self, name: &'static str, on: bool) -> Self {
        if on { self.with(name, 1) } else { self }
    }
}

impl fmt::Display for KernelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shader)?;
        for (i, (name, value)) in self.consts.iter().enumerate() {
            write!(f, "{}{}={value}", if i == 0 { "[" } else { " " }, name.to_lowercase())?;
        }
        if !self.consts.is_empty() {
            f.write_str("]")?;
        }
        Ok(())
    }
}

/// What a kernel binds, seen from the op that lowers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Input `i` of the node, read.
    Input(usize),
    /// Output `i` of the node, written.
    Output(usize),
    /// Output `i` of the node, read by a later dispatch of it.
    OutputRead(usize),
    /// Packed weights `i` of this lowering, read.
    Weights(usize),
    /// Scratch `i` of this lowering, read.
    ScratchRead(usize),
    /// Scratch `i` of this lowering, written.
    ScratchWrite(usize),
    /// The word that tells of numbers which `f16` cannot hold; the last binding of every kernel of an `f16` plan.
    Overflow,
}

impl Operand {
    /// Whether the kernel may write it.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Output(_) | Self::ScratchWrite(_) | Self::Overflow)
    }
}

/// One dispatch of a kernel. Binding 0 is the parameter uniform, `bindings[i]` is binding `i + 1`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Dispatch<B = Operand> {
    /// Which kernel.
    pub kernel: KernelKey,
    /// The shader's `Params`.
    pub params: Params,
    /// Bindings after the parameters: inputs, then weights, then outputs.
    pub bindings: Vec<B>,
    /// Workgroups in x, y, z.
    pub workgroups: [u32; 3],
}

/// The kind of machine behind an adapter: what kernel choice depends on besides features and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum AdapterClass {
    /// A software rasteriser.
    Cpu,
    /// Intel.
    Intel,
    /// AMD.
    Amd,
    /// NVIDIA.
    Nvidia,
    /// Apple.
    Apple,
    /// Anything else.
    #[default]
    Other,
}

/// What kernels read weights and activations from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TensorStorage {
    /// Storage buffers.
    #[default]
    Buffers,
    /// Storage textures where that is faster; kernels write them as textures too.
    Textures,
    /// The same, where kernels write them as buffers in the same memory.
    Aliased,
    /// Storage textures wherever possible. For tests.
    AlwaysTextures,
}
