//! Unrolled parts of kernels, generated as WGSL text from the key's constants.
//!
//! WGSL has no macros, and drivers unroll loops over register arrays as they please, so tiles of named variables are
//! generated. The text is a pure function of the key; it replaces `#generate NAME` in a shader file.

mod direct;
mod gemm;
mod head2d;
mod shares;
mod tap_sum;
mod weight_gemm;
mod weight_grad;
mod weight_lanes;
mod window;
mod winograd;
mod winograd_grad;

use super::{KernelKey, function};
use std::fmt::Write;
pub(crate) use weight_lanes::STEPS as WEIGHT_GRAD_STEPS;

/// The text for `#generate name` in a kernel of this key, or an error message.
pub(super) fn generate(name: &str, key: &KernelKey) -> Result<String, String> {
    let activation = || key.value("ACTIVATION").ok_or("ACTIVATION is missing");
    match name {
        "activation" => function::activate(activation()?),
        "activation_slope" => function::activation_slope(activation()?),
        "direct" => direct::body(key),
        "gemm" => gemm::core(key),
        "multiply_adds" => Ok(multiply_adds()),
        "gemm_results" => gemm::results(key),
        "head2d" => head2d::body(key),
        "tap_sum" => tap_sum::body(key),
        "weight_grad" => weight_grad::body(key),
        "weight_grad_results" => weight_grad::results(key),
        "weight_grad_sums" => weight_grad::sums(key),
        "weight_gemm" => weight_gemm::body(key),
        "weight_gemm_loads" => weight_gemm::loads(key),
        "weight_gemm_results" => weight_gemm::results(key),
        "weight_gemm_stores" => weight_gemm::stores(key),
        "weight_gemm_sums" => weight_gemm::sums(key),
        "weight_lanes_pixels" => weight_lanes::pixels(key),
        "weight_lanes_results" => weight_lanes::results(key),
        "weight_lanes_tiles" => weight_lanes::tiles(key),
        "window" => window::body(key),
        "winograd_grad_in" => Ok(winograd_grad::input()),
        "winograd_grad_out" => Ok(winograd_grad::output()),
        "winograd_in" => winograd::input(key),
        "winograd_out" => winograd::output(key),
        _ => Err(format!("no generator `{name}`")),
    }
}

/// A constant that the generator needs, between 1 and `max`.
fn constant(key: &KernelKey, name: &str, max: u32) -> Result<u32, String> {
    match key.value(name) {
        Some(v) if (1..=max).contains(&v) => Ok(v),
        other => Err(format!("{name} is {other:?}, the generator takes 1 to {max}")),
    }
}

/// The lanes of a vec4.
const LANES: [&str; 4] = ["x", "y", "z", "w"];

/// WGSL text, written line by line.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{line}");
    }
}

/// `sum += dot(a, b)` on vec4s in one expression, so that a spilled sum is loaded and stored once, not four times.
fn multiply_add(sum: &str, a: &str, b: &str) -> String {
    format!("{sum} = fma({a}.x, {b}.x, fma({a}.y, {b}.y, fma({a}.z, {b}.z, fma({a}.w, {b}.w, {sum}))));")
}

/// Sixteen multiply-adds for each of the twelve chains of `peak_fma.wgsl`.
fn multiply_adds() -> String {
    let mut t = Text::default();
    for a in ["a0", "a1", "a2"].iter().cycle().take(3 * 16) {
        t.line(format!("{a} = fma({a}, m, c);"));
    }
    t.0
}
