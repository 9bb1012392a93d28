// Weighted sum of linear tensors, up to four of them per dispatch.
//   a, b, c, d  [len]  linear f32, COUNT of them
//   y           [len]  linear f32; y = weight_a a + weight_b b + ..; with ACCUMULATE plus y's old value
// Bindings: 0 params, 1 .. COUNT inputs (read), COUNT + 1 y (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64.
// Constants: COUNT; B, C, D for the inputs present; optionally ACCUMULATE.
#import "lib/storage"

struct Params {
    weight_a: f32,
    weight_b: f32,
    weight_c: f32,
    weight_d: f32,
    len: u32,
    row: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
#ifdef B
@group(0) @binding(2) var<storage, read> b: array<f32>;
#endif
#ifdef C
@group(0) @binding(3) var<storage, read> c: array<f32>;
#endif
#ifdef D
@group(0) @binding(4) var<storage, read> d: array<f32>;
#endif
@group(0) @binding(COUNT + 1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i >= p.len) {
        return;
    }
    var sum = p.weight_a * a[i];
#ifdef ACCUMULATE
    sum = y[i] + sum;
#endif
#ifdef B
    sum += p.weight_b * b[i];
#endif
#ifdef C
    sum += p.weight_c * c[i];
#endif
#ifdef D
    sum += p.weight_d * d[i];
#endif
    y[i] = sum;
}
