//! Operands straight from storage: 64 invocations side by side on columns hold all rows of the tile. All read weights
//! at the same address, which AMD's compilers turn into scalar loads. No workgroup memory, no barrier.

use crate::kernel::generate::{Text, multiply_add};

/// Invocations of a workgroup.
pub(super) const INVOCATIONS: u32 = 64;

/// The loop over K.
pub(super) fn steps(t: &mut Text, rows: u32, columns: u32) {
    for j in 0..columns {
        t.line(format!("let b{j} = column({}u + lane);", j * INVOCATIONS));
    }
    t.line("for (var t = 0u; t < taps; t++) {");
    t.line("var s = tap_offset(t);");
    t.line("for (var k = 0u; k < steps; k++) {");
    for j in 0..columns {
        t.line(format!("let x{j} = vec4<f32>(x[b{j} + s]);"));
    }
    for i in 0..rows {
        t.line(format!("let q{i} = vec4<f32>(w[wi + {i}u]);"));
        for j in 0..columns {
            t.line(multiply_add(&format!("a{i}_{j}"), &format!("q{i}"), &format!("x{j}")));
        }
    }
    t.line(format!("wi += {rows}u;\ns += stride;\n}}\n}}"));
}
