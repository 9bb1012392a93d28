//! The head of a network: CLASSES sums for each of PIXELS neighbouring pixels, in named variables.

use super::{Text, constant};
use crate::kernel::KernelKey;

/// The code after the prologue of `head2d.wgsl`, which defines `left` (the first pixel's column) and `row` (pixel 0 of
/// its row in channel block 0).
pub(super) fn body(key: &KernelKey) -> Result<String, String> {
    let classes = constant(key, "CLASSES", 8)?;
    let pixels = constant(key, "PIXELS", 8)?;
    let has = |name| key.value(name).is_some();
    let mut t = Text::default();
    for j in 0..pixels {
        t.line(format!("let at{j} = row + min(left + {j}u, p.w - 1u);"));
    }
    for k in 0..classes {
        t.line(format!("let bias{k} = w[{}u].{};", k / 4, ["x", "y", "z", "w"][k as usize % 4]));
        for j in 0..pixels {
            t.line(format!("var a{k}_{j} = bias{k};"));
        }
    }
    t.line("var wi = p.bias_vec4s;");
    t.line("let blocks = trip_count(p.blocks, group.x);\nfor (var b = 0u; b < blocks; b++) {");
    for j in 0..pixels {
        t.line(format!("let x{j} = vec4<f32>(x[at{j} + b * p.x.plane]);"));
    }
    for k in 0..classes {
        t.line(format!("let w{k} = w[wi + {k}u];"));
        for j in 0..pixels {
            t.line(format!("a{k}_{j} += dot(w{k}, x{j});"));
        }
    }
    t.line(format!("wi += {classes}u;\n}}"));
    for j in 0..pixels {
        t.line(format!("if (left + {j}u < p.w) {{"));
        for k in 0..classes {
            t.line(format!("let v{k} = activate(vec4<f32>(a{k}_{j}), p.alpha, p.beta).x;"));
        }
        let v = if has("SOFTMAX") { softmax(&mut t, classes) } else { "v" };
        if has("MASK") {
            mask(&mut t, v, classes, has("THRESHOLD"));
            t.line(format!("y[(id.z * p.h + id.y) * p.w + left + {j}u] = f32(class_id);"));
        } else {
            for k in 0..classes {
                let plane = format!("(id.z * CLASSES + {k}u) * p.h + id.y");
                t.line(format!("y[({plane}) * p.w + left + {j}u] = {v}{k};"));
            }
        }
        t.line("}");
    }
    Ok(t.0)
}

/// `s0, s1, ..` from `v0, v1, ..`: exp(v - max), divided by their sum.
fn softmax(t: &mut Text, classes: u32) -> &'static str {
    t.line("var top = v0;");
    for k in 1..classes {
        t.line(format!("top = max(top, v{k});"));
    }
    for k in 0..classes {
        t.line(format!("let e{k} = exp(v{k} - top);"));
    }
    let sum: Vec<String> = (0..classes).map(|k| format!("e{k}")).collect();
    t.line(format!("let sum = {};", sum.join(" + ")));
    for k in 0..classes {
        t.line(format!("let s{k} = e{k} / sum;"));
    }
    "s"
}

/// `class_id` from the values.
fn mask(t: &mut Text, v: &str, classes: u32, threshold: bool) {
    t.line(format!("var best = {v}0;"));
    t.line("var class_id = 0u;");
    for k in 1..classes {
        t.line(format!("if ({v}{k} > best) {{ best = {v}{k}; class_id = {k}u; }}"));
    }
    if threshold {
        t.line("class_id = select(0u, class_id + 1u, best > p.threshold);");
    }
}
