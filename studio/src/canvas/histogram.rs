//! Percentiles of an image's channels, counted on the device over some frames, and read back without waiting.

use super::buffer::buffer;
use super::image::{LimitsRequest, Part, planes};
use bytemuck::{Pod, Zeroable};
use eframe::wgpu;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use unet_wgpu::low_level::infer::Sample;

/// At most so many columns and rows count: of larger images, every second, third, ... pixel.
const SIDE: usize = 2048;
/// Samples per frame.
const CHUNK: usize = 1 << 20;
const BINS: usize = 1 << 16;
const BIN_BYTES: u64 = 2 * BINS as u64 * 4;
const GROUPS: u32 = 256;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    count: u32,
    pass: u32,
    stride: u32,
    first: u32,
    second: u32,
    unused: [u32; 3],
}

/// Counts for one request after the other.
pub(super) struct Counter {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    params: wgpu::Buffer,
    samples: wgpu::Buffer,
    bins: wgpu::Buffer,
    waiting: VecDeque<LimitsRequest>,
    job: Option<Job>,
}

struct Job {
    request: LimitsRequest,
    channel: usize,
    found: Vec<[f32; 2]>,
    pass: Pass,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    U8,
    U16,
    Upper,
    /// The upper halves of both keys, and their ranks among the keys with these.
    Lower([Place; 2]),
}

/// A bin, and which of its samples is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    bin: u32,
    rank: u64,
}

enum State {
    /// Rows so far.
    Counting(usize),
    Copied(wgpu::Buffer),
    Reading(wgpu::Buffer, Arc<AtomicU8>),
}

impl Counter {
    pub fn new(device: &wgpu::Device) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("histogram"),
            source: wgpu::ShaderSource::Wgsl(include_str!("../../shaders/histogram.wgsl").into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("histogram"),
            layout: None,
            module: &module,
            entry_point: Some("count"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let copy = wgpu::BufferUsages::COPY_DST;
        let params = buffer(device, "histogram params", size_of::<Params>() as u64, wgpu::BufferUsages::UNIFORM | copy);
        let samples = buffer(device, "histogram samples", CHUNK as u64 * 4, wgpu::BufferUsages::STORAGE | copy);
        let bins = buffer(
            device,
            "histogram bins",
            BIN_BYTES,
            wgpu::BufferUsages::STORAGE | copy | wgpu::BufferUsages::COPY_SRC,
        );
        let buffers = [&params, &samples, &bins];
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, b)| wgpu::BindGroupEntry { binding, resource: b.as_entire_binding() })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("histogram"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self { pipeline, group, params, samples, bins, waiting: VecDeque::new(), job: None }
    }

    pub fn request(&mut self, request: LimitsRequest) {
        self.waiting.push_back(request);
    }

    /// A frame's share of the work. True while there is more.
    pub fn step(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, encoder: &mut wgpu::CommandEncoder) -> bool {
        if self.job.as_ref().is_none_or(|j| !j.request.image.still_wants(j.request.request)) {
            self.job = self.waiting.pop_front().map(Job::new);
        }
        let Some(job) = &mut self.job else { return false };
        match &job.state {
            State::Counting(row) => {
                let row = *row;
                if row == 0 {
                    encoder.clear_buffer(&self.bins, 0, None);
                }
                let (bytes, count, next) = job.samples(row);
                let (pass, places) = job.pass.number();
                let groups = (count as u32).div_ceil(256).clamp(1, GROUPS);
                let params = Params {
                    count: count as u32,
                    pass,
                    stride: groups * 256,
                    first: places[0].bin,
                    second: places[1].bin,
                    unused: [0; 3],
                };
                queue.write_buffer(&self.params, 0, bytemuck::bytes_of(&params));
                queue.write_buffer(&self.samples, 0, &bytes);
                let mut counting = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some("histogram"),
                    timestamp_writes: None,
                });
                counting.set_pipeline(&self.pipeline);
                counting.set_bind_group(0, &self.group, &[]);
                counting.dispatch_workgroups(groups, 1, 1);
                drop(counting);
                job.state = State::Counting(next);
                if next >= job.rows() {
                    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                    let copy = buffer(device, "histogram copy", BIN_BYTES, usage);
                    encoder.copy_buffer_to_buffer(&self.bins, 0, &copy, 0, BIN_BYTES);
                    job.state = State::Copied(copy);
                }
            }
            // The copy was submitted with the last frame.
            State::Copied(copy) => {
                let done = Arc::new(AtomicU8::new(0));
                let told = done.clone();
                copy.map_async(wgpu::MapMode::Read, .., move |result| {
                    told.store(if result.is_ok() { 1 } else { 2 }, Ordering::Release);
                });
                job.state = State::Reading(copy.clone(), done);
            }
            State::Reading(copy, done) => {
                if let Err(error) = device.poll(wgpu::PollType::Poll) {
                    log::debug!("polling the device: {error}");
                }
                match done.load(Ordering::Acquire) {
                    0 => {}
                    1 => {
                        let bins: Option<Vec<u32>> =
                            copy.slice(..).get_mapped_range().ok().map(|m| bytemuck::pod_collect_to_vec(&m));
                        copy.unmap();
                        if bins.is_none_or(|bins| job.take(&bins)) {
                            self.job = None;
                        }
                    }
                    _ => {
                        log::warn!("the contrast of an image could not be read back");
                        self.job = None;
                    }
                }
            }
        }
        self.job.is_some() || !self.waiting.is_empty()
    }
}

