// Finds ranked values in the counts of frame_count, and interpolates between the two neighbours of each of two percentiles.
//   stats  as in frame_count, `words` words per channel. COARSE writes 2..5, the upper halves of the ranked keys, and 6..9,
//          their ranks among the keys of that half; with AGAIN the counts by lower halves, those of other percentiles, become 0.
//          Otherwise 12 and 13 become the percentiles, as the bits of floats.
// Bindings: 0 params, 1 stats (read, write).
// Dispatch: (channels, or 1 if they are pooled, 1, 1).
// Constants: one of INTEGERS, COARSE, FINE; with COARSE optionally AGAIN.
#import "lib/loops"

struct Params {
    ranks: vec4<u32>,  // below and above the low percentile, below and above the high one
    between: vec2<f32>,
    words: u32,
    chunk: u32,        // counts / 256
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> stats: array<u32>;

var<workgroup> sums: array<u32, 256>;

fn float(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, (key >> 31u) == 1u));
}

// From the nearer end, as the host does.
fn interpolate(a: f32, b: f32, t: f32) -> f32 {
    return select(b - (b - a) * (1.0 - t), a + (b - a) * t, t < 0.5);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * p.words;
    let chunk = trip_count(p.chunk, group.x);
    var values = vec4<f32>(0.0);
    for (var r = 0u; r < 4u; r++) {
#ifdef FINE
        let start = base + 16u + (r + 1u) * 65536u;
        let rank = stats[base + 6u + r];
#else
        let start = base + 16u;
        let rank = p.ranks[r];
#endif
        var sum = 0u;
        for (var i = 0u; i < chunk; i++) {
            sum += stats[start + lane * chunk + i];
        }
        sums[lane] = sum;
        workgroupBarrier();
        if (lane == 0u) {
            var seen = 0u;
            var at = 0u;
            while (at < 255u && seen + sums[at] <= rank) {
                seen += sums[at];
                at++;
            }
            var bin = at * chunk;
            let last = bin + chunk - 1u;
            while (bin < last && seen + stats[start + bin] <= rank) {
                seen += stats[start + bin];
                bin++;
            }
#ifdef COARSE
            stats[base + 2u + r] = bin;
            stats[base + 6u + r] = rank - seen;
#endif
#ifdef INTEGERS
            values[r] = f32(bin);
#endif
#ifdef FINE
            values[r] = float((stats[base + 2u + r] << 16u) | bin);
#endif
        }
        workgroupBarrier();
    }
#ifdef AGAIN
    for (var i = 0u; i < 4u * chunk; i++) {
        stats[base + 16u + 65536u + 256u * i + lane] = 0u;
    }
#endif
#ifndef COARSE
    if (lane == 0u) {
        stats[base + 12u] = bitcast<u32>(interpolate(values.x, values.y, p.between.x));
        stats[base + 13u] = bitcast<u32>(interpolate(values.z, values.w, p.between.y));
    }
#endif
}
