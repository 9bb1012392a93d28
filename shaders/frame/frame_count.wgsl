// Counts an image's values, for percentiles; finds the least and the largest.
//   x      [1, C, H, W]  linear f32; rows below h = count / w and columns below w count
//   stats  per channel, or once if channels are pooled (`words` = 0), words that are zero before the first pass:
//          0 complement of the least key, 1 largest key, 2..5 upper halves of four ranked keys, 6..15 see frame_select;
//          then counts by value (INTEGERS) or by the upper half of the key; with floats, four times 65,536 counts by the
//          lower half, of keys whose upper half is that of a rank
// A key is an integer in the order of the floats.
// Bindings: 0 params, 1 x (read), 2 stats (read, write).
// Dispatch: (groups, C, 1); stride = 256 groups.
// Constants: EXTREMES or one of INTEGERS, COARSE, FINE.
#import "lib/loops"

struct Params {
    w: u32,
    count: u32,    // w h
    columns: u32,  // W
    plane: u32,    // H W
    stride: u32,
    words: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<atomic<u32>>;

fn key(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let base = id.y * p.words;
    let bins = base + 16u;
#ifdef EXTREMES
    var least = 0u;
    var largest = 0u;
#endif
#ifdef FINE
    let upper = vec4<u32>(
        atomicLoad(&stats[base + 2u]),
        atomicLoad(&stats[base + 3u]),
        atomicLoad(&stats[base + 4u]),
        atomicLoad(&stats[base + 5u]),
    );
#endif
    for (var i = id.x; i < trip_count(p.count, group.x); i += p.stride) {
        let v = x[id.y * p.plane + (i / p.w) * p.columns + i % p.w];
#ifdef INTEGERS
        atomicAdd(&stats[bins + u32(v)], 1u);
#else
        let k = key(v);
#endif
#ifdef EXTREMES
        least = max(least, ~k);
        largest = max(largest, k);
#endif
#ifdef COARSE
        atomicAdd(&stats[bins + (k >> 16u)], 1u);
#endif
#ifdef FINE
        for (var r = 0u; r < 4u; r++) {
            if (upper[r] == (k >> 16u)) {
                atomicAdd(&stats[bins + (r + 1u) * 65536u + (k & 0xffffu)], 1u);
            }
        }
#endif
    }
#ifdef EXTREMES
    atomicMax(&stats[base], least);
    atomicMax(&stats[base + 1u], largest);
#endif
}
