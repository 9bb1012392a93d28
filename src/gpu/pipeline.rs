//! Compiling a kernel into a pipeline.

use super::Gpu;
use super::lost::Scopes;
use crate::error::Result;
use crate::kernel::{BindingKind, KernelKey, Reflected, parse};

/// A compiled kernel.
#[derive(Debug)]
pub struct Pipeline {
    /// The wgpu pipeline.
    pub pipeline: wgpu::ComputePipeline,
    /// Layout of its one bind group.
    pub layout: wgpu::BindGroupLayout,
    /// Its bindings, the parameters first.
    pub bindings: Vec<BindingKind>,
}

impl Pipeline {
    /// Starts to compile a kernel. The future returns its pipeline, or the device's error.
    pub(super) fn compile<'a>(
        gpu: &'a Gpu,
        key: &KernelKey,
        checked: bool,
        cache: Option<&wgpu::PipelineCache>,
    ) -> Result<impl Future<Output = Result<Self>> + use<'a>> {
        let reflected = parse(key)?;
        let label = key.to_string();
        let scopes = Scopes::open(gpu.device());
        let made = Self::make(gpu.device(), reflected, &label, checked, cache);
        let verdict = scopes.close();
        Ok(async move {
            match verdict.await {
                Some(e) => Err(gpu.refused(&format!("compiling kernel {label}"), &e)),
                None => Ok(made),
            }
        })
    }

    fn make(
        device: &wgpu::Device,
        reflected: Reflected,
        label: &str,
        checked: bool,
        cache: Option<&wgpu::PipelineCache>,
    ) -> Self {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(reflected.module)),
        };
        let checks =
            if checked { wgpu::ShaderRuntimeChecks::checked() } else { wgpu::ShaderRuntimeChecks::unchecked() };
        // SAFETY: the kernels are our own and stay inside their bindings: the tests run every one of them in checked
        // mode too, where an index out of bounds would change the result.
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        let entries: Vec<_> = (0u32..).zip(&reflected.bindings).map(|(i, kind)| layout_entry(i, *kind)).collect();
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Our kernels write workgroup memory before they read it; on some backends one thread clears it.
                zero_initialize_workgroup_memory: checked,
                ..Default::default()
            },
            cache,
        });
        Self { pipeline, layout, bindings: reflected.bindings }
    }
}

fn layout_entry(binding: u32, kind: BindingKind) -> wgpu::BindGroupLayoutEntry {
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let ty = match kind {
        BindingKind::Uniform => buffer(wgpu::BufferBindingType::Uniform),
        BindingKind::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
        BindingKind::ReadWrite => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
        BindingKind::Texture { loads, stores } => wgpu::BindingType::StorageTexture {
            access: match (loads, stores) {
                (_, false) => wgpu::StorageTextureAccess::ReadOnly,
                (false, true) => wgpu::StorageTextureAccess::WriteOnly,
                (true, true) => wgpu::StorageTextureAccess::ReadWrite,
            },
            format: wgpu::TextureFormat::Rgba32Float,
            view_dimension: wgpu::TextureViewDimension::D2,
        },
    };
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}
