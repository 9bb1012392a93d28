//! Properties of a driver beyond its limits and features, and what only some drivers allow.
//! [`crate::kernel::DriverPolicy`] decides what follows for plans and kernels.

#[cfg(all(feature = "vulkan-alias", target_os = "linux"))]
mod vulkan;

/// Alignment of textures in aliased memory, bytes: a multiple of what drivers require.
pub(super) const ALIGNMENT: u64 = 256;

/// One allocation that is a storage buffer and, range by range, storage textures. WebGPU cannot express this.
#[derive(Debug)]
pub struct Alias {
    /// The whole allocation; usages `STORAGE` and `COPY_DST`. Its contents are undefined until they are written.
    pub buffer: wgpu::Buffer,
    /// `rgba32float`, rows without gaps, in the order of the request; usage `STORAGE_BINDING`.
    pub textures: Vec<wgpu::Texture>,
}

/// A requested texture: its first byte, its columns and rows.
pub(super) type Region = (u64, [u32; 2]);

/// Whether the device has aliased memory. Only llvmpipe is probed: it finishes each dispatch before it begins the next.
pub(super) fn has_aliased_memory(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> bool {
    let llvmpipe = info.backend == wgpu::Backend::Vulkan && info.name.starts_with("llvmpipe");
    llvmpipe && Alias::new(device, "probe", 1 << 18, &[(ALIGNMENT, [4096, 2])]).is_ok()
}

/// For kernels that accumulate in a texture, which both read and write it.
pub(super) const READ_WRITE_TEXTURES: wgpu::Features = wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES;

/// Whether kernels can read and write large tensors in storage textures.
pub(super) fn has_storage_textures(device: &wgpu::Device) -> bool {
    let limits = device.limits();
    device.features().contains(READ_WRITE_TEXTURES)
        && limits.max_storage_textures_per_shader_stage >= 8
        && limits.max_texture_dimension_2d >= 8192
}

#[cfg(not(all(feature = "vulkan-alias", target_os = "linux")))]
impl Alias {
    /// Always fails.
    pub fn new(_: &wgpu::Device, label: &str, _: u64, _: &[Region]) -> crate::error::Result<Self> {
        let reason = "built without the feature `vulkan-alias`, or not for Linux".into();
        Err(crate::error::Error::Gpu { what: format!("allocating {label}"), reason })
    }
}
