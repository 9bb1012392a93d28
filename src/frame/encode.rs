//! A prepared frame, and how it is recorded.

mod measure;

use super::format::{FrameInput, FrameOutput, OutputTarget, Roi};
use super::job::{Job, texture_placement};
use super::layout::Layout;
use super::sized::{Buffers, Pipelines, PreparedSize};
use super::steps::Placement;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::infer::tile::graph::INFO;
use crate::plan::Plan;
use crate::session::{Budget, EncodeProgress, Recorder, Scratch, Session};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of images that stay ready.
const MAX_SIZES: usize = 16;

/// A network prepared for images up to a size, with the same pixels and results each time. Recording allocates nothing on the
/// device, except for an image of a size that is new ([`Self::prepare_size`]); the 16 latest sizes stay ready.
///
/// Frames that are submitted run one after another: they share the frame's memory, and the device executes submissions in order.
/// So any number may be in flight, each with textures and buffers of its own.
#[derive(Debug)]
pub struct Frame {
    gpu: Gpu,
    layout: Layout,
    /// One per network of the layout.
    sessions: Vec<Session>,
    pipelines: Pipelines,
    buffers: Buffers,
    sizes: Vec<PreparedSize>,
    job: Option<Job>,
    /// Milliseconds of each dispatch of each network; empty until measured.
    times: Vec<Vec<f64>>,
    /// Activations that other frames use too.
    scratch: Option<Scratch>,
    /// What the scratch memory knows the frame by; not 0.
    user: u64,
}

/// Users of scratch memory so far.
static USERS: AtomicU64 = AtomicU64::new(0);

impl Frame {
    pub(super) fn new(
        gpu: Gpu,
        layout: Layout,
        sessions: Vec<Session>,
        pipelines: Pipelines,
        buffers: Buffers,
        scratch: Option<Scratch>,
    ) -> Result<Self> {
        let sizes = Vec::with_capacity(MAX_SIZES);
        let [height, width] = layout.size;
        let user = 1 + USERS.fetch_add(1, Ordering::Relaxed);
        let (job, times) = (None, Vec::new());
        let mut frame = Self { gpu, layout, sessions, pipelines, buffers, sizes, job, times, scratch, user };
        frame.prepare_size(width as u32, height as u32)?;
        Ok(frame)
    }

    /// Makes a size of image ready, in a texture; [`Self::encode`] does so itself when it meets a new size or new strides.
    pub fn prepare_size(&mut self, width: u32, height: u32) -> Result<()> {
        let place = texture_placement(&self.layout, Roi::of_size(width, height));
        self.size(place).map(drop)
    }

    /// The index of a size, created if it is new.
    fn size(&mut self, place: Placement) -> Result<usize> {
        if let Some(at) = self.sizes.iter().position(|s| s.place == place) {
            return Ok(at);
        }
        let Self { gpu, layout, pipelines, buffers, sessions, .. } = &*self;
        gpu.check_device("preparing a size")?;
        let new = || PreparedSize::new(gpu, layout, pipelines, buffers, sessions, place);
        let sized = gpu.guarded("preparing a size", new)?;
        if self.sizes.len() == MAX_SIZES {
            self.sizes.remove(0);
        }
        self.sizes.push(sized);
        Ok(self.sizes.len() - 1)
    }

    /// Records a frame: copies of the host's pixels, statistics, the network, the results, copies of the results. `outputs` are
    /// in the order in which they were prepared. The image lies at the first pixel of the network's input and is mirrored
    /// beyond its edges.
    ///
    /// Everything is checked first: on an error nothing is recorded. A frame that [`Self::encode_some`] has begun is dropped.
    pub fn encode(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        input: FrameInput,
        outputs: &[OutputTarget],
        roi: Roi,
    ) -> Result<()> {
        self.start(input, outputs, roi)?;
        self.encode_some(encoder, Budget::All).map(drop)
    }

    /// Begins a frame that [`Self::encode_some`] records part by part. Nothing is recorded yet. The input is read by the first
    /// part, the outputs are written by the last one.
    pub fn start(&mut self, input: FrameInput, outputs: &[OutputTarget], roi: Roi) -> Result<()> {
        let job = Job::new(&self.layout, input, outputs, roi, self.job.take());
        self.scratch.iter().for_each(|s| s.release(self.user));
        let job = job?;
        self.size(job.place)?;
        self.job = Some(job);
        Ok(())
    }

