//! What a size of image needs besides the buffers of all sizes: parameters and bind groups.

use super::layout::Layout;
use super::rules::Rule;
use super::steps::{Bound, Placement, Step, after, before};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Pipeline};
use crate::infer::tile::graph::{INFO, LOGITS, MASK, PROBABILITY, WINDOW};
use crate::kernel::KernelKey;
use crate::ops::ImageInfo;
use crate::session::{Command, Session};
use std::collections::HashMap;
use std::sync::Arc;

/// The buffers around the network, for the largest image.
#[derive(Debug)]
pub(super) struct Buffers {
    pub pixels: wgpu::Buffer,
    pub stats: wgpu::Buffer,
    pub sums: wgpu::Buffer,
    pub rules: wgpu::Buffer,
    pub palette: wgpu::Buffer,
    pub results: Vec<wgpu::Buffer>,
}

impl Buffers {
    pub(super) fn bytes(&self) -> u64 {
        let fixed = [&self.pixels, &self.stats, &self.sums, &self.rules, &self.palette];
        fixed.into_iter().chain(&self.results).map(wgpu::Buffer::size).sum()
    }
}

/// Compiled kernels.
pub(super) type Pipelines = HashMap<KernelKey, Arc<Pipeline>>;

/// A size of image, ready to be recorded.
#[derive(Debug)]
pub(super) struct PreparedSize {
    pub place: Placement,
    /// Position, size and normalisation of the image, as far as they are known: copied ahead of the statistics.
    pub info: wgpu::Buffer,
    pub before: Vec<Command>,
    pub after: Vec<Command>,
    bytes: u64,
}

impl PreparedSize {
    /// Compiles nothing.
    pub(super) fn new(
        gpu: &Gpu,
        layout: &Layout,
        pipelines: &Pipelines,
        buffers: &Buffers,
        sessions: &[Session],
        place: Placement,
    ) -> Result<Self> {
        let session = sessions.get(place.network).ok_or_else(|| Error::invalid("frame", "has no such network"))?;
        let steps = [before(layout, place), after(layout, place)];
        let align = gpu.caps().uniform_alignment;
        let mut content = Vec::new();
        let mut offsets = Vec::new();
        for step in steps.iter().flatten() {
            content.resize(content.len().next_multiple_of(align as usize), 0);
            offsets.push(content.len() as u64);
            content.extend_from_slice(bytemuck::cast_slice(&step.params));
        }
        let uniforms = gpu.filled_buffer("frame parameters", &content, wgpu::BufferUsages::UNIFORM)?;
        let words = info(layout, place).words();
        let info = gpu.filled_buffer("frame position", bytemuck::cast_slice(&words), wgpu::BufferUsages::COPY_SRC)?;
        let mut offset = offsets.into_iter();
        let mut command = |step: &Step| {
            let pipeline = pipelines.get(&step.kernel);
            let pipeline = pipeline.ok_or_else(|| Error::op(step.kernel.to_string(), "is not compiled"))?;
            let size = std::num::NonZeroU64::new(step.params.len() as u64 * 4);
            let params = wgpu::BufferBinding { buffer: &uniforms, offset: offset.next().unwrap_or(0), size };
            let mut entries =
                vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(params) }];
            for (binding, bound) in (1u32..).zip(&step.bindings) {
                let resource = buffer_of(*bound, buffers, session)?.as_entire_binding();
                entries.push(wgpu::BindGroupEntry { binding, resource });
            }
            let group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(step.kernel.shader),
                layout: &pipeline.layout,
                entries: &entries,
            });
            Ok(Command { pipeline: pipeline.clone(), group, workgroups: step.workgroups })
        };
        let [before, after] = &steps;
        let before = before.iter().map(&mut command).collect::<Result<_>>()?;
        let after = after.iter().map(&mut command).collect::<Result<_>>()?;
        let bytes = uniforms.size() + info.size();
        Ok(Self { place, info, before, after, bytes })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn buffer_of<'a>(bound: Bound, buffers: &'a Buffers, session: &'a Session) -> Result<&'a wgpu::Buffer> {
    match bound {
        Bound::Pixels => Ok(&buffers.pixels),
        Bound::Stats => Ok(&buffers.stats),
        Bound::Sums => Ok(&buffers.sums),
        Bound::Rules => Ok(&buffers.rules),
        Bound::Palette => Ok(&buffers.palette),
        Bound::Window => session.io_buffer(WINDOW),
        Bound::Info => session.io_buffer(INFO),
        Bound::Mask => session.io_buffer(MASK),
        Bound::Probability => session.io_buffer(PROBABILITY),
        Bound::Logits => session.io_buffer(LOGITS),
        Bound::Result(i) => buffers.results.get(i).ok_or_else(|| Error::invalid("frame", "has no such result")),
    }
}

/// The position of an image in the network's input, and what is known of its normalisation.
fn info(layout: &Layout, place: Placement) -> ImageInfo {
    let channels = match &layout.rule {
        Rule::Fixed(maps) => maps.iter().map(|a| [a.offset, a.scale, a.low, a.high]).collect(),
        // The scale ahead of the first step that depends on the image.
        Rule::Measured { .. } => vec![[0.0, 1.0, 0.0, 0.0]; layout.channels],
    };
    let margin = layout.margin as i64;
    ImageInfo { tile: [-margin, -margin], window: [0, 0], image: place.size, channels }
}
