//! Interpolates a tap's map at a group of TY x TX output pixels. Neighbouring outputs depend on the same low-resolution
//! pixels, and loads dominate the cost: each pixel of a small window is loaded once, and every output adds its share of
//! it, along columns first, then rows. Most shares are zero; multiplying by them is cheaper than selecting the others.

use super::shares::{shares, window};
use super::{Text, constant};
use crate::kernel::KernelKey;

/// The code after the prologue of `tap_sum_group.wgsl`, which defines `n`, `block`, `oy` and `ox` (the group's first
/// output, signed).
pub(super) fn body(key: &KernelKey) -> Result<String, String> {
    let (ty, tx) = (constant(key, "TY", 16)?, constant(key, "TX", 16)?);
    let factor = constant(key, "FACTOR", 1 << 16)?.max(1);
    // Neighbours per axis that one output interpolates.
    let each = if key.value("BILINEAR").is_some() { 2 } else { 1 };
    let (ly, lx) = (window(ty, factor, each), window(tx, factor, each));
    let mut t = Text::default();
    for r in 0..ty {
        for c in 0..tx {
            t.line(format!("var sum{r}_{c} = w[block];"));
        }
    }
    t.line("for (var ky = 0u; ky < KERNEL; ky++) {");
    shares(&mut t, "a", "p.rows, p.row_factor", "oy + i32(ky) - i32(p.padding)", "p.up_h", [ty, ly, each]);
    for l in 0..ly {
        t.line(format!("let row{l} = min(a_first + {l}u, p.h - 1u) * p.x.row;"));
    }
    t.line("for (var kx = 0u; kx < KERNEL; kx++) {");
    shares(&mut t, "b", "p.columns, p.column_factor", "ox + i32(kx) - i32(p.padding)", "p.up_w", [tx, lx, each]);
    for m in 0..lx {
        t.line(format!("let column{m} = min(b_first + {m}u, p.w - 1u);"));
    }
    t.line("let plane = plane_start(p.x, n, (ky * KERNEL + kx) * p.blocks + block);");
    for l in 0..ly {
        // The first output's own pixels are always needed.
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
        t.line(format!("if (u32(oy) + {r}u < p.oh) {{"));
        for c in 0..tx {
            t.line(format!("if (u32(ox) + {c}u < p.ow) {{ put(n, block, oy + {r}, ox + {c}, sum{r}_{c}); }}"));
        }
        t.line("}");
    }
    Ok(t.0)
}
