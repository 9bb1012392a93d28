// Measures a device's memory bandwidth with a copy.
//   x, y  [blocks] of vec4
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (a, b) with a * b * 64 >= blocks; each invocation copies one vec4.
struct Params {
    blocks: u32,
    row: u32,     // invocations in a row of workgroups, 64 a
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i < p.blocks) {
        y[i] = x[i];
    }
}
