//! The transforms of Winograd's F(OUT, 3) in two dimensions: a tile of OUT x OUT outputs from T x T inputs, T = OUT +
//! 2, unrolled. `winograd_in.wgsl` and `winograd_out.wgsl` locate the tile.

use super::shares::{shares, window};
use super::{Text, constant};
use crate::kernel::KernelKey;

/// The upsampling factor that the input transform can include.
const FACTOR: u32 = 2;

/// Outputs of a tile and points of its transform, per axis.
fn sizes(key: &KernelKey) -> Result<(u32, u32), String> {
    match constant(key, "OUT", 4)? {
        out @ (2 | 4) => Ok((out, out + 2)),
        other => Err(format!("OUT is {other}, the generator takes 2 or 4")),
    }
}

/// `let {to}0, {to}1, ..` = Bt of the values `v`.
fn transform_in(t: &mut Text, to: &str, v: &[String]) {
    let lets: Vec<String> = match v {
        [a, b, c, d] => vec![format!("{a} - {c}"), format!("{b} + {c}"), format!("{c} - {b}"), format!("{b} - {d}")],
        [a, b, c, d, e, f] => {
            t.line(format!("let {to}p = {e} - 4.0 * {c};"));
            t.line(format!("let {to}q = {d} - 4.0 * {b};"));
            t.line(format!("let {to}r = {e} - {c};"));
            t.line(format!("let {to}s = 2.0 * ({d} - {b});"));
            vec![
                format!("4.0 * {a} - 5.0 * {c} + {e}"),
                format!("{to}p + {to}q"),
                format!("{to}p - {to}q"),
                format!("{to}r + {to}s"),
                format!("{to}r - {to}s"),
                format!("4.0 * {b} - 5.0 * {d} + {f}"),
            ]
        }
        // `sizes` gives 4 or 6 points.
        _ => Vec::new(),
    };
    for (i, value) in lets.iter().enumerate() {
        t.line(format!("let {to}{i} = {value};"));
    }
}

/// `let {to}0, {to}1, ..` = At of the values `v`.
fn transform_out(t: &mut Text, to: &str, v: &[String]) {
    let lets: Vec<String> = match v {
        [a, b, c, d] => vec![format!("{a} + {b} + {c}"), format!("{b} - {c} - {d}")],
        [a, b, c, d, e, f] => {
            t.line(format!("let {to}p = {b} + {c};"));
            t.line(format!("let {to}q = {b} - {c};"));
            t.line(format!("let {to}r = {d} + {e};"));
            t.line(format!("let {to}s = {d} - {e};"));
            vec![
                format!("{a} + {to}p + {to}r"),
                format!("{to}q + 2.0 * {to}s"),
                format!("{to}p + 4.0 * {to}r"),
                format!("{to}q + 8.0 * {to}s + {f}"),
            ]
        }
        // `sizes` gives 4 or 6 points.
        _ => Vec::new(),
    };
    for (i, value) in lets.iter().enumerate() {
        t.line(format!("let {to}{i} = {value};"));
    }
}

/// The code after the prologue of `winograd_in.wgsl`, which defines `n`, `block`, `top` and `left` (the tile's first
/// output), `at` (where point 0 goes), `step` (from a point to the next) and, of PARTS invocations that share a tile,
/// `part`.
pub(super) fn input(key: &KernelKey) -> Result<String, String> {
    let (_, points) = sizes(key)?;
    let mut t = Text::default();
    if key.value("UPSAMPLED").is_some() {
        upsampled(&mut t, points, if key.value("BILINEAR").is_some() { 2 } else { 1 });
    } else {
        plain(&mut t, points);
    }
    Ok(t.0)
}

/// Stores a column of points. Points are numbered in row-major order.
fn store(t: &mut Text, points: u32, column: u32, values: &str) {
    for i in 0..points {
        t.line(format!("v[at + {}u * step] = keep({values}{i});", i * points + column));
    }
}

fn names(prefix: &str, count: u32, suffix: &str) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}{suffix}")).collect()
}

/// Transforms the rows, then the columns, of stored pixels.
fn plain(t: &mut Text, points: u32) {
    t.line("let corner = index(p.x, n, block, -i32(p.pad_top), -i32(p.pad_left));");
    for i in 0..points {
        t.line(format!("let c{i} = min(left + {i}u, p.last_column) * PARTS;"));
    }
    for r in 0..points {
        t.line(format!("let row{r} = (corner + min(top + {r}u, p.last_row) * p.x.row) * PARTS + part;"));
        for c in 0..points {
            t.line(format!("let d{r}_{c} = Lanes(x[row{r} + c{c}]);"));
        }
        transform_in(t, &format!("r{r}_"), &names(&format!("d{r}_"), points, ""));
    }
    for c in 0..points {
        transform_in(t, &format!("t{c}_"), &names("r", points, &format!("_{c}")));
        store(t, points, c, &format!("t{c}_"));
    }
}

