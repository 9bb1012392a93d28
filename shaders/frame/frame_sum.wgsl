// Partial sums of an image's values, or of their squared distances from the mean, for mean and standard deviation.
//   x     [1, C, H, W]  linear f32; rows below h = count / w and columns below w count
//   sums  per channel, or once if channels are pooled (`words` = 0): mean, standard deviation, partial sums
// Bindings: 0 params, 1 x (read), 2 sums (read, write).
// Dispatch: (groups, C, 1); stride = 256 groups. Group g of channel c writes partial sum c pooled + g.
// Constants: optionally SQUARES, which reads the mean.
#import "lib/loops"

struct Params {
    w: u32,
    count: u32,    // w h
    columns: u32,  // W
    plane: u32,    // H W
    stride: u32,
    words: u32,
    pooled: u32,   // groups if channels are pooled, else 0
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

var<workgroup> shared_sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let base = id.y * p.words;
#ifdef SQUARES
    let mean = sums[base];
#endif
    var sum = 0.0;
    for (var i = id.x; i < trip_count(p.count, group.x); i += p.stride) {
        let v = x[id.y * p.plane + (i / p.w) * p.columns + i % p.w];
#ifdef SQUARES
        sum += (v - mean) * (v - mean);
#else
        sum += v;
#endif
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
        sums[base + 2u + id.y * p.pooled + group.x] = shared_sums[0];
    }
}
