//! Operands by workgroup memory: 64 invocations as 8 x 8 stage KB steps of both operands at a time.

use crate::kernel::KernelKey;
use crate::kernel::generate::{Text, constant, multiply_add};

/// Steps of K staged at a time in workgroup memory: `KB` in the shaders.
const KB: u32 = 4;

/// The loop over K.
pub(super) fn steps(t: &mut Text, key: &KernelKey, rows: u32, columns: u32) -> Result<(), String> {
    let tm = constant(key, "TM", 64)?;
    let width = columns * 8;
    if width != 64 {
        return Err(format!("TN is {columns}: 64 invocations stage 64 columns"));
    }
    t.line("let start = column(local);");
    // Row r of the weights goes where invocations of neighbouring `ty` read neighbouring elements.
    t.line(format!("let slot = (local % {rows}u) * 8u + local / {rows}u;"));
    t.line("var tap = 0u;\nvar k = 0u;\nvar s = tap_offset(0u);");
    t.line("let total = steps * TAPS;");
    t.line(format!("for (var done = 0u; done < total; done += {KB}u) {{"));
    t.line(format!("for (var i = 0u; i < {KB}u; i++) {{"));
    t.line("let inside = done + i < total;");
    t.line("var xv = vec4<f32>(0.0);\nvar wv = vec4<f32>(0.0);");
    t.line("if (inside) {");
    t.line("xv = vec4<f32>(x[start + s]);");
    t.line(if tm == 64 {
        "wv = vec4<f32>(w[wi + local]);"
    } else {
        "if (local < TM) { wv = vec4<f32>(w[wi + local]); }"
    });
    t.line(format!("wi += {tm}u;\nk += 1u;\ns += stride;"));
    t.line("if (k == steps) {\nk = 0u;\ntap += 1u;\ns = tap_offset(tap);\n}");
    t.line("}");
    t.line(format!("xs[i * {width}u + local] = xv;"));
    t.line(if tm == 64 { "ws[i * TM + slot] = wv;" } else { "if (local < TM) { ws[i * TM + slot] = wv; }" });
    t.line("}");
    t.line("workgroupBarrier();");
    t.line(format!("for (var i = 0u; i < {KB}u; i++) {{"));
    for j in 0..columns {
        t.line(format!("let x{j} = xs[i * {width}u + {}u + lane];", j * 8));
    }
    for i in 0..rows {
        t.line(format!("let q{i} = ws[i * TM + {}u + ty];", i * 8));
        for j in 0..columns {
            t.line(multiply_add(&format!("a{i}_{j}"), &format!("q{i}"), &format!("x{j}")));
        }
    }
    t.line("}");
    t.line("workgroupBarrier();");
    t.line("}");
    Ok(())
}
