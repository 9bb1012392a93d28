//! The device's memory: every allocation of the library is made here, so that a failure says what it was for and how much.

use super::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use super::lost::Scopes;
use crate::error::{Error, Result};

impl Gpu {
    /// A new buffer, filled with zeros. Fails with [`Error::OutOfMemory`] if the device has no memory left. In a browser the
    /// scope around it tells, without the size.
    pub(crate) fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.allocate(label, size, || self.device().create_buffer(&descriptor))
    }

    /// A new buffer with contents.
    pub(crate) fn filled_buffer(&self, label: &str, content: &[u8], usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let size = content.len().max(16).next_multiple_of(16) as u64;
        self.mapped_buffer(label, size, usage, |view| view.slice(..content.len()).copy_from_slice(content))
    }

    /// A new buffer that `fill` fills; it is mapped meanwhile, which needs no upload.
    pub(crate) fn mapped_buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
        fill: impl FnOnce(&mut wgpu::BufferViewMut),
    ) -> Result<wgpu::Buffer> {
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: true };
        let buffer = self.allocate(label, size, || self.device().create_buffer(&descriptor))?;
        let doing = format!("writing `{label}`");
        self.guarded(&doing, || {
            let view = buffer.get_mapped_range_mut(..);
            let mut view = view.map_err(|e| Error::Gpu { what: doing.clone(), reason: e.to_string() })?;
            fill(&mut view);
            drop(view);
            buffer.unmap();
            Ok(())
        })?;
        Ok(buffer)
    }

    /// A new texture.
    pub(crate) fn texture(&self, descriptor: &wgpu::TextureDescriptor) -> Result<wgpu::Texture> {
        let wgpu::Extent3d { width, height, depth_or_array_layers: layers } = descriptor.size;
        let texel = u64::from(descriptor.format.block_copy_size(None).unwrap_or(16));
        let bytes = u64::from(width) * u64::from(height) * u64::from(layers) * texel;
        self.allocate(descriptor.label.unwrap_or("texture"), bytes, || self.device().create_texture(descriptor))
    }

    /// Makes an allocation of about `bytes` bytes.
    pub(crate) fn allocate<T>(&self, label: &str, bytes: u64, make: impl FnOnce() -> T) -> Result<T> {
        let failed = || Error::OutOfMemory { what: format!("allocating `{label}`"), bytes: Some(bytes), remedy: None };
        if self.inner.faults.allocation_fails(bytes) {
            return Err(failed());
        }
        #[cfg(target_arch = "wasm32")]
        return Ok(make());
        #[cfg(not(target_arch = "wasm32"))]
        {
            let scopes = Scopes::open(self.device());
            let made = make();
            match super::block_on(scopes.close()) {
                Some(wgpu::Error::OutOfMemory { .. }) => Err(failed()),
                Some(e) => Err(self.refused(&format!("allocating `{label}`"), &e)),
                None => Ok(made),
            }
        }
    }
}
