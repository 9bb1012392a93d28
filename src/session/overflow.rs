//! The guard of `f16` plans: every kernel tells, in a word of its node, when it stores what `f16` cannot hold. What comes
//! behind it may look like a result (an activation turns a NaN into a zero), so the outputs alone would not show it.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::plan::Plan;
use crate::tensor::Precision;
use half::f16;
use std::sync::mpsc;

/// Names that an error lists.
const MOST_NAMES: usize = 3;

/// Numbers as `f16`, rounded to the nearest, filled up to whole words. Fails where one is too large, with `name`.
pub(super) fn halves(values: &[f32], name: impl FnOnce() -> String) -> Result<Vec<f16>> {
    let mut rounded: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
    if rounded.iter().any(|v| !v.is_finite()) {
        return Err(Error::F16Range { what: format!("parameter `{}`", name()) });
    }
    rounded.resize(values.len().next_multiple_of(2), f16::ZERO);
    Ok(rounded)
}

/// A word for each node of a plan.
#[derive(Debug)]
pub(super) struct Overflow {
    words: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// From a node's word to the next, bytes.
    stride: u64,
}

impl Overflow {
    pub fn new(gpu: &Gpu, plan: &Plan) -> Self {
        let stride = gpu.caps().storage_alignment.max(4);
        let size = stride * plan.nodes.len().max(1) as u64;
        let buffer = |label, usage| {
            let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
            gpu.device().create_buffer(&descriptor)
        };
        let copy = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let words = buffer("overflow", wgpu::BufferUsages::STORAGE | copy);
        let staging = buffer("overflow read", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        Self { words, staging, stride }
    }

    pub fn binding(&self, node: usize) -> wgpu::BindingResource<'_> {
        super::bind(&self.words, node as u64 * self.stride, 4)
    }

    pub fn bytes(&self) -> u64 {
        self.words.size() + self.staging.size()
    }

    /// Records that no number is known to be too large.
    pub fn clear(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.clear_buffer(&self.words, 0, None);
    }

    /// Fails with [`Error::F16Range`] if a kernel told of one, naming the layers in their order.
    pub fn check(&self, gpu: &Gpu, plan: &Plan) -> Result<()> {
        let what = "reading the overflow guard";
        let index = gpu.scoped(what, || {
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&self.words, 0, &self.staging, 0, self.words.size());
            Ok(gpu.queue().submit([encoder.finish()]))
        })?;
        let (sender, mapped) = mpsc::channel();
        self.staging.map_async(wgpu::MapMode::Read, .., move |r| {
            // Nobody listens only if waiting failed, which is the error then.
            let _ = sender.send(r.map_err(|e| e.to_string()));
        });
        gpu.wait(index)?;
        let fail = |reason: String| Error::Gpu { what: what.into(), reason };
        mapped.recv().map_err(|e| fail(e.to_string()))?.map_err(fail)?;
        let set: Vec<&str> = {
            let view = self.staging.get_mapped_range(..).map_err(|e| fail(e.to_string()))?;
            let word =
                |i: usize| view.get(i * self.stride as usize..).is_some_and(|w| w.iter().take(4).any(|&b| b != 0));
            plan.nodes.iter().enumerate().filter(|(i, _)| word(*i)).map(|(_, n)| n.label.as_str()).collect()
        };
        self.staging.unmap();
        let mut names: Vec<String> = set.iter().take(MOST_NAMES).map(|n| format!("`{n}`")).collect();
        match set.len() {
            0 => return Ok(()),
            n if n > MOST_NAMES => names.push(format!("{} more", n - MOST_NAMES)),
            _ => {}
        }
        Err(Error::F16Range { what: format!("the output of {}", names.join(", ")) })
    }
}

impl super::Session {
    /// Fails with [`Error::F16Range`] if the last run of an `f16` plan stored something that `f16` cannot hold, naming the
    /// layers: its outputs are worthless then. [`Self::run`] asks by itself; after [`Self::encode`] it is the caller's to
    /// ask, once the encoder was submitted.
    pub fn check_range(&self) -> Result<()> {
        self.overflow.as_ref().map_or(Ok(()), |o| o.check(&self.gpu, &self.plan))
    }

    /// How activations and weights are stored.
    pub fn precision(&self) -> Precision {
        self.plan.precision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_beyond_f16_are_refused() {
        let name = || "enc.0.weight".to_string();
        let packed = halves(&[1.0, -65504.0, 6.0e-8], name).unwrap();
        assert_eq!(packed.iter().map(|v| v.to_f32()).collect::<Vec<_>>(), [1.0, -65504.0, 5.9604645e-8, 0.0]);
        for bad in [65520.0, -1e6, f32::INFINITY, f32::NAN] {
            let e = halves(&[0.0, bad], name).unwrap_err().to_string();
            assert_eq!(e, "parameter `enc.0.weight` goes beyond what f16 holds (65504); f32 holds it");
        }
    }
}
