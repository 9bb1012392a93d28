//! Operands by subgroup broadcast: a workgroup is one subgroup, its lanes on columns; weights are loaded with lanes on
//! rows and broadcast.

use crate::kernel::generate::{Text, multiply_add};

/// The loop over K.
pub(super) fn steps(t: &mut Text, rows: u32, columns: u32, lanes: u32) {
    for j in 0..columns {
        t.line(format!("let b{j} = column({}u + lane);", j * lanes));
    }
    t.line("for (var t = 0u; t < taps; t++) {");
    t.line("var s = tap_offset(t);");
    t.line("for (var k = 0u; k < steps; k++) {");
    for j in 0..columns {
        t.line(format!("let x{j} = vec4<f32>(x[b{j} + s]);"));
    }
    for i in 0..rows.div_ceil(lanes) {
        // In a partial load of weights, the upper lanes repeat the last row.
        let lane = if rows < (i + 1) * lanes { format!("min(lane, {}u)", rows - i * lanes - 1) } else { "lane".into() };
        t.line(format!("let w{i} = vec4<f32>(w[wi + {}u + {lane}]);", i * lanes));
    }
    for i in 0..rows {
        t.line(format!("let q{i} = subgroupBroadcast(w{}, {}u);", i / lanes, i % lanes));
        for j in 0..columns {
            t.line(multiply_add(&format!("a{i}_{j}"), &format!("q{i}"), &format!("x{j}")));
        }
    }
    t.line(format!("wi += {rows}u;"));
    t.line("s += stride;\n}\n}");
}
