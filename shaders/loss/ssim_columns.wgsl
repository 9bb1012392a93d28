// SSIM, second step: combines the statistics of rows into those of windows, with luminance l and contrast-structure cs
// of each window; sums them, or computes the maps of the gradient.
//   rows      [5][count][H][W2]      linear f32: see ssim_rows
//   taps      [window]               f32, with sum 1
//   dmeans    linear f32, with GRAD; of the means of l, cs and l cs of plane i, from element start + 3 i on
//   partials  [planes][parts] vec4   sums of l, cs and l cs over 4096 pixels
//   maps      [3][count][H2][W2]     linear f32, with GRAD in place of partials; A, B, C with da = sum of
//                                    taps (A + a B + b C) over the windows that cover a; H2 = H - window + 1
// l = (2 ma mb + c1) / (ma^2 + mb^2 + c1), cs = (2 cov + c2) / (va + vb + c2)
// Bindings: 0 params, 1 rows (read), 2 taps (read), 3 dmeans (read) with GRAD, Y partials or maps (write).
// Dispatch: (parts = ceil(H2 * W2 / 4096), count, 1), planes first .. first + count.
// Constants: Y; optionally GRAD.
#import "lib/storage"
#import "lib/loops"
#import "lib/planes"
#import "lib/reduce"

struct Params {
    w2: u32,
    h: u32,
    h2: u32,
    window: u32,
    first: u32,
    count: u32,
    parts: u32,
    start: u32,
    c1: f32,
    c2: f32,
    factor: f32,  // 1 / (H2 * W2)
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read> taps: array<f32>;
#ifdef GRAD
@group(0) @binding(3) var<storage, read> dmeans: array<f32>;
@group(0) @binding(Y) var<storage, read_write> maps: array<f32>;
#else
@group(0) @binding(Y) var<storage, read_write> partials: array<vec4<f32>>;
#endif

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = group.y;
    let pixels = p.h2 * p.w2;
    let step = p.count * p.h * p.w2;
    var total = vec4<f32>(0.0);
    let window = trip_count(p.window, group.x);
    for (var iteration = 0u; iteration < ITERATIONS; iteration++) {
        let pixel = pixel_of(group.x, iteration, lane);
        if (pixel >= pixels) {
            break;
        }
        let y = pixel / p.w2;
        let start = (plane * p.h + y) * p.w2 + pixel % p.w2;
        var mean = vec2<f32>(0.0);
        for (var k = 0u; k < window; k++) {
            let at = start + k * p.w2;
            mean += taps[k] * vec2<f32>(rows[at], rows[at + step]);
        }
        // The variance of a window is the mean of its rows' variances plus the variance of their means.
        var spread = vec3<f32>(0.0);
        for (var k = 0u; k < window; k++) {
            let at = start + k * p.w2;
            let d = vec2<f32>(rows[at], rows[at + step]) - mean;
            let own = vec3<f32>(rows[at + 2u * step], rows[at + 3u * step], rows[at + 4u * step]);
            spread += taps[k] * (own + vec3<f32>(d * d, d.x * d.y));
        }
        let under1 = mean.x * mean.x + mean.y * mean.y + p.c1;
        let under2 = spread.x + spread.y + p.c2;
        let l = (2.0 * mean.x * mean.y + p.c1) / under1;
        let cs = (2.0 * spread.z + p.c2) / under2;
#ifdef GRAD
        let d = p.start + 3u * (p.first + plane);
        let dl = (dmeans[d] + dmeans[d + 2u] * cs) * p.factor;
        let dcs = (dmeans[d + 1u] + dmeans[d + 2u] * l) * p.factor;
        let q = 2.0 * dcs / under2;
        let place = plane * pixels + pixel;
        let next = p.count * pixels;
        maps[place] = 2.0 * dl * (mean.y - mean.x * l) / under1 - q * (mean.y - cs * mean.x);
        maps[place + next] = -q * cs;
        maps[place + 2u * next] = q;
#else
        total += vec4<f32>(l, cs, l * cs, 0.0);
#endif
    }
#ifndef GRAD
    let sum = reduce(lane, total);
    if (lane == 0u) {
        partials[(p.first + plane) * p.parts + group.x] = sum;
    }
#endif
}
