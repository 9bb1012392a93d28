//! Operands by subgroup broadcast: a workgroup is one subgroup, its lanes on columns; weights are loaded with lanes on
//! rows and broadcast.

use crate::kernel::generate::{Text, multiply_add};

/// The loop over K.
pub(super) fn steps(t: &mut Text, few: Option<u32>, rows: u32, columns: u32, lanes: u32) -> Result<(), String> {
    for j in 0..columns {
        t.line(format!("let b{j} = column({}u + lane);", j * lanes));
    }
    match few {
        None => {
            t.line("for (var t = 0u; t < taps; t++) {");
            t.line("var s = tap_offset(t);");
            t.line("for (var k = 0u; k < steps; k++) {");
            for j in 0..columns {
                t.line(format!("let x{j} = vec4<f32>(x[b{j} + s]);"));
            }
        }
        Some(channels) => gather(t, channels, columns)?,
    }
    for i in 0..rows.div_ceil(lanes) {
        // Half a load of weights: the upper lanes repeat the last row.
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
    t.line(if few.is_none() { "s += stride;\n}\n}" } else { "}" });
    Ok(())
}

/// With 1 or 2 input channels, a step of K holds 4 or 2 taps in place of one: weights past the last tap are zero.
fn gather(t: &mut Text, channels: u32, columns: u32) -> Result<(), String> {
    let (taps, lanes) = match channels {
        1 => (4, ["x", "x", "x", "x"]),
        2 => (2, ["x", "y", "x", "y"]),
        _ => return Err(format!("CIN is {channels}, the generator takes 1 or 2")),
    };
    t.line(format!("for (var t = 0u; t < taps; t += {taps}u) {{"));
    for i in 0..taps {
        t.line(format!("let o{i} = tap_offset(min(t + {i}u, taps - 1u));"));
    }
    for j in 0..columns {
        let element = |(k, lane): (u32, &str)| format!("f32(x[b{j} + o{}].{lane})", k / channels);
        let v: Vec<String> = (0..).zip(lanes).map(element).collect();
        t.line(format!("let x{j} = vec4<f32>({});", v.join(", ")));
    }
    Ok(())
}
