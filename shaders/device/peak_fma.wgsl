// Measures a device's peak rate of multiply-adds: chains in registers, enough of them to hide latency.
//   y  [invocations] of vec4; written so that nothing is optimised away
// Bindings: 0 params, 1 y (write).
// Dispatch: (invocations / 64); each invocation does 16 * 12 * rounds multiply-adds.
struct Params {
    rounds: u32,
    factor: f32,  // just below 1
    term: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = vec4<f32>(p.factor);
    let c = vec4<f32>(p.term);
    var a0 = vec4<f32>(f32(id.x));
    var a1 = a0 + 1.0;
    var a2 = a0 + 2.0;
    // The id contributes zero: see lib/loops.wgsl.
    let rounds = p.rounds + (id.y >> 31u);
    for (var i = 0u; i < rounds; i++) {
#generate multiply_adds
    }
    y[id.x] = a0 + a1 + a2;
}
