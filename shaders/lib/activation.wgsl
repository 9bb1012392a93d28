// Activations, chosen by the constant ACTIVATION: 1 those linear on each side of zero, negative values times `slope` (1
// none, 0 ReLU, else leaky ReLU), 2 sigmoid.
fn activate(v: vec4<f32>, slope: f32) -> vec4<f32> {
    if (ACTIVATION == 1u) {
        return select(v * slope, v, v > vec4<f32>(0.0));
    }
    // WGSL promises nothing about infinities, nor about division by more than 2^126 = exp(87.3).
    return 1.0 / (1.0 + exp(min(-v, vec4<f32>(87.0))));
}

// The slope of an activation, from its result; that of negative values where it is 0.
fn activation_slope(y: vec4<f32>, slope: f32) -> vec4<f32> {
    if (ACTIVATION == 1u) {
        return select(vec4<f32>(slope), vec4<f32>(1.0), y > vec4<f32>(0.0));
    }
    return y * (1.0 - y);
}
