//! Device memory of a session: buffers, and the storage textures that replace some of them.

use super::scratch::Scratch;
use crate::error::{Error, Result};
use crate::gpu::{Alias, Gpu};
use crate::kernel::texture_size;
use crate::plan::{Plan, PlannedWeights, Resource, Slot, SlotKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Many small read-only regions in few buffers.
#[derive(Debug, Default)]
pub(super) struct Arena {
    buffers: Vec<wgpu::Buffer>,
    regions: Vec<(usize, u64, u64)>,
}

impl Arena {
    const CHUNK: u64 = 64 << 20;

    pub(super) fn new(
        gpu: &Gpu,
        label: &str,
        usage: wgpu::BufferUsages,
        align: u64,
        sizes: impl Iterator<Item = u64>,
    ) -> Result<Self> {
        let mut regions = Vec::new();
        let mut chunks: Vec<u64> = Vec::new();
        for size in sizes {
            let padded = size.max(16).div_ceil(align) * align;
            match chunks.last() {
                Some(used) if used + padded <= Self::CHUNK => {}
                _ => chunks.push(0),
            }
            let chunk = chunks.len() - 1;
            regions.push((chunk, chunks[chunk], size.max(16)));
            chunks[chunk] += padded;
        }
        let usage = usage | wgpu::BufferUsages::COPY_DST;
        let buffers = chunks.iter().map(|&size| gpu.buffer(label, size, usage)).collect::<Result<_>>()?;
        Ok(Self { buffers, regions })
    }

    pub(super) fn binding(&self, region: usize) -> wgpu::BindingResource<'_> {
        let (buffer, offset, size) = self.regions[region];
        bind(&self.buffers[buffer], offset, size)
    }

    pub(super) fn write(&self, gpu: &Gpu, region: usize, data: &[u8]) {
        let (buffer, offset, _) = self.regions[region];
        gpu.queue().write_buffer(&self.buffers[buffer], offset, data);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.buffers.iter().map(wgpu::Buffer::size).sum()
    }
}

pub(super) fn bind(buffer: &wgpu::Buffer, offset: u64, size: u64) -> wgpu::BindingResource<'_> {
    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size: std::num::NonZeroU64::new(size) })
}

/// A storage texture of vec4s.
#[derive(Debug)]
pub(super) struct Texture {
    texture: wgpu::Texture,
    view: wgpu::TextureView,
}

impl Texture {
    fn new(gpu: &Gpu, label: &str, bytes: u64) -> Result<Self> {
        let [width, height] = Self::size(label, bytes)?;
        let texture = gpu.texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        })?;
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Ok(Self { texture, view })
    }

    fn size(label: &str, bytes: u64) -> Result<[u32; 2]> {
        texture_size(bytes).ok_or_else(|| Error::op(label, format!("a texture of {bytes} bytes was planned")))
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.texture.width()) * u64::from(self.texture.height()) * 16
    }

    /// Writes the whole texture; what `data` lacks of the last row becomes zero.
    fn write(&self, gpu: &Gpu, mut data: Vec<f32>) {
        data.resize(self.bytes() as usize / 4, 0.0);
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(self.texture.width() * 16),
            rows_per_image: None,
        };
        let (texture, data) = (self.texture.as_image_copy(), bytemuck::cast_slice(&data));
        gpu.queue().write_texture(texture, data, layout, self.texture.size());
    }
}

/// The memory of a slot.
#[derive(Debug)]
pub(super) enum Memory {
    Buffer(wgpu::Buffer),
    /// A buffer that other sessions use too, larger than the slot perhaps.
    Shared(wgpu::Buffer),
    Texture(Texture),
    /// A buffer to write, and textures over the ranges of it that are read.
    Aliased(wgpu::Buffer, BTreeMap<(u64, u64), wgpu::TextureView>),
}

impl Memory {
    /// The slots of a plan. Buffers are taken from `scratch` if it is given; a plan for memory of its own has none.
    pub(super) fn slots(gpu: &Gpu, plan: &Plan, scratch: Option<&Scratch>) -> Result<Vec<Self>> {
        let size = |bytes: u64| bytes.max(16).div_ceil(4) * 4;
        let shared = match scratch.filter(|_| plan.reused_memory) {
            Some(scratch) => {
                let buffers = plan.slots.iter().filter(|s| s.kind == SlotKind::Buffer);
                scratch.take(gpu, &buffers.map(|s| size(s.bytes)).collect::<Vec<_>>())?
            }
            None => Vec::new(),
        };
        let mut shared = shared.into_iter();
        let slot = |(index, slot): (usize, &Slot)| match slot.kind {
            SlotKind::Texture => Ok(Self::Texture(Texture::new(gpu, "slot", slot.bytes)?)),
            SlotKind::Aliased => Self::aliased(gpu, plan, index),
            SlotKind::Buffer => match shared.next() {
                Some(buffer) => Ok(Self::Shared(buffer)),
                None => Ok(Self::Buffer(gpu.buffer("slot", size(slot.bytes), wgpu::BufferUsages::STORAGE)?)),
            },
        };
        plan.slots.iter().enumerate().map(slot).collect()
    }

