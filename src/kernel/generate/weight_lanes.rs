//! Sums of outer products over pixels or Winograd tiles, for weight gradients: each lane of a subgroup has four channels
//! of one operand, and gets those of the other from the lanes that loaded them.

use super::{LANES, Text, constant};
use crate::kernel::KernelKey;

/// Pixels or tiles per iteration of a part of a subgroup: a spilled sum is loaded and stored once for all.
pub(crate) const STEPS: u32 = 4;

struct Tile {
    /// Rows of a workgroup: channels of the operand that is shared.
    rows: u32,
    lanes: u32,
    /// Parts of a subgroup, each with other pixels, or with `taps` each with another tap.
    split: u32,
    taps: bool,
}

impl Tile {
    fn new(key: &KernelKey) -> Result<Self, String> {
        let (rows, lanes) = (constant(key, "TM", 32)?, constant(key, "SUBGROUP", 16)?);
        let split = constant(key, "SPLIT", 4)?;
        if !rows.is_multiple_of(4) || !lanes.is_multiple_of(split) || !split.is_power_of_two() {
            return Err(format!("TM is {rows}, SUBGROUP {lanes} and SPLIT {split}; the generator takes multiples"));
        }
        let taps = key.value("TAPS").is_some();
        if taps && !(4 * lanes).is_multiple_of(rows) {
            return Err(format!("{lanes} lanes do not share {rows} rows evenly"));
        }
        Ok(Self { rows, lanes, split, taps })
    }

    /// Lanes that load the shared operand for themselves: those of a part, or all.
    const fn width(&self) -> u32 {
        if self.taps { self.lanes } else { self.lanes / self.split }
    }

    /// Pixels or tiles of one load of the shared operand: a part has its own, unless its lanes outnumber the blocks.
    fn pixels(&self) -> u32 {
        if self.taps { (self.width() * 4 / self.rows).clamp(1, STEPS) } else { 1 }
    }

    /// Loads of the shared operand for the same pixels.
    fn loads(&self) -> u32 {
        (self.rows / 4).div_ceil(self.width())
    }
}

/// Where the loads of the shared operand start, `u{j}` = `base` and `pitch` for each channel block from `first_row` on.
/// Rows past the last repeat it, and are not stored.
fn starts(t: &mut Text, tile: &Tile, base: &str, pitch: &str) {
    for j in 0..tile.loads() {
        let own = if tile.taps { format!("lane % {}u", tile.rows / 4) } else { "own".into() };
        let block = format!("min(first_row / 4u + {own} + {}u, last_block)", j * tile.width());
        t.line(format!("let u{j} = {base} + {block} * {pitch};"));
    }
}

fn sums(t: &mut Text, tile: &Tile) {
    (0..tile.rows).for_each(|r| t.line(format!("var a{r} = vec4<f32>(0.0);")));
}

/// The multiply-adds of `v{k}` with the rows of `u{j}_{k}`.
fn multiply_adds(t: &mut Text, tile: &Tile) {
    for r in 0..tile.rows {
        let (j, from, lane) = (r / 4 / tile.width(), r / 4 % tile.width(), LANES[r as usize % 4]);
        let factor = |k: u32| match (tile.taps, tile.split) {
            (true, _) => {
                let (load, pixel) = (k / tile.pixels(), k % tile.pixels());
                format!("subgroupBroadcast(u{j}_{load}.{lane}, {}u)", pixel * tile.rows / 4 + from)
            }
            (_, 1) => format!("subgroupBroadcast(u{j}_{k}.{lane}, {from}u)"),
            _ => format!("subgroupShuffle(u{j}_{k}.{lane}, base + {from}u)"),
        };
        let add = |rest: String, k: u32| format!("fma(vec4<f32>({}), v{k}, {rest})", factor(k));
        t.line(format!("a{r} = {};", (0..STEPS).fold(format!("a{r}"), add)));
    }
}

