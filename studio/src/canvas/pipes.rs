//! Pipelines and bind group layouts of the drawing shaders.

use super::frame::Pipe;
use super::tiles::Quad;
use eframe::wgpu;

const COMMON: &str = include_str!("../../shaders/common.wgsl");

/// The largest uniforms of a style.
pub(super) const STYLE_BYTES: u64 = 1024;

pub(super) struct Pipes {
    shapes: wgpu::RenderPipeline,
    image: wgpu::RenderPipeline,
    labels: wgpu::RenderPipeline,
    live: wgpu::RenderPipeline,
    classes: wgpu::RenderPipeline,
    /// Uniforms and a table of colours.
    pub style: wgpu::BindGroupLayout,
    /// A tile of integers.
    pub tile: wgpu::BindGroupLayout,
    /// A map of floats.
    pub map: wgpu::BindGroupLayout,
    /// A map of integers.
    pub class_map: wgpu::BindGroupLayout,
    /// The table of styles without one.
    pub no_table: wgpu::Buffer,
}

fn layout(device: &wgpu::Device, label: &str, types: &[wgpu::BindingType]) -> wgpu::BindGroupLayout {
    let entry = |(binding, &ty): (usize, &wgpu::BindingType)| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
        ty,
        count: None,
    };
    let entries: Vec<_> = types.iter().enumerate().map(entry).collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries })
}

fn buffer(ty: wgpu::BufferBindingType) -> wgpu::BindingType {
    wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None }
}

fn texture(sample_type: wgpu::TextureSampleType, view_dimension: wgpu::TextureViewDimension) -> wgpu::BindingType {
    wgpu::BindingType::Texture { sample_type, view_dimension, multisampled: false }
}

impl Pipes {
    /// For egui's target, without multisampling and depth as eframe sets it up by default.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let uniform = buffer(wgpu::BufferBindingType::Uniform);
        let storage = buffer(wgpu::BufferBindingType::Storage { read_only: true });
        let style = layout(device, "canvas style", &[uniform, storage]);
        let uint = texture(wgpu::TextureSampleType::Uint, wgpu::TextureViewDimension::D2Array);
        let tile = layout(device, "canvas tile", &[uint]);
        let float = wgpu::TextureSampleType::Float { filterable: false };
        let map = layout(device, "canvas map", &[texture(float, wgpu::TextureViewDimension::D2)]);
        let uint = texture(wgpu::TextureSampleType::Uint, wgpu::TextureViewDimension::D2);
        let class_map = layout(device, "canvas class map", &[uint]);
        let pipe = |entry: &str, source: &str, texture: Option<&wgpu::BindGroupLayout>| {
            let groups = [Some(&style), texture];
            let groups = if texture.is_some() { &groups[..] } else { &groups[..1] };
            pipeline(device, format, entry, source, groups)
        };
        Self {
            shapes: pipe("shapes", include_str!("../../shaders/shapes.wgsl"), None),
            image: pipe("image", include_str!("../../shaders/image.wgsl"), Some(&tile)),
            labels: pipe("labels", include_str!("../../shaders/labels.wgsl"), Some(&tile)),
            live: pipe("live", include_str!("../../shaders/live.wgsl"), Some(&map)),
            classes: pipe("classes", include_str!("../../shaders/classes.wgsl"), Some(&class_map)),
            no_table: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("canvas colours, none"),
                size: 16,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            }),
            style,
            tile,
            map,
            class_map,
        }
    }

    pub fn of(&self, pipe: Pipe) -> &wgpu::RenderPipeline {
        match pipe {
            Pipe::Shapes => &self.shapes,
            Pipe::Image => &self.image,
            Pipe::Labels => &self.labels,
            Pipe::Live => &self.live,
            Pipe::Classes => &self.classes,
        }
    }
}

fn pipeline(
    device: &wgpu::Device,
    format: wgpu::TextureFormat,
    entry: &str,
    source: &str,
    groups: &[Option<&wgpu::BindGroupLayout>],
) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(entry),
        source: wgpu::ShaderSource::Wgsl(format!("{COMMON}{source}").into()),
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(entry),
        bind_group_layouts: groups,
        immediate_size: 0,
    });
    // As egui blends.
    let component =
        |src_factor, dst_factor| wgpu::BlendComponent { src_factor, dst_factor, operation: wgpu::BlendOperation::Add };
    let blend = wgpu::BlendState {
        color: component(wgpu::BlendFactor::One, wgpu::BlendFactor::OneMinusSrcAlpha),
        alpha: component(wgpu::BlendFactor::OneMinusDstAlpha, wgpu::BlendFactor::One),
    };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(entry),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[Some(wgpu::VertexBufferLayout {
                array_stride: size_of::<Quad>() as u64,
                step_mode: wgpu::VertexStepMode::Instance,
                attributes: &wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4],
            })],
        },
        primitive: wgpu::PrimitiveState { topology: wgpu::PrimitiveTopology::TriangleStrip, ..Default::default() },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(wgpu::ColorTargetState { format, blend: Some(blend), write_mask: wgpu::ColorWrites::ALL })],
        }),
        multiview_mask: None,
        cache: None,
    })
}
