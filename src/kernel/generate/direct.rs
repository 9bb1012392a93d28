//! The direct convolution by subgroup broadcast: lanes are neighbouring output columns, each with a register tile
//! of ROWS rows x OCS output channels. Input rows are loaded once, and shifted from lane to lane for the taps of a row;
//! weights are loaded with lanes on output channels and broadcast.

use super::{Text, constant, multiply_add};
use crate::kernel::KernelKey;

/// The code after the prologue of `conv2d_subgroup.wgsl`, which defines `lane`, `n`, `g`, `ox`, `oy`, `corner` (the
/// first pixel of the window of output (0, 0)), `bottom` and `right` (the last row and column that any window reads).
pub(super) fn body(key: &KernelKey) -> Result<String, String> {
    let kh = constant(key, "KH", 7)?;
    let kw = constant(key, "KW", 7)?;
    let rows = constant(key, "ROWS", 16)?;
    let ocs = constant(key, "OCS", 64)?;
    let lanes = constant(key, "SUBGROUP", 64)?;
    let (lines, taps, extras) = (rows + kh - 1, kh * kw, kw - 1);
    let mut t = Text::default();
    t.line("let column = min(ox + lane, right);");
    for r in 0..lines {
        t.line(format!("let row{r} = corner + min(oy + {r}u, bottom) * p.x.row + column;"));
    }
    // The columns right of the lanes, `extras` per row, are packed into the lanes of as few loads as possible.
    let loads = (lines * extras).div_ceil(lanes);
    for e in 0..loads {
        let at = format!("({}u + lane)", e * lanes);
        t.line(format!(
            "let side{e} = corner + min(oy + {at} / {extras}u, bottom) * p.x.row + min(ox + {lanes}u + {at} % {extras}u, right);"
        ));
    }
    accumulators(&mut t, key, rows, ocs);
    t.line(format!("var wi = p.out_blocks + g * p.in_blocks * {}u;", taps * ocs));
    t.line("let end_lane = lane == SUBGROUP - 1u;");
    t.line("let next = (lane + 1u) % SUBGROUP;");
    t.line("let blocks = trip_count(p.in_blocks, group.x);");
    t.line("for (var c = 0u; c < blocks; c++) {");
    t.line("let s = c * p.x.plane;");
    for e in 0..loads {
        t.line(format!("let e{e} = vec4<f32>(x[side{e} + s]);"));
    }
    for r in 0..lines {
        t.line(format!("let x{r}_0 = vec4<f32>(x[row{r} + s]);"));
        for k in 1..kw {
            let at = r * extras + k - 1;
            t.line(format!(
                "let x{r}_{k} = select(subgroupShuffle(x{r}_{}, next), subgroupBroadcast(e{}, {}u), end_lane);",
                k - 1,
                at / lanes,
                at % lanes
            ));
        }
    }
    let weights = taps * ocs;
    for j in 0..weights.div_ceil(lanes) {
        let lane =
            if weights < (j + 1) * lanes { format!("min(lane, {}u)", weights - j * lanes - 1) } else { "lane".into() };
        t.line(format!("let w{j} = vec4<f32>(w[wi + {}u + {lane}]);", j * lanes));
    }
    t.line(format!("wi += {weights}u;"));
    for tap in 0..taps {
        for o in 0..ocs {
            let at = tap * ocs + o;
            t.line(format!("let q{o}_{tap} = subgroupBroadcast(w{}, {}u);", at / lanes, at % lanes));
            for r in 0..rows {
                let x = format!("x{}_{}", r + tap / kw, tap % kw);
                t.line(multiply_add(&format!("a{o}_{r}"), &format!("q{o}_{tap}"), &x));
            }
        }
    }
    t.line("}");
    stores(&mut t, rows, ocs);
    Ok(t.0)
}

fn accumulators(t: &mut Text, key: &KernelKey, rows: u32, ocs: u32) {
    let accumulate = key.value("ACCUMULATE").is_some();
    if accumulate {
        t.line("let old_column = i32(min(ox + lane, p.ow - 1u));");
    }
    for b in 0..ocs / 4 {
        t.line(format!("let block{b} = min(g * {}u + {b}u, p.out_blocks - 1u);", ocs / 4));
        for r in 0..rows {
            let at = if accumulate {
                format!("y[index(p.y, n, block{b}, i32(min(oy + {r}u, p.oh - 1u)), old_column)]")
            } else {
                format!("w[block{b}]")
            };
            t.line(format!("let old{b}_{r} = vec4<f32>({at});"));
            for (k, lane) in ["x", "y", "z", "w"].iter().enumerate() {
                t.line(format!("var a{}_{r} = old{b}_{r}.{lane};", b * 4 + k as u32));
            }
        }
    }
}

fn stores(t: &mut Text, rows: u32, ocs: u32) {
    t.line("if (ox + lane < p.ow) {");
    for b in 0..ocs / 4 {
        t.line(format!("if (g * {}u + {b}u < p.out_blocks) {{", ocs / 4));
        t.line(format!("let at = index(p.y, n, block{b}, i32(oy), i32(ox + lane));"));
        for r in 0..rows {
            let v: Vec<String> = (0..4).map(|k| format!("a{}_{r}", b * 4 + k)).collect();
            t.line(format!("if (oy + {r}u < p.oh) {{"));
            t.line(format!("y[at + {r}u * p.y.row] = stored(activate(vec4<f32>({}), p.alpha, p.beta));", v.join(", ")));
            t.line("}");
        }
        t.line("}");
    }
    t.line("}");
}
