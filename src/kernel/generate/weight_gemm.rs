//! The weight gradient as a GEMM over workgroup memory (`conv_weight_grad_gemm.wgsl`): each of 64 invocations sums the
//! outer products of two channel blocks of g and two of x, which is 16 multiply-adds per vec4 read.

use super::{LANES, Text, constant};
use crate::kernel::KernelKey;

/// Pixels per iteration: the operands of four take more registers than Intel's chips have left beside the sums.
const UNROLLED: u32 = 2;
const INVOCATIONS: u32 = 64;

struct Tile {
    /// Channel blocks of g and columns of x in workgroup memory.
    blocks: [u32; 2],
    /// Pixels in workgroup memory.
    pixels: u32,
}

impl Tile {
    fn new(key: &KernelKey) -> Result<Self, String> {
        let rows = constant(key, "TM", 64)?;
        let pixels = constant(key, "KB", 16)?;
        if ![16, 32, 64].contains(&rows) || ![4, 8, 16].contains(&pixels) {
            return Err(format!("TM is {rows} and KB {pixels}; the generator takes 16, 32, 64 and 4, 8, 16"));
        }
        Ok(Self { blocks: [rows / 4, 1024 / rows], pixels })
    }

    /// Calls `f` for each vec4 that an invocation copies to workgroup memory: with the operand (0 for g, 1 for x), the
    /// vec4's number, and whether only the first invocations copy it.
    fn each_load(&self, mut f: impl FnMut(usize, u32, bool)) {
        for (operand, blocks) in self.blocks.into_iter().enumerate() {
            let words = blocks * self.pixels;
            (0..words.div_ceil(INVOCATIONS)).for_each(|i| f(operand, i, words < INVOCATIONS));
        }
    }

    /// The block that load number `i` copies, in WGSL.
    fn block(&self, i: u32) -> String {
        format!("slot + {}u", i * INVOCATIONS / self.pixels)
    }
}

/// From storage to registers, while workgroup memory is still in use.
pub(super) fn loads(key: &KernelKey) -> Result<String, String> {
    let tile = Tile::new(key)?;
    let mut t = Text::default();
    tile.each_load(|operand, i, few| {
        let block = tile.block(i);
        if operand == 1 {
            return t.line(format!("let x_{i} = vec4<f32>(x[xi + offsets[{block}]]);"));
        }
        let valid = if few { "inside && slot < G_BLOCKS" } else { "inside" };
        let load = format!("vec4<f32>(g[gi + min(first_row + {block}, p.r_blocks - 1u) * p.g.plane])");
        t.line(format!("let g_{i} = select(vec4<f32>(0.0), {load}, {valid});"));
    });
    Ok(t.0)
}

/// From registers to workgroup memory.
pub(super) fn stores(key: &KernelKey) -> Result<String, String> {
    let tile = Tile::new(key)?;
    let mut t = Text::default();
    tile.each_load(|operand, i, few| {
        let name = ["g", "x"][operand];
        let store = format!("{name}_tile[k * PITCH + {}] = {name}_{i};", tile.block(i));
        t.line(if few { format!("if (slot < G_BLOCKS) {{ {store} }}") } else { store });
    });
    Ok(t.0)
}

/// Declarations of the sums.
pub(super) fn sums(_: &KernelKey) -> Result<String, String> {
    let mut t = Text::default();
    each_sum(|g, x, lane| t.line(format!("var s{g}{x}{lane} = vec4<f32>(0.0);")));
    Ok(t.0)
}

/// The multiply-adds of a staged block.
pub(super) fn body(_: &KernelKey) -> Result<String, String> {
    let mut t = Text::default();
    t.line(format!("for (var q = 0u; q < trips; q += {UNROLLED}u) {{"));
    for i in 0..UNROLLED {
        for b in 0..2 {
            t.line(format!("let g{b}_{i} = g_tile[(q + {i}u) * PITCH + gy + {b}u * G_SPREAD];"));
            t.line(format!("let x{b}_{i} = x_tile[(q + {i}u) * PITCH + xx + {b}u * X_SPREAD];"));
        }
        each_sum(|g, x, lane| {
            let sum = format!("s{g}{x}{lane}");
            t.line(format!("{sum} = fma(vec4<f32>(g{g}_{i}.{lane}), x{x}_{i}, {sum});"));
        });
    }
    t.line("}");
    Ok(t.0)
}

/// The sums into `partial`.
pub(super) fn results(_: &KernelKey) -> Result<String, String> {
    let mut t = Text::default();
    for g in 0..2 {
        let row = format!("row0 + {g}u * G_SPREAD");
        t.line(format!("if ({row} < p.r_blocks) {{"));
        for x in 0..2 {
            t.line(format!("if (column0 + {x}u * X_SPREAD < p.columns) {{"));
            for (i, lane) in LANES.iter().enumerate() {
                let at = format!("base + (4u * ({row}) + {i}u) * p.columns + {x}u * X_SPREAD");
                t.line(format!("partial[{at}] = s{g}{x}{lane};"));
            }
            t.line("}");
        }
        t.line("}");
    }
    Ok(t.0)
}

fn each_sum(mut f: impl FnMut(u32, u32, &str)) {
    for g in 0..2 {
        for x in 0..2 {
            LANES.iter().for_each(|lane| f(g, x, lane));
        }
    }
}
