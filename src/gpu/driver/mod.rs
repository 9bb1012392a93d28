//! What is found out about a driver besides its limits and features, and what only some drivers allow. What follows from it
//! for plans and kernels says [`crate::kernel::DriverPolicy`].

#[cfg(all(feature = "vulkan-alias", target_os = "linux"))]
mod vulkan;

/// Where textures in aliased memory may begin: a multiple of what drivers ask for.
pub(super) const ALIGNMENT: u64 = 256;

/// One piece of memory as a storage buffer and, by ranges, as storage textures, which WebGPU cannot express.
#[derive(Debug)]
pub struct Alias {
    /// All of it; usages `STORAGE` and `COPY_DST`. Its contents are undefined until they are written.
    pub buffer: wgpu::Buffer,
    /// `rgba32float`, rows without gaps, in the order they were asked for; usage `STORAGE_BINDING`.
    pub textures: Vec<wgpu::Texture>,
}

/// A texture to be had: its first byte, its columns and rows.
pub type Region = (u64, [u32; 2]);

/// Whether the device has such memory. Only llvmpipe is asked: it finishes each dispatch before it begins the next.
pub(super) fn has_aliased_memory(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> bool {
    let llvmpipe = info.backend == wgpu::Backend::Vulkan && info.name.starts_with("llvmpipe");
    llvmpipe && Alias::new(device, "probe", 1 << 18, &[(ALIGNMENT, [4096, 2])]).is_ok()
}

/// Kernels that add to a texture both read and write it.
pub(super) const READ_WRITE_TEXTURES: wgpu::Features = wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES;

/// Whether kernels can have large tensors in storage textures, to read and to write.
pub(super) fn has_storage_textures(device: &wgpu::Device) -> bool {
    let limits = device.limits();
    device.features().contains(READ_WRITE_TEXTURES)
        && limits.max_storage_textures_per_shader_stage >= 8
        && limits.max_texture_dimension_2d >= 8192
}

#[cfg(not(all(feature = "vulkan-alias", target_os = "linux")))]
impl Alias {
    /// Memory of so many bytes.
    pub fn new(_: &wgpu::Device, label: &str, _: u64, _: &[Region]) -> crate::error::Result<Self> {
        let reason = "built without the feature `vulkan-alias`, or not for Linux".into();
        Err(crate::error::Error::Gpu { what: format!("allocating {label}"), reason })
    }
}
