//! The network inside an application that has a wgpu device of its own: the application's buffers, the application's
//! command encoder, one submission.
//!
//!     cargo run --release --example embed

use std::collections::BTreeMap;
use std::process::ExitCode;
use unet_wgpu::low_level::graph::rewrite;
use unet_wgpu::low_level::model::{INPUT, whole_graph};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::{HostTensor, Shape};
use unet_wgpu::{Error, Gpu, Model, Result, wgpu};

/// Rows and columns of the application's frame; this network requires multiples of 16.
const SIZE: usize = 96;
const FRAME: Shape = Shape::new(1, 1, SIZE, SIZE);

/// What any application has: an instance, an adapter, a device with default limits and no optional feature, a queue.
fn open_device() -> Result<(wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
    let adapter = adapter.map_err(|_| Error::NoAdapter)?;
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))
        .map_err(|e| Error::Gpu { what: "opening the device".into(), reason: e.to_string() })
}

/// A bright disc on a dark ground, with values as the network's normalisation makes them: about 0 to 1.
fn frame() -> HostTensor {
    HostTensor::from_fn(FRAME, |_, _, y, x| {
        let centre = SIZE as f32 / 2.0;
        let distance = (y as f32 - centre).hypot(x as f32 - centre);
        if distance < 14.0 { 1.0 } else { 0.05 }
    })
}

/// The example; a test runs it too.
pub(crate) fn run() -> Result<()> {
    let (device, queue) = open_device()?;
    let gpu = Gpu::from_wgpu(device.clone(), queue.clone())?;
    println!("adapter: {}", gpu.describe());

    // The network for one frame size, planned for this device and resident on it.
    let model = Model::open("nuclei")?;
    let graph = whole_graph(&*model.architecture, FRAME.n, FRAME.h, FRAME.w)?;
    let plan = Plan::new(&rewrite::optimise(&graph, gpu.target())?, gpu.target())?;
    let mut session = Session::new(&gpu, plan.clone(), model.stored())?;
    let result = session.shape("logits")?;
    println!(
        "network: {} dispatches, {:.1} MiB on the device",
        plan.dispatches.len(),
        session.device_bytes() as f64 / 1048576.0
    );

    // The application's buffers, which the session reads and writes in place.
    let buffer = |label, elements: usize, usage| {
        let size = elements as u64 * 4;
        device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
    };
    use wgpu::BufferUsages as Usage;
    let camera = buffer("camera", FRAME.len(), Usage::COPY_SRC | Usage::COPY_DST);
    let input = buffer("network input", FRAME.len(), Usage::STORAGE | Usage::COPY_DST);
    let output = buffer("network output", result.len(), Usage::STORAGE | Usage::COPY_SRC);
    let download = buffer("download", result.len(), Usage::MAP_READ | Usage::COPY_DST);
    session.bind_buffer(INPUT, &input, 0)?;
    session.bind_buffer("logits", &output, 0)?;

    // One encoder, one submission: the application's work before, the network, the application's work after.
    let frame = frame();
    queue.write_buffer(&camera, 0, bytemuck::cast_slice(frame.data()));
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("frame") });
    encoder.copy_buffer_to_buffer(&camera, 0, &input, 0, input.size());
    session.encode(&mut encoder);
    encoder.copy_buffer_to_buffer(&output, 0, &download, 0, output.size());
    let submission = queue.submit([encoder.finish()]);

    download.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("the download can be mapped"));
    gpu.wait(submission)?;
    let view = download.get_mapped_range(..);
    let view = view.map_err(|e| Error::Gpu { what: "mapping the download".into(), reason: e.to_string() })?;
    let logits = HostTensor::new(result.dims(), bytemuck::pod_collect_to_vec(&view))?;

    // Class 1 is the nucleus.
    let is_nucleus = |y: usize, x: usize| {
        let logit = |class: usize| logits.data()[result.index(0, class, y, x)];
        logit(1) > logit(0)
    };
    let pixels = (0..SIZE * SIZE).filter(|i| is_nucleus(i / SIZE, i % SIZE)).count();
    println!("result: {pixels} of {} pixels are nucleus", SIZE * SIZE);
    assert!(is_nucleus(SIZE / 2, SIZE / 2), "the disc's centre is nucleus");
    assert!(!is_nucleus(0, 0) && !is_nucleus(SIZE - 1, SIZE - 1), "the corners are background");

    // A second session with its own buffers computes the same bytes.
    let mut own = Session::new(&gpu, plan, model.stored())?;
    let outputs = own.run_all(&BTreeMap::from([(INPUT.to_string(), frame)]))?;
    assert_eq!(outputs["logits"], logits, "encoded by the application, and run by the session");
    println!("the same bytes as a session run by itself");
    Ok(())
}

#[allow(dead_code, reason = "the test that includes this file has its own")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