/// The window slots that can have a share in pixel `k` of a tile, at a factor of 2 and a padding of at most 1: its
/// lower neighbour lies ceil((k - 1) / 2) - 1 to ceil(k / 2) pixels after that of pixel 0.
fn slots_of(k: u32, each: u32) -> std::ops::RangeInclusive<u32> {
    k.saturating_sub(1).div_ceil(FACTOR).saturating_sub(1)..=k.div_ceil(FACTOR) + each - 1
}

/// The same for the pixels of an upsampled map, which are interpolated on the fly.
fn upsampled(t: &mut Text, points: u32, each: u32) {
    let slots = window(points, FACTOR, each);
    shares(t, "a", "p.rows, p.row_factor", "i32(top) - i32(p.pad_top)", "p.up_h", [points, slots, each]);
    shares(t, "b", "p.columns, p.column_factor", "i32(left) - i32(p.pad_left)", "p.up_w", [points, slots, each]);
    t.line("let plane = plane_start(p.x, n, block);");
    for m in 0..slots {
        t.line(format!("let c{m} = min(b_first + {m}u, p.w - 1u) * PARTS;"));
    }
    // Few tiles need the last row and column of the window.
    let rare = |slot: u32| slot >= 4;
    for l in 0..slots {
        t.line(format!("let row{l} = (plane + min(a_first + {l}u, p.h - 1u) * p.x.row) * PARTS + part;"));
        if rare(l) {
            for c in 0..points {
                t.line(format!("var r{l}_{c} = Lanes(0.0);"));
            }
            t.line(format!("if (a_last >= {l}u) {{"));
        }
        for m in 0..slots {
            if rare(m) {
                t.line(format!("var d{l}_{m} = Lanes(0.0);"));
                t.line(format!("if (b_last >= {m}u) {{ d{l}_{m} = Lanes(x[row{l} + c{m}]); }}"));
            } else {
                t.line(format!("let d{l}_{m} = Lanes(x[row{l} + c{m}]);"));
            }
        }
        for k in 0..points {
            let terms: Vec<String> = slots_of(k, each).map(|m| format!("d{l}_{m} * b{k}_{m}")).collect();
            t.line(format!("let e{l}_{k} = {};", terms.join(" + ")));
        }
        let to = format!("{}{l}_", if rare(l) { "q" } else { "r" });
        transform_in(t, &to, &names(&format!("e{l}_"), points, ""));
        if rare(l) {
            for c in 0..points {
                t.line(format!("r{l}_{c} = q{l}_{c};"));
            }
            t.line("}");
        }
    }
    for c in 0..points {
        for k in 0..points {
            let terms: Vec<String> = slots_of(k, each).map(|l| format!("r{l}_{c} * a{k}_{l}")).collect();
            t.line(format!("let f{c}_{k} = {};", terms.join(" + ")));
        }
        transform_in(t, &format!("t{c}_"), &names(&format!("f{c}_"), points, ""));
        store(t, points, c, &format!("t{c}_"));
    }
}

/// The code after the prologue of `winograd_out.wgsl`, which defines `at` (point 0 of the tile), `bias`, `out` (the
/// tile's first output), `part` of PARTS invocations that share a tile, and `rows` and `columns` (outputs from there to
/// the edges); with POOL also `pooled`, `pooled_rows` and `pooled_columns`; with ROLLED `bands` and `pools`, trip
/// counts of its loops.
pub(super) fn output(key: &KernelKey) -> Result<String, String> {
    let (outputs, points) = sizes(key)?;
    let mut t = Text::default();
    if key.value("ROLLED").is_some() {
        if outputs != 4 {
            return Err(format!("OUT is {outputs}, ROLLED requires 4"));
        }
        rolled(&mut t, key);
        return Ok(t.0);
    }
    for r in 0..points {
        let row: Vec<String> = (0..points).map(|c| format!("{}u", r * points + c)).collect();
        row_out(&mut t, &format!("r{r}_"), &row);
    }
    for c in 0..outputs {
        transform_out(&mut t, &format!("o{c}_"), &names("r", points, &format!("_{c}")));
    }
    results(&mut t, key, outputs, outputs, "", |r, c| format!("o{c}_{r}"));
    pools(&mut t, key, outputs, outputs, "");
    Ok(t.0)
}

