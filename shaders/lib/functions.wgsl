// Building blocks of the functions in src/kernel/function.rs.
#import "lib/log"

// Accurate to 1e-7 and finite everywhere; WGSL's tanh guarantees neither.
fn tangent(v: vec4<f32>) -> vec4<f32> {
    let e = exp(-2.0 * min(abs(v), vec4<f32>(40.0)));
    return sign(v) * (1.0 - e) / (1.0 + e);
}

// Abramowitz and Stegun 7.1.26, accurate to 1.5e-7.
fn error_function(v: vec4<f32>) -> vec4<f32> {
    let a = min(abs(v), vec4<f32>(6.0));
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(v) * (1.0 - series * exp(-a * a));
}

// exp(-v^2) / sqrt(pi).
fn bell(v: vec4<f32>) -> vec4<f32> {
    let a = min(abs(v), vec4<f32>(9.0));
    return 0.56418958 * exp(-a * a);
}

fn soft(v: vec4<f32>) -> vec4<f32> {
    return max(v, vec4<f32>(0.0)) + log1p_unit(exp(-min(abs(v), vec4<f32>(87.0))));
}

fn logistic(v: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(clamp(-v, vec4<f32>(-87.0), vec4<f32>(87.0))));
}

fn square(v: vec4<f32>) -> vec4<f32> {
    return v * v;
}

// 1 where v lies between two bounds, inclusive, else 0.
fn inside(v: vec4<f32>, low: f32, high: f32) -> vec4<f32> {
    return select(vec4<f32>(0.0), vec4<f32>(1.0), v >= vec4<f32>(low)) * select(vec4<f32>(0.0), vec4<f32>(1.0), v <= vec4<f32>(high));
}

// The argument of GELU's hyperbolic tangent, which is 1 beyond v = 10.
fn gelu_argument(v: vec4<f32>) -> vec4<f32> {
    let u = clamp(v, vec4<f32>(-10.0), vec4<f32>(10.0));
    return 0.79788456 * (u + 0.044715 * u * u * u);
}

fn gelu_tanh_slope(v: vec4<f32>) -> vec4<f32> {
    let u = clamp(v, vec4<f32>(-10.0), vec4<f32>(10.0));
    let t = tangent(gelu_argument(v));
    return 0.5 * (1.0 + t) + 0.5 * u * (1.0 - t * t) * 0.79788456 * (1.0 + 0.134145 * u * u);
}

// v if positive, else alpha (exp(v) - 1).
fn exponential_unit(v: vec4<f32>, alpha: f32) -> vec4<f32> {
    return select(alpha * (exp(clamp(v, vec4<f32>(-87.0), vec4<f32>(0.0))) - 1.0), v, v > vec4<f32>(0.0));
}

fn exponential_unit_slope(v: vec4<f32>, alpha: f32) -> vec4<f32> {
    return select(alpha * exp(clamp(v, vec4<f32>(-87.0), vec4<f32>(0.0))), vec4<f32>(1.0), v > vec4<f32>(0.0));
}