/// The loop over tiles of `winograd_grad_gemm.wgsl`, with its sums `a{row}`.
pub(super) fn tiles(key: &KernelKey) -> Result<String, String> {
    let tile = Tile::new(key)?;
    let mut t = Text::default();
    starts(&mut t, &tile, "ui", "COLUMNS");
    sums(&mut t, &tile);
    t.line("for (var trip = 0u; trip < trips; trip++) {");
    t.line(format!("let first = (trip * SPLIT + part) * {STEPS}u;"));
    t.line("let ub = first / COLUMNS * u_block + first % COLUMNS;");
    for k in 0..STEPS {
        // Past the last tile u is zero, and v has to be finite.
        t.line(format!("let t{k} = min(first + {k}u, last);"));
        t.line(format!("let v{k} = vec4<f32>(v[vi + t{k} / COLUMNS * v_block + t{k} % COLUMNS]);"));
        (0..tile.loads()).for_each(|j| t.line(format!("let u{j}_{k} = vec4<f32>(u[u{j} + ub + {k}u]);")));
    }
    multiply_adds(&mut t, &tile);
    t.line("}");
    Ok(t.0)
}

/// The loops over the pixels of a band of `conv_weight_grad_lanes.wgsl`.
pub(super) fn pixels(key: &KernelKey) -> Result<String, String> {
    let tile = Tile::new(key)?;
    let mut t = Text::default();
    starts(&mut t, &tile, "gi", "p.g.plane");
    sums(&mut t, &tile);
    t.line("for (var row = start; row < end; row++) {");
    t.line("for (var trip = 0u; trip < trips; trip++) {");
    let part = if tile.taps { "trip" } else { "(trip * SPLIT + part)" };
    t.line(format!("let first = {part} * {STEPS}u;"));
    for k in 0..STEPS {
        t.line(format!("let c{k} = min(first + {k}u, last);"));
        t.line(format!("let v{k} = vec4<f32>(x[xi + row * x_row + c{k} * stride]);"));
    }
    for k in 0..STEPS / tile.pixels() {
        let at = match tile.pixels() {
            1 => format!("first + {k}u"),
            n => format!("first + {}u + lane / {}u", k * n, tile.rows / 4),
        };
        t.line(format!("let p{k} = {at};"));
        for j in 0..tile.loads() {
            let load = format!("vec4<f32>(g[u{j} + row * g_row + min(p{k}, last)])");
            t.line(format!("let u{j}_{k} = select(vec4<f32>(0.0), {load}, p{k} <= last);"));
        }
    }
    multiply_adds(&mut t, &tile);
    t.line("}");
    t.line("}");
    Ok(t.0)
}

/// Adds up the parts of the subgroup, and stores the sums to `m` from `at` on, rows `pitch` apart, after adding what is
/// there if `adds` is 1. Four rows an iteration leave few stores to compile.
pub(super) fn results(key: &KernelKey) -> Result<String, String> {
    let tile = Tile::new(key)?;
    let mut t = Text::default();
    t.line("let ends = trip_count((min(TM, rows - first_row) + 3u) / 4u, group.x);");
    t.line("for (var end4 = 0u; end4 < ends; end4++) {");
    t.line("let to = at + 4u * end4 * pitch;");
    t.line("let left = rows - first_row - 4u * end4;");
    for r in 0..4 {
        let sums = if tile.taps { 0 } else { tile.split.ilog2() };
        for step in (0..sums).map(|i| tile.width() << i) {
            t.line(format!("a{r} += subgroupShuffle(a{r}, (lane + {step}u) % {}u);", tile.lanes));
        }
    }
    // A loop, since some drivers execute what a condition skips.
    t.line("for (var add = 0u; add < adds; add++) {");
    for r in 0..4 {
        t.line(format!("a{r} += m[to + min({r}u, left - 1u) * pitch];"));
    }
    t.line("}");
    for r in 0..4 {
        t.line(format!("if (writes && {r}u < left) {{ m[to + {r}u * pitch] = a{r}; }}"));
    }
    for r in 4..tile.rows {
        t.line(format!("a{} = a{r};", r - 4));
    }
    t.line("}");
    Ok(t.0)
}
