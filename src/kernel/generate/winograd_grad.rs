//! The weight gradient in Winograd's domain: the transposed transforms of F(4, 3), and the products over tiles, whose
//! operands lanes of a subgroup share.

use super::{LANES, Text, constant};
use crate::kernel::KernelKey;

/// Points of the transform along an axis.
const POINTS: u32 = 6;
/// Tiles per iteration of the product: a spilled sum is loaded and stored once for all.
const TILES: u32 = 4;

/// The code after the prologue of `winograd_grad_in.wgsl`, which defines `start` (the plane), `top` and `left` (the
/// tile's first pixel), `rows` and `columns` (pixels from there to the edges), `at` (where point 0 goes) and `step` (from
/// a point to the next).
pub(super) fn input() -> String {
    let mut t = Text::default();
    for r in 0..4 {
        t.line(format!("let row{r} = start + min(top + {r}u, p.oh - 1u) * p.g.row;"));
        for c in 0..4 {
            let load = format!("vec4<f32>(g[row{r} + min(left + {c}u, p.ow - 1u)])");
            t.line(format!("let d{r}_{c} = select(vec4<f32>(0.0), {load}, {r}u < rows && {c}u < columns);"));
        }
        spread(&mut t, &format!("r{r}_"), &[0, 1, 2, 3].map(|c| format!("d{r}_{c}")));
    }
    for c in 0..POINTS {
        spread(&mut t, &format!("t{c}_"), &[0, 1, 2, 3].map(|r| format!("r{r}_{c}")));
        for r in 0..POINTS {
            t.line(format!("u[at + {}u * step] = stored(t{c}_{r});", r * POINTS + c));
        }
    }
    t.0
}

/// `let {to}0, ..` = A of the four values: a + b z + c z^2 + d z^3 at z = 0, 1, -1, 2, -2, and d.
fn spread(t: &mut Text, to: &str, [a, b, c, d]: &[String; 4]) {
    t.line(format!("let {to}p = {a} + {c};"));
    t.line(format!("let {to}q = {b} + {d};"));
    t.line(format!("let {to}r = {a} + 4.0 * {c};"));
    t.line(format!("let {to}s = 2.0 * {b} + 8.0 * {d};"));
    let values = [
        a.clone(),
        format!("{to}p + {to}q"),
        format!("{to}p - {to}q"),
        format!("{to}r + {to}s"),
        format!("{to}r - {to}s"),
        d.clone(),
    ];
    for (i, value) in values.iter().enumerate() {
        t.line(format!("let {to}{i} = {value};"));
    }
}

/// Rows of a workgroup, and channel blocks of a part of the subgroup.
fn sizes(key: &KernelKey) -> Result<(u32, u32, bool), String> {
    let (rows, lanes, split) = (constant(key, "TM", 32)?, constant(key, "SUBGROUP", 16)?, constant(key, "SPLIT", 4)?);
    if !rows.is_multiple_of(4) || !lanes.is_multiple_of(split) {
        return Err(format!("TM is {rows}, SUBGROUP {lanes} and SPLIT {split}; the generator takes multiples"));
    }
    Ok((rows, lanes / split, split > 1))
}

