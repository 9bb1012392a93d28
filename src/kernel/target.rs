//! What a graph is planned for: a device's facts and its driver's policy, the options of the plan, choices measured on the
//! device, and what tests and measurements force. Plain data, a type each; lowering reads them through [`Target`].

use super::{AdapterClass, ConvFamily, DriverPolicy, OperandPath, Preset, TensorStorage, Tuning, preset};
use crate::tensor::Precision;
use std::sync::Arc;

/// Facts about a device: its class, limits and features. Nothing here is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Kind of machine.
    pub class: AdapterClass,
    /// Subgroup size, when subgroup operations exist and the size is fixed.
    pub subgroup: Option<u32>,
    /// Storage buffers one kernel may bind.
    pub max_storage_buffers: u32,
    /// Bytes one binding may cover.
    pub max_binding_bytes: u64,
    /// Bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Workgroups per dimension.
    pub max_workgroups: u32,
    /// Alignment of a storage binding's offset, bytes.
    pub storage_alignment: u64,
    /// Alignment of a uniform binding's offset, bytes.
    pub uniform_alignment: u64,
    /// Whether shaders may use `f16`.
    pub f16: bool,
    /// The side of the cooperative matrices that the device multiplies in `f16`: 8 or 16.
    pub matrix: Option<u32>,
    /// Whether kernels can read and write large tensors in storage textures.
    pub storage_textures: bool,
    /// Whether memory can be a storage buffer and storage textures at once ([`crate::gpu::Alias`]).
    pub aliased_memory: bool,
}

impl Default for Caps {
    /// WebGPU's default limits and no optional feature: what every device has.
    fn default() -> Self {
        Self {
            class: AdapterClass::Other,
            subgroup: None,
            max_storage_buffers: 8,
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            max_workgroups: 65_535,
            storage_alignment: 256,
            uniform_alignment: 256,
            f16: false,
            matrix: None,
            storage_textures: false,
            aliased_memory: false,
        }
    }
}

impl Caps {
    /// A device of a class, for looking at kernels without one: WebGPU's default limits, and subgroups where their size
    /// is fixed.
    pub fn typical(class: AdapterClass) -> Self {
        Self { class, subgroup: (class == AdapterClass::Cpu).then_some(8), ..Self::default() }
    }

    /// The same without limits on sizes: for memory estimates of what no device has to hold.
    pub fn unlimited() -> Self {
        Self { max_binding_bytes: u64::MAX, max_buffer_bytes: u64::MAX, max_workgroups: u32::MAX, ..Self::default() }
    }
}

/// What a caller decides about a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PlanOptions {
    /// How activations and packed weights are stored.
    pub precision: Precision,
    /// Whether every pixel must come out the same, to the last bit, wherever it lies in a tile. Kernels that compute blocks
    /// of pixels together, as Winograd's do, are then left out.
    pub deterministic_tiling: bool,
    /// What kernels read weights and activations from.
    pub storage: TensorStorage,
    /// Whether products of `f16` plans use cooperative matrices ([`Caps::matrix`]), an experimental feature of wgpu.
    pub matrices: bool,
}

/// Choices forced on convolutions wherever they apply. For tests and measurements only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KernelOverrides {
    /// The family of convolution kernels.
    pub conv: Option<ConvFamily>,
    /// How matrix products fetch their operands.
    pub operands: Option<OperandPath>,
    /// Rows, and columns in eights, of the tile of matrix products.
    pub tile: Option<[usize; 2]>,
}

/// What a graph is rewritten, lowered and planned for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The device.
    pub caps: Caps,
    /// What its driver wants; follows from the facts.
    pub policy: DriverPolicy,
    /// The caller's options.
    pub options: PlanOptions,
    /// Choices measured on the device, which go before the usual ones.
    pub tuning: Option<Arc<Tuning>>,
    /// Forced choices.
    pub overrides: KernelOverrides,
}

impl From<Caps> for Target {
    /// With the usual options.
    fn from(caps: Caps) -> Self {
        let target = Self::default().with_caps(caps);
        let storage = target.policy.storage[0];
        target.with_storage(storage)
    }
}

