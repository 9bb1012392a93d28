//! Aliased memory in raw Vulkan: a buffer and linear images may share memory, which they interpret alike (Vulkan
//! specification, "Memory Aliasing"). wgpu sees separate resources and puts no barrier between a write through one and a
//! read through the other, so this is for drivers that finish each dispatch before they begin the next.

use super::{Alias, Region};
use crate::error::{Error, Result};
use ash::vk;
use std::sync::Arc;
use wgpu::hal::{self, api::Vulkan};

const TEXEL: u64 = 16;

/// Destroyed when wgpu has dropped the buffer and all textures, which happens while the device is alive.
struct Memory {
    device: ash::Device,
    images: Vec<vk::Image>,
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: nothing else refers to the handles and no work uses them; handles that were never created are null.
        unsafe {
            self.images.iter().for_each(|&i| self.device.destroy_image(i, None));
            self.device.destroy_buffer(self.buffer, None);
            self.device.free_memory(self.memory, None);
        }
    }
}

impl Memory {
    fn new(device: &ash::Device, bytes: u64, regions: &[Region]) -> std::result::Result<Self, String> {
        let mut owned = Self {
            device: device.clone(),
            images: Vec::new(),
            buffer: vk::Buffer::null(),
            memory: vk::DeviceMemory::null(),
        };
        let buffer = vk::BufferCreateInfo::default()
            .size(bytes)
            .usage(vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST)
            .sharing_mode(vk::SharingMode::EXCLUSIVE);
        let reason = |e: vk::Result| e.to_string();
        // SAFETY: the descriptions are valid, the device is alive, and each resource is bound once, inside the memory.
        unsafe {
            owned.buffer = device.create_buffer(&buffer, None).map_err(reason)?;
            let required = device.get_buffer_memory_requirements(owned.buffer);
            let (mut size, mut types) = (required.size, required.memory_type_bits);
            for &(offset, [width, height]) in regions {
                let image = device.create_image(&image([width, height]), None).map_err(reason)?;
                owned.images.push(image);
                let plane = vk::ImageSubresource::default().aspect_mask(vk::ImageAspectFlags::COLOR);
                let rows = device.get_image_subresource_layout(image, plane);
                if rows.offset != 0 || height > 1 && rows.row_pitch != u64::from(width) * TEXEL {
                    return Err(format!("rows of {width} texels have a pitch of {} bytes", rows.row_pitch));
                }
                let required = device.get_image_memory_requirements(image);
                if !offset.is_multiple_of(required.alignment) {
                    return Err(format!("an image at byte {offset} must be aligned to {}", required.alignment));
                }
                size = size.max(offset + required.size);
                types &= required.memory_type_bits;
            }
            if types == 0 {
                return Err("no memory type suits both images and buffers".into());
            }
            let allocation =
                vk::MemoryAllocateInfo::default().allocation_size(size).memory_type_index(types.trailing_zeros());
            owned.memory = device.allocate_memory(&allocation, None).map_err(reason)?;
            device.bind_buffer_memory(owned.buffer, owned.memory, 0).map_err(reason)?;
            for (&image, &(offset, _)) in owned.images.iter().zip(regions) {
                device.bind_image_memory(image, owned.memory, offset).map_err(reason)?;
            }
        }
        Ok(owned)
    }
}

fn image([width, height]: [u32; 2]) -> vk::ImageCreateInfo<'static> {
    vk::ImageCreateInfo::default()
        .image_type(vk::ImageType::TYPE_2D)
        .format(vk::Format::R32G32B32A32_SFLOAT)
        .extent(vk::Extent3D { width, height, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .tiling(vk::ImageTiling::LINEAR)
        .usage(vk::ImageUsageFlags::STORAGE)
        .sharing_mode(vk::SharingMode::EXCLUSIVE)
        .initial_layout(vk::ImageLayout::UNDEFINED)
}

impl Alias {
    /// Allocates `bytes` bytes with images over `regions`. The unused end of an image's last row may exceed `bytes`.
    pub fn new(device: &wgpu::Device, label: &str, bytes: u64, regions: &[Region]) -> Result<Self> {
        let failed = |reason: String| Error::Gpu { what: format!("allocating {label}"), reason };
        let describe = |&(_, [width, height]): &Region| wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::STORAGE_BINDING,
            view_formats: &[],
        };
        let described: Vec<_> = regions.iter().map(describe).collect();
        // SAFETY: the device is not destroyed; the handles are its own, match their descriptions, and live as long as what
        // refers to them.
        let (images, buffer) = unsafe {
            let device = device.as_hal::<Vulkan>().ok_or_else(|| failed("not a Vulkan device".into()))?;
            let memory = Arc::new(Memory::new(device.raw_device(), bytes, regions).map_err(failed)?);
            let image = |(&image, of): (&vk::Image, &wgpu::TextureDescriptor<'_>)| {
                let of_texture = hal::TextureDescriptor {
                    label: of.label,
                    size: of.size,
                    mip_level_count: of.mip_level_count,
                    sample_count: of.sample_count,
                    dimension: of.dimension,
                    format: of.format,
                    usage: wgpu::TextureUses::STORAGE_READ_ONLY,
                    memory_flags: hal::MemoryFlags::empty(),
                    view_formats: vec![],
                };
                let owner = memory.clone();
                let dropped: hal::DropCallback = Box::new(move || drop(owner));
                device.texture_from_raw(image, &of_texture, Some(dropped), hal::vulkan::TextureMemory::External)
            };
            let images: Vec<_> = memory.images.iter().zip(&described).map(image).collect();
            let buffer = memory.buffer;
            (images, hal::vulkan::Buffer::from_raw_externally_owned(buffer, Box::new(move || drop(memory))))
        };
        let texture = |(image, of): (hal::vulkan::Texture, &wgpu::TextureDescriptor<'_>)| {
            // SAFETY: it was created for this device above, as described; the caller writes it before it is read.
            unsafe { device.create_texture_from_hal::<Vulkan>(image, of, wgpu::TextureUses::UNINITIALIZED) }
        };
        let textures = images.into_iter().zip(&described).map(texture).collect();
        let of_buffer = wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        // SAFETY: as above.
        let buffer = unsafe { device.create_buffer_from_hal::<Vulkan>(buffer, &of_buffer) };
        Ok(Self { buffer, textures })
    }
}
