// What a reduction combines, chosen by the constant KIND: 0 sum, 1 largest, 2 smallest. For lib/reduce too.
fn start() -> vec4<f32> {
    switch (KIND) {
        case 0u: { return vec4<f32>(0.0); }
        case 1u: { return vec4<f32>(-3.4028234e38); }
        default: { return vec4<f32>(3.4028234e38); }
    }
}

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    switch (KIND) {
        case 0u: { return a + b; }
        case 1u: { return max(a, b); }
        default: { return min(a, b); }
    }
}
