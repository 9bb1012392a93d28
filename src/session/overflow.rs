//! The overflow guard of `f16` plans: every kernel sets a word of its node when it stores a value that `f16` cannot hold.
//! The outputs alone might not show it, since later layers can hide it: an activation turns a NaN into a zero.

use super::transfer;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::plan::Plan;
use crate::tensor::Precision;
use half::f16;
use std::sync::{Mutex, PoisonError};

/// Maximum number of names that an error lists.
const MAX_NAMES: usize = 3;

/// Numbers as `f16`, rounded to the nearest, padded to whole words. Fails if one is too large, about `name`.
pub(super) fn halves(values: &[f32], name: impl FnOnce() -> String) -> Result<Vec<f16>> {
    let mut rounded: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
    if rounded.iter().any(|v| !v.is_finite()) {
        return Err(Error::F16Range { what: format!("parameter `{}`", name()) });
    }
    rounded.resize(values.len().next_multiple_of(2), f16::ZERO);
    Ok(rounded)
}

/// One word per node of a plan.
#[derive(Debug)]
pub(super) struct Overflow {
    words: wgpu::Buffer,
    /// The read-back buffer; `None` during a read and after a cancelled one.
    staging: Mutex<Option<wgpu::Buffer>>,
    /// Bytes from a node's word to the next.
    stride: u64,
}

impl Overflow {
    pub(super) fn new(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        let stride = gpu.caps().storage_alignment.max(4);
        let size = stride * plan.nodes.len().max(1) as u64;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let words = gpu.buffer("overflow", size, usage)?;
        let staging = Mutex::new(Some(transfer::staging(gpu, size)?));
        Ok(Self { words, staging, stride })
    }

    pub(super) fn binding(&self, node: usize) -> wgpu::BindingResource<'_> {
        super::bind(&self.words, node as u64 * self.stride, 4)
    }

    pub(super) fn bytes(&self) -> u64 {
        2 * self.words.size()
    }

    /// Clears all words.
    pub(super) fn clear(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.clear_buffer(&self.words, 0, None);
    }

    /// Fails with [`Error::F16Range`] if a kernel set its word, naming the layers in order.
    pub(super) async fn check(&self, gpu: &Gpu, plan: &Plan) -> Result<()> {
        let size = self.words.size();
        let spare = self.staging.lock().unwrap_or_else(PoisonError::into_inner).take();
        let staging = match spare {
            Some(staging) => staging,
            None => transfer::staging(gpu, size)?,
        };
        let submission = transfer::copy(gpu, "the overflow guard", (&self.words, 0), &staging, size).await?;
        let set = |bytes: &[u8]| -> Vec<&str> {
            let word =
                |i: usize| bytes.get(i * self.stride as usize..).is_some_and(|w| w.iter().take(4).any(|&b| b != 0));
            plan.nodes.iter().enumerate().filter(|(i, _)| word(*i)).map(|(_, n)| n.label.as_str()).collect()
        };
        let set = gpu.read_buffer("reading the overflow guard", &staging, submission, set).await?;
        *self.staging.lock().unwrap_or_else(PoisonError::into_inner) = Some(staging);
        let mut names: Vec<String> = set.iter().take(MAX_NAMES).map(|n| format!("`{n}`")).collect();
        match set.len() {
            0 => return Ok(()),
            n if n > MAX_NAMES => names.push(format!("{} more", n - MAX_NAMES)),
            _ => {}
        }
        Err(Error::F16Range { what: format!("the output of {}", names.join(", ")) })
    }
}

impl super::Session {
    /// Fails with [`Error::F16Range`] if the last run of an `f16` plan stored a value that `f16` cannot hold, naming the
    /// layers: its outputs are then invalid. [`Self::run`] calls this itself; after [`Self::encode`] the caller must, once
    /// the encoder is submitted.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn check_range(&self) -> Result<()> {
        block_on(self.check_range_async())
    }

    /// [`Self::check_range`] as a future.
    pub async fn check_range_async(&self) -> Result<()> {
        match &self.overflow {
            Some(overflow) => overflow.check(&self.gpu, &self.plan).await,
            None => Ok(()),
        }
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
    fn weights_beyond_f16_are_rejected() {
        let name = || "enc.0.weight".to_string();
        let packed = halves(&[1.0, -65504.0, 6.0e-8], name).unwrap();
        assert_eq!(packed.iter().map(|v| v.to_f32()).collect::<Vec<_>>(), [1.0, -65504.0, 5.9604645e-8, 0.0]);
        for bad in [65520.0, -1e6, f32::INFINITY, f32::NAN] {
            let e = halves(&[0.0, bad], name).unwrap_err().to_string();
            assert_eq!(e, "parameter `enc.0.weight` exceeds the range of f16 (65504); f32 can hold it");
        }
    }
}