impl Target {
    /// [`Caps::typical`] with the usual options.
    pub fn typical(class: AdapterClass) -> Self {
        Caps::typical(class).into()
    }

    /// The same on another device.
    #[must_use]
    pub fn with_caps(self, caps: Caps) -> Self {
        Self { policy: DriverPolicy::of(&caps), caps, ..self }
    }

    /// The same with other options.
    #[must_use]
    pub fn with_options(self, options: PlanOptions) -> Self {
        Self { options, ..self }
    }

    /// The same, storing activations and weights in a precision.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.options.precision = precision;
        self
    }

    /// The same with kernels that read tensors from other memory.
    #[must_use]
    pub fn with_storage(mut self, storage: TensorStorage) -> Self {
        self.options.storage = storage;
        self
    }

    /// The same with [`PlanOptions::deterministic_tiling`].
    #[must_use]
    pub fn with_deterministic_tiling(mut self) -> Self {
        self.options.deterministic_tiling = true;
        self
    }

    /// The same with measured choices, or with none.
    #[must_use]
    pub fn with_tuning(self, tuning: Option<Arc<Tuning>>) -> Self {
        Self { tuning, ..self }
    }

    /// The same with forced choices.
    #[must_use]
    pub fn with_overrides(self, overrides: KernelOverrides) -> Self {
        Self { overrides, ..self }
    }

    /// The same with convolutions forced on a family.
    #[must_use]
    pub fn with_conv(mut self, family: ConvFamily) -> Self {
        self.overrides.conv = Some(family);
        self
    }

    /// The same with matrix products forced to fetch operands in one way.
    #[must_use]
    pub fn with_operands(mut self, path: OperandPath) -> Self {
        self.overrides.operands = Some(path);
        self
    }

    /// The same with matrix products forced on one tile: rows, and columns in eights.
    #[must_use]
    pub fn with_tile(mut self, tile: [usize; 2]) -> Self {
        self.overrides.tile = Some(tile);
        self
    }

    /// What suits the device's class.
    pub const fn preset(&self) -> Preset {
        preset(self.caps.class)
    }

    /// The side of the cooperative matrices that products use, if they do.
    pub fn matrix(&self) -> Option<u32> {
        self.caps.matrix.filter(|_| self.options.matrices)
    }

    /// How matrix products fetch their operands.
    pub fn operand_path(&self) -> OperandPath {
        let broadcasts = self.policy.broadcast_lanes.is_some();
        let matrices = self.matrix().is_some() && self.options.precision == Precision::F16;
        let possible = |o: &OperandPath| match o {
            OperandPath::Subgroup => broadcasts,
            OperandPath::Matrix => matrices,
            OperandPath::Workgroup | OperandPath::Uniform => true,
        };
        match self.overrides.operands.filter(possible) {
            Some(forced) => forced,
            None if matrices => OperandPath::Matrix,
            None if broadcasts => OperandPath::Subgroup,
            None => self.preset().operands,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_is_never_forced_where_subgroups_differ() {
        let forced = |subgroup, operands| {
            Target::from(Caps { subgroup, ..Caps::default() }).with_operands(operands).operand_path()
        };
        assert_eq!(forced(None, OperandPath::Subgroup), OperandPath::Workgroup);
        assert_eq!(forced(Some(32), OperandPath::Subgroup), OperandPath::Workgroup);
        assert_eq!(forced(Some(8), OperandPath::Subgroup), OperandPath::Subgroup);
        assert_eq!(forced(Some(8), OperandPath::Uniform), OperandPath::Uniform);
        assert_eq!(Target::typical(AdapterClass::Cpu).operand_path(), OperandPath::Subgroup);
    }

    #[test]
    fn matrices_are_used_only_where_they_are_asked_for() {
        let mut target = Target::from(Caps { matrix: Some(16), ..Caps::default() }).with_precision(Precision::F16);
        assert_eq!((target.matrix(), target.operand_path()), (None, OperandPath::Workgroup));
        target.options.matrices = true;
        assert_eq!((target.matrix(), target.operand_path()), (Some(16), OperandPath::Matrix));
        assert_eq!(target.with_precision(Precision::F32).operand_path(), OperandPath::Workgroup);
    }
}
