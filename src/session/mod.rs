//! A session: a plan made resident on a device. Write, run, read; nothing is allocated per run.

mod backend;
mod budget;
mod command;
mod divide;
mod matrices;
mod memory;
mod overflow;
mod pace;
mod pending;
mod pool;
mod profile;
mod recording;
mod recovery;
mod scratch;
mod transfer;
mod upload;

pub use backend::{Backend, Excess, Executable, PlannedGraph, Planning, Reference};
pub use budget::{Budget, EncodeProgress};
pub(crate) use command::{Command, Recorder};
pub(crate) use divide::Longest;
#[cfg(not(target_arch = "wasm32"))]
pub use matrices::with_matrices;
pub use matrices::with_matrices_async;
use memory::{Arena, Memory, Weights, bind};
pub use pending::Pending;
pub use pool::WeightPool;
pub use profile::Profile;
pub use recording::{Readback, Recording};
pub use recovery::Recovery;
pub use scratch::Scratch;

use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Pipeline, Submission};
use crate::plan::{Plan, PlannedDispatch, Resource};
use crate::tensor::{HostTensor, Precision, Shape};
use overflow::Overflow;
use pace::Times;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// A plan with its buffers, pipelines and bind groups on a device.
#[derive(Debug)]
pub struct Session {
    gpu: Gpu,
    plan: Arc<Plan>,
    slots: Vec<Memory>,
    weights: Weights,
    uniforms: Arena,
    io: Vec<IoBuffer>,
    variables: Vec<wgpu::Buffer>,
    /// One for each dispatch of the plan.
    commands: Vec<Command>,
    /// Dispatches `[start, end)` of each submission.
    submissions: Vec<Range<usize>>,
    /// Only for `f16` plans.
    overflow: Option<Overflow>,
    /// Read-back buffers of [`Session::start`] that no run uses.
    spare: Vec<wgpu::Buffer>,
    /// Of dispatches and waits in runs with a pace.
    times: Times,
    /// Whether a wait has found its device lost.
    lost: bool,
}

#[derive(Debug)]
struct IoBuffer {
    buffer: wgpu::Buffer,
    offset: u64,
    /// The read-back buffer, created at the first read.
    staging: Option<wgpu::Buffer>,
    /// Whether the buffer is the caller's.
    foreign: bool,
}

/// A new buffer for an I/O binding.
struct NewBuffer {
    io_binding: usize,
    buffer: IoBuffer,
}

