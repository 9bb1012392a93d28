//! A model on a device, from which frames are prepared.

use super::encode::Frame;
use super::format::{FrameOptions, Roi};
use super::job::texture_placement;
use super::layout::{Layout, graph};
use super::rules::ChannelRule;
use super::sized::{Buffers, Pipelines};
use super::steps::{Step, after, before};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::graph::rewrite;
use crate::infer::palette;
use crate::kernel::{Target, TensorStorage};
use crate::model::Model;
use crate::plan::{Plan, PlanMemory};
use crate::session::{Scratch, Session, WeightPool};
use crate::text::mib;

/// A model on a device. Its frames share the weights there, whatever their sizes and outputs.
#[derive(Debug)]
pub struct FrameModel {
    gpu: Gpu,
    model: Model,
    pool: WeightPool,
}

impl FrameModel {
    /// A model on a device. The first frame uploads the weights.
    pub fn new(gpu: &Gpu, model: Model) -> Self {
        Self { gpu: gpu.clone(), model, pool: WeightPool::default() }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Bytes of the weights on the device, which all frames share.
    pub fn weight_bytes(&self) -> u64 {
        self.pool.device_bytes()
    }

    /// The memory of the networks of a frame, that of the largest image first, each with the weights, which they share; nothing
    /// is allocated.
    pub fn memory(&self, options: &FrameOptions) -> Result<Vec<PlanMemory>> {
        let layout = Layout::of(&self.model, options)?;
        (0..layout.tiles.len()).map(|network| Ok(self.plan(&layout, network, self.gpu.target())?.memory)).collect()
    }

    fn plan(&self, layout: &Layout, network: usize, target: &Target) -> Result<Plan> {
        Plan::new(&rewrite::optimise(&graph(&self.model, layout, network)?, target)?, target)
    }

    /// Compiles the kernels of a frame ahead, on a thread of its own perhaps, and allocates nothing on the device. Another frame of
    /// the model needs few others, whatever its size.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn warm_up(&self, options: &FrameOptions) -> Result<()> {
        block_on(self.warm_up_async(options))
    }

    /// [`Self::warm_up`] as a future.
    pub async fn warm_up_async(&self, options: &FrameOptions) -> Result<()> {
        let layout = Layout::of(&self.model, options)?;
        let plans = (0..layout.tiles.len()).map(|network| self.plan(&layout, network, self.gpu.target()));
        let plans = plans.collect::<Result<Vec<_>>>()?;
        let steps = steps(&layout);
        let networks = plans.iter().flat_map(|p| &p.dispatches).map(|d| &d.kernel);
        self.gpu.compile_async(networks.chain(steps.iter().map(|s| &s.kernel))).await
    }

