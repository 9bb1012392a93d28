//! Interpolation of a tap's map onto a group of TY x TX output pixels. Neighbouring outputs lie between the same
//! low-resolution pixels, and loads are what costs: each pixel of a small window is loaded once, and every output takes
//! its share of it, rows after columns. Most shares are zero; multiplying by them is cheaper than choosing.

use super::{Text, constant};
use crate::kernel::KernelKey;

/// Low-resolution pixels that `outputs` neighbouring pixels can touch: the distance of the first and the last, rounded
/// up, and what each of them is made of itself.
fn window(outputs: u32, factor: u32, each: u32) -> u32 {
    (outputs - 1).div_ceil(factor) + each
}

/// Everything after the prologue of `tap_sum_group.wgsl`: it finds `n`, `block`, `oy` and `ox` (the group's first output, signed).
pub(super) fn body(key: &KernelKey) -> Result<String, String> {
    let (ty, tx) = (constant(key, "TY", 16)?, constant(key, "TX", 16)?);
    let factor = constant(key, "FACTOR", 1 << 16)?.max(1);
    // Neighbours that one output lies between.
    let each = if key.value("BILINEAR").is_some() { 2 } else { 1 };
    let (ly, lx) = (window(ty, factor, each), window(tx, factor, each));
    let mut t = Text::default();
    for r in 0..ty {
        for c in 0..tx {
            t.line(format!("var sum{r}_{c} = w[block];"));
        }
    }
    t.line("for (var ky = 0u; ky < KERNEL; ky++) {");
    axis(&mut t, "a", "p.rows", "oy + i32(ky)", "p.rest.z", [ty, ly, each]);
    for l in 0..ly {
        t.line(format!("let row{l} = min(a_first + {l}u, p.rest.x - 1u) * p.x.y;"));
    }
    t.line("for (var kx = 0u; kx < KERNEL; kx++) {");
    axis(&mut t, "b", "p.columns", "ox + i32(kx)", "p.rest.y", [tx, lx, each]);
    for m in 0..lx {
        t.line(format!("let column{m} = min(b_first + {m}u, p.size.w - 1u);"));
    }
    t.line("let plane = plane_start(p.x, n, (ky * KERNEL + kx) * p.size.z + block);");
    for l in 0..ly {
        // What the first output is made of is always touched.
        t.line(if l >= each { format!("if (a_last >= {l}u) {{") } else { "{".into() });
        for m in 0..lx {
            let at = format!("vec4<f32>(x[plane + row{l} + column{m}])");
            if m >= each {
                t.line(format!("var v{m} = vec4<f32>(0.0);"));
                t.line(format!("if (b_last >= {m}u) {{ v{m} = {at}; }}"));
            } else {
                t.line(format!("let v{m} = {at};"));
            }
        }
        for c in 0..tx {
            let terms: Vec<String> = (0..lx).map(|m| format!("v{m} * b{c}_{m}")).collect();
            t.line(format!("let h{c} = {};", terms.join(" + ")));
        }
        for r in 0..ty {
            for c in 0..tx {
                t.line(format!("sum{r}_{c} += h{c} * a{r}_{l};"));
            }
        }
        t.line("}");
    }
    t.line("}\n}");
    for r in 0..ty {
        t.line(format!("if (u32(oy) + {r}u < p.size.y) {{"));
        for c in 0..tx {
            t.line(format!("if (u32(ox) + {c}u < p.size.x) {{ put(n, block, oy + {r}, ox + {c}, sum{r}_{c}); }}"));
        }
        t.line("}");
    }
    Ok(t.0)
}

/// The shares `{v}{o}_{slot}` of the window's pixels in each output along an axis, the window's first pixel `{v}_first`
/// and the last slot that any output needs, `{v}_last`. What lies outside the enlarged map has no share in anything.
fn axis(t: &mut Text, v: &str, axis: &str, start: &str, size: &str, [outputs, slots, each]: [u32; 3]) {
    t.line(format!("let {v}_start = {start} - i32(p.rest.w);"));
    t.line(format!("let {v}_end = i32({size});"));
    for o in 0..outputs {
        t.line(format!("let {v}_at{o} = {v}_start + {o};"));
        t.line(format!("let {v}_s{o} = source({axis}, u32(clamp({v}_at{o}, 0, {v}_end - 1)));"));
    }
    t.line(format!("let {v}_first = {v}_s0.low;"));
    t.line(format!("let {v}_last = {v}_s{}.low + {}u - {v}_first;", outputs - 1, each - 1));
    for o in 0..outputs {
        t.line(format!("let {v}_in{o} = select(0.0, 1.0, {v}_at{o} >= 0 && {v}_at{o} < {v}_end);"));
        t.line(format!("let {v}_d{o} = {v}_s{o}.low - {v}_first;"));
        let share = if each == 2 { format!("{v}_in{o} - {v}_upper{o}") } else { format!("{v}_in{o}") };
        t.line(format!("let {v}_upper{o} = {v}_in{o} * {v}_s{o}.weight;"));
        t.line(format!("let {v}_lower{o} = {share};"));
        for slot in 0..slots {
            let upper = if each == 2 && slot > 0 {
                format!("select(0.0, {v}_upper{o}, {v}_d{o} == {}u)", slot - 1)
            } else {
                "0.0".into()
            };
            t.line(format!("let {v}{o}_{slot} = select({upper}, {v}_lower{o}, {v}_d{o} == {slot}u);"));
        }
    }
}
