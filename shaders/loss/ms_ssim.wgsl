// Multi-scale SSIM loss from the means of every scale, or its gradient.
//   means   [M][planes][3]  linear f32; of luminance l, contrast-structure cs and l cs
//   dy      [1]             linear f32, with GRAD
//   y       [1]             linear f32; 1 - MS-SSIM
//   dmeans  [M][planes][3]  linear f32, with GRAD in place of y
// Bindings: 0 params, 1 means (read), 2 dy (read) with GRAD, Y y or dmeans (write).
// Dispatch: (1, 1, 1).
// Constants: FORM, 1 wang, 2 paper, 3 official; Y; optionally GRAD.
#import "lib/storage"
#import "lib/log"
#import "lib/loops"

struct Params {
    planes: u32,
    scales: u32,
    floor_at: f32,
    factor: f32,  // 1 / planes
    weights: array<vec4<f32>, 2>,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> means: array<f32>;
#ifdef GRAD
@group(0) @binding(2) var<storage, read> dy: array<f32>;
#endif
@group(0) @binding(Y) var<storage, read_write> y: array<f32>;
var<workgroup> partial: array<f32, 64>;

fn weight(scale: u32) -> f32 {
    return p.weights[scale / 4u][scale % 4u];
}

// Trip counts, from `trip_count`.
var<private> planes: u32;
var<private> scales: u32;

// Mean k of a plane at a scale. In the official form: the mean over all planes, mapped to 0 .. 1.
fn mean(scale: u32, plane: u32, k: u32) -> f32 {
    if (FORM != 3u) {
        return means[(scale * p.planes + plane) * 3u + k];
    }
    var sum = 0.0;
    for (var i = 0u; i < planes; i++) {
        sum += means[(scale * p.planes + i) * 3u + k];
    }
    return 0.5 + 0.5 * sum * p.factor;
}

// The exponent of mean k of a scale in the result.
fn exponent(scale: u32, k: u32) -> f32 {
    let last = scale + 1u == p.scales;
    if (FORM == 2u) {
        return select(0.0, weight(scale), k < 2u);
    }
    let counts = select(k == 1u, k == 2u, last);
    let times = select(1.0, f32(p.scales - 1u), last && FORM == 3u);
    return select(0.0, times * weight(scale), counts);
}

// The sum of the logarithms of the factors.
fn log_product(plane: u32) -> f32 {
    var sum = 0.0;
    for (var scale = 0u; scale < scales; scale++) {
        for (var k = 0u; k < 3u; k++) {
            let e = exponent(scale, k);
            if (e > 0.0) {
                sum += e * log_unit(vec4<f32>(max(mean(scale, plane, k), p.floor_at))).x;
            }
        }
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    planes = trip_count(p.planes, group.x);
    scales = trip_count(p.scales, group.x);
    var total = 0.0;
    for (var plane = lane; plane < planes; plane += 64u) {
        let product = exp(log_product(plane));
#ifdef GRAD
        for (var scale = 0u; scale < scales; scale++) {
            for (var k = 0u; k < 3u; k++) {
                let e = exponent(scale, k);
                var v = 0.0;
                if (e > 0.0) {
                    let at = mean(scale, plane, k);
                    // The factor is constant below the floor.
                    let slope = select(0.0, e * product / at, at >= p.floor_at);
                    v = -dy[0] * p.factor * slope * select(1.0, 0.5, FORM == 3u);
                }
                y[(scale * p.planes + plane) * 3u + k] = v;
            }
        }
#else
        total += product;
#endif
    }
#ifndef GRAD
    partial[lane] = total;
    workgroupBarrier();
    if (lane == 0u) {
        var sum = 0.0;
        for (var i = 0u; i < 64u; i++) {
            sum += partial[i];
        }
        y[0] = 1.0 - sum * p.factor;
    }
#endif
}
