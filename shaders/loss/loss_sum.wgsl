// Second stage of a loss: sums of groups of partial sums, in a fixed order.
//   partials  [groups][len] vec4
//   y         linear f32; y[start + take * group + k] = factor * sum of component k, for k < take
// Bindings: 0 params, 1 partials (read), 2 y (write).
// Dispatch: (groups, 1, 1); each workgroup computes one group.
#import "lib/storage"
#import "lib/loops"
#import "lib/planes"
#import "lib/reduce"

struct Params {
    len: u32,
    take: u32,
    start: u32,
    factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var total = vec4<f32>(0.0);
    for (var i = lane; i < trip_count(p.len, group.x); i += 256u) {
        total += partials[group.x * p.len + i];
    }
    let sum = reduce(lane, total) * p.factor;
    if (lane < p.take) {
        y[p.start + group.x * p.take + lane] = sum[lane];
    }
}