impl Pass {
    fn number(self) -> (u32, [Place; 2]) {
        match self {
            Self::U8 => (0, Default::default()),
            Self::U16 => (1, Default::default()),
            Self::Upper => (2, Default::default()),
            Self::Lower(places) => (3, places),
        }
    }
}

impl Job {
    fn new(request: LimitsRequest) -> Self {
        let pass = Self::first_pass(&request);
        Self { request, channel: 0, found: Vec::new(), pass, state: State::Counting(0) }
    }

    fn first_pass(request: &LimitsRequest) -> Pass {
        match request.image.pixels().pixels().sample() {
            Sample::U8 => Pass::U8,
            Sample::U16 => Pass::U16,
            Sample::F32 => Pass::Upper,
        }
    }

    fn whole(&self) -> Part {
        let size = self.request.image.size();
        Part::whole(size, (size[0].max(size[1]) as usize).div_ceil(SIDE))
    }

    fn rows(&self) -> usize {
        self.whole().size[1]
    }

    /// The samples from a row on, how many, and the row after them.
    fn samples(&self, row: usize) -> (Vec<u8>, usize, usize) {
        let whole = self.whole();
        let rows = (CHUNK / whole.size[0]).min(whole.size[1] - row);
        let part = Part { at: [0, row * whole.step], size: [whole.size[0], rows], step: whole.step };
        let mut bytes = planes(self.request.image.pixels(), part, &[self.channel as u16]);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        (bytes, part.size[0] * rows, row + rows)
    }

    /// Takes the counts of a pass. True after the last pass of the last channel.
    fn take(&mut self, bins: &[u32]) -> bool {
        let (first, second) = bins.split_at(BINS);
        let places = |counts: &[u32]| ranks(counts, self.request.percentiles).map(|rank| place(counts, rank));
        let limits = match self.pass {
            Pass::U8 | Pass::U16 => places(first).map(|p| p.bin as f32),
            // Nothing is a number.
            Pass::Upper if first.iter().all(|&n| n == 0) => [0.0, 1.0],
            Pass::Upper => {
                (self.pass, self.state) = (Pass::Lower(places(first)), State::Counting(0));
                return false;
            }
            Pass::Lower([low, high]) => [(low, first), (high, second)]
                .map(|(upper, counts)| value(upper.bin << 16 | place(counts, upper.rank).bin)),
        };
        self.found.push(limits);
        self.channel += 1;
        if self.channel < self.request.image.pixels().channels() {
            (self.pass, self.state) = (Self::first_pass(&self.request), State::Counting(0));
            return false;
        }
        self.request.image.answer(self.request.request, std::mem::take(&mut self.found));
        true
    }
}

/// The ranks of two percentiles, from 0.
fn ranks(counts: &[u32], percentiles: [f64; 2]) -> [u64; 2] {
    let count: u64 = counts.iter().map(|&n| u64::from(n)).sum();
    percentiles.map(|p| (p.clamp(0.0, 100.0) / 100.0 * count.saturating_sub(1) as f64) as u64)
}

/// The bin that holds a rank.
fn place(counts: &[u32], mut rank: u64) -> Place {
    for (bin, &count) in counts.iter().enumerate() {
        if rank < u64::from(count) {
            return Place { bin: bin as u32, rank };
        }
        rank -= u64::from(count);
    }
    Place::default()
}

fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & 0x7fff_ffff } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_found_in_bins() {
        let counts = [0, 3, 0, 2];
        assert_eq!(ranks(&counts, [0.0, 100.0]), [0, 4]);
        assert_eq!(place(&counts, 2), Place { bin: 1, rank: 2 });
        assert_eq!(place(&counts, 4), Place { bin: 3, rank: 1 });
        assert_eq!(place(&[0, 0], 0), Place::default());
    }

    #[test]
    fn keys_are_in_the_order_of_the_floats() {
        let key = |v: f32| {
            let bits = v.to_bits();
            if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 }
        };
        let values = [f32::MIN, -2.5, -1e-30, 0.0, 3e-9, 7.0, f32::MAX];
        assert!(values.windows(2).all(|w| key(w[0]) < key(w[1])));
        assert!(values.iter().all(|&v| value(key(v)) == v));
    }
}