    /// A slot with a texture for every range that a kernel reads, filled with zeros.
    fn aliased(gpu: &Gpu, plan: &Plan, index: usize) -> Result<Self> {
        let read = |r: &Resource| match *r {
            Resource::Slot { slot, offset, bytes, writes: false } if slot == index => Some((offset, bytes)),
            _ => None,
        };
        let ranges: BTreeSet<_> = plan.dispatches.iter().flat_map(|s| s.bindings.iter().filter_map(read)).collect();
        let region = |&(offset, bytes): &(u64, u64)| Ok((offset, Texture::size("slot", bytes)?));
        let regions: Vec<_> = ranges.iter().map(region).collect::<Result<_>>()?;
        let bytes = plan.slots[index].bytes.max(16);
        let alias = gpu.allocate("slot", bytes, || Alias::new(gpu.device(), "slot", bytes, &regions))?;
        let Alias { buffer, textures } = alias?;
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        // A later transition might discard the contents of the memory.
        let state = wgpu::TextureUses::STORAGE_READ_ONLY;
        let transitions = textures.iter().map(|texture| wgpu::TextureTransition { texture, selector: None, state });
        encoder.transition_resources(std::iter::empty(), transitions);
        encoder.clear_buffer(&buffer, 0, None);
        gpu.queue().submit([encoder.finish()]);
        let views = textures.iter().map(|t| t.create_view(&wgpu::TextureViewDescriptor::default()));
        Ok(Self::Aliased(buffer, ranges.into_iter().zip(views).collect()))
    }

    /// A range of a buffer, a whole texture, or the texture over that range.
    pub(super) fn binding(&self, offset: u64, size: u64, writes: bool) -> wgpu::BindingResource<'_> {
        match self {
            Self::Texture(texture) => wgpu::BindingResource::TextureView(&texture.view),
            Self::Aliased(buffer, textures) => match textures.get(&(offset, size)) {
                Some(view) if !writes => wgpu::BindingResource::TextureView(view),
                _ => bind(buffer, offset, size),
            },
            Self::Buffer(buffer) | Self::Shared(buffer) => bind(buffer, offset, size),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Buffer(buffer) | Self::Aliased(buffer, _) => buffer.size(),
            Self::Texture(texture) => texture.bytes(),
            Self::Shared(_) => 0,
        }
    }
}

/// Packed weights: each in its own texture, or in a region of an arena. Sessions of one model may share them.
#[derive(Debug)]
pub(super) struct Weights {
    each: Vec<Place>,
    /// Bytes that were allocated for this set, and not shared with an earlier one.
    new_bytes: u64,
}

impl Weights {
    /// Allocates those that `shared` does not have.
    pub(super) fn new(gpu: &Gpu, planned: &[PlannedWeights], shared: &[Option<Place>]) -> Result<Self> {
        let found = |i: usize| shared.get(i).cloned().flatten();
        let missing = || planned.iter().enumerate().filter(|(i, _)| found(*i).is_none()).map(|p| p.1);
        let sizes = missing().filter(|w| !w.texture).map(PlannedWeights::bytes);
        let arena = Arena::new(gpu, "weights", wgpu::BufferUsages::STORAGE, gpu.caps().storage_alignment, sizes)?;
        let (arena, mut regions, mut new_bytes) = (Arc::new(arena), 0.., 0);
        new_bytes += arena.bytes();
        let mut each = Vec::with_capacity(planned.len());
        for (i, w) in planned.iter().enumerate() {
            let place = match found(i) {
                Some(place) => place,
                None if w.texture => {
                    let texture = Texture::new(gpu, "weights", w.bytes())?;
                    new_bytes += texture.bytes();
                    Place::Texture(Arc::new(texture))
                }
                None => Place::Region(arena.clone(), regions.next().unwrap_or(0)),
            };
            each.push(place);
        }
        Ok(Self { each, new_bytes })
    }

    pub(super) fn binding(&self, i: usize) -> wgpu::BindingResource<'_> {
        match &self.each[i] {
            Place::Texture(texture) => wgpu::BindingResource::TextureView(&texture.view),
            Place::Region(arena, region) => arena.binding(*region),
        }
    }

    pub(super) fn write(&self, gpu: &Gpu, i: usize, packed: Vec<f32>) {
        match &self.each[i] {
            Place::Texture(texture) => texture.write(gpu, packed),
            Place::Region(arena, region) => arena.write(gpu, *region, bytemuck::cast_slice(&packed)),
        }
    }

    /// Writes weights stored as `f16`, which are never in a texture.
    pub(super) fn write_halves(&self, gpu: &Gpu, i: usize, packed: &[half::f16]) {
        if let Place::Region(arena, region) = &self.each[i] {
            arena.write(gpu, *region, bytemuck::cast_slice(packed));
        }
    }

    pub(super) fn new_bytes(&self) -> u64 {
        self.new_bytes
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.each
    }
}

/// The place of packed weights.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Texture(Arc<Texture>),
    /// A region of an arena.
    Region(Arc<Arena>, usize),
}