    /// Prepares frames of images up to a size: plans, allocates, compiles, and uploads the weights that are not on the device
    /// yet. Waits for the device, so that it gives the memory of the upload back.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn prepare(&self, options: &FrameOptions) -> Result<Frame> {
        block_on(self.prepare_async(options))
    }

    /// [`Self::prepare`] as a future.
    pub async fn prepare_async(&self, options: &FrameOptions) -> Result<Frame> {
        self.prepare_with(options, None).await
    }

    /// [`Self::prepare`] with activations in memory that other frames use too, of this model or of others on this device. Frames
    /// that share it cannot be recorded at the same time: one that is recorded in part makes the others fail.
    ///
    /// Networks whose activations lie in textures over a buffer, as on software rendering, use buffers instead, and take longer.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn prepare_in(&self, options: &FrameOptions, scratch: &Scratch) -> Result<Frame> {
        block_on(self.prepare_in_async(options, scratch))
    }

    /// [`Self::prepare_in`] as a future.
    pub async fn prepare_in_async(&self, options: &FrameOptions, scratch: &Scratch) -> Result<Frame> {
        self.prepare_with(options, Some(scratch)).await
    }

    async fn prepare_with(&self, options: &FrameOptions, scratch: Option<&Scratch>) -> Result<Frame> {
        let layout = Layout::of(&self.model, options)?;
        let mut target = self.gpu.target().clone();
        if scratch.is_some() {
            if target.options.storage == TensorStorage::Aliased {
                target = target.with_storage(TensorStorage::Buffers);
            }
            target.options.reused_memory = true;
        }
        let plans = (0..layout.tiles.len()).map(|network| self.plan(&layout, network, &target));
        let plans = plans.collect::<Result<Vec<_>>>()?;
        if let Some(limit) = options.memory {
            self.check_memory(&layout, &plans, scratch.map_or(0, Scratch::device_bytes), limit)?;
        }
        let mut sessions = Vec::with_capacity(plans.len());
        for plan in plans {
            let stored = self.model.stored();
            sessions.push(Session::new_sharing(&self.gpu, plan, stored, &self.pool, scratch).await?);
        }
        let steps = steps(&layout);
        self.gpu.compile_async(steps.iter().map(|s| &s.kernel)).await?;
        let mut pipelines = Pipelines::new();
        for step in &steps {
            pipelines.insert(step.kernel.clone(), self.gpu.pipeline_async(&step.kernel).await?);
        }
        let buffers = self.gpu.scoped_async("allocating a frame", || self.buffers(&layout)).await?;
        let (gpu, scratch) = (self.gpu.clone(), scratch.cloned());
        let made = self
            .gpu
            .scoped_async("preparing a frame", || Frame::new(gpu, layout, sessions, pipelines, buffers, scratch));
        let frame = made.await?;
        self.gpu.wait_async(self.gpu.submit([])).await?;
        Ok(frame)
    }

    /// Fails if a frame takes more than `limit` bytes. `shared` are those of activations that other frames have already.
    fn check_memory(&self, layout: &Layout, plans: &[Plan], shared: u64, limit: u64) -> Result<()> {
        let own = |plan: &Plan| plan.memory.io + plan.memory.variables;
        let slots = plans.iter().map(|p| p.memory.slots);
        let activations = match plans.iter().any(|p| p.reused_memory) {
            true => slots.max().unwrap_or(0).saturating_sub(shared),
            false => slots.sum(),
        };
        let networks = plans.iter().map(own).sum::<u64>() + activations + self.pool.missing(plans);
        let results: u64 = layout.outputs.iter().map(|o| layout.result_bytes(o)).sum();
        let counts = 4 * (layout.stats_words() + layout.sums_words()) * layout.measured();
        let needed = networks + results + layout.pixel_bytes() + counts as u64;
        if needed <= limit {
            return Ok(());
        }
        let what = format!("a frame of {}x{}", layout.size[1], layout.size[0]);
        Err(Error::Limit { what, needed: mib(needed), limit: format!("{} of memory", mib(limit)) })
    }

    fn buffers(&self, layout: &Layout) -> Result<Buffers> {
        use wgpu::BufferUsages as Usage;
        let buffer =
            |label, size: u64, usage| self.gpu.buffer(label, size.max(16).next_multiple_of(16), Usage::STORAGE | usage);
        let rules: Vec<f32> =
            layout.measured_steps().iter().flat_map(|s| &s.channels).flat_map(ChannelRule::words).collect();
        let colour = |class: usize| {
            let [r, g, b] = palette(class);
            u32::from_le_bytes([r, g, b, 0])
        };
        let palette: Vec<u32> = (0..layout.classes).map(colour).collect();
        let words = |words: usize| (4 * words * layout.measured()) as u64;
        let result = |request| buffer("frame result", layout.result_bytes(request), Usage::COPY_SRC);
        Ok(Buffers {
            pixels: buffer("frame pixels", layout.pixel_bytes(), Usage::COPY_DST)?,
            stats: buffer("frame counts", words(layout.stats_words()), Usage::COPY_DST)?,
            sums: buffer("frame sums", words(layout.sums_words()), Usage::empty())?,
            rules: self.gpu.filled_buffer("frame rules", bytemuck::cast_slice(&rules), Usage::STORAGE)?,
            palette: self.gpu.filled_buffer("frame palette", bytemuck::cast_slice(&palette), Usage::STORAGE)?,
            results: layout.outputs.iter().map(result).collect::<Result<_>>()?,
        })
    }
}

/// The kernels around the network, for the largest image.
fn steps(layout: &Layout) -> Vec<Step> {
    let roi = Roi::of_size(layout.size[1] as u32, layout.size[0] as u32);
    let place = texture_placement(layout, roi);
    before(layout, place).into_iter().chain(after(layout, place)).collect()
}
