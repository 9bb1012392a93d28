// Fills a tensor with a constant.
//   y  [len]  linear f32
// Bindings: 0 params, 1 y (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64; each invocation computes one element.
#import "lib/storage"

struct Params {
    len: u32,
    value: f32,
    row: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i < p.len) {
        y[i] = p.value;
    }
}
