//! Winograd: a 3x3 convolution with 1/4 or 4/9 of the multiplications. The input transform of every source writes to
//! one buffer; a GEMM per point of the transform and the output transform follow. They run in chunks of tiles, so that
//! both buffers stay in the caches.

use super::FusedConv2d;
use super::source_pass::SourcePass;
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, View, shader_struct};
use crate::ops::gemm::{Tile, broadcasts};
use crate::ops::winograd::{WinogradInParams, chunk_tiles};
use crate::ops::{Lowering, MANY_READS, Packing, ResizeMode, WinogradForm, WinogradOrder};
use crate::tensor::LANES;

shader_struct! {
    /// Parameters of `winograd_gemm`.
    struct WinogradGemmParams {
        /// Tile blocks of the chunk.
        blocks: u32,
        /// C/4
        steps: u32,
        /// K/4
        end4: u32,
        /// First xi of the range.
        xi: u32,
    }

    /// Parameters of `winograd_out`.
    struct WinogradOutParams {
        y: View,
        /// View of the pooled map, if there is one.
        z: View,
        /// Tiles per row.
        tiles_x: u32,
        /// Tiles per image.
        image_tiles: u32,
        oh: u32,
        ow: u32,
        /// First tile of the chunk, and number of tiles.
        first_tile: u32,
        tiles: u32,
        /// K/4
        out_blocks: u32,
        /// Whether to pool, where one kernel serves pooled and unpooled layers.
        pools: u32,
        alpha: f32,
        beta: f32,
    }

    /// Parameters of `winograd_weights`.
    struct WinogradWeightsParams {
        len: u32,
        row: u32,
    }
}

pub(super) fn lower(op: &FusedConv2d, cx: &mut Lowering, form: WinogradForm) -> Result<()> {
    let out = cx.output(0);
    let mut passes = op.source_passes_as_given(cx);
    for pass in &mut passes {
        // The input transform itself upsamples by 2.
        if let Some((mode, factor)) = op.sources[pass.source].upsample.filter(|e| e.1 != 2) {
            (pass.operand, pass.view) = mode.into_scratch(cx, pass.source, factor)?;
        }
    }
    let (outputs, points) = (form.outputs(), form.points());
    let (tiles_x, tiles_y) = (out.w.div_ceil(outputs), out.h.div_ceil(outputs));
    let tiles = out.n * tiles_x * tiles_y;
    let tile = Tile::choose(cx.target, out.c, tiles, points, true);
    let columns = tile.columns();
    let steps: usize = passes.iter().map(|p| p.channels.div_ceil(LANES)).sum();
    let ob = out.c.div_ceil(LANES);
    let chunk = chunk_tiles(cx, tiles, columns, steps + ob, points);
    let precision = cx.target.options.precision;
    let bytes = |blocks: usize| (points * chunk * blocks * LANES) as u64 * precision.bytes();
    let (v, m) = (cx.scratch(bytes(steps)), cx.scratch(bytes(ob)));
    cx.reads(Operand::ScratchRead(v), out.c.div_ceil(tile.rows) as f64);
    let weights = filters(op, cx, form, tile, &passes)?;
    let bias = bias(op, cx, ob);
    let grid = [tiles_x, tiles_x * tiles_y];
    let key = |shader| KernelKey::new(shader).with("OUT", outputs as u32).with("COLUMNS", columns as u32);
    // Two invocations share a tile of 36 points, except where the number of vec4 loads dominates.
    let halves = outputs == 4 && broadcasts(cx.target).is_none();
    let shares = if halves { 2 } else { 1 };
    // Where stores are inlined, compiling them dominates. A zero-or-one-iteration loop lets one pipeline serve pooled
    // and unpooled layers; in the latter an unused vec4 replaces the pooled map.
    let rolled = outputs == 4 && !halves && cx.target.policy.rolled_loops;
    let pooled = match (op.pool, rolled) {
        (true, _) => Some(Operand::Output(1)),
        (false, true) => Some(Operand::ScratchWrite(cx.scratch(16))),
        (false, false) => None,
    };
    for first in (0..tiles).step_by(chunk) {
        let count = chunk.min(tiles - first);
        let blocks = count.div_ceil(columns);
        let mut block = 0;
        for pass in &passes {
            let s = cx.input(pass.source);
            let ib = pass.channels.div_ceil(LANES);
            if first == 0 {
                // For example 6 x 6 pixels for 4 x 4 outputs; from a map to be upsampled, about 20 for 2 x 2.
                let times = if op.sources[pass.source].upsample.is_some_and(|e| e.1 == 2) { 2.0 } else { 1.0 };
                cx.reads(pass.operand, times * points as f64 / (outputs * outputs) as f64);
            }
            let mut params = WinogradInParams {
                x: pass.view,
                tiles_x: grid[0] as u32,
                image_tiles: grid[1] as u32,
                last_row: out.h as u32 + 1,
                last_column: out.w as u32 + 1,
                pad_top: op.conv.padding[0] as u32,
                pad_left: op.conv.padding[1] as u32,
                up_h: 2 * s.h as u32,
                up_w: 2 * s.w as u32,
                first_tile: first as u32,
                tiles: count as u32,
                tile_blocks: blocks as u32,
                steps: steps as u32,
                first_block: block as u32,
                h: s.h as u32,
                w: s.w as u32,
                ..WinogradInParams::default()
            };
            block += ib;
            let mut key = key("winograd_in").flag("HALVES", halves);
            if let Some((mode, 2)) = op.sources[pass.source].upsample {
                let axes = mode.axes(cx.label, s, s.with_hw(2 * s.h, 2 * s.w))?;
                (params.columns, params.rows) = (axes.columns, axes.rows);
                (params.column_factor, params.row_factor) = (axes.column_factor, axes.row_factor);
                let power_of_two = axes.power_of_two;
                let bilinear = mode != ResizeMode::Nearest;
                key = key.flag("UPSAMPLED", true).flag("BILINEAR", bilinear).flag("POWER_OF_TWO", power_of_two);
            }
            let bindings = [pass.operand, Operand::ScratchWrite(v)];
            cx.dispatch(key, params, bindings, [(shares * count).div_ceil(64), ib, 1])?;
        }
        for &(xi, number, weights) in &weights {
            let params =
                WinogradGemmParams { blocks: blocks as u32, steps: steps as u32, end4: ob as u32, xi: xi as u32 };
            let bindings = [Operand::ScratchRead(v), weights, Operand::ScratchWrite(m)];
            let workgroups = [blocks, out.c.div_ceil(tile.rows), number];
            let key = KernelKey::new("winograd_gemm").with("POINTS", points as u32);
            cx.dispatch(tile.constants(key, out.c, steps), params, bindings, workgroups)?;
        }
        let params = WinogradOutParams {
            y: cx.output_view(0),
            z: if op.pool { cx.output_view(1) } else { View::default() },
            tiles_x: grid[0] as u32,
            image_tiles: grid[1] as u32,
            oh: out.h as u32,
            ow: out.w as u32,
            first_tile: first as u32,
            tiles: count as u32,
            out_blocks: ob as u32,
            pools: op.pool.into(),
            alpha: op.activation.arguments()[0],
            beta: op.activation.arguments()[1],
        };
        let key = key("winograd_out")
            .with("ACTIVATION", op.activation.id())
            .flag("WHOLE", out.h.is_multiple_of(outputs) && out.w.is_multiple_of(outputs))
            .flag("POOL", pooled.is_some())
            .flag("HALVES", halves)
            .flag("ROLLED", rolled);
        let mut bindings = vec![Operand::ScratchRead(m), bias, Operand::Output(0)];
        bindings.extend(pooled);
        cx.dispatch(key, params, bindings, [(shares * count).div_ceil(64), ob, 1])?;
    }
    Ok(())
}

