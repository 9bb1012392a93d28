// Logarithms that are accurate near 1, where WGSL's log may be off by 2^-21.

// log(1 + x) for x in 0 .. 1: twice the series of atanh at x / (2 + x), which is at most 1/3.
fn log1p_unit(x: vec4<f32>) -> vec4<f32> {
    let s = x / (2.0 + x);
    let q = s * s;
    let tail = 1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q / 15.0));
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * tail))));
}

// log(v) for v in 0 .. 1, without 0.
fn log_unit(v: vec4<f32>) -> vec4<f32> {
    let near = clamp((1.0 - v) / max(v, vec4<f32>(0.5)), vec4<f32>(0.0), vec4<f32>(1.0));
    return select(log(v), -log1p_unit(near), v >= vec4<f32>(0.5));
}
