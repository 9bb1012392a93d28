//! Few rows: 64 invocations side by side on columns hold all rows of the tile. A pixel is read by one invocation only,
//! so pixels come straight from storage; KB steps of the weights are staged in workgroup memory and read by all at
//! once.

use crate::kernel::KernelKey;
use crate::kernel::generate::{Text, constant, multiply_add};

/// Invocations of a workgroup.
pub(super) const INVOCATIONS: u32 = 64;

/// The loop over K.
pub(super) fn steps(t: &mut Text, key: &KernelKey, rows: u32, columns: u32) -> Result<(), String> {
    let kb = constant(key, "KB", 8)?;
    let staged = kb * rows;
    if staged > INVOCATIONS {
        return Err(format!("{INVOCATIONS} invocations do not stage {kb} steps of {rows} rows at once"));
    }
    for j in 0..columns {
        t.line(format!("let b{j} = column({}u + lane);", j * INVOCATIONS));
    }
    t.line("for (var t = 0u; t < taps; t++) {");
    t.line("var s = tap_offset(t);");
    t.line(format!("for (var k = 0u; k < steps; k += {kb}u) {{"));
    t.line(format!("let u = vec4<f32>(w[wi + min(local, {}u)]);", staged - 1));
    t.line("workgroupBarrier();");
    t.line(if staged == INVOCATIONS {
        "ws[local] = u;".into()
    } else {
        format!("if (local < {staged}u) {{ ws[local] = u; }}")
    });
    t.line("workgroupBarrier();");
    // A trip count unknown to the compiler: Intel's spills registers if it unrolls the loop.
    t.line(format!("let trips = min({kb}u, steps - k);"));
    t.line("for (var i = 0u; i < trips; i++) {");
    for j in 0..columns {
        t.line(format!("let x{j} = vec4<f32>(x[b{j} + s]);"));
    }
    for i in 0..rows {
        t.line(format!("let q{i} = ws[i * {rows}u + {i}u];"));
        for j in 0..columns {
            t.line(multiply_add(&format!("a{i}_{j}"), &format!("q{i}"), &format!("x{j}")));
        }
    }
    t.line(format!("s += stride;\n}}\nwi += {staged}u;\n}}\n}}"));
    Ok(())
}
