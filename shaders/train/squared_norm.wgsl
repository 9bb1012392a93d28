// Sum of the squares of all elements, in two dispatches.
//   x  [len]     linear f32
//   y  [groups]  linear f32; each workgroup sums the squares, or with LAST the elements, of every groups-th run of 256
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (groups, 1, 1); 1 with LAST.
// Constants: optionally LAST.
#import "lib/storage"
#import "lib/loops"
#import "lib/reduce_sum"

struct Params {
    len: u32,
    groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = group.x * 256u + lane; i < trip_count(p.len, group.x); i += p.groups * 256u) {
#ifdef LAST
        sum += x[i];
#else
        sum += x[i] * x[i];
#endif
    }
    let total = reduce(lane, vec4<f32>(sum)).x;
    if (lane == 0u) {
        y[group.x] = total;
    }
}
