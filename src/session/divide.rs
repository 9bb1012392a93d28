//! What the dispatches of a plan need besides memory: parameters and pipelines. They are made anew when long dispatches are
//! divided.

use super::{Arena, Command, Session, split};
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Pipeline};
use crate::plan::Plan;
use std::sync::Arc;

/// Memory for the parameters of every dispatch.
pub(super) fn uniforms(gpu: &Gpu, plan: &Plan) -> Result<Arena> {
    let sizes = plan.dispatches.iter().map(|s| s.params.len() as u64 * 4);
    Arena::new(gpu, "parameters", wgpu::BufferUsages::UNIFORM, gpu.caps().uniform_alignment, sizes)
}

/// Writes the parameters of every dispatch.
pub(super) fn write(gpu: &Gpu, plan: &Plan, uniforms: &Arena) {
    for (i, dispatch) in plan.dispatches.iter().enumerate() {
        uniforms.write(gpu, i, bytemuck::cast_slice(&dispatch.params));
    }
}

/// The pipelines of every dispatch.
pub(super) async fn pipelines(gpu: &Gpu, plan: &Plan) -> Result<Vec<Arc<Pipeline>>> {
    gpu.compile_async(plan.dispatches.iter().map(|s| &s.kernel)).await?;
    let mut pipelines = Vec::with_capacity(plan.dispatches.len());
    for dispatch in &plan.dispatches {
        pipelines.push(gpu.pipeline_async(&dispatch.kernel).await?);
    }
    Ok(pipelines)
}

/// The longest that a dispatch may take, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Longest(f64);

impl Longest {
    /// More parts of a dispatch would have too little to do.
    const MAX_PARTS: f64 = 256.0;

    pub(crate) fn new(milliseconds: f64) -> Result<Self> {
        match milliseconds > 0.0 {
            true => Ok(Self(milliseconds)),
            false => Err(Error::invalid("longest dispatch", format!("{milliseconds} ms; it must be more than 0"))),
        }
    }

    /// Parts of a dispatch that takes so many milliseconds.
    fn parts(self, milliseconds: f64) -> u32 {
        (milliseconds / self.0).ceil().clamp(1.0, Self::MAX_PARTS) as u32
    }
}

impl Session {
    /// Divides the dispatches that take longer by the times of so many runs.
    pub(crate) async fn divide_longer_async(&mut self, longest: Longest, runs: u32) -> Result<()> {
        let times = self.profile_async(runs).await?.dispatches;
        self.divide_async(|i| times.get(i).map_or(1, |&ms| longest.parts(ms))).await
    }

    /// Divides dispatches, each in as many parts as `parts` says of its index in the plan, or as its grid allows: for budgets of
    /// an application's frames. Results are the same bit for bit. Compiles a kernel for each kernel that is divided for the first
    /// time, and waits for the device. On an error the session is as it was. A run that [`Self::begin`] began before cannot go on.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn divide(&mut self, parts: impl Fn(usize) -> u32) -> Result<()> {
        block_on(self.divide_async(parts))
    }

    /// [`Self::divide`] as a future.
    pub async fn divide_async(&mut self, parts: impl Fn(usize) -> u32) -> Result<()> {
        self.check_alive()?;
        let plan = self.plan.divided(parts);
        if plan.dispatches.len() == self.plan.dispatches.len() {
            return Ok(());
        }
        let gpu = self.gpu.clone();
        let pipelines = pipelines(&gpu, &plan).await?;
        let made = gpu.scoped_async("allocating buffers", || {
            let uniforms = uniforms(&gpu, &plan)?;
            write(&gpu, &plan, &uniforms);
            Ok(uniforms)
        });
        let mut uniforms = made.await?;
        let submissions = split(&plan.dispatches, gpu.target().preset().submission_macs);
        let mut plan = Arc::new(plan);
        let mut swap = |session: &mut Self| {
            std::mem::swap(&mut session.plan, &mut plan);
            std::mem::swap(&mut session.uniforms, &mut uniforms);
        };
        let commands = gpu.scoped_async("binding", || {
            // Only while the groups are made: this future may be dropped wherever it waits.
            swap(self);
            let commands = self.bound(&pipelines);
            swap(self);
            commands
        });
        let commands = commands.await?;
        swap(self);
        (self.commands, self.submissions) = (commands, submissions);
        // Sends the parameters, so that the device gives the memory of their upload back.
        gpu.wait_async(gpu.submit_named("parameters", [])).await.inspect_err(|e| self.note_loss(e))
    }

    /// Every dispatch with its bind group.
    pub(super) fn bound(&self, pipelines: &[Arc<Pipeline>]) -> Result<Vec<Command>> {
        let command = |(i, pipeline): (usize, &Arc<Pipeline>)| {
            let (group, workgroups) = (self.bind_group(i, pipeline, None)?, self.plan.dispatches[i].workgroups);
            Ok(Command { pipeline: pipeline.clone(), group, workgroups })
        };
        pipelines.iter().enumerate().map(command).collect()
    }
}
