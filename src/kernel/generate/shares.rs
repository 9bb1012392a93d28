//! Interpolation for a run of neighbouring output pixels: the window of input pixels that they depend on, and the share
//! (weight) of each input in each output. The shader imports `lib/resize`.

use super::Text;

/// Size of the window of low-resolution pixels for `outputs` neighbouring pixels: the distance between the first and
/// the last, rounded up, plus the `each` pixels that one output depends on.
pub(super) fn window(outputs: u32, factor: u32, each: u32) -> u32 {
    (outputs - 1).div_ceil(factor) + each
}

/// Defines the shares `{v}{o}_{slot}` of the window's pixels in each of the `outputs` from `start` on along an axis,
/// the window's first pixel `{v}_first`, and the last slot that any output needs, `{v}_last`. Outputs outside the
/// upsampled map of `size` pixels have zero shares.
pub(super) fn shares(t: &mut Text, v: &str, axis: &str, start: &str, size: &str, [outputs, slots, each]: [u32; 3]) {
    t.line(format!("let {v}_start = {start};"));
    t.line(format!("let {v}_end = i32({size});"));
    for o in 0..outputs {
        t.line(format!("let {v}_at{o} = {v}_start + {o};"));
        t.line(format!("let {v}_s{o} = source({axis}, u32(clamp({v}_at{o}, 0, {v}_end - 1)));"));
    }
    t.line(format!("let {v}_first = {v}_s0.low;"));
    t.line(format!("let {v}_last = {v}_s{}.low + {}u - {v}_first;", outputs - 1, each - 1));
    for o in 0..outputs {
        t.line(format!("let {v}_in{o} = select(0.0, 1.0, {v}_at{o} >= 0 && {v}_at{o} < {v}_end);"));
        t.line(format!("let {v}_d{o} = {v}_s{o}.low - {v}_first;"));
        let share = if each == 2 { format!("{v}_in{o} - {v}_upper{o}") } else { format!("{v}_in{o}") };
        t.line(format!("let {v}_upper{o} = {v}_in{o} * {v}_s{o}.weight;"));
        t.line(format!("let {v}_lower{o} = {share};"));
        for slot in 0..slots {
            let upper = if each == 2 && slot > 0 {
                format!("select(0.0, {v}_upper{o}, {v}_d{o} == {}u)", slot - 1)
            } else {
                "0.0".into()
            };
            t.line(format!("let {v}{o}_{slot} = select({upper}, {v}_lower{o}, {v}_d{o} == {slot}u);"));
        }
    }
}
