//! Time of every dispatch of a plan, by the device's own clock if it has one.

use super::{Session, transfer};
use crate::clock::Instant;
use crate::error::Result;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::plan::PlannedDispatch;
use std::collections::BTreeMap;

/// Maximum number of queries in a query set: WebGPU's limit.
const MAX_QUERIES: usize = 4096;
/// Runs are timed together until they take so many waits.
const ENOUGH: f64 = 3.0;
/// Or are so many.
const MAX_RUNS: u32 = 64;

/// Bytes that a device moves while it multiplies once; and while a dispatch starts.
const BYTES_PER_MAC: f64 = 0.125;
const BYTES_PER_START: f64 = 1e4;

/// The share of each dispatch in the time of a run, by what it moves, and by the multiplications of its node, of which a dispatch has as
/// much as of the bytes.
fn shares(dispatches: &[PlannedDispatch]) -> Vec<f64> {
    // (multiplications, bytes) by node
    let mut nodes: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for d in dispatches {
        let (macs, bytes) = nodes.entry(d.node).or_default();
        (*macs, *bytes) = (*macs + d.macs, *bytes + d.bytes);
    }
    let weight = |d: &PlannedDispatch| {
        let (macs, bytes) = nodes.get(&d.node).copied().unwrap_or_default();
        let own = d.bytes as f64 / bytes.max(1) as f64;
        macs as f64 * own * BYTES_PER_MAC + d.bytes as f64 + BYTES_PER_START
    };
    let weights: Vec<f64> = dispatches.iter().map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

/// The time of each dispatch of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Milliseconds of each dispatch: the minimum over the runs, since disturbances only add time.
    pub dispatches: Vec<f64>,
    /// Whether the device's clock measured them. If not, each includes the cost of a submission; where a wait takes longer than work, as
    /// in some browsers, each is a share of the whole run's time by what it computes and moves.
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
        if !device_clock && let Some(wait) = self.gpu.long_wait().await? {
            return Ok(Profile { dispatches: self.shared(wait).await?, device_clock });
        }
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

    /// Times whole runs, of which so many are submitted at once that a wait of `wait` ms is a small part, and gives each dispatch its
    /// share.
    async fn shared(&self, wait: f64) -> Result<Vec<f64>> {
        let mut runs = 1;
        let all = loop {
            let (start, mut last) = (Instant::now(), None);
            for _ in 0..runs {
                for (i, dispatches) in self.submissions.iter().enumerate() {
                    last = Some(self.submit_dispatches(dispatches.clone(), i == 0).await?);
                }
            }
            if let Some(last) = last {
                self.gpu.wait_async(last).await?;
            }
            let work = (start.elapsed().as_secs_f64() * 1e3 - wait).max(0.0);
            if work > ENOUGH * wait || runs >= MAX_RUNS {
                break work / f64::from(runs);
            }
            runs *= 2;
        };
        Ok(shares(&self.plan.dispatches).iter().map(|share| all * share).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelKey;
    use crate::ops::halo;
    use crate::tensor::{Shape, TensorDesc};

    #[test]
    fn multiplications_of_a_node_belong_to_all_its_dispatches() {
        let dispatch = |node, macs, bytes| PlannedDispatch {
            label: String::new(),
            kernel: KernelKey::new("halo"),
            params: halo(TensorDesc::blocked(Shape::new(1, 4, 8, 8)), 0, None).params,
            bindings: Vec::new(),
            workgroups: [1; 3],
            macs,
            bytes,
            choice: None,
            node,
        };
        // A plan counts the multiplications of a node at its first dispatch.
        let found = shares(&[dispatch(0, 8_000_000, 1_000_000), dispatch(0, 0, 3_000_000), dispatch(1, 0, 1_000_000)]);
        let expected = [1.26e6, 3.76e6, 1.01e6].map(|w| w / 6.03e6);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
