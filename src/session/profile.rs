//! Time of every dispatch of a plan, by the device's own clock if it has one.

use super::{Session, transfer};
use crate::clock::Instant;
use crate::error::Result;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;

/// Maximum number of queries in a query set: WebGPU's limit.
const MAX_QUERIES: usize = 4096;

/// The time of each dispatch of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Milliseconds of each dispatch: the minimum over the runs, since disturbances only add time.
    pub dispatches: Vec<f64>,
    /// Whether the device's clock measured them. If not, each includes the cost of a submission.
    pub device_clock: bool,
}

impl Session {
    /// Runs the plan `runs` times with every dispatch timed by itself. Slower than [`Session::run`]: dispatches cannot
    /// overlap.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile(&mut self, runs: u32) -> Result<Profile> {
        block_on(self.profile_async(runs))
    }

    /// [`Self::profile`] as a future.
    pub async fn profile_async(&mut self, runs: u32) -> Result<Profile> {
        let device_clock = self.gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let mut dispatches = vec![f64::INFINITY; self.plan.dispatches.len()];
        for _ in 0..runs.max(1) {
            let mut groups = self.submissions.clone();
            groups.reverse();
            while let Some(group) = groups.pop() {
                let max = if device_clock { MAX_QUERIES / 2 } else { 1 };
                if group.len() > max {
                    groups.push(group.start + max..group.end);
                }
                let group = group.start..group.end.min(group.start + max);
                let measured = match device_clock {
                    true => self.stamped(group.clone()).await?,
                    false => self.timed(group.clone()).await?,
                };
                for (min, ms) in dispatches[group].iter_mut().zip(measured) {
                    *min = min.min(ms);
                }
            }
        }
        Ok(Profile { dispatches, device_clock })
    }

    /// Times one submission by the host's clock, ms.
    async fn timed(&self, dispatches: std::ops::Range<usize>) -> Result<Vec<f64>> {
        let what = self.named(&dispatches);
        let submitted = self.gpu.scoped_async("profiling", || {
            let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.encode_dispatches(&mut encoder, dispatches, None);
            let commands = encoder.finish();
            Ok((Instant::now(), self.gpu.submit_named(what, [commands])))
        });
        let (start, submission) = submitted.await?;
        self.gpu.wait_async(submission).await?;
        Ok(vec![start.elapsed().as_secs_f64() * 1e3])
    }

    /// Times each dispatch of one submission by the device's clock, ms: a pass per dispatch writes it at its start and end.
    async fn stamped(&self, dispatches: std::ops::Range<usize>) -> Result<Vec<f64>> {
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        let (count, bytes) = (2 * dispatches.len() as u32, 16 * dispatches.len() as u64);
        let set = self.gpu.scoped_async("profiling", || {
            let (label, ty) = (Some("profile"), wgpu::QueryType::Timestamp);
            Ok(device.create_query_set(&wgpu::QuerySetDescriptor { label, ty, count }))
        });
        let set = set.await?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.gpu.buffer("timestamps", bytes, usage)?;
        let staging = transfer::staging(&self.gpu, bytes)?;
        let what = self.named(&dispatches);
        let submitted = self.gpu.scoped_async("profiling", || {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for (i, dispatch) in (0u32..).zip(dispatches) {
                let stamps = wgpu::ComputePassTimestampWrites {
                    query_set: &set,
                    beginning_of_pass_write_index: Some(2 * i),
                    end_of_pass_write_index: Some(2 * i + 1),
                };
                self.encode_dispatches(&mut encoder, dispatch..dispatch + 1, Some(stamps));
            }
            encoder.resolve_query_set(&set, 0..count, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
            Ok(self.gpu.submit_named(what, [encoder.finish()]))
        });
        let submission = submitted.await?;
        let collect = |bytes: &[u8]| bytemuck::pod_collect_to_vec::<u8, u64>(bytes);
        let ticks = self.gpu.read_buffer("reading timestamps", &staging, submission, collect).await?;
        let ms = f64::from(queue.get_timestamp_period()) * 1e-6;
        Ok(ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * ms).collect())
    }
}
