//! Measured peak rates of a device, with which times of kernels are compared.

use super::Gpu;
use crate::clock::Instant;
use crate::error::Result;
use crate::kernel::{KernelKey, Params, shader_struct};

/// The peak rates measured on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Billions of `f32` operations per second; a fused multiply-add is two.
    pub gflops: f64,
    /// Billions of bytes per second of a copy in device memory, bytes read and bytes written together.
    pub gbytes: f64,
}

shader_struct! {
    /// Parameters of `peak_fma`.
    struct MultiplyAddParams {
        rounds: u32,
        /// Just below 1.
        factor: f32,
        term: f32,
    }

    /// Parameters of `peak_copy`.
    struct CopyParams {
        blocks: u32,
        /// Invocations in a row of workgroups.
        row: u32,
    }
}

/// The parameters of the measuring kernels, for tests.
#[doc(hidden)]
pub fn peak_params() -> [(&'static str, Params); 2] {
    [("peak_fma", MultiplyAddParams::default().into()), ("peak_copy", CopyParams::default().into())]
}

/// Milliseconds that one measurement should take: long compared with the cost of a submission.
const TARGET_MS: f64 = 20.0;
/// Measurements of each rate; the fastest counts, since disturbances only add time.
const REPEAT: usize = 7;

impl Gpu {
    /// Measures the device's peak rates; takes about half a second.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn measure_peak(&self) -> Result<Peak> {
        super::block_on(self.measure_peak_async())
    }

    /// [`Self::measure_peak`] as a future.
    pub async fn measure_peak_async(&self) -> Result<Peak> {
        Ok(Peak { gflops: self.multiply_adds().await?, gbytes: self.copies().await? })
    }

    async fn multiply_adds(&self) -> Result<f64> {
        let groups: u32 = 4096;
        let y = self.buffer("peak", u64::from(groups) * 64 * 16, wgpu::BufferUsages::STORAGE)?;
        let time = async |rounds: u32| {
            let params = MultiplyAddParams { rounds, factor: 0.999, term: 0.001 };
            self.timed("peak_fma", &params.into(), &[&y], [groups, 1, 1]).await
        };
        time(1).await?;
        let mut rounds = 1;
        // Bounded, for a device that never takes so long.
        while time(rounds).await? < TARGET_MS && rounds < 1 << 20 {
            rounds *= 2;
        }
        let mut best = f64::INFINITY;
        for _ in 0..REPEAT {
            best = best.min(time(rounds).await?);
        }
        let operations = 2.0 * 16.0 * 12.0 * f64::from(rounds) * f64::from(groups) * 64.0;
        Ok(operations / (best * 1e6))
    }

    async fn copies(&self) -> Result<f64> {
        // Larger than the caches of most devices.
        let bytes = (256 << 20).min(self.caps().max_binding_bytes).min(self.caps().max_buffer_bytes) / 16 * 16;
        let storage = || self.buffer("peak", bytes, wgpu::BufferUsages::STORAGE);
        let (x, y) = (storage()?, storage()?);
        let groups = (bytes / 16).div_ceil(64);
        let row = groups.min(1 << 14).min(u64::from(self.caps().max_workgroups)) as u32;
        let grid = [row, groups.div_ceil(u64::from(row)) as u32, 1];
        let params = CopyParams { blocks: (bytes / 16) as u32, row: row * 64 }.into();
        let time = async || self.timed("peak_copy", &params, &[&x, &y], grid).await;
        time().await?;
        let mut best = f64::INFINITY;
        for _ in 0..REPEAT {
            best = best.min(time().await?);
        }
        Ok(2.0 * bytes as f64 / (best * 1e6))
    }

    /// Milliseconds of one dispatch by the host's clock, from submission to completion.
    async fn timed(
        &self,
        shader: &'static str,
        params: &Params,
        buffers: &[&wgpu::Buffer],
        [x, y, z]: [u32; 3],
    ) -> Result<f64> {
        let pipeline = self.pipeline_async(&KernelKey::new(shader)).await?;
        let uniform =
            self.filled_buffer("peak parameters", bytemuck::cast_slice(params), wgpu::BufferUsages::UNIFORM)?;
        // Flush earlier writes, which must not be timed.
        self.wait_async(self.submit([])).await?;
        let submitted = self.scoped_async(shader, || {
            let all = [&uniform].into_iter().chain(buffers.iter().copied());
            let entries: Vec<_> = (0u32..)
                .zip(all)
                .map(|(binding, b)| wgpu::BindGroupEntry { binding, resource: b.as_entire_binding() })
                .collect();
            let group = self.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(shader),
                layout: &pipeline.layout,
                entries: &entries,
            });
            let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_pipeline(&pipeline.pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
            let commands = encoder.finish();
            let start = Instant::now();
            Ok((self.submit([commands]), start))
        });
        let (submission, start) = submitted.await?;
        self.wait_async(submission).await?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}
