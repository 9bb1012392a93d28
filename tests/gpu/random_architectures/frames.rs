//! A random network inside an application's frames: in parts as at once, and as the segmenter.

use super::generator::{Case, Random};
use super::noise;
use super::worst::Worst;
use unet_wgpu::frame::{
    Budget, BufferInput, Frame, FrameInput, FrameModel, FrameOptions, FrameOutput, OutputRequest, OutputTarget,
    PixelFormat, PlaneFormat, Roi, SampleFormat, Strides,
};
use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::low_level::infer::{Ids, Image, Pixels, SegmentOptions, Segmenter};
use unet_wgpu::low_level::model::Model;
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::testing::network_tolerance;

/// What the application gets: the bytes of each output.
pub(crate) type Results = Vec<Vec<u8>>;

/// The application's side of a frame: an image of its own in a buffer, and buffers for every output.
pub(crate) struct Host<'a> {
    gpu: &'a Gpu,
    input: wgpu::Buffer,
    strides: Strides,
    roi: Roi,
    requests: Vec<OutputRequest>,
    outputs: Vec<wgpu::Buffer>,
}

impl<'a> Host<'a> {
    /// A frame of a case's network, for its image: `pixels`.
    pub(crate) fn prepare(
        gpu: &'a Gpu,
        case: &Case,
        model: &Model,
        class: usize,
        pixels: &[u16],
    ) -> unet_wgpu::Result<(Frame, Self)> {
        use wgpu::BufferUsages as Usage;
        let (channels, [w, h]) = (model.architecture.in_channels(), case.image);
        let probability = FrameOutput::Probability { class, format: PlaneFormat::F32 };
        let requests = [FrameOutput::Mask, probability, FrameOutput::Logits].map(OutputRequest::buffer).to_vec();
        let options = FrameOptions {
            size: [h, w],
            exact: vec![],
            input: PixelFormat::new(SampleFormat::U16, channels),
            outputs: requests.clone(),
            memory: None,
        };
        let frame = FrameModel::new(gpu, model.clone()).prepare(&options)?;
        let input = buffer(gpu, 2 * pixels.len() as u64, Usage::COPY_SRC | Usage::COPY_DST);
        let mut bytes = bytemuck::cast_slice(pixels).to_vec();
        bytes.resize(input.size() as usize, 0);
        gpu.queue().write_buffer(&input, 0, &bytes);
        let output = |request: &OutputRequest| {
            let planes = if request.output == FrameOutput::Logits { model.architecture.out_channels() } else { 1 };
            buffer(gpu, (request.row_bytes(w) * h * planes) as u64, Usage::COPY_SRC | Usage::COPY_DST)
        };
        let outputs = requests.iter().map(output).collect();
        let (strides, roi) = (Strides::interleaved(w, channels), Roi::of_size(w as u32, h as u32));
        Ok((frame, Self { gpu, input, strides, roi, requests, outputs }))
    }

    pub(crate) fn run(&self, frame: &mut Frame, mut budget: impl FnMut() -> Budget) -> unet_wgpu::Result<Results> {
        let targets: Vec<_> = self.outputs.iter().map(OutputTarget::buffer).collect();
        let from = BufferInput { buffer: &self.input, offset: 0, strides: self.strides };
        frame.start(FrameInput::Buffer(from), &targets, self.roi)?;
        loop {
            let mut encoder = self.encoder();
            let progress = frame.encode_some(&mut encoder, budget())?;
            self.gpu.scoped("a part of a frame", || Ok(self.gpu.queue().submit([encoder.finish()])))?;
            if progress.finished() {
                break;
            }
        }
        self.outputs.iter().map(|o| self.read(o)).collect()
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// The bytes of an output, which is cleared for the next run.
    fn read(&self, output: &wgpu::Buffer) -> unet_wgpu::Result<Vec<u8>> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = buffer(self.gpu, output.size(), usage);
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(output, 0, &staging, 0, output.size());
        encoder.clear_buffer(output, 0, None);
        let submission = self.gpu.queue().submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
        self.gpu.wait(submission)?;
        Ok(staging.get_mapped_range(..).unwrap().to_vec())
    }
}

fn buffer(gpu: &Gpu, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let size = size.next_multiple_of(4);
    gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

pub(super) fn check(gpu: &Gpu, case: &Case, model: &Model, worst: &mut Worst) -> Result<(), String> {
    let failed = |e: unet_wgpu::Error| format!("frame: {e}");
    let mut r = Random::new(case.seed.wrapping_add(1 << 32));
    let (channels, [w, h]) = (model.architecture.in_channels(), case.image);
    let pixels = noise(case.seed, w, h, channels);
    let class = r.within(1, model.classes().len() - 1);
    let (mut frame, host) = Host::prepare(gpu, case, model, class, &pixels).map_err(failed)?;
    let whole = host.run(&mut frame, || Budget::All).map_err(failed)?;
    let mut calls = 0;
    let in_parts = host.run(&mut frame, || {
        calls += 1;
        Budget::Dispatches(r.within(1, 9))
    });
    if in_parts.map_err(failed)? != whole {
        return Err(format!("frame: {calls} parts differ from one"));
    }
    worst.exact("frame in parts = at once");

    let image = Image::new(w, h, channels, Pixels::U16(pixels)).map_err(failed)?;
    let options = SegmentOptions::default().with_probabilities(true).with_memory(8 << 30);
    let segmented = Segmenter::new(Backend::Gpu(gpu.clone()), model.clone()).segment(&image, &options, |_| Ok(()));
    let segmented = segmented.map_err(failed)?;
    let planes = segmented.probabilities.unwrap_or_default();
    // A network of one plane, or of a sigmoid each, has none for the background.
    let plane = class - (model.classes().len() - planes.len() / (w * h));
    let expected = HostTensor::new([h, w], planes[plane * w * h..][..w * h].to_vec()).map_err(failed)?;
    let found = HostTensor::new([h, w], bytemuck::pod_collect_to_vec(&whole[1])).map_err(failed)?;
    let tolerance = network_tolerance(gpu.target().options.precision);
    worst.compare("frame = segmenter", case.seed, &found.compare(&expected).map_err(failed)?, tolerance)?;
    let Ids::U8(ids) = segmented.mask.ids() else { return Err("more than 256 classes".into()) };
    let row = host.requests[0].row_bytes(w);
    let mask = whole[0].chunks(row).flat_map(|row| &row[..w]);
    let differ = mask.zip(ids).filter(|(a, b)| a != b).count();
    // Statistics agree within rounding, so a pixel at the threshold may fall either way.
    if differ * 500 > w * h {
        return Err(format!("frame: {differ} of {} pixels differ from the segmenter", w * h));
    }
    Ok(())
}
