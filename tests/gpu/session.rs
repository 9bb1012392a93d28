//! The contract of a session with an embedding application. On wgpu's `noop` device: no GPU needed.

use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::low_level::graph::Graph;
use unet_wgpu::low_level::ops::{ExportNchw, Function, ImportNchw, Unary};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::{HostTensor, Shape, TensorDesc};

const SHAPE: Shape = Shape::new(1, 3, 8, 8);

fn noop() -> Gpu {
    let [gpu, _] = two();
    gpu
}

/// Two devices of one instance: wgpu itself panics at a buffer of another instance.
fn two() -> [Gpu; 2] {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::NOOP,
        backend_options: wgpu::BackendOptions {
            noop: wgpu::NoopBackendOptions { enable: true, ..Default::default() },
            ..Default::default()
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    [0, 1].map(|_| {
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap();
        let opened = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()));
        let (device, queue) = opened.unwrap();
        Gpu::from_wgpu(device, queue).unwrap()
    })
}

fn session(gpu: &Gpu) -> Session {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::linear(SHAPE));
    let y = graph.node("import", ImportNchw, &[x]).unwrap();
    let y = graph.node("relu", Unary { kind: Function::Relu }, &[y]).unwrap();
    let y = graph.node("export", ExportNchw, &[y]).unwrap();
    graph.output("y", y);
    let none = |name: &str, _: &[usize]| -> unet_wgpu::Result<HostTensor> { panic!("{name}: there is no parameter") };
    Session::new(gpu, Plan::new(&graph, gpu.target()).unwrap(), none).unwrap()
}

fn buffer(gpu: &Gpu, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

#[test]
fn buffers_that_cannot_be_bound_are_errors() {
    let gpu = noop();
    let mut session = session(&gpu);
    let bytes = SHAPE.len() as u64 * 4;
    let storage = wgpu::BufferUsages::STORAGE;
    let mut bind_error = |name: &str, b: &wgpu::Buffer, offset: u64| session.bind_buffer(name, b, offset).unwrap_err();
    let good = buffer(&gpu, bytes + 256, storage);
    assert_eq!(bind_error("z", &good, 0).to_string(), "input or output `z`: unknown; available: x, y");
    assert!(bind_error("x", &good, 4).to_string().contains("offset 4 is not a multiple of 256"));
    assert!(bind_error("x", &good, 512).to_string().contains("768 are needed"));
    assert!(bind_error("y", &buffer(&gpu, bytes - 4, storage), 0).to_string().starts_with("buffer for `y`"));
    let no_storage = buffer(&gpu, bytes, wgpu::BufferUsages::COPY_SRC);
    assert!(bind_error("y", &no_storage, 0).to_string().contains("STORAGE"));
    session.bind_buffer("x", &good, 256).unwrap();
}

#[test]
fn binding_a_foreign_buffer_is_an_error_without_effect() {
    let [gpu, other] = two();
    let mut session = session(&gpu);
    let foreign = buffer(&other, SHAPE.len() as u64 * 4, wgpu::BufferUsages::STORAGE);
    let e = session.bind_buffer("x", &foreign, 0).unwrap_err().to_string();
    assert!(e.contains("binding a buffer to `x`"), "{e}");
    // Its own buffer is still there: it can be written (the foreign one could not), and the plan encoded.
    session.write("x", &vec![1.0; SHAPE.len()]).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    gpu.scoped("encoding", || {
        session.encode(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        Ok(())
    })
    .unwrap();
}
