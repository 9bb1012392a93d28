//! The device of the window: with what networks can make use of.

use eframe::wgpu;
use unet_wgpu::Model;
use unet_wgpu::frame::{FrameOptions, FrameOutput, OutputRequest, PixelFormat, PlaneFormat, requirements};

/// What egui opens its device with. An adapter that lacks something for the built-in network gets WebGPU's defaults; whatever
/// then needs more says so.
pub fn descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    let descriptor = || {
        let model = Model::open("nuclei")?;
        let input = PixelFormat::of_texture(wgpu::TextureFormat::R16Uint)?;
        let output = FrameOutput::Probability { class: 1, format: PlaneFormat::F32 };
        let options = FrameOptions::new([crate::engine::live::SIDE; 2], input, vec![OutputRequest::texture(output)]);
        Ok::<_, unet_wgpu::Error>(requirements(adapter, &model, &options)?.descriptor())
    };
    descriptor().unwrap_or_default()
}
