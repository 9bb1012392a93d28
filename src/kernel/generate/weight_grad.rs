//! The weight gradient of a convolution: 8 lanes hold 8 neighbouring columns of a band of rows. Each sums all products
//! of a channel block of g and one of x, for one row of taps or for all; rows of x stay in registers from row to row.

use super::{LANES, Text, constant};
use crate::kernel::KernelKey;

/// The loop over rows of `conv_weight_grad.wgsl`, which defines `count` (rows of the invocation's band), `last` and
/// `bottom` (the band's last row in g and in x), `inside` (whether the lane's column exists), `gi` and `xi` (the band's
/// first pixel in g and in x).
pub(super) fn body(key: &KernelKey) -> Result<String, String> {
    let taps = constant(key, "TAP_ROWS", 7)?;
    let kw = constant(key, "KW", 7)?;
    let stride = constant(key, "STRIDE", 2)?;
    let rows = constant(key, "ROWS", 2)?;
    let mut t = Text::default();
    // Rows of x that the next step shares with this one.
    let carried = if stride == 1 { taps - 1 } else { 0 };
    let lines = (rows - 1) * stride + taps;
    for i in 0..carried {
        for k in 0..kw {
            t.line(format!("var c{i}_{k} = vec4<f32>(x[xi + {i}u * p.x.row + {k}u]);"));
        }
    }
    t.line(format!("for (var r = 0u; r < count; r += {rows}u) {{"));
    for r in 0..rows {
        // Rows past the band repeat its last one, times zero.
        t.line(format!("let row{r} = min(r + {r}u, last);"));
        let valid = if r == 0 { "inside".into() } else { format!("inside && r + {r}u <= last") };
        t.line(format!("let g_{r} = select(vec4<f32>(0.0), vec4<f32>(g[gi + row{r} * p.g.row]), {valid});"));
    }
    for i in 0..lines {
        if i >= carried {
            t.line(format!("let line{i} = xi + min(r * {stride}u + {i}u, bottom) * p.x.row;"));
        }
        for k in 0..kw {
            let value = if i < carried { format!("c{i}_{k}") } else { format!("vec4<f32>(x[line{i} + {k}u])") };
            t.line(format!("let x{i}_{k} = {value};"));
        }
    }
    for (ky, kx) in (0..taps).flat_map(|y| (0..kw).map(move |x| (y, x))) {
        for l in LANES {
            let sum = format!("a{}_{l}", ky * kw + kx);
            let step = |rest: String, r: u32| format!("fma(vec4<f32>(g_{r}.{l}), x{}_{kx}, {rest})", r * stride + ky);
            t.line(format!("{sum} = {};", (0..rows).fold(sum.clone(), step)));
        }
    }
    for i in 0..carried {
        for k in 0..kw {
            t.line(format!("c{i}_{k} = x{}_{k};", i + rows));
        }
    }
    t.line("}");
    Ok(t.0)
}

/// Declarations of the sums.
pub(super) fn sums(key: &KernelKey) -> Result<String, String> {
    let mut t = Text::default();
    each(key, |_, _, name| t.line(format!("var {name} = vec4<f32>(0.0);")))?;
    Ok(t.0)
}

/// Adds up the sums of all lanes, into `partial` from `base` on.
pub(super) fn results(key: &KernelKey) -> Result<String, String> {
    let mut t = Text::default();
    let mut lines = Vec::new();
    each(key, |tap, lane, name| lines.push((tap, lane, name)))?;
    if key.value("SUBGROUP").is_some() {
        for (_, _, name) in &lines {
            t.line(format!("{name} = subgroupAdd({name});"));
        }
        t.line("if (lane == 0u) {");
        for (tap, lane, name) in &lines {
            t.line(format!("partial[base + ({lane}u * p.columns + {tap}u)] = {name};"));
        }
        t.line("}");
        return Ok(t.0);
    }
    for four in lines.chunks(4) {
        for (_, lane, name) in four {
            t.line(format!("sums[{lane}u * 64u + lane] = {name};"));
        }
        t.line("workgroupBarrier();");
        t.line("part = sums[lane * 4u] + sums[lane * 4u + 1u] + sums[lane * 4u + 2u] + sums[lane * 4u + 3u];");
        t.line("workgroupBarrier();");
        t.line("sums[lane] = part;");
        t.line("workgroupBarrier();");
        t.line(format!("if (lane < 4u) {{ store(lane, base + lane * p.columns + {}u); }}", four[0].0));
        t.line("workgroupBarrier();");
    }
    Ok(t.0)
}

fn each(key: &KernelKey, mut f: impl FnMut(u32, u32, String)) -> Result<(), String> {
    let taps = constant(key, "TAP_ROWS", 7)? * constant(key, "KW", 7)?;
    for tap in 0..taps {
        for (i, l) in (0..).zip(LANES) {
            f(tap, i, format!("a{tap}_{l}"));
        }
    }
    Ok(())
}
