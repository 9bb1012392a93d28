//! How long the dispatches of a frame take, and dividing those that take too long.

use super::super::format::Roi;
use super::super::job::texture_placement;
use super::{Frame, record};
use crate::clock::Instant;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::session::Longest;

/// Runs that are measured; the minimum counts.
const RUNS: u32 = 3;

impl Frame {
    /// Measures the time of every dispatch, for [`Budget::Milliseconds`](crate::frame::Budget::Milliseconds).
    /// Runs every network three times, waits for it, and drops
    /// a frame that was started. Returns milliseconds of a whole frame of the largest size.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn measure(&mut self) -> Result<f64> {
        block_on(self.measure_async())
    }

    /// [`Self::measure`] as a future.
    pub async fn measure_async(&mut self) -> Result<f64> {
        self.measure_dividing(None).await
    }

    /// Divides every dispatch that takes longer than so many milliseconds on this device, and measures as [`Self::measure`] does. A
    /// budget is kept only if no dispatch takes longer: a fourth of the budget is a good choice. Results are the same bit for bit.
    /// The first time it compiles a kernel for each kernel that is divided. Dispatches that were divided stay so.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn divide(&mut self, longest: f64) -> Result<f64> {
        block_on(self.divide_async(longest))
    }

    /// [`Self::divide`] as a future.
    pub async fn divide_async(&mut self, longest: f64) -> Result<f64> {
        self.measure_dividing(Some(Longest::new(longest)?)).await
    }

    async fn measure_dividing(&mut self, longest: Option<Longest>) -> Result<f64> {
        self.cancel();
        if self.scratch.as_ref().is_some_and(|s| !s.acquire(self.user)) {
            return Err(Error::invalid("frame", "shares its memory with a frame that is recorded in part"));
        }
        let measured = self.measure_networks(longest).await;
        self.scratch.iter().for_each(|s| s.release(self.user));
        measured
    }

    async fn measure_networks(&mut self, longest: Option<Longest>) -> Result<f64> {
        // Those of other dispatches, should an error end this early.
        self.times.clear();
        if let Some(longest) = longest {
            for session in &mut self.sessions {
                session.divide_longer_async(longest, RUNS).await?;
            }
        }
        let mut all = Vec::with_capacity(self.sessions.len());
        for network in 0..self.sessions.len() {
            all.push(self.measure_network(network).await?);
        }
        self.times = all;
        Ok(self.times.first().map_or(0.0, |times| times.iter().sum()))
    }

    async fn measure_network(&mut self, network: usize) -> Result<Vec<f64>> {
        // The largest image that this network runs.
        let [output, size] = [self.layout.output(network), self.layout.size];
        let [height, width] = [0, 1].map(|i| output[i].min(size[i]) as u32);
        let at = self.size(texture_placement(&self.layout, Roi::of_size(width, height)))?;
        let session = self.sessions.get_mut(network).ok_or_else(|| Error::invalid("frame", "has no such network"))?;
        let network = session.profile_async(RUNS).await?.dispatches;
        let Some(sized) = self.sizes.get(at) else { return Err(Error::invalid("frame", "has no size")) };
        let (first, last) = (sized.before.len(), sized.before.len() + network.len());
        let mut times = network;
        let wait = self.gpu.long_wait().await?.unwrap_or(0.0);
        for part in [0..first, last..last + sized.after.len()] {
            let count = part.len();
            let mut least = f64::INFINITY;
            for _ in 0..RUNS {
                let submitted = self.gpu.scoped_async("measuring", || {
                    let mut encoder =
                        self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                    record(&mut encoder, session, sized, &self.buffers, &self.layout, part.clone())?;
                    let commands = encoder.finish();
                    Ok((Instant::now(), self.gpu.submit([commands])))
                });
                let (start, submission) = submitted.await?;
                self.gpu.wait_async(submission).await?;
                least = least.min((start.elapsed().as_secs_f64() * 1e3 - wait).max(0.0));
            }
            let each = std::iter::repeat_n(least / count as f64, count);
            let at = if part.start == 0 { 0 } else { times.len() };
            times.splice(at..at, each);
        }
        Ok(times)
    }
}
