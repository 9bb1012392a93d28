//! The plan: a graph turned into a list of dispatches over a few buffers. Immutable plain data, made without a GPU.

mod lower;
mod memory;
mod resident;

use crate::graph::{Graph, ValueId};
use crate::kernel::Dispatch;
use crate::ops::PackFn;
use crate::tensor::{Precision, TensorDesc};
use std::fmt;

/// What a dispatch binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A byte range of a slot; all of it if the slot is a texture.
    Slot {
        /// Which slot.
        slot: usize,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        bytes: u64,
        /// Whether the kernel may write it.
        writes: bool,
    },
    /// Packed weights, read.
    Weights(usize),
    /// A port: a buffer that the caller fills or reads.
    IoBinding {
        /// Which port.
        io_binding: usize,
        /// Whether the kernel may write it.
        writes: bool,
    },
    /// A state.
    Variable {
        /// Which state.
        variable: usize,
        /// Whether the kernel may write it.
        writes: bool,
    },
    /// The word of a node in which its kernels tell of numbers that `f16` cannot hold.
    Overflow(usize),
}

/// A buffer or texture that tensors lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Size.
    pub bytes: u64,
    /// What it is to kernels.
    pub kind: SlotKind,
}

/// What a slot is to kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A buffer.
    Buffer,
    /// A storage texture.
    Texture,
    /// A buffer to those that write it, and each range that one reads a storage texture in the same memory.
    Aliased,
}

/// A dispatch with its place in the network.
#[derive(Clone, Debug)]
pub struct Step {
    /// Label of the node it belongs to.
    pub label: String,
    /// What runs.
    pub dispatch: Dispatch<Resource>,
    /// Multiply-accumulates, of the node's first dispatch; the others have 0.
    pub macs: u64,
    /// Bytes that it must read and write at least: its share of the node's inputs and outputs, and the whole of its
    /// weights and scratch.
    pub bytes: u64,
    /// The family of kernels that the node's op chose, and why; where there is a choice.
    pub choice: Option<(&'static str, &'static str)>,
    /// Index of the node in the graph.
    pub node: usize,
}

/// Weights in a kernel's own order.
#[derive(Clone)]
pub struct PlannedWeights {
    /// The parameters they are packed from.
    pub from: Vec<ValueId>,
    /// Number of elements.
    pub len: usize,
    /// How they are stored.
    pub precision: Precision,
    /// The packing.
    pub pack: PackFn,
    /// Whether they are a storage texture in place of a buffer.
    pub texture: bool,
}

impl PlannedWeights {
    /// Bytes on the device: whole words of 32 bits.
    pub fn bytes(&self) -> u64 {
        (self.len as u64 * self.precision.bytes()).next_multiple_of(4)
    }
}

impl fmt::Debug for PlannedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlannedWeights {{ from: {:?}, len: {} }}", self.from, self.len)
    }
}

/// A named buffer at the border of the plan, plain NCHW `f32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoBinding {
    /// Names: one for an input; an output may have several.
    pub names: Vec<String>,
    /// Shape; the layout is linear.
    pub desc: TensorDesc,
    /// Whether the caller fills it.
    pub is_input: bool,
}

impl IoBinding {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.desc.bytes(Precision::F32)
    }
}

/// A tensor that stays on the device from run to run, plain NCHW `f32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedVariable {
    /// Name.
    pub name: String,
    /// Dimensions.
    pub dims: Vec<usize>,
    /// The value of the graph.
    pub value: ValueId,
    /// Bytes on the device.
    pub bytes: u64,
}

/// Sizes of a plan, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanMemory {
    /// All slots: activations and scratch.
    pub slots: u64,
    /// Largest set of tensors alive at once: the least any plan could do with.
    pub live: u64,
    /// Packed weights.
    pub weights: u64,
    /// Input and output buffers.
    pub io: u64,
    /// States.
    pub variables: u64,
    /// Largest range one kernel binds.
    pub largest_binding: u64,
}

impl PlanMemory {
    /// Everything on the device, except the copies that uploads and downloads need.
    pub fn total(&self) -> u64 {
        self.slots + self.weights + self.io + self.variables
    }
}

/// An immutable program.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The graph it was made from.
    pub graph: Graph,
    /// The buffers and textures that tensors lie in.
    pub slots: Vec<Slot>,
    /// Packed weights.
    pub weights: Vec<PlannedWeights>,
    /// Input and output buffers.
    pub io: Vec<IoBinding>,
    /// Tensors that stay from run to run.
    pub variables: Vec<PlannedVariable>,
    /// Dispatches, in order.
    pub steps: Vec<Step>,
    /// How activations and most packed weights are stored.
    pub precision: Precision,
    /// Bytes of activations and scratch that exist while each node of the graph runs.
    pub live: Vec<u64>,
    /// Sizes.
    pub memory: PlanMemory,
}

impl Plan {
    /// The port of that name.
    pub fn io_binding(&self, name: &str) -> Option<usize> {
        self.io.iter().position(|p| p.names.iter().any(|n| n == name))
    }
}
