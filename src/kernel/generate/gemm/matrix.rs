//! Operands by cooperative matrices (experimental in wgpu), f16 times f16 into f32: 32 invocations, one subgroup where
//! subgroups have that size, stage KB steps of both operands and hold a whole tile of sums in matrices of
//! MATRIX x MATRIX. Smaller subgroups all compute and write the same values.

use crate::kernel::KernelKey;
use crate::kernel::generate::{Text, constant};

/// Invocations of a workgroup.
pub(super) const INVOCATIONS: u32 = 32;

/// Side of the matrices, and their number along the tile's rows and columns.
fn sizes(key: &KernelKey) -> Result<[u32; 3], String> {
    let (tm, tn) = (constant(key, "TM", 256)?, constant(key, "TN", 64)?);
    let side = constant(key, "MATRIX", 16)?;
    let whole = side.is_multiple_of(8) && tm.is_multiple_of(side) && (tn * 8).is_multiple_of(side);
    if !whole || constant(key, "KB", 4)? * 4 != side || !(tn * 8).is_multiple_of(INVOCATIONS) {
        return Err(format!("matrices of {side} do not make a tile of {tm} rows and {} columns", tn * 8));
    }
    Ok([side, tm / side, tn * 8 / side])
}

/// The sums and the loop over K.
pub(super) fn steps(t: &mut Text, key: &KernelKey) -> Result<(), String> {
    let [side, down, across] = sizes(key)?;
    let (tm, width, kb) = (down * side, across * side, side / 4);
    for (i, j) in (0..down).flat_map(|i| (0..across).map(move |j| (i, j))) {
        t.line(format!("var c{i}_{j}: coop_mat{side}x{side}<f32, C>;"));
    }
    for c in 0..width / INVOCATIONS {
        t.line(format!("let from{c} = column({}u + local);", c * INVOCATIONS));
    }
    t.line("for (var t = 0u; t < taps; t++) {\nlet s = tap_offset(t);");
    t.line(format!("for (var k = 0u; k < steps; k += {kb}u) {{\nworkgroupBarrier();"));
    // K is contiguous in both operands: in rows of the left one, in columns of the right one. Weights past the last
    // step of `x` are zero.
    let scatter = |t: &mut Text, array: &str, value: &str, at: &str, step: &str| {
        t.line(format!("{{ let v = {value};\nlet to = ({at}) * {side}u + ({step}) * 4u;"));
        for (e, lane) in ["x", "y", "z", "w"].iter().enumerate() {
            t.line(format!("{array}[to + {e}u] = v.{lane};"));
        }
        t.line("}");
    };
    for (c, step) in (0..width / INVOCATIONS).flat_map(|c| (0..kb).map(move |s| (c, s))) {
        let value = format!("x[from{c} + s + min(k + {step}u, steps - 1u) * stride]");
        scatter(t, "xs", &value, &format!("{}u + local", c * INVOCATIONS), &format!("{step}u"));
    }
    for i in 0..kb * tm / INVOCATIONS {
        let at = format!("({}u + local)", i * INVOCATIONS);
        scatter(t, "ws", &format!("w[wi + {at}]"), &format!("{at} % {tm}u"), &format!("{at} / {tm}u"));
    }
    t.line("workgroupBarrier();");
    for i in 0..down {
        t.line(format!("let m{i} = coopLoadT<coop_mat{side}x{side}<f16, A>>(&ws[{}u], {side}u);", i * side * side));
    }
    for j in 0..across {
        t.line(format!("let n{j} = coopLoad<coop_mat{side}x{side}<f16, B>>(&xs[{}u], {side}u);", j * side * side));
        for i in 0..down {
            t.line(format!("c{i}_{j} = coopMultiplyAdd(m{i}, n{j}, c{i}_{j});"));
        }
    }
    t.line(format!("wi += {}u;\n}}\n}}", kb * tm));
    Ok(())
}

/// Passes the sums to `put` through workgroup memory, one row of matrices at a time.
pub(super) fn results(t: &mut Text, key: &KernelKey) -> Result<(), String> {
    let [side, down, across] = sizes(key)?;
    let (width, whole) = (across * side, key.value("WHOLE").is_some());
    for c in 0..width / INVOCATIONS {
        t.line(format!("let at{c} = place({}u + local);", c * INVOCATIONS));
    }
    for i in 0..down {
        t.line("workgroupBarrier();");
        for j in 0..across {
            // naga 30 stores only named values.
            t.line(format!("let d{i}_{j} = c{i}_{j};\ncoopStoreT(d{i}_{j}, &sums[{}u], {width}u);", j * side));
        }
        t.line("workgroupBarrier();");
        for b in 0..side / 4 {
            let quad = format!("(first4 + {}u)", i * side / 4 + b);
            if !whole {
                t.line(format!("if ({quad} < end4) {{"));
            }
            t.line(format!("let bias{i}_{b} = bias({quad});"));
            for c in 0..width / INVOCATIONS {
                let sum = |r: u32| format!("sums[{}u + local]", (b * 4 + r) * width + c * INVOCATIONS);
                let v: Vec<String> = (0..4).map(sum).collect();
                t.line(format!(
                    "if (at{c} != NOWHERE) {{ put({quad}, at{c}, bias{i}_{b} + vec4<f32>({})); }}",
                    v.join(", ")
                ));
            }
            if !whole {
                t.line("}");
            }
        }
    }
    Ok(())
}