impl Session {
    /// Makes a plan resident. `stored` returns each parameter of the checkpoint, and the initial value of each persistent
    /// variable, by name and dimensions.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(gpu: &Gpu, plan: Plan, stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>) -> Result<Self> {
        block_on(Self::new_async(gpu, plan, stored))
    }

    /// [`Self::new`] as a future.
    pub async fn new_async(
        gpu: &Gpu,
        plan: Plan,
        stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<Self> {
        Self::new_sharing(gpu, plan, stored, &WeightPool::default(), None).await
    }

    /// [`Self::new_async`] with weights in a pool of the model on this device, and activations in memory that other sessions use
    /// too, if the plan was made with [`PlanOptions::reused_memory`](crate::kernel::PlanOptions::reused_memory). Its
    /// [`Self::device_bytes`] count the weights that it is the first to upload, and no shared activations.
    pub async fn new_sharing(
        gpu: &Gpu,
        plan: Plan,
        mut stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
        pool: &WeightPool,
        scratch: Option<&Scratch>,
    ) -> Result<Self> {
        gpu.check_device("preparing a session")?;
        let shared = pool.find(&plan);
        // Weights first: a wrong checkpoint must fail before any GPU work.
        let values = match plan.variables.is_empty() && shared.iter().all(Option::is_some) {
            false => plan.evaluate_parameters(&mut stored)?,
            // All are uploaded, so a plan with the same parameters was evaluated before.
            true => plan.check_references().map(|()| Vec::new())?,
        };
        let usage = wgpu::BufferUsages::STORAGE;
        let allocated = gpu.scoped_async("allocating buffers", || {
            let weights = Weights::new(gpu, &plan.weights, &shared)?;
            let uniforms = divide::uniforms(gpu, &plan)?;
            let buffer = |label: &str, size: u64, usage| gpu.buffer(label, size.max(16).div_ceil(4) * 4, usage);
            let slots = Memory::slots(gpu, &plan, scratch)?;
            let io = plan.io.iter().map(|p| {
                let copy = if p.is_input { wgpu::BufferUsages::COPY_DST } else { wgpu::BufferUsages::COPY_SRC };
                let buffer = buffer(&p.names[0], p.bytes(), usage | copy)?;
                Ok(IoBuffer { buffer, offset: 0, staging: None, foreign: false })
            });
            let io = io.collect::<Result<_>>()?;
            let copies = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            let variables = plan.variables.iter().map(|s| buffer(&s.name, s.bytes, usage | copies));
            Ok((weights, uniforms, slots, io, variables.collect::<Result<Vec<_>>>()?))
        });
        let (weights, uniforms, slots, io, variables) = allocated.await?;
        let written = gpu.scoped_async("uploading weights", || {
            upload::weights(gpu, &plan, &weights, &shared, &values)?;
            for (buffer, variable) in variables.iter().zip(&plan.variables) {
                let value = values[variable.value.index()].as_ref().map_or(&[][..], HostTensor::data);
                gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(value));
            }
            divide::write(gpu, &plan, &uniforms);
            Ok(())
        });
        written.await?;
        let pipelines = divide::pipelines(gpu, &plan).await?;
        let submissions = split(&plan.dispatches, gpu.target().preset().submission_macs);
        let overflow = match plan.precision {
            Precision::F32 => None,
            Precision::F16 => Some(gpu.scoped_async("allocating buffers", || Overflow::new(gpu, &plan)).await?),
        };
        let mut session = Self {
            gpu: gpu.clone(),
            plan: Arc::new(plan),
            slots,
            weights,
            uniforms,
            io,
            variables,
            commands: Vec::new(),
            submissions,
            overflow,
            spare: Vec::new(),
            times: Times::default(),
            lost: false,
        };
        let bound = gpu.scoped_async("binding", || session.bound(&pipelines));
        session.commands = bound.await?;
        // Sends the uploads, so that the device gives their memory back, and finds out whether it was lost on the way.
        gpu.wait_async(gpu.submit_named("uploads", [])).await?;
        pool.add(&session.plan, &session.weights);
        Ok(session)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The device it lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Bytes of device memory held: activations, weights, parameters, inputs, outputs and read-back copies.
    pub fn device_bytes(&self) -> u64 {
        let own = self.io.iter().filter(|p| !p.foreign).map(|p| p.buffer.size());
        let staging = self.io.iter().filter_map(|p| p.staging.as_ref()).map(wgpu::Buffer::size);
        let slots = self.slots.iter().map(Memory::bytes);
        let overflow = self.overflow.as_ref().map_or(0, Overflow::bytes);
        let slots = slots.chain(self.variables.iter().chain(&self.spare).map(wgpu::Buffer::size));
        overflow + self.weights.new_bytes() + self.uniforms.bytes() + slots.chain(own).chain(staging).sum::<u64>()
    }

    /// Bytes of [`Self::device_bytes`] that are weights: those that it was the first to upload.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.new_bytes()
    }

    /// The bind group of a dispatch; `new` replaces the buffer of its I/O binding.
    fn bind_group(&self, index: usize, pipeline: &Pipeline, new: Option<&NewBuffer>) -> Result<wgpu::BindGroup> {
        let s = &self.plan.dispatches[index];
        if pipeline.bindings.len() != s.bindings.len() + 1 {
            let reason = format!("{} binds {} buffers", s.kernel, s.bindings.len());
            return Err(Error::op(&s.label, format!("{reason}, the shader declares {}", pipeline.bindings.len())));
        }
        let resource = |r: &Resource| match *r {
            Resource::Slot { slot, offset, bytes, writes } => Ok(self.slots[slot].binding(offset, bytes, writes)),
            Resource::Weights(w) => Ok(self.weights.binding(w)),
            Resource::IoBinding { io_binding, .. } => {
                let p = new.filter(|n| n.io_binding == io_binding).map_or(&self.io[io_binding], |n| &n.buffer);
                Ok(bind(&p.buffer, p.offset, self.plan.io[io_binding].bytes()))
            }
            Resource::Variable { variable, .. } => {
                Ok(bind(&self.variables[variable], 0, self.plan.variables[variable].bytes))
            }
            Resource::Overflow(node) => match &self.overflow {
                Some(overflow) => Ok(overflow.binding(node)),
                None => Err(Error::op(&s.label, "an f32 plan binds the guard of f16 plans")),
            },
        };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: self.uniforms.binding(index) }];
        for (binding, r) in (1u32..).zip(&s.bindings) {
            entries.push(wgpu::BindGroupEntry { binding, resource: resource(r)? });
        }
        Ok(self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&s.label),
            layout: &pipeline.layout,
            entries: &entries,
        }))
    }

    fn io_binding(&self, name: &str) -> Result<usize> {
        let known = || self.plan.io.iter().flat_map(|p| p.names.clone()).collect::<Vec<_>>().join(", ");
        self.plan.io_binding(name).ok_or_else(|| {
            Error::invalid(format!("input or output `{name}`"), format!("unknown; available: {}", known()))
        })
    }

    /// Shape of an input or output.
    pub fn shape(&self, name: &str) -> Result<Shape> {
        Ok(self.plan.io[self.io_binding(name)?].desc.shape)
    }

    /// Lets the plan read an input from, or write an output to, a buffer of the caller (plain NCHW `f32`, usage
    /// `STORAGE`, `offset` a multiple of the device's storage alignment) instead of the session's own.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn bind_buffer(&mut self, name: &str, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        block_on(self.bind_buffer_async(name, buffer, offset))
    }

    /// [`Self::bind_buffer`] as a future.
    pub async fn bind_buffer_async(&mut self, name: &str, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        let io_binding = self.io_binding(name)?;
        let bytes = self.plan.io[io_binding].bytes();
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::invalid(format!("buffer for `{name}`"), "has no STORAGE usage"));
        }
        if !offset.is_multiple_of(self.gpu.caps().storage_alignment) {
            let reason = format!("offset {offset} is not a multiple of {}", self.gpu.caps().storage_alignment);
            return Err(Error::invalid(format!("buffer for `{name}`"), reason));
        }
        if buffer.size().checked_sub(offset).is_none_or(|rest| rest < bytes) {
            let reason = format!("{} bytes from offset {offset}, {bytes} are needed", buffer.size());
            return Err(Error::invalid(format!("buffer for `{name}`"), reason));
        }
        let buffer = IoBuffer { buffer: buffer.clone(), offset, staging: None, foreign: true };
        let new = NewBuffer { io_binding, buffer };
        let uses = |r: &Resource| matches!(r, Resource::IoBinding { io_binding: p, .. } if *p == io_binding);
        let dispatches = self.plan.dispatches.iter().enumerate().filter(|(_, s)| s.bindings.iter().any(uses));
        let what = format!("binding a buffer to `{name}`");
        let groups = self.gpu.scoped_async(&what, || {
            dispatches
                .map(|(i, _)| Ok((i, self.bind_group(i, &self.commands[i].pipeline, Some(&new))?)))
                .collect::<Result<Vec<_>>>()
        });
        // A failure, such as a buffer of another device, leaves the session unchanged.
        for (dispatch, group) in groups.await? {
            self.commands[dispatch].group = group;
        }
        self.io[io_binding] = new.buffer;
        Ok(())
    }

    /// Writes an input, NCHW.
    pub fn write(&self, name: &str, data: &[f32]) -> Result<()> {
        let io_binding = self.io_binding(name)?;
        self.check_input(io_binding, name, data.len())?;
        let to = &self.io[io_binding];
        transfer::write(&self.gpu, name, &to.buffer, to.offset, bytemuck::cast_slice(data))
    }

    /// Checks that so many elements can be written to an input.
    fn check_input(&self, io_binding: usize, name: &str, len: usize) -> Result<()> {
        let (p, b) = (&self.plan.io[io_binding], &self.io[io_binding]);
        let shape = p.desc.shape;
        let reason = if !p.is_input {
            "is an output".into()
        } else if len != shape.len() {
            format!("{len} elements, shape {shape} has {}", shape.len())
        } else if b.foreign && !b.buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
            "is bound to a buffer without COPY_DST usage".into()
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("input `{name}`"), reason))
    }

    /// Records the whole plan into a command encoder of the caller, who submits it. It is one submission: for a network that
    /// takes seconds on a slow device use [`Self::run_with`].
    ///
    /// The results of an `f16` plan are valid only if [`Self::check_range`] then succeeds.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.clear_overflow(encoder);
        self.encode_dispatches(encoder, 0..self.plan.dispatches.len(), None);
    }

    /// Records what a run begins with, outside a pass.
    pub(crate) fn begin_run(&self, encoder: &mut wgpu::CommandEncoder) {
        self.clear_overflow(encoder);
    }

    /// The dispatches of a run, to be recorded between others. Those of one run must follow each other in order, and no other run
    /// may come between them.
    pub(crate) fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// The buffer of an input or output, plain NCHW `f32` from its first byte unless it is the caller's.
    pub(crate) fn io_buffer(&self, name: &str) -> Result<&wgpu::Buffer> {
        Ok(&self.io[self.io_binding(name)?].buffer)
    }

    fn clear_overflow(&self, encoder: &mut wgpu::CommandEncoder) {
        if let Some(overflow) = &self.overflow {
            overflow.clear(encoder);
        }
    }

    fn encode_dispatches(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        dispatches: Range<usize>,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) {
        let pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("unet"), timestamp_writes });
        Recorder::new(pass).record(&self.commands[dispatches]);
    }

    /// Optional: moves lazy driver compilation ahead of the first run, since some drivers compile a kernel only when it is
    /// first dispatched. Runs one workgroup of every kernel, on whatever is in the session's buffers; outputs are
    /// meaningless until the next run.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn warm_up(&mut self) -> Result<()> {
        block_on(self.warm_up_async())
    }

    /// [`Self::warm_up`] as a future.
    pub async fn warm_up_async(&mut self) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        let dispatches = &self.plan.dispatches;
        let first: Vec<usize> = (0..dispatches.len()).filter(|&i| seen.insert(&dispatches[i].kernel)).collect();
        let submitted = self.gpu.scoped_async("warming up", || {
            let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                for &i in &first {
                    pass.set_pipeline(&self.commands[i].pipeline.pipeline);
                    pass.set_bind_group(0, &self.commands[i].group, &[]);
                    pass.dispatch_workgroups(1, 1, 1);
                }
            }
            Ok(self.gpu.submit_named("one workgroup of every kernel", [encoder.finish()]))
        });
        let submission = submitted.await?;
        self.gpu.wait_async(submission).await.inspect_err(|e| self.note_loss(e))
    }

    /// Runs the plan and waits for it. Fails with [`Error::F16Range`] if an `f16` plan stores a value that `f16` cannot hold:
    /// its outputs are then invalid, but the session remains usable.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self) -> Result<()> {
        block_on(self.run_async())
    }

    /// [`Self::run`] as a future.
    pub async fn run_async(&mut self) -> Result<()> {
        self.run_with_async(|_, _| Ok(())).await
    }

    /// Runs the plan in several submissions, each small enough that no driver's watchdog resets the device;
    /// `progress(done, of)` is called between them and may cancel by returning an error.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_with(&mut self, progress: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        block_on(self.run_with_async(progress))
    }

    /// [`Self::run_with`] as a future. Dropping it early cancels the run; the session remains usable.
    pub async fn run_with_async(&mut self, mut progress: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        self.check_alive()?;
        if let Some(pace) = self.gpu.pace() {
            self.run_paced(pace, &mut progress).await?;
            self.check_range_async().await?;
            let of = self.plan.dispatches.len();
            return progress(of, of);
        }
        let of = self.submissions.len();
        let mut in_flight = VecDeque::new();
        for done in 0..of {
            progress(done, of)?;
            in_flight.push_back(self.submit_dispatches(self.submissions[done].clone(), done == 0).await?);
            // With two in flight the device never idles, and cancelling is quick.
            if in_flight.len() > 2
                && let Some(oldest) = in_flight.pop_front()
            {
                self.gpu.wait_async(oldest).await.inspect_err(|e| self.note_loss(e))?;
            }
        }
        if let Some(last) = in_flight.pop_back() {
            self.gpu.wait_async(last).await.inspect_err(|e| self.note_loss(e))?;
        }
        self.check_range_async().await?;
        progress(of, of)
    }

    fn check_alive(&self) -> Result<()> {
        if self.lost { Err(self.gpu.lost("running a session", "make a new session on another device")) } else { Ok(()) }
    }

    fn note_loss(&mut self, e: &Error) {
        self.lost |= matches!(e, Error::DeviceLost(_));
    }

    /// Dispatches by name, for messages.
    fn named(&self, dispatches: &Range<usize>) -> String {
        let label = |i: usize| self.plan.dispatches.get(i).map_or("", |d| d.label.as_str());
        let (first, last, of) = (dispatches.start, dispatches.end.saturating_sub(1), self.plan.dispatches.len());
        match first == last {
            true => format!("`{}` (dispatch {first} of {of})", label(first)),
            false => format!("`{}` to `{}` (dispatches {first} to {last} of {of})", label(first), label(last)),
        }
    }

    /// Submits some of the plan's dispatches; `first` if they begin a run.
    async fn submit_dispatches(&self, dispatches: Range<usize>, first: bool) -> Result<Submission> {
        let what = self.named(&dispatches);
        let submitted = self.gpu.scoped_async(&what, || {
            let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            if first {
                self.clear_overflow(&mut encoder);
            }
            self.encode_dispatches(&mut encoder, dispatches.clone(), None);
            Ok(self.gpu.submit_named(what.clone(), [encoder.finish()]))
        });
        submitted.await
    }

    /// Reads an output, NCHW.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&mut self, name: &str) -> Result<HostTensor> {
        block_on(self.read_async(name))
    }

    /// [`Self::read`] as a future.
    pub async fn read_async(&mut self, name: &str) -> Result<HostTensor> {
        let io_binding = self.io_binding(name)?;
        let desc = self.plan.io[io_binding].desc;
        let gpu = self.gpu.clone();
        let p = &mut self.io[io_binding];
        if !p.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::invalid(format!("output `{name}`"), "is in a buffer without COPY_SRC usage"));
        }
        let bytes = self.plan.io[io_binding].bytes();
        // A cancelled read leaves its buffer mapped, so it is not put back.
        let staging = match p.staging.take() {
            Some(staging) => staging,
            None => transfer::staging(&gpu, bytes)?,
        };
        let submission = transfer::copy(&gpu, name, (&p.buffer, p.offset), &staging, bytes).await?;
        let mut data = transfer::read(&gpu, name, &staging, submission).await?;
        p.staging = Some(staging);
        data.truncate(desc.shape.len());
        HostTensor::new(desc.shape.dims(), data)
    }

    /// Writes the inputs, runs, and reads every output under each of its names.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_all(&mut self, inputs: &BTreeMap<String, HostTensor>) -> Result<BTreeMap<String, HostTensor>> {
        block_on(self.run_all_async(inputs))
    }

    /// [`Self::run_all`] as a future.
    pub async fn run_all_async(
        &mut self,
        inputs: &BTreeMap<String, HostTensor>,
    ) -> Result<BTreeMap<String, HostTensor>> {
        for io_binding in self.plan.clone().io.iter().filter(|p| p.is_input) {
            let name = &io_binding.names[0];
            let t = inputs.get(name).ok_or_else(|| Error::invalid(format!("input `{name}`"), "is missing"))?;
            if t.shape()? != io_binding.desc.shape {
                let reason = format!("the plan is for shape {}, got {:?}", io_binding.desc.shape, t.dims());
                return Err(Error::invalid(format!("input `{name}`"), reason));
            }
            self.write(name, t.data())?;
        }
        self.run_async().await?;
        let mut outputs = BTreeMap::new();
        for io_binding in self.plan.clone().io.iter().filter(|p| !p.is_input) {
            let value = self.read_async(&io_binding.names[0]).await?;
            for name in &io_binding.names {
                outputs.insert(name.clone(), value.clone());
            }
        }
        Ok(outputs)
    }
}

/// Groups dispatches into submissions, each of which ends when it reaches `budget` multiply-adds.
fn split(dispatches: &[PlannedDispatch], budget: u64) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut work) = (0, 0u64);
    for (i, dispatch) in dispatches.iter().enumerate() {
        work += dispatch.macs;
        if work >= budget || i + 1 == dispatches.len() {
            groups.push(start..i + 1);
            (start, work) = (i + 1, 0);
        }
    }
    groups
}
