//! What surrounds the network in the example `live`: a window, a picture that moves, screenshots. Ordinary winit and wgpu.

use super::Result;
use std::path::Path;
use std::sync::Arc;
use unet_wgpu::wgpu;
use wgpu::{BindingResource, BufferUsages as B, TextureFormat as F, TextureUsages as T};
use winit::event_loop::ActiveEventLoop;
use winit::window::Window;

/// A window with a surface, and an adapter that draws on it.
pub(super) struct Screen {
    pub window: Arc<Window>,
    pub surface: wgpu::Surface<'static>,
    pub adapter: wgpu::Adapter,
    pub config: wgpu::SurfaceConfiguration,
}

impl Screen {
    /// For two images of `size` x `size` pixels side by side.
    pub(super) fn new(event_loop: &ActiveEventLoop, size: u32) -> Result<Self> {
        let inner = winit::dpi::PhysicalSize::new(2 * size, size);
        let attributes = Window::default_attributes().with_title("unet-wgpu: live").with_inner_size(inner);
        let window = Arc::new(event_loop.create_window(attributes.with_resizable(false))?);
        let display = Box::new(event_loop.owned_display_handle());
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_with_display_handle(display));
        let surface = instance.create_surface(window.clone())?;
        let choice = wgpu::RequestAdapterOptions { compatible_surface: Some(&surface), ..Default::default() };
        let adapter = pollster::block_on(instance.request_adapter(&choice))?;
        let offered = surface.get_capabilities(&adapter);
        // Bytes are shown as they are stored.
        let format = offered.formats.iter().copied().find(|f| matches!(f, F::Bgra8Unorm | F::Rgba8Unorm));
        let mut config = surface.get_default_config(&adapter, 2 * size, size).ok_or("the window has no surface")?;
        config.format = format.ok_or("the surface has no format of 8 bits")?;
        config.present_mode = wgpu::PresentMode::AutoVsync;
        config.usage |= offered.usages & T::COPY_SRC;
        Ok(Self { window, surface, adapter, config })
    }
}

/// A texture that a camera fills, one that the network fills, and how both are drawn.
pub(super) struct Scene {
    pub camera: wgpu::Texture,
    pub overlay: wgpu::Texture,
    place: wgpu::Buffer,
    camera_image: Drawing,
    window: Drawing,
}

struct Drawing {
    pipeline: wgpu::RenderPipeline,
    group: wgpu::BindGroup,
}

