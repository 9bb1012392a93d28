// Activations, chosen by the constant ACTIVATION: 0 none, 1 ReLU, 2 leaky ReLU with `slope`, 3 sigmoid.
fn activate(v: vec4<f32>, slope: f32) -> vec4<f32> {
    if (ACTIVATION == 1u) {
        return max(v, vec4<f32>(0.0));
    } else if (ACTIVATION == 2u) {
        return select(v * slope, v, v > vec4<f32>(0.0));
    } else if (ACTIVATION == 3u) {
        // WGSL promises nothing about infinities, nor about division by more than 2^126 = exp(87.3).
        return 1.0 / (1.0 + exp(min(-v, vec4<f32>(87.0))));
    }
    return v;
}
