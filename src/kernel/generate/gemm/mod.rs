//! The GEMM core: a tile of TM rows (output channels) x TN * 8 columns (pixels or Winograd tiles), K packed by
//! 4 in both operands. There are five ways to fetch operands:
//!
//! - subgroup broadcast (`SUBGROUP` defined): a workgroup is one subgroup, its lanes on columns, and holds the whole
//!   tile in registers; weights are loaded with lanes on rows and broadcast.
//! - uniform (`UNIFORM` defined): 64 invocations, each with all rows x TN / 8 columns; weights are read at uniform
//!   addresses.
//! - narrow (`NARROW` defined): the same, but KB steps of the weights are staged in workgroup memory.
//! - matrix (`MATRIX` defined): 32 invocations stage KB steps of both operands for matrix instructions.
//! - workgroup memory: TM TN / 8 invocations, each with 8 rows x 8 columns; KB steps of both operands are staged.
//!
//! The shader provides `column(j)` (where column j of the tile starts in `x`), `tap_offset(t)`, `bias(row4)`,
//! `place(j)` and `put(row4, place, v)`, and in `main` `lane` (of SPREAD lanes on columns) and, for workgroup memory,
//! `ty`, `local` and the arrays `xs` and `ws`; further `wi` (start of the tile's weights), `taps`, `steps` (of K in a
//! tap) and `stride` (of a step in `x`).

mod broadcast;
mod matrix;
mod narrow;
mod staged;
mod uniform;

use super::{Text, constant};
use crate::kernel::KernelKey;

/// The accumulators and the loop over K.
pub(super) fn core(key: &KernelKey) -> Result<String, String> {
    let mut t = Text::default();
    if key.value("MATRIX").is_some() {
        matrix::steps(&mut t, key)?;
        return Ok(t.0);
    }
    let Tile { rows, columns, .. } = tile(key)?;
    for i in 0..rows {
        for j in 0..columns {
            t.line(format!("var a{i}_{j} = 0.0;"));
        }
    }
    if let Some(lanes) = key.value("SUBGROUP") {
        broadcast::steps(&mut t, rows, columns, lanes);
    } else if key.value("UNIFORM").is_some() {
        uniform::steps(&mut t, rows, columns);
    } else if key.value("NARROW").is_some() {
        narrow::steps(&mut t, key, rows, columns)?;
    } else {
        staged::steps(&mut t, key)?;
    }
    Ok(t.0)
}

/// What one invocation holds.
struct Tile {
    rows: u32,
    columns: u32,
    /// Invocations along columns, which is also the distance between an invocation's columns. `SPREAD` in the shaders.
    spread: u32,
    /// Whether an invocation holds only some of the workgroup's rows.
    splits_rows: bool,
}

fn tile(key: &KernelKey) -> Result<Tile, String> {
    let (tm, tn) = (constant(key, "TM", 256)?, constant(key, "TN", 64)?);
    let tile = if let Some(lanes) = key.value("SUBGROUP") {
        Tile { rows: tm, columns: tn * 8 / lanes.max(8), spread: lanes, splits_rows: false }
    } else if key.value("UNIFORM").is_some() {
        Tile { rows: tm, columns: tn * 8 / uniform::INVOCATIONS, spread: uniform::INVOCATIONS, splits_rows: false }
    } else if key.value("NARROW").is_some() {
        Tile { rows: tm, columns: tn * 8 / narrow::INVOCATIONS, spread: narrow::INVOCATIONS, splits_rows: false }
    } else {
        Tile { rows: staged::SIDE, columns: staged::SIDE, spread: tn, splits_rows: true }
    };
    let Tile { rows, columns, spread, .. } = tile;
    if !rows.is_multiple_of(4) || !tm.is_multiple_of(rows) || columns * spread != tn * 8 {
        return Err(format!("TM {tm} and TN {tn} do not make a whole tile"));
    }
    Ok(tile)
}

/// Calls `put` for every vec4 of accumulators, four rows of a column. WHOLE guarantees that no row lies past the last.
pub(super) fn results(key: &KernelKey) -> Result<String, String> {
    if key.value("MATRIX").is_some() {
        let mut t = Text::default();
        matrix::results(&mut t, key)?;
        return Ok(t.0);
    }
    let Tile { rows, columns, spread, splits_rows } = tile(key)?;
    let whole = key.value("WHOLE").is_some();
    let first = if splits_rows { format!("ty * {}u + ", rows / 4) } else { String::new() };
    let mut t = Text::default();
    for b in 0..rows / 4 {
        t.line(format!("let quad{b} = first4 + {first}{b}u;"));
        let inside = if whole { format!("quad{b}") } else { format!("min(quad{b}, end4 - 1u)") };
        t.line(format!("let bias{b} = bias({inside});"));
    }
    let stores = |t: &mut Text, j: u32, column: String| {
        t.line(format!("let at{j} = place({column} + lane);"));
        t.line(format!("if (at{j} != NOWHERE) {{"));
        for b in 0..rows / 4 {
            let v: Vec<String> = (0..4).map(|i| format!("a{}_{j}", b * 4 + i)).collect();
            let put = format!("put(quad{b}, at{j}, bias{b} + vec4<f32>({}));", v.join(", "));
            t.line(if whole { put } else { format!("if (quad{b} < end4) {{ {put} }}") });
        }
        t.line("}");
    };
    if key.value("SUBGROUP").is_none() {
        (0..columns).for_each(|j| stores(&mut t, j, format!("{}u", j * spread)));
        return Ok(t.0);
    }
    // Inlined stores take half of the compile time, so a loop stores the first columns and moves up the others.
    let each = columns.min(STORED);
    t.line(format!("let rounds = trip_count({}u, group.x);", columns / each));
    t.line("for (var round = 0u; round < rounds; round++) {");
    for j in 0..each {
        stores(&mut t, j, format!("(round * {each}u + {j}u) * {spread}u"));
    }
    for j in 0..columns - each {
        (0..rows).for_each(|i| t.line(format!("a{i}_{j} = a{i}_{};", j + each)));
    }
    t.line("}");
    Ok(t.0)
}

/// Max columns stored per iteration of that loop.
const STORED: u32 = 2;
