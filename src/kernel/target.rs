//! What a graph is planned for: device facts and driver policy, plan options, choices measured on the device, and
//! overrides for tests and measurements. Plain data, one type each; lowering reads them through [`Target`].

use super::{AdapterClass, ConvFamily, DriverPolicy, OperandPath, Preset, TensorStorage, Tuning, preset};
use crate::tensor::Precision;
use std::sync::Arc;

/// Facts about a device: class, limits and features. Nothing here is a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Class of the adapter.
    pub class: AdapterClass,
    /// Subgroup size, if subgroup operations are supported and the size is fixed.
    pub subgroup: Option<u32>,
    /// Storage buffers one kernel may bind.
    pub max_storage_buffers: u32,
    /// Largest binding, in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Largest number of workgroups per dimension.
    pub max_workgroups: u32,
    /// Alignment of a storage binding's offset, in bytes.
    pub storage_alignment: u64,
    /// Alignment of a uniform binding's offset, in bytes.
    pub uniform_alignment: u64,
    /// Whether shaders may use `f16`.
    pub f16: bool,
    /// Side of the device's `f16` cooperative matrices: 8 or 16.
    pub matrix: Option<u32>,
    /// Whether kernels can read and write large tensors in storage textures.
    pub storage_textures: bool,
    /// Whether memory can be a storage buffer and storage textures at once ([`crate::gpu::Alias`]).
    pub aliased_memory: bool,
}

impl Default for Caps {
    /// WebGPU's default limits and no optional feature: what every device supports.
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
    /// A device of a class, for inspecting kernels without one: WebGPU's default limits, and subgroups where their size
    /// is fixed.
    pub fn typical(class: AdapterClass) -> Self {
        Self { class, subgroup: (class == AdapterClass::Cpu).then_some(8), ..Self::default() }
    }

    /// WebGPU's defaults without size limits: for memory estimates of graphs that no device has to hold.
    pub fn unlimited() -> Self {
        Self { max_binding_bytes: u64::MAX, max_buffer_bytes: u64::MAX, max_workgroups: u32::MAX, ..Self::default() }
    }
}

/// The caller's options for a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PlanOptions {
    /// How activations and packed weights are stored.
    pub precision: Precision,
    /// Whether every pixel must be bit-identical wherever it lies in a tile. Excludes kernels that compute blocks of
    /// pixels together, such as Winograd's.
    pub deterministic_tiling: bool,
    /// Where kernels read weights and activations from.
    pub storage: TensorStorage,
    /// Whether matrix products of `f16` plans use cooperative matrices ([`Caps::matrix`]), an experimental feature of
    /// wgpu.
    pub matrices: bool,
}

/// Kernel choices forced wherever they apply. For tests and measurements only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KernelOverrides {
    /// The family of convolution kernels.
    pub conv: Option<ConvFamily>,
    /// How matrix products fetch their operands.
    pub operands: Option<OperandPath>,
    /// Tile of matrix products: rows, and columns / 8.
    pub tile: Option<[usize; 2]>,
}

/// What a graph is rewritten, lowered and planned for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The device.
    pub caps: Caps,
    /// What its driver needs; derived from `caps`.
    pub policy: DriverPolicy,
    /// The caller's options.
    pub options: PlanOptions,
    /// Choices measured on the device; they take precedence over the defaults.
    pub tuning: Option<Arc<Tuning>>,
    /// Forced choices.
    pub overrides: KernelOverrides,
}

impl From<Caps> for Target {
    /// With the default options.
    fn from(caps: Caps) -> Self {
        let target = Self::default().with_caps(caps);
        let storage = target.policy.storage[0];
        target.with_storage(storage)
    }
}

impl Target {
    /// [`Caps::typical`] with the default options.
    pub fn typical(class: AdapterClass) -> Self {
        Caps::typical(class).into()
    }

    /// Replaces the device, and with it the policy.
    #[must_use]
    pub fn with_caps(self, caps: Caps) -> Self {
        Self { policy: DriverPolicy::of(&caps), caps, ..self }
    }

    /// Replaces the options.
    #[must_use]
    pub fn with_options(self, options: PlanOptions) -> Self {
        Self { options, ..self }
    }

    /// Sets the precision in which activations and weights are stored.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.options.precision = precision;
        self
    }

    /// Sets where kernels read weights and activations from.
    #[must_use]
    pub fn with_storage(mut self, storage: TensorStorage) -> Self {
        self.options.storage = storage;
        self
    }

    /// Sets [`PlanOptions::deterministic_tiling`].
    #[must_use]
    pub fn with_deterministic_tiling(mut self) -> Self {
        self.options.deterministic_tiling = true;
        self
    }

    /// Sets or removes the measured choices.
    #[must_use]
    pub fn with_tuning(self, tuning: Option<Arc<Tuning>>) -> Self {
        Self { tuning, ..self }
    }

    /// Replaces the forced choices.
    #[must_use]
    pub fn with_overrides(self, overrides: KernelOverrides) -> Self {
        Self { overrides, ..self }
    }

    /// Forces a family of convolution kernels.
    #[must_use]
    pub fn with_conv(mut self, family: ConvFamily) -> Self {
        self.overrides.conv = Some(family);
        self
    }

    /// Forces how matrix products fetch their operands.
    #[must_use]
    pub fn with_operands(mut self, path: OperandPath) -> Self {
        self.overrides.operands = Some(path);
        self
    }

    /// Forces the tile of matrix products: rows, and columns / 8.
    #[must_use]
    pub fn with_tile(mut self, tile: [usize; 2]) -> Self {
        self.overrides.tile = Some(tile);
        self
    }

    /// The preset of the device's class.
    pub const fn preset(&self) -> Preset {
        preset(self.caps.class)
    }

    /// Side of the cooperative matrices that matrix products use, if any.
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
    fn matrices_are_used_only_on_request() {
        let mut target = Target::from(Caps { matrix: Some(16), ..Caps::default() }).with_precision(Precision::F16);
        assert_eq!((target.matrix(), target.operand_path()), (None, OperandPath::Workgroup));
        target.options.matrices = true;
        assert_eq!((target.matrix(), target.operand_path()), (Some(16), OperandPath::Matrix));
        assert_eq!(target.with_precision(Precision::F32).operand_path(), OperandPath::Workgroup);
    }
}
