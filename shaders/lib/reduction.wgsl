// What a reduction combines, chosen by the constant KIND: 0 sum, 1 largest, 2 smallest. For lib/reduce too.
fn start() -> vec4<f32> {
    // The lowest and the largest float, by their bits: naga writes them as decimals that browsers find too large.
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
