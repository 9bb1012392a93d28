//! The direct convolution through workgroup memory: a block of pixels is staged once for all taps, with the weights of
//! a step of four input channels. An invocation holds 8 output channels x 8 rows of one output column.

use super::{Text, constant, multiply_add};
use crate::kernel::KernelKey;

/// Output channels per invocation.
const CHANNELS: u32 = 8;
/// Output rows per invocation: `ROWS` in the shader.
const ROWS: u32 = 8;

/// The code after the prologue of `conv2d_window.wgsl`, which defines `n`, `first4`, `ox`, `oy` (the block's first
/// output pixel), `corner` (the first pixel of the window of output (0, 0)), `bottom` and `right` (the last row and
/// column that any window reads), `column`, `band`, `ty` (the invocation's place in the block), `local` and `wi`.
pub(super) fn body(key: &KernelKey) -> Result<String, String> {
    let (kh, kw, tm) = (constant(key, "KH", 3)?, constant(key, "KW", 3)?, constant(key, "TM", 128)?);
    let (bw, bands) = (constant(key, "BW", 64)?, constant(key, "BANDS", 8)?);
    if !tm.is_multiple_of(CHANNELS) {
        return Err(format!("TM is {tm}, not a multiple of {CHANNELS}"));
    }
    let lines = bands * ROWS + kh - 1;
    let span = bw + kw - 1;
    let invocations = tm / CHANNELS * bw * bands;
    let mut t = Text::default();
    let pixels = Staging { len: span * lines, invocations };
    let weights = Staging { len: kh * kw * tm, invocations };
    for i in 0..pixels.rounds() {
        t.line(format!("let e{i} = {}u + local;", i * invocations));
        t.line(format!(
            "var from{i} = corner + min(oy + e{i} / {span}u, bottom) * p.x.row + min(ox + e{i} % {span}u, right);"
        ));
    }
    for i in 0..CHANNELS {
        for j in 0..ROWS {
            t.line(format!("var a{i}_{j} = 0.0;"));
        }
    }
    t.line(format!("let base = band * {}u + column;", ROWS * span));
    t.line("let blocks = trip_count(p.in_blocks, group.x);\nlet kernel_columns = trip_count(p.kw, group.x);");
    t.line("for (var c = 0u; c < blocks; c++) {");
    for i in 0..pixels.rounds() {
        t.line(format!("let v{i} = vec4<f32>(x[from{i}]);"));
    }
    for i in 0..weights.rounds() {
        let at = if weights.whole(i) { "local".into() } else { format!("min(local, {}u)", weights.rest() - 1) };
        t.line(format!("let u{i} = vec4<f32>(w[wi + {}u + {at}]);", i * invocations));
    }
    t.line("workgroupBarrier();");
    pixels.store(&mut t, "xs", "v");
    weights.store(&mut t, "ws", "u");
    t.line("workgroupBarrier();");
    // Taps stay in loops with trip counts unknown to the compiler: with three unrolled, Intel's spills registers.
    t.line("for (var ky = 0u; ky < KH; ky++) {\nfor (var kx = 0u; kx < kernel_columns; kx++) {");
    t.line(format!("let xb = base + ky * {span}u + kx;\nlet wb = (ky * KW + kx) * {tm}u + ty;"));
    for j in 0..ROWS {
        t.line(format!("let x{j} = xs[xb + {}u];", j * span));
    }
    for i in 0..CHANNELS {
        t.line(format!("let q{i} = ws[wb + {}u];", i * (tm / CHANNELS)));
        for j in 0..ROWS {
            t.line(multiply_add(&format!("a{i}_{j}"), &format!("q{i}"), &format!("x{j}")));
        }
    }
    t.line("}\n}");
    // Separate counters: a common offset takes another register, which Intel's compiler lacks with 5 of them.
    for i in 0..pixels.rounds() {
        t.line(format!("from{i} += p.x.plane;"));
    }
    t.line(format!("wi += {}u;\n}}", weights.len));
    results(&mut t, key.value("WHOLE").is_some());
    Ok(t.0)
}

/// Elements that a workgroup stages in rounds, one per invocation.
struct Staging {
    len: u32,
    invocations: u32,
}

impl Staging {
    fn rounds(&self) -> u32 {
        self.len.div_ceil(self.invocations)
    }

    fn rest(&self) -> u32 {
        self.len % self.invocations
    }

    fn whole(&self, round: u32) -> bool {
        (round + 1) * self.invocations <= self.len
    }

    fn store(&self, t: &mut Text, array: &str, value: &str) {
        for i in 0..self.rounds() {
            let store = format!("{array}[{}u + local] = {value}{i};", i * self.invocations);
            t.line(if self.whole(i) { store } else { format!("if (local < {}u) {{ {store} }}", self.rest()) });
        }
    }
}

fn results(t: &mut Text, whole: bool) {
    t.line("let to_x = ox + column;");
    t.line(format!("let to_y = oy + band * {ROWS}u;"));
    t.line("if (to_x < p.ow) {");
    for b in 0..CHANNELS / 4 {
        t.line(format!("let quad{b} = first4 + ty * {}u + {b}u;", CHANNELS / 4));
        t.line(if whole { "{".into() } else { format!("if (quad{b} < p.out_blocks) {{") });
        t.line(format!("let bias = bias(quad{b});"));
        t.line(format!("let at = index(p.y, n, quad{b}, i32(to_y), i32(to_x));"));
        for j in 0..ROWS {
            let v: Vec<String> = (0..4).map(|k| format!("a{}_{j}", b * 4 + k)).collect();
            t.line(format!(
                "if (to_y + {j}u < p.oh) {{ put(at + {j}u * p.y.row, bias + vec4<f32>({})); }}",
                v.join(", ")
            ));
        }
        t.line("}");
    }
    t.line("}");
}
