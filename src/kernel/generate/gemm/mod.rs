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

mod broadcast;
mod staged;

use super::{Text, constant};
use crate::kernel::KernelKey;

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
        broadcast::steps(&mut t, key.value("CIN"), rows, columns)?;
    } else {
        staged::steps(&mut t, key, rows, columns)?;
    }
    Ok(t.0)
}

/// Rows and columns that one invocation holds.
fn tile(key: &KernelKey) -> Result<(u32, u32), String> {
    let (tm, tn) = (constant(key, "TM", 128)?, constant(key, "TN", 8)?);
    let rows = if key.value("SUBGROUP").is_some() { tm } else { tm / 8 };
    if rows % 4 == 0 && rows > 0 { Ok((rows, tn)) } else { Err(format!("TM is {tm}: no whole vec4 of rows")) }
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
