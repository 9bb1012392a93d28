//! What a graph is planned for: device facts and driver policy, plan options, choices measured on the device, and
//! overrides for tests and measurements. Plain data, one type each; lowering reads them through [`Target`].

use super::{AdapterClass, Caps, ConvFamily, DriverPolicy, OperandPath, Preset, TensorStorage, Tuning, preset};
use crate::tensor::Precision;
use std::sync::Arc;

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
    /// Whether other plans may write the memory of activations between runs, so that it is not as this plan left it.
    pub reused_memory: bool,
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
