// Accumulates the gradients of several batches.
//   grad   [len]  linear f32
//   hyper  [8]    linear f32, see optimiser_step; [5], keep, is 0 to start a new sum
//   sum    [len]  linear f32; sum = sum * keep + grad
// Bindings: 0 params, 1 grad (read), 2 hyper (read), 3 sum (read and write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64; each invocation computes one element.
#import "lib/storage"

struct Params {
    len: u32,
    row: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<storage, read> hyper: array<f32>;
@group(0) @binding(3) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i < p.len) {
        // Not multiplied by keep: the discarded sum may be infinite.
        sum[i] = select(0.0, sum[i], hyper[5] != 0.0) + grad[i];
    }
}
