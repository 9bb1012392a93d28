//! Facts about a device.

use super::AdapterClass;

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
