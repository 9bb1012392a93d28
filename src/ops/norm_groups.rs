//! Kernels that normalise groups of channels, for group norm and for instance norm of large planes.

use super::batch_norm::lower_scale_shift;
use super::packing::Packing;
use super::{Function, Lowering};
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::LANES;

shader_struct! {
    /// Parameters of `norm_bands`.
    struct NormBandsParams {
        x: View,
        w: u32,
        h: u32,
        /// Rows per band.
        rows: u32,
        bands: u32,
        blocks: u32,
    }

    /// Parameters of `norm_groups`.
    struct NormGroupsParams {
        w: u32,
        h: u32,
        /// Rows per band.
        rows: u32,
        bands: u32,
        c: u32,
        blocks: u32,
        /// Channels per group.
        channels: u32,
        /// 1 / elements per group.
        factor: f32,
        eps: f32,
    }
}

/// Normalises `groups` groups of channels of every image, in bands of rows so that a large image fills the device.
pub(super) fn lower_groups(cx: &mut Lowering, groups: usize, eps: f32) -> Result<()> {
    let s = cx.input(0);
    let (blocks, channels) = (s.c.div_ceil(LANES), s.c / groups);
    // About 8192 pixels per band: enough work for a workgroup, and few enough bands to sum.
    let rows = s.h.div_ceil((s.pixels() / 8192).clamp(1, 64));
    let bands = s.h.div_ceil(rows);
    let parts = cx.scratch((s.n * blocks * bands * 2 * LANES * 4) as u64);
    let Size { w, h, c, blocks: channel_blocks } = s.into();
    let (rows, band_count) = (rows as u32, bands as u32);
    let params = NormBandsParams { x: cx.input_view(0), w, h, rows, bands: band_count, blocks: channel_blocks };
    let bindings = [Operand::Input(0), Operand::ScratchWrite(parts)];
    cx.dispatch(KernelKey::new("norm_bands"), params, bindings, [blocks, bands, s.n])?;
    let parameters: Vec<usize> = (1..cx.inputs.len()).collect();
    let affine = Packing::affine(s.c, parameters.len());
    let affine = cx.weights_f32(parameters, Packing::pairs_len(s.c), affine);
    let coefficients = cx.scratch((s.n * Packing::pairs_len(s.c) * 4) as u64);
    let params = NormGroupsParams {
        w,
        h,
        rows,
        bands: band_count,
        c,
        blocks: channel_blocks,
        channels: channels as u32,
        factor: (1.0 / (channels * s.pixels()) as f64) as f32,
        eps,
    };
    let bindings = [Operand::ScratchRead(parts), affine, Operand::ScratchWrite(coefficients)];
    cx.dispatch(KernelKey::new("norm_groups"), params, bindings, [blocks, s.n, 1])?;
    cx.reads(Operand::ScratchRead(coefficients), s.pixels() as f64);
    lower_scale_shift(cx, Operand::ScratchRead(coefficients), true, Function::Identity)
}
