// The operation of a reduction, selected by the constant KIND: 0 sum, 1 max, 2 min. Works with lib/reduce.
fn start() -> vec4<f32> {
    // The lowest and the largest float, as bits: naga writes them as decimals that browsers reject as too large.
    switch (KIND) {
        case 0u: { return vec4<f32>(0.0); }
        case 1u: { return bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu)); }
        default: { return bitcast<vec4<f32>>(vec4<u32>(0x7f7fffffu)); }
    }
}

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    switch (KIND) {
        case 0u: { return a + b; }
        case 1u: { return max(a, b); }
        default: { return min(a, b); }
    }
}
