// Mean or standard deviation from the partial sums of frame_sum.
//   sums  as in frame_sum, `words` words per channel: word 0 becomes the mean; with SQUARES word 1 the standard deviation
// Bindings: 0 params, 1 sums (read, write).
// Dispatch: (channels, or 1 if they are pooled, 1, 1).
// Constants: optionally SQUARES.
#import "lib/loops"

struct Params {
    words: u32,
    partials: u32,
    count: f32,  // values
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

var<workgroup> shared_sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * p.words;
    var sum = 0.0;
    for (var i = lane; i < trip_count(p.partials, group.x); i += 256u) {
        sum += sums[base + 2u + i];
    }
    shared_sums[lane] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if (lane < half) {
            shared_sums[lane] += shared_sums[lane + half];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
#ifdef SQUARES
        sums[base + 1u] = sqrt(shared_sums[0] / p.count);
#else
        sums[base] = shared_sums[0] / p.count;
#endif
    }
}
