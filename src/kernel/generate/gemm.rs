//! The matrix product core: a tile of TM rows (output channels) x TN * 8 columns (pixels or Winograd tiles), K packed by
//! 4 in both operands. One text, two ways to fetch operands:
//!
//! - subgroup broadcast (`SUBGROUP` defined): a workgroup is one subgroup of 8 lanes on columns and holds the whole
//!   tile in registers; weights are loaded with lanes on rows and broadcast.
//! - workgroup memory: 64 invocations as 8 x 8, each TM / 8 rows x TN columns; KB steps of both operands are staged.
//!
//! The shader provides `column(j)` (where column j of the tile starts in `x`), `tap_offset(t)`, `bias(row4)`,
//! `place(j)` and `put(row4, place, v)`, and in `main` `lane` and, for workgroup memory, `ty`, `local` and the arrays
//! `xs` and `ws`; further `wi` (start of the tile's weights), `steps` (of K in a tap) and `stride` (of a step in `x`).

use super::{SUBGROUP, Text, constant, multiply_add};
use crate::kernel::KernelKey;

/// Steps of K staged at a time in workgroup memory: `KB` in the shaders.
const KB: u32 = 4;

/// The accumulators and the loop over K.
pub(super) fn core(key: &KernelKey) -> Result<String, String> {
    let (rows, columns) = tile(key)?;
    let mut t = Text::default();
    for i in 0..rows {
        for j in 0..columns {
            t.line(format!("var a{i}_{j} = 0.0;"));
        }
    }
    if key.value("SUBGROUP").is_some() {
        broadcast(&mut t, key.value("CIN"), rows, columns)?;
    } else {
        staged(&mut t, key, rows, columns)?;
    }
    Ok(t.0)
}

/// Rows and columns that one invocation holds.
fn tile(key: &KernelKey) -> Result<(u32, u32), String> {
    let (tm, tn) = (constant(key, "TM", 128)?, constant(key, "TN", 8)?);
    let rows = if key.value("SUBGROUP").is_some() { tm } else { tm / 8 };
    if rows % 4 == 0 && rows > 0 { Ok((rows, tn)) } else { Err(format!("TM is {tm}: no whole vec4 of rows")) }
}

fn broadcast(t: &mut Text, few: Option<u32>, rows: u32, columns: u32) -> Result<(), String> {
    for j in 0..columns {
        t.line(format!("let b{j} = column({}u + lane);", j * SUBGROUP));
    }
    match few {
        None => {
            t.line("for (var t = 0u; t < TAPS; t++) {");
            t.line("var s = tap_offset(t);");
            t.line("for (var k = 0u; k < steps; k++) {");
            for j in 0..columns {
                t.line(format!("let x{j} = x[b{j} + s];"));
            }
        }
        Some(channels) => gather(t, channels, columns)?,
    }
    for i in 0..rows.div_ceil(SUBGROUP) {
        // Half a load of weights: the upper lanes repeat the last row.
        let lane =
            if rows < (i + 1) * SUBGROUP { format!("min(lane, {}u)", rows - i * SUBGROUP - 1) } else { "lane".into() };
        t.line(format!("let w{i} = w[wi + {}u + {lane}];", i * SUBGROUP));
    }
    for i in 0..rows {
        t.line(format!("let q{i} = subgroupBroadcast(w{}, {}u);", i / SUBGROUP, i % SUBGROUP));
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
    t.line(format!("for (var t = 0u; t < TAPS; t += {taps}u) {{"));
    for i in 0..taps {
        t.line(format!("let o{i} = tap_offset(min(t + {i}u, TAPS - 1u));"));
    }
    for j in 0..columns {
        let element = |(k, lane): (u32, &str)| format!("x[b{j} + o{}].{lane}", k / channels);
        let v: Vec<String> = (0..).zip(lanes).map(element).collect();
        t.line(format!("let x{j} = vec4<f32>({});", v.join(", ")));
    }
    Ok(())
}

fn staged(t: &mut Text, key: &KernelKey, rows: u32, columns: u32) -> Result<(), String> {
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
    t.line("xv = x[start + s];");
    t.line(if tm == 64 { "wv = w[wi + local];" } else { "if (local < TM) { wv = w[wi + local]; }" });
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

/// What becomes of the accumulators: `put` for every vec4 of four rows of a column. WHOLE promises that no row lies past
/// the last.
pub(super) fn results(key: &KernelKey) -> Result<String, String> {
    let (rows, columns) = tile(key)?;
    let whole = key.value("WHOLE").is_some();
    let first = if key.value("SUBGROUP").is_some() { String::new() } else { format!("ty * {}u + ", rows / 4) };
    let mut t = Text::default();
    for b in 0..rows / 4 {
        t.line(format!("let quad{b} = first4 + {first}{b}u;"));
        let inside = if whole { format!("quad{b}") } else { format!("min(quad{b}, end4 - 1u)") };
        t.line(format!("let bias{b} = bias({inside});"));
    }
    for j in 0..columns {
        t.line(format!("let at{j} = place({}u + lane);", j * 8));
        t.line(format!("if (at{j} != NOWHERE) {{"));
        for b in 0..rows / 4 {
            let v: Vec<String> = (0..4).map(|i| format!("a{}_{j}", b * 4 + i)).collect();
            let put = format!("put(quad{b}, at{j}, bias{b} + vec4<f32>({}));", v.join(", "));
            t.line(if whole { put } else { format!("if (quad{b} < end4) {{ {put} }}") });
        }
        t.line("}");
    }
    Ok(t.0)
}