    /// Records the next part of the frame that [`Self::start`] began. Parts may go into encoders of different submissions, in
    /// order. Once the frame is finished nothing more is recorded.
    ///
    /// [`Budget::Milliseconds`] needs the times of [`Self::measure`] or [`Self::divide`].
    pub fn encode_some(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<EncodeProgress> {
        if matches!(budget, Budget::Milliseconds(_)) && self.times.is_empty() {
            return Err(Error::invalid("budget", "milliseconds need the times of `measure`"));
        }
        let unstarted = || Error::invalid("frame", "was not started");
        let place = self.job.as_ref().ok_or_else(unstarted)?.place;
        let at = self.size(place)?;
        let (session, times) = (self.sessions.get(place.network), self.times.get(place.network));
        let (Some(job), Some(sized), Some(session)) = (&mut self.job, self.sizes.get(at), session) else {
            return Err(unstarted());
        };
        let of = sized.before.len() + session.plan().dispatches.len() + sized.after.len();
        let progress = EncodeProgress { done: job.done, of };
        if progress.finished() {
            return Ok(progress);
        }
        if self.scratch.as_ref().is_some_and(|s| !s.acquire(self.user)) {
            return Err(Error::invalid("frame", "shares its memory with a frame that is recorded in part"));
        }
        if job.done == 0 {
            job.copy_in(encoder, &self.layout, &self.buffers.pixels);
        }
        let end = budget.end(progress, times.map_or(&[][..], Vec::as_slice));
        record(encoder, session, sized, &self.buffers, &self.layout, job.done..end)?;
        if end == of {
            job.copy_out(encoder, &self.layout, &self.buffers.results);
            self.scratch.iter().for_each(|s| s.release(self.user));
        }
        job.done = end;
        Ok(EncodeProgress { done: end, of })
    }

    /// Drops the frame that was started. What is recorded of it may be submitted; its results are not written.
    pub fn cancel(&mut self) {
        self.job = None;
        self.scratch.iter().for_each(|s| s.release(self.user));
    }

    /// How far the frame is recorded that was started last; `None` without one.
    pub fn progress(&self) -> Option<EncodeProgress> {
        let job = self.job.as_ref()?;
        let sized = self.sizes.iter().find(|s| s.place == job.place)?;
        let session = self.sessions.get(job.place.network)?;
        let of = sized.before.len() + session.plan().dispatches.len() + sized.after.len();
        Some(EncodeProgress { done: job.done, of })
    }

    /// Fails with [`Error::F16Range`] if the last frame of an `f16` plan stored a value that `f16` cannot hold. Waits for the
    /// device; call it once the frame is submitted.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn check_range(&self) -> Result<()> {
        block_on(self.check_range_async())
    }

    /// [`Self::check_range`] as a future.
    pub async fn check_range_async(&self) -> Result<()> {
        for session in &self.sessions {
            session.check_range_async().await?;
        }
        Ok(())
    }

    /// Bytes from a row of a result in the host's buffer to the next, for images of this width.
    pub fn row_bytes(&self, output: FrameOutput, width: u32) -> Option<usize> {
        let request = self.layout.outputs.iter().find(|r| r.output == output)?;
        Some(request.row_bytes(width as usize))
    }

    /// Rows and columns of the largest image.
    pub fn max_size(&self) -> [usize; 2] {
        self.layout.size
    }

    /// Rows and columns of the networks' inputs, that of the largest image first.
    pub fn network_sizes(&self) -> &[[usize; 2]] {
        &self.layout.tiles
    }

    /// The plans of the networks, that of the largest image first.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.sessions.iter().map(Session::plan)
    }

    /// Bytes of device memory held, without the weights that an earlier frame of the model uploaded, and without [`Scratch`].
    pub fn device_bytes(&self) -> u64 {
        let sessions: u64 = self.sessions.iter().map(Session::device_bytes).sum();
        sessions + self.buffers.bytes() + self.sizes.iter().map(PreparedSize::bytes).sum::<u64>()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Records some of a frame's dispatches.
fn record(
    encoder: &mut wgpu::CommandEncoder,
    session: &Session,
    sized: &PreparedSize,
    buffers: &Buffers,
    layout: &Layout,
    part: Range<usize>,
) -> Result<()> {
    let (first, network) = (sized.before.len(), session.plan().dispatches.len());
    let last = first + network;
    if part.start == 0 {
        let info = session.io_buffer(INFO)?;
        encoder.copy_buffer_to_buffer(&sized.info, 0, info, 0, info.size().min(sized.info.size()));
        if layout.counts_values() {
            encoder.clear_buffer(&buffers.stats, 0, None);
        }
    }
    let within = |from: usize, to: usize| part.start.clamp(from, to) - from..part.end.clamp(from, to) - from;
    let middle = within(first, last);
    if middle.start == 0 && !middle.is_empty() {
        session.begin_run(encoder);
    }
    let descriptor = wgpu::ComputePassDescriptor { label: Some("unet frame"), timestamp_writes: None };
    let mut recorder = Recorder::new(encoder.begin_compute_pass(&descriptor));
    let after = within(last, last + sized.after.len());
    for (all, part) in [(&sized.before[..], within(0, first)), (session.commands(), middle), (&sized.after, after)] {
        recorder.record(all.get(part).unwrap_or_default());
    }
    Ok(())
}
