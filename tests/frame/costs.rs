//! What each step costs, for docs/embedding.md:
//!
//!     cargo test --release --test frame costs -- --ignored --nocapture

use super::host::{Host, blobs};
use super::nuclei_options;
use std::time::Instant;
use unet_wgpu::frame::{Budget, FrameInput, FrameModel, FrameOutput, OutputRequest, OutputTarget, Roi};
use unet_wgpu::low_level::graph::rewrite;
use unet_wgpu::low_level::model::whole_graph;
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::{Gpu, Model};
use wgpu::TextureFormat as F;

/// The median of 41 runs, in microseconds.
fn median(mut f: impl FnMut() -> [f64; 3]) -> [f64; 3] {
    let all: Vec<[f64; 3]> = (0..41).map(|_| f()).collect();
    [0, 1, 2].map(|i| {
        let mut column: Vec<f64> = all.iter().map(|v| v[i]).collect();
        column.sort_by(f64::total_cmp);
        column[20]
    })
}

fn since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

#[test]
#[ignore = "a measurement"]
fn costs() {
    let Some(host) = Host::open(true) else { return };
    let model = Model::open("nuclei").unwrap();
    let options = nuclei_options(256, vec![OutputRequest::texture(FrameOutput::Mask)]);
    let frames = FrameModel::new(&host.gpu, model.clone());
    for what in ["prepare, first", "prepare, again"] {
        let start = Instant::now();
        let frame = frames.prepare(&options).unwrap();
        println!("{what}: {:.1} ms, {} bytes", since(start) / 1e3, frame.device_bytes());
    }
    println!("weights: {} bytes", frames.weight_bytes());
    let mut frame = frames.prepare(&options).unwrap();
    let start = Instant::now();
    frame.prepare_size(200, 100).unwrap();
    println!("prepare_size: {:.0} us", since(start));
    let (input, ids) = (host.texture(F::R8Unorm, 256, 256, &blobs(256, 256)), host.target(F::R8Uint, 256, 256));
    let targets = [OutputTarget::texture(&ids)];
    let timed = |encode: &mut dyn FnMut(&mut wgpu::CommandEncoder)| {
        let mut encoder = host.encoder();
        let start = Instant::now();
        encode(&mut encoder);
        let recorded = since(start);
        let start = Instant::now();
        let commands = encoder.finish();
        let finished = since(start);
        let start = Instant::now();
        let submission = host.gpu.queue().submit([commands]);
        let submitted = since(start);
        host.gpu.wait(submission).unwrap();
        [recorded, finished, submitted]
    };
    let roi = Roi::of_size(256, 256);
    let of_frame = median(|| {
        timed(&mut |encoder: &mut wgpu::CommandEncoder| {
            frame.encode(encoder, FrameInput::Texture(&input), &targets, roi).unwrap()
        })
    });
    println!(
        "frame, {} dispatches of the network: encode, finish, submit {of_frame:.0?} us",
        frame.plans().map(|p| p.dispatches.len()).sum::<usize>()
    );
    let graph = whole_graph(&*model.architecture, 1, 256, 256).unwrap();
    let plan = Plan::new(&rewrite::optimise(&graph, host.gpu.target()).unwrap(), host.gpu.target()).unwrap();
    let dispatches = plan.dispatches.len();
    let session = Session::new(&host.gpu, plan, model.stored()).unwrap();
    let of_session = median(|| timed(&mut |encoder: &mut wgpu::CommandEncoder| session.encode(encoder)));
    println!("session, {dispatches} dispatches: encode, finish, submit {of_session:.0?} us");
    println!("a frame: {:.1} ms", frame.measure().unwrap());
    frame.start(FrameInput::Texture(&input), &targets, roi).unwrap();
    let mut encoder = host.encoder();
    let progress = frame.encode_some(&mut encoder, Budget::Milliseconds(8.0)).unwrap();
    println!("in 8 ms: {progress:?}");
}

