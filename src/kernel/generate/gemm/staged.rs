//! Operands by workgroup memory: TM TN / 8 invocations stage KB steps of K of both operands at a time, and each
//! accumulates 8 rows x 8 columns. Weights have the same layout in storage as in workgroup memory (see `Tile::weight`),
//! with whole blocks of KB steps for every tap. EVEN guarantees that `x` has whole blocks too; otherwise, steps past
//! its last one repeat it.

use crate::kernel::KernelKey;
use crate::kernel::generate::{Text, constant, multiply_add};

/// Rows per invocation, and columns.
pub(super) const SIDE: u32 = 8;

/// The loop over K.
pub(super) fn steps(t: &mut Text, key: &KernelKey) -> Result<(), String> {
    if key.value("CIN").is_some() {
        return gathered(t, key);
    }
    let (tm, tn) = (constant(key, "TM", 256)?, constant(key, "TN", 64)?);
    let (kb, even) = (constant(key, "KB", 8)?, key.value("EVEN").is_some());
    let (width, invocations) = (tn * 8, tm * tn / 8);
    let (x_len, w_len) = (kb * width, kb * tm);
    // Neighbouring invocations stage neighbouring columns: `across` rounds for all columns of a step, or `deep` steps
    // in one round.
    let (across, deep) = ((width / invocations).max(1), (invocations / width).max(1));
    if (across * invocations != width && deep * width != invocations) || !kb.is_multiple_of(deep) {
        return Err(format!("{invocations} invocations do not stage {kb} steps of {width} columns"));
    }
    let rounds = x_len / invocations;
    let part = if deep > 1 { format!("local / {width}u") } else { "0u".into() };
    for c in 0..across {
        let at = if deep > 1 { format!("local % {width}u") } else { format!("{}u + local", c * invocations) };
        let first = if even && deep > 1 { format!(" + {part} * stride") } else { String::new() };
        t.line(format!("let from{c} = column({at}){first};"));
    }
    for step in 1..rounds / across {
        t.line(format!("let stride{step} = {}u * stride;", step * deep));
    }
    t.line(format!("let stride_block = {kb}u * stride;"));
    t.line("wi += local;");
    t.line("for (var t = 0u; t < taps; t++) {");
    t.line("var s = tap_offset(t);");
    t.line(format!("for (var k = 0u; k < steps; k += {kb}u) {{"));
    for i in 0..rounds {
        let (c, step) = (i % across, i / across);
        t.line(match (even, step) {
            (true, 0) => format!("let v{i} = vec4<f32>(x[from{c} + s]);"),
            (true, _) => format!("let v{i} = vec4<f32>(x[from{c} + s + stride{step}]);"),
            (false, _) => {
                let step = format!("k + {}u + {part}", step * deep);
                format!("let v{i} = vec4<f32>(x[from{c} + s + min({step}, steps - 1u) * stride]);")
            }
        });
    }
    let whole = w_len / invocations;
    for i in 0..whole {
        t.line(format!("let u{i} = vec4<f32>(w[wi + {}u]);", i * invocations));
    }
    // Fewer weights than invocations are left.
    let rest = w_len % invocations;
    if rest > 0 {
        t.line(format!("var u{whole} = vec4<f32>(0.0);"));
        t.line(format!("if (local < {rest}u) {{ u{whole} = vec4<f32>(w[wi + {}u]); }}", whole * invocations));
    }
    // The loads of a block are in flight while other subgroups still compute the previous one.
    t.line("workgroupBarrier();");
    for i in 0..rounds {
        t.line(format!("xs[{}u + local] = v{i};", i * invocations));
    }
    for i in 0..whole {
        t.line(format!("ws[{}u + local] = u{i};", i * invocations));
    }
    if rest > 0 {
        t.line(format!("if (local < {rest}u) {{ ws[{}u + local] = u{whole}; }}", whole * invocations));
    }
    t.line("workgroupBarrier();");
    block(t, tm, tn, kb);
    if even {
        t.line("s += stride_block;");
    }
    t.line(format!("wi += {w_len}u;\n}}\n}}"));
    Ok(())
}

/// The multiply-adds of a staged block.
fn block(t: &mut Text, tm: u32, tn: u32, kb: u32) {
    t.line(format!("for (var i = 0u; i < {kb}u; i++) {{"));
    for j in 0..SIDE {
        t.line(format!("let x{j} = xs[i * {}u + {}u + lane];", tn * 8, j * tn));
    }
    for i in 0..SIDE {
        t.line(format!("let q{i} = ws[i * {tm}u + {}u + ty];", i * (tm / SIDE)));
        for j in 0..SIDE {
            t.line(multiply_add(&format!("a{i}_{j}"), &format!("q{i}"), &format!("x{j}")));
        }
    }
    t.line("}");
}

/// The loop over K for CIN = 1 to 3 input channels: K runs over taps and channels without gaps, in gathered vec4s.
fn gathered(t: &mut Text, key: &KernelKey) -> Result<(), String> {
    let (tm, tn, kb) = (constant(key, "TM", 256)?, constant(key, "TN", 64)?, constant(key, "KB", 8)?);
    let (taps, cin) = (constant(key, "KH", 11)? * constant(key, "KW", 11)?, constant(key, "CIN", 3)?);
    let (width, invocations) = (tn * 8, tm * tn / 8);
    if !width.is_multiple_of(invocations) {
        return Err(format!("{invocations} invocations do not stage {kb} steps of {tm} rows and {width} columns"));
    }
    let across = width / invocations;
    for c in 0..across {
        t.line(format!("let from{c} = column({}u + local);", c * invocations));
    }
    for tap in 0..taps {
        t.line(format!("let o{tap} = tap_offset({tap}u);"));
    }
    t.line("wi += local;");
    let element = |c: u32, e: u32| {
        let lane = ["x", "y", "z"][(e % cin) as usize];
        if e < taps * cin { format!("f32(x[from{c} + o{}].{lane})", e / cin) } else { "0.0".into() }
    };
    for first in (0..(taps * cin).div_ceil(4)).step_by(kb as usize) {
        for i in 0..kb * across {
            let (c, step) = (i % across, first + i / across);
            let v: Vec<String> = (0..4).map(|l| element(c, step * 4 + l)).collect();
            t.line(format!("let v{first}_{i} = vec4<f32>({});", v.join(", ")));
        }
        if first > 0 {
            t.line("workgroupBarrier();");
        }
        for i in 0..kb * across {
            t.line(format!("xs[{}u + local] = v{first}_{i};", i * invocations));
        }
        for i in 0..(kb * tm).div_ceil(invocations) {
            let copy = format!("ws[{0}u + local] = vec4<f32>(w[wi + {0}u]);", i * invocations);
            let left = kb * tm - i * invocations;
            t.line(if left >= invocations { copy } else { format!("if (local < {left}u) {{ {copy} }}") });
        }
        t.line(format!("wi += {}u;\nworkgroupBarrier();", kb * tm));
        block(t, tm, tn, kb);
    }
    Ok(())
}
