//! One piece of memory as a storage buffer and as a storage image, which WebGPU cannot express: for llvmpipe, which loads
//! from images five times as fast as from buffers, and stores into buffers more than twice as fast as into images.
//!
//! Vulkan lets a buffer and a linear image share memory, and gives both the same view of it (Vulkan specification, "Memory
//! Aliasing"). wgpu knows of two resources and puts no barrier between a write through one and a read through the other:
//! llvmpipe finishes every dispatch before it begins the next. Made for no other device.

use crate::error::{Error, Result};

/// The two views of the memory.
#[derive(Debug)]
pub struct Alias {
    /// All of it; usages `STORAGE` and `COPY_DST`. Its contents are undefined until they are written.
    pub buffer: wgpu::Buffer,
    /// `rgba32float`, rows without gaps; usage `STORAGE_BINDING`.
    pub texture: wgpu::Texture,
}

/// Whether the device makes such pairs: llvmpipe through Vulkan.
pub(super) fn is_possible(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> bool {
    let llvmpipe = info.backend == wgpu::Backend::Vulkan && info.name.starts_with("llvmpipe");
    llvmpipe && cfg!(target_os = "linux") && Alias::new(device, "probe", [4096, 2]).is_ok()
}

#[cfg(not(target_os = "linux"))]
impl Alias {
    /// Memory for `width` x `height` texels.
    pub fn new(_: &wgpu::Device, label: &str, _: [u32; 2]) -> Result<Self> {
        Err(Error::Gpu { what: format!("allocating {label}"), reason: "images that are buffers exist on Linux".into() })
    }
}

#[cfg(target_os = "linux")]
mod vulkan {
    use super::{Alias, Error, Result};
    use ash::vk;
    use std::sync::Arc;
    use wgpu::hal::{self, api::Vulkan};

    const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;
    const TEXEL: u64 = 16;

    /// Destroyed when wgpu has dropped the buffer and the texture, which it does while the device lives.
    struct Memory {
        device: ash::Device,
        image: vk::Image,
        buffer: vk::Buffer,
        memory: vk::DeviceMemory,
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: nothing else refers to the handles, of which those that were never made are null, and no work does.
            unsafe {
                self.device.destroy_image(self.image, None);
                self.device.destroy_buffer(self.buffer, None);
                self.device.free_memory(self.memory, None);
            }
        }
    }

    impl Memory {
        fn new(device: &ash::Device, [width, height]: [u32; 2]) -> std::result::Result<Self, String> {
            let mut made = Self {
                device: device.clone(),
                image: vk::Image::null(),
                buffer: vk::Buffer::null(),
                memory: vk::DeviceMemory::null(),
            };
            let image = vk::ImageCreateInfo::default()
                .image_type(vk::ImageType::TYPE_2D)
                .format(vk::Format::R32G32B32A32_SFLOAT)
                .extent(vk::Extent3D { width, height, depth: 1 })
                .mip_levels(1)
                .array_layers(1)
                .samples(vk::SampleCountFlags::TYPE_1)
                .tiling(vk::ImageTiling::LINEAR)
                .usage(vk::ImageUsageFlags::STORAGE)
                .sharing_mode(vk::SharingMode::EXCLUSIVE)
                .initial_layout(vk::ImageLayout::UNDEFINED);
            let size = u64::from(width) * u64::from(height) * TEXEL;
            let buffer = vk::BufferCreateInfo::default()
                .size(size)
                .usage(vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST)
                .sharing_mode(vk::SharingMode::EXCLUSIVE);
            let reason = |e: vk::Result| e.to_string();
            // SAFETY: the descriptions are valid, the device lives, and what is bound is bound once.
            unsafe {
                made.image = device.create_image(&image, None).map_err(reason)?;
                made.buffer = device.create_buffer(&buffer, None).map_err(reason)?;
                let plane = vk::ImageSubresource::default().aspect_mask(vk::ImageAspectFlags::COLOR);
                let rows = device.get_image_subresource_layout(made.image, plane);
                if rows.offset != 0 || height > 1 && rows.row_pitch != u64::from(width) * TEXEL {
                    return Err(format!("rows of {width} texels lie {} bytes apart", rows.row_pitch));
                }
                let [a, b] = [
                    device.get_image_memory_requirements(made.image),
                    device.get_buffer_memory_requirements(made.buffer),
                ];
                let types = a.memory_type_bits & b.memory_type_bits;
                if types == 0 {
                    return Err("no memory is for images and buffers".into());
                }
                let allocation = vk::MemoryAllocateInfo::default()
                    .allocation_size(a.size.max(b.size))
                    .memory_type_index(types.trailing_zeros());
                made.memory = device.allocate_memory(&allocation, None).map_err(reason)?;
                device.bind_image_memory(made.image, made.memory, 0).map_err(reason)?;
                device.bind_buffer_memory(made.buffer, made.memory, 0).map_err(reason)?;
            }
            Ok(made)
        }
    }

    impl Alias {
        /// Memory for `width` x `height` texels.
        pub fn new(device: &wgpu::Device, label: &str, [width, height]: [u32; 2]) -> Result<Self> {
            let failed = |reason: String| Error::Gpu { what: format!("allocating {label}"), reason };
            let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
            // SAFETY: the device is not destroyed; the handles are of it, described as they are, and live as long as what
            // refers to them.
            let (texture, buffer) = unsafe {
                let device = device.as_hal::<Vulkan>().ok_or_else(|| failed("not a Vulkan device".into()))?;
                let memory = Arc::new(Memory::new(device.raw_device(), [width, height]).map_err(failed)?);
                let of_texture = hal::TextureDescriptor {
                    label: Some(label),
                    size,
                    mip_level_count: 1,
                    sample_count: 1,
                    dimension: wgpu::TextureDimension::D2,
                    format: FORMAT,
                    usage: wgpu::TextureUses::STORAGE_READ_ONLY,
                    memory_flags: hal::MemoryFlags::empty(),
                    view_formats: vec![],
                };
                let (image, buffer) = (memory.image, memory.buffer);
                let [one, other] = [memory.clone(), memory];
                let image = device.texture_from_raw(
                    image,
                    &of_texture,
                    Some(Box::new(move || drop(one))),
                    hal::vulkan::TextureMemory::External,
                );
                (image, hal::vulkan::Buffer::from_raw_externally_owned(buffer, Box::new(move || drop(other))))
            };
            let of_texture = wgpu::TextureDescriptor {
                label: Some(label),
                size,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: FORMAT,
                usage: wgpu::TextureUsages::STORAGE_BINDING,
                view_formats: &[],
            };
            let of_buffer = wgpu::BufferDescriptor {
                label: Some(label),
                size: u64::from(width) * u64::from(height) * TEXEL,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            };
            // SAFETY: both were made for this device above, as described; who makes a pair writes it before it is read.
            unsafe {
                let uninitialized = wgpu::TextureUses::UNINITIALIZED;
                let texture = device.create_texture_from_hal::<Vulkan>(texture, &of_texture, uninitialized);
                Ok(Self { buffer: device.create_buffer_from_hal::<Vulkan>(buffer, &of_buffer), texture })
            }
        }
    }
}
