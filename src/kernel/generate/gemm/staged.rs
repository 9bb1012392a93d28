//! Operands by workgroup memory: TM TN / 8 invocations stage KB steps of K of both operands at a time, each then adds up
//! 8 rows x 8 columns. Weights lie in storage as they lie in workgroup memory (`Tile::weight` packs them so); there are
//! whole blocks of KB steps for every tap. EVEN promises that `x` has them too, else the last steps repeat its last one.

use crate::kernel::KernelKey;
use crate::kernel::generate::{Text, constant, multiply_add};

/// The loop over K.
pub(super) fn steps(t: &mut Text, key: &KernelKey, rows: u32, columns: u32) -> Result<(), String> {
    let (tm, tn) = (constant(key, "TM", 256)?, constant(key, "TN", 64)?);
    let (kb, even) = (constant(key, "KB", 8)?, key.value("EVEN").is_some());
    let (width, invocations) = (tn * 8, tm * tn / 8);
    let (x_len, w_len) = (kb * width, kb * tm);
    // Invocations side by side stage columns side by side: `across` rounds for all columns of a step, or `deep` steps in
    // one round.
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
    t.line("for (var t = 0u; t < TAPS; t++) {");
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
    // The loads of a block are on their way while other subgroups still compute the last one.
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
    t.line(format!("for (var i = 0u; i < {kb}u; i++) {{"));
    for j in 0..columns {
        t.line(format!("let x{j} = xs[i * {width}u + {}u + lane];", j * tn));
    }
    for i in 0..rows {
        t.line(format!("let q{i} = ws[i * {tm}u + {}u + ty];", i * (tm / rows)));
        for j in 0..columns {
            t.line(multiply_add(&format!("a{i}_{j}"), &format!("q{i}"), &format!("x{j}")));
        }
    }
    t.line("}");
    if even {
        t.line("s += stride_block;");
    }
    t.line(format!("wi += {w_len}u;\n}}\n}}"));
    Ok(())
}
