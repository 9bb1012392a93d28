//! Winograd F(4, 3): a 3x3 convolution with a quarter of the multiplications. Input transform of every source into one
//! buffer, 36 matrix products, output transform; in chunks of tiles, so that both buffers stay in the caches.

use super::Conv2d;
use crate::error::{Error, Result};
use crate::kernel::{AdapterClass, KernelKey, Operand};
use crate::ops::Lowering;
use crate::ops::gemm::Tile;
use crate::tensor::{HostTensor, LANES};
use rayon::prelude::*;

/// Points of the transform: 6 x 6 for 4 x 4 outputs.
const XI: usize = 36;

/// The filter transform: `G g Gt`.
const G: [[f64; 3]; 6] = [
    [0.25, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Tiles of a chunk: as many as leave both buffers in the last cache of the device, a multiple of `block`.
fn chunk_tiles(cx: &Lowering, tiles: usize, block: usize, channel_blocks: usize) -> usize {
    let per_tile = (XI * LANES * 4 * channel_blocks) as u64;
    let budget = match cx.caps.class {
        // 256 tiles of 64 channels each way: what lavapipe is fastest with.
        AdapterClass::Cpu => 5 << 20,
        // Room for thousands of workgroups; a large cache or two holds it.
        _ => 48 << 20,
    };
    let least = if cx.caps.class == AdapterClass::Cpu { 256 } else { 1024 };
    // Both buffers together stay below the limit of a binding whatever the budget says.
    let most = (cx.caps.max_binding_bytes.min(128 << 20) / per_tile) as usize;
    let wanted = ((budget / per_tile) as usize).max(least).min(most).min(tiles);
    wanted.div_ceil(block).max(1) * block
}

pub(super) fn lower(op: &Conv2d, cx: &mut Lowering) -> Result<()> {
    let out = cx.output(0);
    let (tiles_x, tiles_y) = (out.w.div_ceil(4), out.h.div_ceil(4));
    let tiles = out.n * tiles_x * tiles_y;
    let parts = op.parts(cx);
    // The product reads the transformed input once for every 64 rows or so.
    let reads = out.c as f64 / 64.0;
    let tile = Tile::choose(cx.caps, out.c, tiles, reads > 1.5);
    let columns = tile.columns();
    let steps: usize = parts.iter().map(|p| p.channels.div_ceil(LANES)).sum();
    let ob = out.c.div_ceil(LANES);
    let chunk = chunk_tiles(cx, tiles, columns, steps + ob);
    let bytes = |blocks: usize| (XI * chunk * blocks * LANES * 4) as u64;
    let (v, m) = (cx.scratch(bytes(steps)), cx.scratch(bytes(ob)));
    cx.reads(Operand::ScratchRead(v), reads);
    let weights = filters(op, cx, tile, steps)?;
    let bias = bias(op, cx, ob);
    let grid = [tiles_x, tiles_x * tiles_y];
    for first in (0..tiles).step_by(chunk) {
        let count = chunk.min(tiles - first);
        let blocks = count.div_ceil(columns);
        let mut block = 0;
        for part in &parts {
            let ib = part.channels.div_ceil(LANES);
            if first == 0 {
                // 6 x 6 pixels for 4 x 4.
                cx.reads(Operand::Input(part.source), 2.25);
            }
            let mut params = op.view(cx, part).to_vec();
            params.extend([grid[0], grid[1], out.h + 1, out.w + 1].map(|v| v as u32));
            params.extend([op.padding[0], op.padding[1], 0, 0].map(|v| v as u32));
            params.extend([first, count, blocks, 0, steps, block, 0, 0].map(|v| v as u32));
            block += ib;
            let key = KernelKey::new("winograd_in").with("COLUMNS", columns as u32);
            let bindings = [Operand::Input(part.source), Operand::ScratchWrite(v)];
            cx.dispatch(key, params, bindings, [count.div_ceil(64), ib, 1])?;
        }
        for &(xi, points, weights) in &weights {
            let params = [blocks, steps, ob, xi].map(|v| v as u32).to_vec();
            let bindings = [Operand::ScratchRead(v), weights, Operand::ScratchWrite(m)];
            let workgroups = [blocks, out.c.div_ceil(tile.rows), points];
            cx.dispatch(tile.constants(KernelKey::new("winograd_gemm"), out.c), params, bindings, workgroups)?;
        }
        let mut params = cx.output_view(0).to_vec();
        params.extend([grid[0], grid[1], out.h, out.w, first, count, ob, 0].map(|v| v as u32));
        params.extend([op.activation.slope().to_bits(), 0, 0, 0]);
        let key =
            KernelKey::new("winograd_out").with("COLUMNS", columns as u32).with("ACTIVATION", op.activation.id()).flag("WHOLE", out.h.is_multiple_of(4) && out.w.is_multiple_of(4));
        let bindings = [Operand::ScratchRead(m), bias, Operand::Output(0)];
        cx.dispatch(key, params, bindings, [count.div_ceil(64), ob, 1])?;
    }
    Ok(())
}

fn bias(op: &Conv2d, cx: &mut Lowering, ob: usize) -> Operand {
    if !op.bias {
        return cx.weights(vec![op.weight_input()], ob * LANES, move |_| Ok(vec![0.0; ob * LANES]));
    }
    cx.weights(vec![op.weight_input() + 1], ob * LANES, move |p| {
        let mut packed = p[0].data().to_vec();
        packed.resize(ob * LANES, 0.0);
        Ok(packed)
    })
}

/// The transformed filters, `[xi][K/TM][C/4][TM]` of vec4, cut into ranges of xi that each fit in a binding: first xi,
/// number, operand.
fn filters(op: &Conv2d, cx: &mut Lowering, tile: Tile, steps: usize) -> Result<Vec<(usize, usize, Operand)>> {
    // Elements of one xi.
    let size = op.out_channels.div_ceil(tile.rows) * steps * tile.rows * LANES;
    let fit = (cx.caps.max_binding_bytes / (size as u64 * 4)) as usize;
    if fit == 0 {
        return Err(Error::Limit {
            what: format!("transformed weights of {}", cx.label),
            needed: format!("{} bytes in one binding", size * 4),
            limit: format!("{} bytes", cx.caps.max_binding_bytes),
        });
    }
    // Where each source's channels begin, in the weight and in the padded blocks of the transform.
    let mut block = 0;
    let mut starts = Vec::new();
    for part in op.parts(cx) {
        starts.push((part.first, part.channels, block * LANES));
        block += part.channels.div_ceil(LANES);
    }
    let ranges = (0..XI).step_by(fit.min(XI)).map(|xi| (xi, fit.min(XI - xi)));
    let range = |(xi, points): (usize, usize)| {
        let starts = starts.clone();
        let pack = move |p: &[&HostTensor]| {
            let mut packed = vec![0.0f32; points * size];
            let shape = p[0].shape()?;
            packed.par_chunks_mut(size).enumerate().for_each(|(i, packed)| {
                let (gy, gx) = (G[(xi + i) / 6], G[(xi + i) % 6]);
                for o in 0..shape.n {
                    for &(first, channels, to) in &starts {
                        for c in 0..channels {
                            let g = &p[0].data()[(o * shape.c + first + c) * 9..][..9];
                            let row = |y: usize| (0..3).map(|x| f64::from(g[y * 3 + x]) * gx[x]).sum::<f64>();
                            let value: f64 = (0..3).map(|y| gy[y] * row(y)).sum();
                            let k = to + c;
                            let at = tile.weight(steps, o, k / LANES) * LANES + k % LANES;
                            packed[at] = value as f32;
                        }
                    }
                }
            });
            Ok(packed)
        };
        (xi, points, cx.weights(vec![op.weight_input()], points * size, pack))
    };
    Ok(ranges.map(range).collect())
}
