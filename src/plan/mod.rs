//! The plan: a graph lowered to a list of dispatches over a few buffers. Immutable plain data, created without a GPU.

mod divide;
mod lower;
mod memory;
mod references;
mod resident;
mod text;

use crate::error::Result;
use crate::graph::{Parameter, ValueId};
use crate::kernel::{ConvChoice, KernelKey, Params};
use crate::ops::Packing;
use crate::tensor::{HostTensor, Precision, TensorDesc};
use serde::{Deserialize, Serialize};

/// A resource that a dispatch binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// A byte range of a slot; the whole slot if it is a texture.
    Slot {
        /// Index of the slot.
        slot: usize,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        bytes: u64,
        /// Whether the kernel may write it.
        writes: bool,
    },
    /// Packed weights, read-only.
    Weights(usize),
    /// An I/O binding: a buffer that the caller fills or reads.
    IoBinding {
        /// Index of the I/O binding.
        io_binding: usize,
        /// Whether the kernel may write it.
        writes: bool,
    },
    /// A persistent variable.
    Variable {
        /// Index of the variable.
        variable: usize,
        /// Whether the kernel may write it.
        writes: bool,
    },
    /// The flag that a node's kernels set when a stored value exceeds `f16`.
    Overflow(usize),
}

/// A buffer or texture that holds tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Size.
    pub bytes: u64,
    /// How kernels see it.
    pub kind: SlotKind,
}

/// How kernels see a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotKind {
    /// A buffer.
    Buffer,
    /// A storage texture.
    Texture,
    /// A buffer for kernels that write it. For kernels that read it, each range is a storage texture over the same
    /// memory.
    Aliased,
}

/// A [`Dispatch`](crate::kernel::Dispatch) of a node, with the memory that it binds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedDispatch {
    /// Label of the node it belongs to.
    pub label: String,
    /// The kernel.
    pub kernel: KernelKey,
    /// Its parameters.
    pub params: Params,
    /// Binding `i + 1` of the kernel; binding 0 is the uniform of `params`.
    pub bindings: Vec<Resource>,
    /// Workgroups in each dimension.
    pub workgroups: [u32; 3],
    /// Multiply-accumulates of the node, all counted for its first dispatch, whose parts share them; the others have 0.
    pub macs: u64,
    /// Min bytes that it reads and writes: its share of the node's inputs and outputs, and all of its weights and
    /// scratch.
    pub bytes: u64,
    /// The kernel family that the node's op chose, if it had a choice.
    pub choice: Option<ConvChoice>,
    /// Index of the node in [`Plan::nodes`].
    pub node: usize,
}

/// Weights packed in a kernel's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedWeights {
    /// The parameters they are packed from.
    pub from: Vec<ValueId>,
    /// Number of elements.
    pub len: usize,
    /// How they are stored.
    pub precision: Precision,
    /// Their order.
    pub packing: Packing,
    /// Whether they are a storage texture instead of a buffer.
    pub texture: bool,
}

impl PlannedWeights {
    /// Bytes on the device, rounded up to 32-bit words.
    pub fn bytes(&self) -> u64 {
        (self.len as u64 * self.precision.bytes()).next_multiple_of(4)
    }
}

/// A parameter that weights are packed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedParameter {
    /// Its value in the graph.
    pub value: ValueId,
    /// Name.
    pub name: String,
    /// Where its elements come from.
    pub parameter: Parameter,
}

/// A node of the planned graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Its place in the network.
    pub label: String,
    /// Name of its op.
    pub op: String,
}

/// A named input or output buffer, plain NCHW `f32`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A persistent variable: a tensor that stays on the device between runs, plain NCHW `f32`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedVariable {
    /// Name.
    pub name: String,
    /// Dimensions.
    pub dims: Vec<usize>,
    /// Its value in the graph.
    pub value: ValueId,
    /// Bytes on the device.
    pub bytes: u64,
}

/// Memory of a plan, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMemory {
    /// All slots: activations and scratch.
    pub slots: u64,
    /// Largest set of tensors alive at once: a lower bound on the slots of any plan.
    pub live: u64,
    /// Packed weights.
    pub weights: u64,
    /// Input and output buffers.
    pub io: u64,
    /// Persistent variables.
    pub variables: u64,
    /// Largest range that a kernel binds.
    pub largest_binding: u64,
}

impl PlanMemory {
    /// Everything on the device, except staging copies for uploads and downloads.
    pub fn total(&self) -> u64 {
        self.slots + self.weights + self.io + self.variables
    }
}

/// An immutable program: plain data that can be compared, printed, stored and read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The nodes it was made from.
    pub nodes: Vec<PlannedNode>,
    /// The parameters of the graph, each after those it is computed from.
    pub parameters: Vec<PlannedParameter>,
    /// Names of the outputs in the graph's order.
    pub outputs: Vec<String>,
    /// Multiply-accumulates per run.
    pub macs: u64,
    /// The buffers and textures that hold tensors.
    pub slots: Vec<Slot>,
    /// Packed weights.
    pub weights: Vec<PlannedWeights>,
    /// Input and output buffers.
    pub io: Vec<IoBinding>,
    /// Persistent variables.
    pub variables: Vec<PlannedVariable>,
    /// Dispatches, in order.
    pub dispatches: Vec<PlannedDispatch>,
    /// How activations and most packed weights are stored.
    pub precision: Precision,
    /// Whether other plans may write the slots between runs: halos are cleared in every run.
    #[serde(default)]
    pub reused_memory: bool,
    /// Bytes of activations and scratch alive while each node runs.
    pub live: Vec<u64>,
    /// Memory totals.
    pub memory: PlanMemory,
}

impl Plan {
    /// Index of the I/O binding with that name.
    pub fn io_binding(&self, name: &str) -> Option<usize> {
        self.io.iter().position(|p| p.names.iter().any(|n| n == name))
    }

    /// The elements of every parameter and the initial ones of every persistent variable, by value. Stored ones come
    /// from `stored` (name, dimensions); derived ones are computed.
    pub fn evaluate_parameters(
        &self,
        stored: &mut impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<Vec<Option<HostTensor>>> {
        self.check_references()?;
        let variables = self.variables.iter().map(|s| s.value);
        let last = self.parameters.iter().map(|p| p.value).chain(variables).max();
        let mut values = vec![None; last.map_or(0, |v| v.index() + 1)];
        for PlannedParameter { value, name, parameter } in &self.parameters {
            values[value.index()] = Some(parameter.evaluate(name, &values, stored)?);
        }
        for variable in &self.variables {
            values[variable.value.index()] = Some(stored(&variable.name, &variable.dims)?);
        }
        Ok(values)
    }

    /// The name of a parameter.
    pub fn parameter_name(&self, value: ValueId) -> Option<&str> {
        self.parameters.iter().find(|p| p.value == value).map(|p| p.name.as_str())
    }
}