/// Loads and transforms a row of points.
fn row_out(t: &mut Text, to: &str, points: &[String]) {
    for (c, point) in points.iter().enumerate() {
        t.line(format!("let {to}m{c} = Lanes(m[at + {point} * COLUMNS * PARTS]);"));
    }
    transform_out(t, to, &names(&format!("{to}m"), points.len() as u32, ""));
}

/// F(4, 3) in two loops. The first runs over rows of points, each with its column of At: (1, z, z^2, z^3) for z = 0, 1,
/// -1, 2 and -2, and (0, 0, 0, 1) for the last. The second runs over pairs of output rows, and moves up the rows that
/// remain.
fn rolled(t: &mut Text, key: &KernelKey) {
    for (r, c) in (0..4).flat_map(|r| (0..4).map(move |c| (r, c))) {
        t.line(format!("var a{r}_{c} = Lanes(0.0);"));
    }
    t.line("for (var r = 0u; r < 3u * bands; r++) {");
    let row: Vec<String> = (0..6).map(|c| format!("(r * 6u + {c}u)")).collect();
    row_out(t, "r", &row);
    t.line("let last = r == 5u;");
    t.line("let sign = select(-1.0, 1.0, (r & 1u) == 1u);");
    t.line("let z = select(select(sign, 2.0 * sign, r > 2u), 0.0, last || r == 0u);");
    t.line("let one = select(1.0, 0.0, last);");
    t.line("let cube = select(z * z * z, 1.0, last);");
    for c in 0..4 {
        for (r, factor) in ["one", "z", "z * z", "cube"].into_iter().enumerate() {
            t.line(format!("a{r}_{c} += {factor} * r{c};"));
        }
    }
    t.line("}");
    t.line("for (var band = 0u; band < bands; band++) {");
    results(t, key, 4, 2, "2u * band + ", |r, c| format!("a{r}_{c}"));
    t.line("for (var pool = 0u; pool < pools; pool++) {");
    pools(t, key, 4, 2, "band + ");
    t.line("}");
    for (r, c) in (0..2).flat_map(|r| (0..4).map(move |c| (r, c))) {
        t.line(format!("a{r}_{c} = a{}_{c};", r + 2));
    }
    t.line("}");
}

/// Stores `rows` rows of outputs from row `{first}0` on, and leaves them in `y{row}_{column}`.
fn results(t: &mut Text, key: &KernelKey, outputs: u32, rows: u32, first: &str, value: impl Fn(u32, u32) -> String) {
    let whole = key.value("WHOLE").is_some();
    for (r, c) in (0..rows).flat_map(|r| (0..outputs).map(move |c| (r, c))) {
        t.line(format!("let y{r}_{c} = activated({} + bias);", value(r, c)));
    }
    for (r, c) in (0..rows).flat_map(|r| (0..outputs).map(move |c| (r, c))) {
        let store = format!("y[(out + ({first}{r}u) * p.y.row + {c}u) * PARTS + part] = keep(y{r}_{c});");
        // The first row and column of a tile always exist.
        let row = (r > 0 || !first.is_empty()).then(|| format!("rows > {first}{r}u"));
        let inside: Vec<String> = row.into_iter().chain((c > 0).then(|| format!("columns > {c}u"))).collect();
        let free = whole || inside.is_empty();
        t.line(if free { store } else { format!("if ({}) {{ {store} }}", inside.join(" && ")) });
    }
}

/// With POOL, stores the pooled rows of `rows` rows of outputs, from pooled row `{first}0` on.
fn pools(t: &mut Text, key: &KernelKey, outputs: u32, rows: u32, first: &str) {
    if key.value("POOL").is_none() {
        return;
    }
    for (r, c) in (0..rows / 2).flat_map(|r| (0..outputs / 2).map(move |c| (r, c))) {
        let of = |dy: u32, dx: u32| format!("y{}_{}", 2 * r + dy, 2 * c + dx);
        let max = format!("max(max({}, {}), max({}, {}))", of(0, 0), of(0, 1), of(1, 0), of(1, 1));
        let store = format!("z[(pooled + ({first}{r}u) * p.z.row + {c}u) * PARTS + part] = keep({max});");
        // The last row or column of an odd size makes no pooled pixel, even if it is the tile's first.
        t.line(if key.value("WHOLE").is_some() {
            store
        } else {
            format!("if (pooled_rows > {first}{r}u && pooled_columns > {c}u) {{ {store} }}")
        });
    }
}