fn bias(op: &FusedConv2d, cx: &mut Lowering, ob: usize) -> Operand {
    let (inputs, count) = match op.conv.bias {
        true => (vec![op.weight_input() + 1], op.conv.out_channels),
        false => (vec![], 0),
    };
    cx.weights_f32(inputs, ob * LANES, Packing::Copied(count))
}

/// The transformed filters, `[xi][K/TM][C/4][TM]` of vec4, split into ranges of xi that each fit in a binding: first
/// xi, count, operand.
fn filters(
    op: &FusedConv2d,
    cx: &mut Lowering,
    form: WinogradForm,
    tile: Tile,
    passes: &[SourcePass],
) -> Result<Vec<(usize, usize, Operand)>> {
    let steps = tile.packed(passes.iter().map(|p| p.channels.div_ceil(LANES)).sum());
    // Elements per xi.
    let size = op.conv.out_channels.div_ceil(tile.rows) * steps * tile.rows * LANES;
    let fit = (cx.target.caps.max_binding_bytes / (size as u64 * cx.target.options.precision.bytes())) as usize;
    if fit == 0 {
        return Err(Error::Limit {
            what: format!("transformed weights of {}", cx.label),
            needed: format!("{} bytes in one binding", size as u64 * cx.target.options.precision.bytes()),
            limit: format!("{} bytes", cx.target.caps.max_binding_bytes),
        });
    }
    // First channel of each source, in the weight and in the padded blocks of the transform.
    let mut block = 0;
    let mut starts = Vec::new();
    for pass in passes {
        starts.push((pass.first, pass.channels, block * LANES));
        block += pass.channels.div_ceil(LANES);
    }
    let points = form.points();
    let order = WinogradOrder { out_channels: op.conv.out_channels, tile: tile.order(), steps, size, sources: starts };
    if cx.training {
        return filters_on_device(op, cx, form, order);
    }
    let ranges = (0..points).step_by(fit.min(points)).map(|xi| (xi, fit.min(points - xi)));
    let range = |(first, points): (usize, usize)| {
        let packing = Packing::WinogradFilters { form, order: order.clone(), first, points };
        (first, points, cx.weights(vec![op.weight_input()], points * size, packing))
    };
    Ok(ranges.map(range).collect())
}

/// The same for weights that change from run to run: transformed by a kernel, in one piece.
fn filters_on_device(
    op: &FusedConv2d,
    cx: &mut Lowering,
    form: WinogradForm,
    order: WinogradOrder,
) -> Result<Vec<(usize, usize, Operand)>> {
    let size = order.size;
    let inputs = vec![cx.input(op.weight_input()).len()];
    let map = Packing::IndexMap { of: Box::new(Packing::WinogradTaps(order)), inputs };
    let table = cx.weights_f32([], size, map);
    let scratch = cx.scratch((form.points() * size * 4) as u64);
    // Every block of tiles reads all of it.
    cx.reads(Operand::ScratchRead(scratch), MANY_READS);
    let len = size / LANES;
    let params = WinogradWeightsParams { len: len as u32, row: cx.linear_row(len) };
    let bindings = [table, Operand::Input(op.weight_input()), Operand::ScratchWrite(scratch)];
    let key = KernelKey::new("winograd_weights").flag("F4", form == WinogradForm::F4);
    cx.dispatch(key, params, bindings, cx.per_element(len))?;
    Ok(vec![(0, form.points(), Operand::ScratchRead(scratch))])
}
