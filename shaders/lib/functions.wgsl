// Functions of one element, chosen by the constant KIND: see UnaryKind in src/ops/unary.rs.
#import "lib/log"

// Good to 1e-7 and finite everywhere, which WGSL does not promise of its own.
fn tangent(v: vec4<f32>) -> vec4<f32> {
    let e = exp(-2.0 * min(abs(v), vec4<f32>(40.0)));
    return sign(v) * (1.0 - e) / (1.0 + e);
}

// Abramowitz and Stegun 7.1.26, good to 1.5e-7.
fn error_function(v: vec4<f32>) -> vec4<f32> {
    let a = min(abs(v), vec4<f32>(6.0));
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(v) * (1.0 - series * exp(-a * a));
}

fn soft(v: vec4<f32>) -> vec4<f32> {
    return max(v, vec4<f32>(0.0)) + log1p_unit(exp(-min(abs(v), vec4<f32>(87.0))));
}

fn logistic(v: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(clamp(-v, vec4<f32>(-87.0), vec4<f32>(87.0))));
}

// v if positive, else alpha (exp(v) - 1).
fn exponential_unit(v: vec4<f32>, alpha: f32) -> vec4<f32> {
    return select(alpha * (exp(clamp(v, vec4<f32>(-87.0), vec4<f32>(0.0))) - 1.0), v, v > vec4<f32>(0.0));
}

fn function(v: vec4<f32>, a: f32, b: f32) -> vec4<f32> {
    let zero = vec4<f32>(0.0);
    let one = vec4<f32>(1.0);
    switch (KIND) {
        case 0u: { return v; }
        case 1u: { return abs(v); }
        case 2u: { return -v; }
        case 3u: { return exp(v); }
        case 4u: { return log(v); }
        case 5u: { return sqrt(v); }
        case 6u: { return 1.0 / v; }
        case 7u: { return floor(v); }
        case 8u: { return ceil(v); }
        case 9u: { return round(v); }
        case 10u: { return sign(v); }
        case 11u: { return error_function(v); }
        case 12u: { return tangent(v); }
        case 13u: { return soft(v); }
        case 14u: { return v / (1.0 + abs(v)); }
        case 15u: { return v * logistic(v); }
        case 16u: { return v * tangent(soft(v)); }
        case 17u: { return 0.5 * v * (1.0 + error_function(v * 0.70710678)); }
        case 18u: {
            // Beyond 10 the tangent is 1.
            let u = clamp(v, vec4<f32>(-10.0), vec4<f32>(10.0));
            return 0.5 * v * (1.0 + tangent(0.79788456 * (u + 0.044715 * u * u * u)));
        }
        case 19u: { return v * clamp(v / 6.0 + 0.5, zero, one); }
        case 20u: { return clamp(v * a + b, zero, one); }
        case 21u: { return min(max(v, vec4<f32>(a)), vec4<f32>(b)); }
        case 22u: { return exponential_unit(v, a); }
        default: { return b * exponential_unit(v, a); }
    }
}