/// The loop over tiles of `winograd_grad_gemm.wgsl`, with its sums `a{row}`.
pub(super) fn product(key: &KernelKey) -> Result<String, String> {
    let (rows, width, split) = sizes(key)?;
    let loads = (rows / 4).div_ceil(width);
    let mut t = Text::default();
    for j in 0..loads {
        // Rows past the last repeat it, and are not stored.
        let block = format!("first_row / 4u + own + {}u", j * width);
        t.line(format!("let u{j} = ui + min({block}, p.blocks - 1u) * COLUMNS;"));
    }
    (0..rows).for_each(|r| t.line(format!("var a{r} = vec4<f32>(0.0);")));
    t.line("for (var trip = 0u; trip < trips; trip++) {");
    t.line(format!("let first = (trip * SPLIT + part) * {TILES}u;"));
    t.line("let ub = first / COLUMNS * p.blocks * COLUMNS + first % COLUMNS;");
    for k in 0..TILES {
        // Past the last tile u is zero, and v has to be finite.
        t.line(format!("let t{k} = min(first + {k}u, last);"));
        t.line(format!("let v{k} = vec4<f32>(v[vi + t{k} / COLUMNS * p.steps * COLUMNS + t{k} % COLUMNS]);"));
        (0..loads).for_each(|j| t.line(format!("let u{j}_{k} = vec4<f32>(u[u{j} + ub + {k}u]);")));
    }
    for r in 0..rows {
        let (j, from, lane) = (r / 4 / width, r / 4 % width, LANES[r as usize % 4]);
        let factor = |k: u32| match split {
            true => format!("subgroupShuffle(u{j}_{k}.{lane}, base + {from}u)"),
            false => format!("subgroupBroadcast(u{j}_{k}.{lane}, {from}u)"),
        };
        let add = |rest: String, k: u32| format!("fma(vec4<f32>({}), v{k}, {rest})", factor(k));
        t.line(format!("a{r} = {};", (0..TILES).fold(format!("a{r}"), add)));
    }
    t.line("}");
    Ok(t.0)
}

/// Adds up the parts of the subgroup, and stores the sums: four rows an iteration, which leaves few stores to compile.
pub(super) fn results(key: &KernelKey) -> Result<String, String> {
    let (rows, width, _) = sizes(key)?;
    let (lanes, split) = (constant(key, "SUBGROUP", 16)?, constant(key, "SPLIT", 4)?);
    let mut t = Text::default();
    t.line(format!("let ends = trip_count({}u, group.x);", rows / 4));
    t.line("for (var end = 0u; end < ends; end++) {");
    for r in 0..4 {
        let mut step = width;
        for _ in 0..split.ilog2() {
            t.line(format!("a{r} += subgroupShuffle(a{r}, (lane + {step}u) % {lanes}u);"));
            step *= 2;
        }
        t.line(format!("if (writes && row + {r}u < p.rows) {{"));
        t.line(format!("let to = at + {r}u * p.steps;"));
        t.line(format!("m[to] = a{r} + select(vec4<f32>(0.0), m[to], p.add == 1u);"));
        t.line("}");
    }
    for r in 4..rows {
        t.line(format!("a{} = a{r};", r - 4));
    }
    t.line("row += 4u;");
    t.line("at += 4u * p.steps;");
    t.line("}");
    Ok(t.0)
}

/// `let w{ky}_{kx}` = Gt m G of the points from `at` on, `p.points` apart.
pub(super) fn output() -> String {
    let mut t = Text::default();
    for r in 0..POINTS {
        for c in 0..POINTS {
            t.line(format!("let m{r}_{c} = m[at + {}u * p.points];", r * POINTS + c));
        }
        gather(&mut t, &format!("r{r}_"), |c| format!("m{r}_{c}"));
    }
    for c in 0..3 {
        gather(&mut t, &format!("c{c}_"), |r| format!("r{r}_{c}"));
        (0..3).for_each(|r| t.line(format!("let w{r}_{c} = c{c}_{r};")));
    }
    t.0
}

/// `let {to}0, {to}1, {to}2` = Gt of the six values.
fn gather(t: &mut Text, to: &str, v: impl Fn(u32) -> String) {
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(v);
    t.line(format!("let {to}p = ({b} + {c}) / 6.0;"));
    t.line(format!("let {to}q = {d} + {e};"));
    t.line(format!("let {to}0 = 0.25 * {a} - {to}p + {to}q / 24.0;"));
    t.line(format!("let {to}1 = ({c} - {b}) / 6.0 + ({d} - {e}) / 12.0;"));
    t.line(format!("let {to}2 = {to}q / 6.0 - {to}p + {f};"));
}