/// What recording takes, whatever the driver: on wgpu's `noop` device, nothing submitted. The least of 1000 runs, which other load
/// disturbs little; under `valgrind --tool=callgrind` the instructions of each call.
#[test]
#[ignore = "a measurement"]
fn recording() {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::NOOP,
        backend_options: wgpu::BackendOptions {
            noop: wgpu::NoopBackendOptions { enable: true, ..Default::default() },
            ..Default::default()
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap();
    let opened = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()));
    let (device, queue) = opened.unwrap();
    let host = Host { gpu: Gpu::from_wgpu(device, queue).unwrap() };
    let model = Model::open("nuclei").unwrap();
    let options = nuclei_options(256, vec![OutputRequest::texture(FrameOutput::Mask)]);
    let mut frame = FrameModel::new(&host.gpu, model.clone()).prepare(&options).unwrap();
    let (input, ids) = (host.texture(F::R8Unorm, 256, 256, &blobs(256, 256)), host.target(F::R8Uint, 256, 256));
    let (targets, roi) = ([OutputTarget::texture(&ids)], Roi::of_size(256, 256));
    let graph = whole_graph(&*model.architecture, 1, 256, 256).unwrap();
    let plan = Plan::new(&rewrite::optimise(&graph, host.gpu.target()).unwrap(), host.gpu.target()).unwrap();
    let counts = [frame.plans().next().unwrap().dispatches.len(), plan.dispatches.len()];
    let session = Session::new(&host.gpu, plan, model.stored()).unwrap();
    let least = |encode: &mut dyn FnMut(&mut wgpu::CommandEncoder)| {
        let each = (0..1000).map(|_| {
            let mut encoder = host.encoder();
            let start = Instant::now();
            encode(&mut encoder);
            since(start)
        });
        each.fold(f64::INFINITY, f64::min)
    };
    let of_frame = least(&mut |e| frame.encode(e, FrameInput::Texture(&input), &targets, roi).unwrap());
    let of_session = least(&mut |e| session.encode(e));
    println!(
        "frame, {} dispatches of the network: {of_frame:.1} us; session, {}: {of_session:.1} us",
        counts[0], counts[1]
    );
}

/// What planning takes, in milliseconds, the median of 5: on this device, and on one with WebGPU's default limits.
#[test]
#[ignore = "a measurement"]
fn planning() {
    use unet_wgpu::low_level::graph::Graph;
    use unet_wgpu::low_level::kernel::{Caps, Target};
    use unet_wgpu::low_level::model::{Architecture, parse};
    let Some(host) = Host::open(true) else { return };
    let graph = |architecture: &dyn Architecture, size| whole_graph(architecture, 1, size, size).unwrap();
    let built_in = ["nuclei", "nuclei-unet++", "nuclei-unet3+"];
    let mut networks: Vec<(String, Graph)> =
        built_in.map(|name| (format!("{name}, 512"), graph(&*Model::open(name).unwrap().architecture, 512))).into();
    for (name, config, size) in [
        ("unet", serde_json::json!({"width": 64, "padding": "valid"}), 572),
        ("unet", serde_json::json!({"width": 64, "padding": "same"}), 256),
        ("unet", serde_json::json!({"width": 16, "padding": "same"}), 256),
        ("unet++", serde_json::json!({"width": 32}), 256),
        ("unet3+", serde_json::json!({"width": 64}), 256),
    ] {
        networks.push((format!("{name} {config}, {size}"), graph(&*parse(name, &config).unwrap(), size)));
    }
    let targets = [host.gpu.target().clone(), Target::from(Caps::default())];
    for (name, graph) in networks {
        for (target, device) in targets.iter().zip(["this device", "default limits"]) {
            let rewritten = rewrite::optimise(&graph, target).unwrap();
            let plan = Plan::new(&rewritten, target).unwrap();
            let [rewriting, planning, _] = median(|| {
                let start = Instant::now();
                let rewritten = rewrite::optimise(&graph, target).unwrap();
                let rewriting = since(start) / 1e3;
                let start = Instant::now();
                let _ = Plan::new(&rewritten, target).unwrap();
                [rewriting, since(start) / 1e3, 0.0]
            });
            let memory = plan.memory;
            println!(
                "{name}, {device}: rewriting {rewriting:.2}, planning {planning:.2} ms, {} dispatches, slots / live {:.3}",
                plan.dispatches.len(),
                memory.slots as f64 / memory.live as f64
            );
        }
    }
}
