// The normalisation of each channel from an image's statistics, or one more step of it.
//   rules  [steps, C, 8]  factor, eps, floor, gain, offset, low, high, -
//   stats  as frame_count and frame_select leave it
//   sums   as frame_sum_end leaves it
//   info   the input of image_in: words 8 + 4 c .. of channel c become offset, scale, low, high, with
//          divisor = max(factor * |before| * spread + eps, floor), scale = gain * before / divisor, offset = centre - offset / scale,
//          where before is the scale of the step before, 1 ahead of the first
// Bindings: 0 params, 1 rules (read), 2 stats (read), 3 sums (read), 4 info (read, write).
// Dispatch: (ceil(C / 64), 1, 1).
// Constants: what centre and spread are; PERCENTILES: the low one and the distance of the high one, EXTREMES: the least
// value and the distance of the largest; otherwise mean and standard deviation.
struct Params {
    c: u32,
    first: u32,        // the step's first rule: its number times C
    stats_words: u32,  // per channel; 0 if channels are pooled
    sums_words: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rules: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<u32>;
@group(0) @binding(3) var<storage, read> sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> info: array<f32>;

fn float(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, (key >> 31u) == 1u));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let c = id.x;
    if (c >= p.c) {
        return;
    }
    let at = c * p.stats_words;
#ifdef PERCENTILES
    let centre = bitcast<f32>(stats[at + 12u]);
    let spread = bitcast<f32>(stats[at + 13u]) - centre;
#else
#ifdef EXTREMES
    let centre = float(~stats[at]);
    let spread = float(stats[at + 1u]) - centre;
#else
    let centre = sums[c * p.sums_words];
    let spread = sums[c * p.sums_words + 1u];
#endif
#endif
    let rule = 8u * (p.first + c);
    let to = 8u + 4u * c;
    let before = info[to + 1u];
    let divisor = max(rules[rule] * abs(before) * spread + rules[rule + 1u], rules[rule + 2u]);
    let scale = rules[rule + 3u] * before / divisor;
    info[to] = centre - rules[rule + 4u] / scale;
    info[to + 1u] = scale;
    info[to + 2u] = rules[rule + 5u];
    info[to + 3u] = rules[rule + 6u];
}