impl Scene {
    /// For a camera of `size` x `size` pixels and a window of twice the width, of this format.
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue, size: u32, format: F) -> Result<Self> {
        let png = image::load_from_memory(include_bytes!("../../assets/images/nuclei_hff.png"))?.into_luma8();
        let texture = |label, [width, height]: [u32; 2], format, usage| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: usage | T::TEXTURE_BINDING,
                view_formats: &[],
            })
        };
        let picture = texture("picture", png.dimensions().into(), F::R8Unorm, T::COPY_DST);
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(png.width()), rows_per_image: None };
        queue.write_texture(picture.as_image_copy(), &png, layout, picture.size());
        let camera = texture("camera", [size; 2], F::R8Unorm, T::RENDER_ATTACHMENT | T::COPY_SRC);
        let overlay = texture("overlay", [size; 2], format, T::COPY_DST);
        let usage = B::UNIFORM | B::COPY_DST;
        let place =
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false });
        let linear = device.create_sampler(&wgpu::SamplerDescriptor {
            address_mode_u: wgpu::AddressMode::MirrorRepeat,
            address_mode_v: wgpu::AddressMode::MirrorRepeat,
            mag_filter: wgpu::FilterMode::Linear,
            ..Default::default()
        });
        let [pictures, cameras, overlays] = [&picture, &camera, &overlay].map(|t| t.create_view(&Default::default()));
        let module = device.create_shader_module(wgpu::include_wgsl!("scene.wgsl"));
        let drawing = |entry_point, format: F, bound: &[(u32, BindingResource)]| {
            let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
                label: Some(entry_point),
                layout: None,
                vertex: wgpu::VertexState {
                    module: &module,
                    entry_point: Some("everywhere"),
                    compilation_options: Default::default(),
                    buffers: &[],
                },
                fragment: Some(wgpu::FragmentState {
                    module: &module,
                    entry_point: Some(entry_point),
                    compilation_options: Default::default(),
                    targets: &[Some(format.into())],
                }),
                primitive: Default::default(),
                depth_stencil: None,
                multisample: Default::default(),
                multiview_mask: None,
                cache: None,
            });
            let layout = pipeline.get_bind_group_layout(0);
            let entries: Vec<_> = bound
                .iter()
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding: *binding, resource: resource.clone() })
                .collect();
            let group = wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries };
            Drawing { group: device.create_bind_group(&group), pipeline }
        };
        Ok(Self {
            camera_image: drawing(
                "camera_image",
                F::R8Unorm,
                &[
                    (0, place.as_entire_binding()),
                    (1, BindingResource::TextureView(&pictures)),
                    (2, BindingResource::Sampler(&linear)),
                ],
            ),
            window: drawing(
                "window",
                format,
                &[(3, BindingResource::TextureView(&cameras)), (4, BindingResource::TextureView(&overlays))],
            ),
            camera,
            overlay,
            place,
        })
    }

    /// Draws the camera's picture at a time, in frames.
    pub(super) fn draw_camera(&self, queue: &wgpu::Queue, encoder: &mut wgpu::CommandEncoder, time: usize) {
        let seconds = time as f32 / 60.0;
        let (sin, cos) = (seconds * 0.2).sin_cos();
        let place = [cos, sin, 0.5 + 0.1 * (seconds * 0.5).sin(), 0.5 + 0.1 * (seconds * 0.3).cos()];
        queue.write_buffer(&self.place, 0, &place.map(f32::to_le_bytes).concat());
        self.camera_image.record(encoder, &self.camera);
    }

    /// Draws both halves of the window.
    pub(super) fn draw_window(&self, encoder: &mut wgpu::CommandEncoder, window: &wgpu::Texture) {
        self.window.record(encoder, window);
    }
}

impl Drawing {
    fn record(&self, encoder: &mut wgpu::CommandEncoder, target: &wgpu::Texture) {
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target.create_view(&Default::default()),
                depth_slice: None,
                resolve_target: None,
                ops: Default::default(),
            })],
            ..Default::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.draw(0..3, 0..1);
    }
}

/// A copy of a texture of 8-bit colours, on its way to a file.
pub(super) struct Screenshot {
    buffer: wgpu::Buffer,
    size: wgpu::Extent3d,
    row: u32,
    bgr: bool,
}

impl Screenshot {
    /// Records the copy.
    pub(super) fn of(
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        texture: &wgpu::Texture,
    ) -> Result<Self> {
        if !texture.usage().contains(T::COPY_SRC) {
            return Err("this window cannot be copied".into());
        }
        let (size, row) = (texture.size(), (4 * texture.width()).next_multiple_of(256));
        let bytes = u64::from(row) * u64::from(size.height);
        let usage = B::COPY_DST | B::MAP_READ;
        let buffer = wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false };
        let buffer = device.create_buffer(&buffer);
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), to, size);
        // Mapped once the frame is done, which the caller waits for.
        encoder
            .map_buffer_on_submit(&buffer, wgpu::MapMode::Read, .., |mapped| mapped.expect("a buffer can be mapped"));
        Ok(Self { buffer, size, row, bgr: texture.format() == F::Bgra8Unorm })
    }

    pub(super) fn save(self, path: &Path) -> Result<()> {
        let bytes = self.buffer.get_mapped_range(..)?;
        let image = image::RgbImage::from_fn(self.size.width, self.size.height, |x, y| {
            let at = (y * self.row + 4 * x) as usize;
            let [a, g, b] = [bytes[at], bytes[at + 1], bytes[at + 2]];
            image::Rgb(if self.bgr { [b, g, a] } else { [a, g, b] })
        });
        image.save(path)?;
        Ok(())
    }
}
