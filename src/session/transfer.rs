//! Transfers between host and device, and the persistent variables of a session.

use super::Session;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Submission};
use crate::tensor::HostTensor;

/// A read-back buffer.
pub(super) fn staging(gpu: &Gpu, bytes: u64) -> Result<wgpu::Buffer> {
    gpu.buffer("read back", bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
}

/// Submits a copy of `bytes` of `source`, the output or variable `name`, into `staging`.
pub(super) async fn copy(
    gpu: &Gpu,
    name: &str,
    source: (&wgpu::Buffer, u64),
    staging: &wgpu::Buffer,
    bytes: u64,
) -> Result<Submission> {
    let doing = format!("copying `{name}`");
    let submitted = gpu.scoped_async(&doing, || {
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(source.0, source.1, staging, 0, bytes);
        Ok(gpu.submit_named(format!("a copy of `{name}`"), [encoder.finish()]))
    });
    submitted.await
}

/// Waits for a submission and reads what it left in `staging`.
pub(super) async fn read(gpu: &Gpu, name: &str, staging: &wgpu::Buffer, submission: Submission) -> Result<Vec<f32>> {
    // The bytes may not be aligned for f32.
    let collect = |bytes: &[u8]| bytemuck::pod_collect_to_vec::<u8, f32>(bytes);
    gpu.read_buffer(&format!("reading `{name}`"), staging, submission, collect).await
}

/// Writes into a buffer.
pub(super) fn write(gpu: &Gpu, name: &str, buffer: &wgpu::Buffer, offset: u64, data: &[u8]) -> Result<()> {
    gpu.guarded(&format!("writing `{name}`"), || {
        gpu.queue().write_buffer(buffer, offset, data);
        Ok(())
    })
}

impl Session {
    fn variable(&self, name: &str) -> Result<usize> {
        let unknown = || Error::invalid(format!("persistent variable `{name}`"), "the plan has none of that name");
        self.plan.variables.iter().position(|s| s.name == name).ok_or_else(unknown)
    }

    /// Reads a persistent variable, in its own dimensions.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_state(&self, name: &str) -> Result<HostTensor> {
        block_on(self.read_state_async(name))
    }

    /// [`Self::read_state`] as a future.
    pub async fn read_state_async(&self, name: &str) -> Result<HostTensor> {
        let i = self.variable(name)?;
        let variable = &self.plan.variables[i];
        let staging = staging(&self.gpu, variable.bytes)?;
        let submission = copy(&self.gpu, name, (&self.variables[i], 0), &staging, variable.bytes).await?;
        let mut data = read(&self.gpu, name, &staging, submission).await?;
        data.truncate(variable.dims.iter().product());
        HostTensor::new(&variable.dims[..], data)
    }

    /// Sets a persistent variable.
    pub fn write_state(&self, name: &str, value: &HostTensor) -> Result<()> {
        let i = self.variable(name)?;
        let dims = &self.plan.variables[i].dims;
        if value.dims() != &dims[..] {
            let reason = format!("has shape {dims:?}, got {:?}", value.dims());
            return Err(Error::invalid(format!("persistent variable `{name}`"), reason));
        }
        write(&self.gpu, name, &self.variables[i], 0, bytemuck::cast_slice(value.data()))
    }
}
