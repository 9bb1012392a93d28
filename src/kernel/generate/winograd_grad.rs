//! The weight gradient in Winograd's domain: the transposed transforms of F(4, 3).

use super::Text;

/// Points of the transform along an axis.
const POINTS: u32 = 6;

/// The code after the prologue of `winograd_grad_in.wgsl`, which defines `start` (the plane), `top` and `left` (the
/// tile's first pixel), `rows` and `columns` (pixels from there to the edges), `at` (where point 0 goes) and `step` (from
/// a point to the next).
pub(super) fn input() -> String {
    let mut t = Text::default();
    for r in 0..4 {
        t.line(format!("let row{r} = start + min(top + {r}u, p.oh - 1u) * p.g.row;"));
        for c in 0..4 {
            let load = format!("vec4<f32>(g[row{r} + min(left + {c}u, p.ow - 1u)])");
            t.line(format!("let d{r}_{c} = select(vec4<f32>(0.0), {load}, {r}u < rows && {c}u < columns);"));
        }
        spread(&mut t, &format!("r{r}_"), &[0, 1, 2, 3].map(|c| format!("d{r}_{c}")));
    }
    for c in 0..POINTS {
        spread(&mut t, &format!("t{c}_"), &[0, 1, 2, 3].map(|r| format!("r{r}_{c}")));
        for r in 0..POINTS {
            t.line(format!("u[at + {}u * step] = stored(t{c}_{r});", r * POINTS + c));
        }
    }
    t.0
}

/// `let {to}0, ..` = A of the four values: a + b z + c z^2 + d z^3 at z = 0, 1, -1, 2, -2, and d.
fn spread(t: &mut Text, to: &str, [a, b, c, d]: &[String; 4]) {
    t.line(format!("let {to}p = {a} + {c};"));
    t.line(format!("let {to}q = {b} + {d};"));
    t.line(format!("let {to}r = {a} + 4.0 * {c};"));
    t.line(format!("let {to}s = 2.0 * {b} + 8.0 * {d};"));
    let values = [
        a.clone(),
        format!("{to}p + {to}q"),
        format!("{to}p - {to}q"),
        format!("{to}r + {to}s"),
        format!("{to}r - {to}s"),
        d.clone(),
    ];
    for (i, value) in values.iter().enumerate() {
        t.line(format!("let {to}{i} = {value};"));
    }
}

/// `let w{ky}_{kx}` = Gt m G of the points from `at` on, `p.points` apart.
pub(super) fn output() -> String {
    let mut t = Text::default();
    for r in 0..POINTS {
        for c in 0..POINTS {
            t.line(format!("let m{r}_{c} = m[at + {}u * p.points];", r * POINTS + c));
        }
        gather(&mut t, &format!("r{r}_"), |c| format!("m{r}_{c}"));
    }
    for c in 0..3 {
        gather(&mut t, &format!("c{c}_"), |r| format!("r{r}_{c}"));
        (0..3).for_each(|r| t.line(format!("let w{r}_{c} = c{c}_{r};")));
    }
    t.0
}

/// `let {to}0, {to}1, {to}2` = Gt of the six values. Products with the inverses, since some drivers divide.
fn gather(t: &mut Text, to: &str, v: impl Fn(u32) -> String) {
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(v);
    t.line(format!("let {to}p = ({b} + {c}) * (1.0 / 6.0);"));
    t.line(format!("let {to}q = {d} + {e};"));
    t.line(format!("let {to}0 = 0.25 * {a} - {to}p + {to}q * (1.0 / 24.0);"));
    t.line(format!("let {to}1 = ({c} - {b}) * (1.0 / 6.0) + ({d} - {e}) * (1.0 / 12.0);"));
    t.line(format!("let {to}2 = {to}q * (1.0 / 6.0) - {to}p + {f};"));
}
