//! A network inside an application with a wgpu device of its own: its textures, its command encoder, one submission.
//!
//!     cargo run --release --example embed

use std::error::Error;
use unet_wgpu::frame::*;
use unet_wgpu::{Gpu, Model, wgpu};
use wgpu::{BufferUsages as B, TextureFormat as F, TextureUsages as T};

const SIZE: u32 = 250;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let overlay = FrameOutput::Overlay(ColourOrder::Rgba);
    let outputs = vec![OutputRequest::buffer(FrameOutput::Mask), OutputRequest::texture(overlay)];
    let options = FrameOptions::new([SIZE as usize; 2], PixelFormat::of_texture(F::R8Unorm)?, outputs);
    let model = Model::open("nuclei")?;

    // What any application has: an adapter and a device, here opened with what makes the network fast.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let descriptor = requirements(&adapter, &model, &options)?.descriptor();
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let size = wgpu::Extent3d { width: SIZE, height: SIZE, depth_or_array_layers: 1 };
    let (label, mip_level_count, sample_count, view_formats) = (None, 1, 1, &[][..]);
    let dimension = wgpu::TextureDimension::D2;
    #[rustfmt::skip]
    let texture = |format, usage| device.create_texture(&wgpu::TextureDescriptor {
        label, size, mip_level_count, sample_count, dimension, format, usage, view_formats,
    });
    let (camera, screen) = (texture(F::R8Unorm, T::COPY_SRC | T::COPY_DST), texture(F::Rgba8UnormSrgb, T::COPY_DST));

    // Once: the model on this device, and a frame of the largest size.
    let gpu = Gpu::from_wgpu(device.clone(), queue.clone())?;
    let mut frame = FrameModel::new(&gpu, model).prepare(&options)?;
    let row = frame.row_bytes(FrameOutput::Mask, SIZE).ok_or("the mask was requested")?;
    let (size_of_ids, usage) = (row as u64 * u64::from(SIZE), B::COPY_DST | B::MAP_READ);
    let ids = wgpu::BufferDescriptor { label, size: size_of_ids, usage, mapped_at_creation: false };
    let ids = device.create_buffer(&ids);

    // Every frame: one encoder, one submission, no wait. Here the image is a bright disc on a dark ground.
    let inside = |i: u32| (i % SIZE).abs_diff(125).pow(2) + (i / SIZE).abs_diff(125).pow(2) < 200;
    let pixels: Vec<u8> = (0..SIZE * SIZE).map(|i| if inside(i) { 200 } else { 10 }).collect();
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(SIZE), rows_per_image: None };
    queue.write_texture(camera.as_image_copy(), &pixels, layout, size);
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let targets = [OutputTarget::buffer(&ids), OutputTarget::texture(&screen)];
    frame.encode(&mut encoder, FrameInput::Texture(&camera), &targets, Roi::of_size(SIZE, SIZE))?;
    let submission = queue.submit([encoder.finish()]);

    // An application draws `screen`; this one looks at the class ids too.
    ids.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("the ids can be mapped"));
    gpu.wait(submission)?;
    let view = ids.get_mapped_range(..)?;
    assert_eq!((view[125 * row + 125], view[0]), (1, 0), "the disc is a nucleus, the corner is not");
    println!("{}: {} dispatches", gpu.describe(), frame.plans().map(|p| p.dispatches.len()).sum::<usize>());
    Ok(())
}
