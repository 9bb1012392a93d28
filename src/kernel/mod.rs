//! Compute kernels as plain data: which shader, which constants, which bindings, how many workgroups. No GPU handle
//! here.

mod caps;
mod compose;
mod conditions;
mod family;
mod function;
mod generate;
mod params;
mod part;
mod policy;
mod sources;
mod stored;
mod table;
mod target;
mod textures;
mod tuning;
mod validate;

pub use caps::Caps;
pub use compose::{HIDE_TRIP_COUNTS, compose};
pub use conditions::F16;
pub use family::{ConvChoice, ConvFamily};
pub use function::{Function, Onnx, Term};
pub(crate) use generate::WEIGHT_GRAD_STEPS;
pub(crate) use params::shader_struct;
pub use params::{KernelParams, Member, ParamType, Params, ShaderType, Size, View};
pub use part::PART;
pub use policy::{BroadcastCosts, DriverPolicy};
pub use sources::{all_shaders, source};
pub use stored::name;
pub use table::{Area, OperandPath, Preset, ResizeCosts, preset};
pub use target::{KernelOverrides, PlanOptions, Target};
pub use textures::{TEXTURES, may_be_texture, texture_size};
pub use tuning::{ConvClass, Tuning};
pub use validate::{BindingKind, Reflected, parse};

use crate::tensor::Precision;
use std::fmt;

/// Constant of kernels that add to the contents of their output.
const ACCUMULATE: &str = "ACCUMULATE";

/// A shader and its constants: the key of a compiled pipeline. Image sizes are not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct KernelKey {
    /// Name of the file in a folder of `shaders/`, without `.wgsl`.
    pub shader: &'static str,
    /// Constants in order. Each becomes `const NAME: u32 = VALUE;` in front of the source and a name for `#ifdef`.
    pub consts: Vec<(&'static str, u32)>,
}

impl KernelKey {
    /// The shader without constants.
    pub const fn new(shader: &'static str) -> Self {
        Self { shader, consts: Vec::new() }
    }

    /// Appends a constant.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: u32) -> Self {
        self.consts.push((name, value));
        self
    }

    /// The value of a constant, if the key has it.
    pub fn value(&self, name: &str) -> Option<u32> {
        self.consts.iter().find(|c| c.0 == name).map(|c| c.1)
    }

    /// Sets the storage precision of tensors and weights. `bindings` counts the kernel's own bindings, without the
    /// parameters.
    #[must_use]
    pub fn stored(self, precision: Precision, bindings: usize) -> Self {
        match precision {
            Precision::F32 => self,
            Precision::F16 => self.with(F16, bindings as u32 + 1),
        }
    }

    /// Makes the kernel add to the contents of its output if `on`.
    #[must_use]
    pub fn accumulating(self, on: bool) -> Self {
        self.flag(ACCUMULATE, on)
    }

    /// Whether the kernel adds to the contents of its output.
    pub fn accumulates(&self) -> bool {
        self.value(ACCUMULATE).is_some()
    }

    /// Whether the kernel is part of a Winograd convolution, which amplifies rounding errors.
    pub fn is_winograd(&self) -> bool {
        self.shader.starts_with("winograd")
    }

    /// Appends a constant of value 1 if `on`, for `#ifdef`.
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

/// A binding of a kernel, as the op that lowers to it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Input `i` of the node, read.
    Input(usize),
    /// Output `i` of the node, written.
    Output(usize),
    /// Output `i` of the node, read by a later dispatch of the same node.
    OutputRead(usize),
    /// Packed weights `i` of this lowering, read.
    Weights(usize),
    /// Scratch `i` of this lowering, read.
    ScratchRead(usize),
    /// Scratch `i` of this lowering, written.
    ScratchWrite(usize),
    /// The flag that is set when a stored value exceeds `f16`; the last binding of every kernel of an `f16` plan.
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

/// Class of an adapter, a vendor's or software: what kernel selection depends on besides features and limits.
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

/// Where kernels read weights and activations from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TensorStorage {
    /// Storage buffers.
    #[default]
    Buffers,
    /// Storage textures where that is faster; kernels write them as textures too.
    Textures,
    /// Storage textures for reads; kernels write them as buffers over the same memory.
    Aliased,
    /// Storage textures wherever possible. For tests.
    AlwaysTextures,
}
