//! What a device must have for a model, and what makes it faster: asked before the device exists.

use super::format::FrameOptions;
use super::layout::{Layout, graph};
use crate::error::{Error, Result};
use crate::gpu::{caps, flags, usable};
use crate::graph::rewrite;
use crate::kernel::Target;
use crate::model::Model;
use crate::plan::Plan;
use crate::text::mib;

/// A feature or limit, and why it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its name in wgpu.
    pub name: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
    /// What it gives.
    pub why: String,
}

/// What a host asks for when it opens its device.
#[derive(Clone, Debug)]
pub struct Requirements {
    /// Features without which nothing works: none.
    pub required_features: wgpu::Features,
    /// WebGPU's default limits, raised where this model and this size need more.
    pub required_limits: wgpu::Limits,
    /// Features of the adapter that the library makes use of.
    pub recommended_features: wgpu::Features,
    /// The required limits, with the adapter's own for the sizes of buffers, which larger images need.
    pub recommended_limits: wgpu::Limits,
    /// Why, one by one.
    pub reasons: Vec<Reason>,
}

/// What a device of `adapter` must have for frames of a model, and what it should have. Fails with [`Error::Limit`] if the
/// adapter cannot have it.
pub fn requirements(adapter: &wgpu::Adapter, model: &Model, options: &FrameOptions) -> Result<Requirements> {
    let (most, info) = (adapter.limits(), adapter.get_info());
    let layout = Layout::of(model, options)?;
    let recommended_features = flags(usable(adapter));
    let mut reasons: Vec<Reason> =
        usable(adapter).map(|f| Reason { name: f.name, required: false, why: f.gives.into() }).collect();
    let own = layout.outputs.iter().map(|r| layout.result_bytes(r)).chain([layout.pixel_bytes()]).max().unwrap_or(0);
    let (mut binding, mut buffer) = (own, own);
    let default = wgpu::Limits::default();
    for network in 0..layout.tiles.len() {
        let graph = graph(model, &layout, network)?;
        let plan = |features, limits: &wgpu::Limits| {
            let target = Target::from(caps(features, limits, &info));
            Plan::new(&rewrite::optimise(&graph, &target)?, &target)
        };
        // Kernels with and without the features take different scratch memory.
        for features in [wgpu::Features::empty(), recommended_features] {
            match plan(features, &default) {
                Ok(_) => {}
                Err(Error::Limit { .. }) => {
                    let plan = plan(features, &most)?;
                    binding = binding.max(plan.memory.largest_binding);
                    buffer = plan.slots.iter().map(|s| s.bytes).fold(buffer.max(plan.memory.largest_binding), u64::max);
                }
                Err(e) => return Err(e),
            }
        }
    }
    let mut required_limits = default;
    let mut raise = |name, limit: &mut u64, needed: u64, what: &str| {
        if needed > *limit {
            *limit = needed;
            reasons.push(Reason { name, required: true, why: format!("{what} takes {}", mib(needed)) });
        }
    };
    let limit = &mut required_limits.max_storage_buffer_binding_size;
    raise("max_storage_buffer_binding_size", limit, binding, "the largest tensor");
    raise("max_buffer_size", &mut required_limits.max_buffer_size, buffer, "the largest buffer");
    let mut missing = None;
    required_limits.check_limits_with_fail_fn(&most, false, |name, needed, has| {
        missing.get_or_insert((name, needed, has));
    });
    if let Some((name, needed, has)) = missing {
        let what = format!("{name} of {}", info.name);
        return Err(Error::Limit { what, needed: needed.to_string(), limit: has.to_string() });
    }
    let recommended_limits = wgpu::Limits {
        max_storage_buffer_binding_size: most.max_storage_buffer_binding_size,
        max_buffer_size: most.max_buffer_size,
        max_storage_textures_per_shader_stage: most.max_storage_textures_per_shader_stage,
        ..required_limits.clone()
    };
    reasons.push(Reason {
        name: "max_storage_buffer_binding_size, max_buffer_size",
        required: false,
        why: format!("larger images: {} and {}", mib(most.max_storage_buffer_binding_size), mib(most.max_buffer_size)),
    });
    let required_features = wgpu::Features::empty();
    Ok(Requirements { required_features, required_limits, recommended_features, recommended_limits, reasons })
}

impl Requirements {
    /// A descriptor of a device with everything that is recommended.
    pub fn descriptor(&self) -> wgpu::DeviceDescriptor<'static> {
        wgpu::DeviceDescriptor {
            required_features: self.recommended_features,
            required_limits: self.recommended_limits.clone(),
            ..Default::default()
        }
    }
}
