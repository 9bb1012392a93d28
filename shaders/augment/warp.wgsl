// Warping: every output pixel samples the input at its own coordinate.
//   x             [N, C, H, W]    linear f32
//   transform     [N, 8]          linear f32: output (y, x) samples q = (t0 y + t1 x + t2, t3 y + t4 x + t5)
//   displacement  [N, 2, GH, GW]  linear f32, (dy, dx) in pixels: with GRID at control points over q's whole range,
//                                 else per pixel
//   y             [N, C, OH, OW]  linear f32; y = x at q + displacement(q), mirrored outside; CLAMP repeats the edge
// Bindings: 0 params, 1 x (read), 2 transform (read), 3 displacement (read), 4 y (write).
// Dispatch: (row / 64, ceil(len / row), 1), len = N OH OW, row a multiple of 64; each invocation computes all channels
// of one pixel.
// Constants: ORDER, 0 nearest, 1 bilinear, 3 bicubic; optionally GRID, CLAMP.
#import "lib/loops"
#import "lib/storage"

struct Params {
    len: u32,
    row: u32,
    ow: u32,
    oh: u32,
    w: u32,
    h: u32,
    c: u32,
    gw: u32,
    gh: u32,
    a: f32,  // of the cubic kernel
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> transform: array<f32>;
@group(0) @binding(3) var<storage, read> displacement: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// The cubic convolution kernel.
fn cubic(at: f32, a: f32) -> f32 {
    let t = abs(at);
    let near = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    let far = ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
    return select(select(0.0, far, t < 2.0), near, t <= 1.0);
}

// Brings an index into 0 .. n - 1.
fn inside(i: i32, n: i32) -> i32 {
#ifdef CLAMP
    return clamp(i, 0, n - 1);
#else
    if (n == 1) {
        return 0;
    }
    let period = 2 * (n - 1);
    let m = ((i % period) + period) % period;
    return select(m, period - m, m >= n);
#endif
}

fn weight(k: i32, fraction: f32) -> f32 {
    if (ORDER == 3u) {
        return cubic(fraction - f32(k), p.a);
    }
    return select(fraction, 1.0 - fraction, k == 0);
}

fn displacement_at(n: u32, q: vec2<f32>) -> vec2<f32> {
    let start = n * 2u * p.gh * p.gw;
    let plane = p.gh * p.gw;
#ifdef GRID
    let size = vec2<f32>(f32(p.h), f32(p.w));
    let grid = vec2<f32>(f32(p.gh), f32(p.gw));
    let at = q * (grid - 1.0) / max(size - 1.0, vec2<f32>(1.0));
    let base = floor(at);
    var sum = vec2<f32>(0.0);
    for (var i = -1; i <= 2; i++) {
        let row = u32(clamp(i32(base.x) + i, 0, i32(p.gh) - 1)) * p.gw;
        let wy = cubic(at.x - base.x - f32(i), p.a);
        for (var j = -1; j <= 2; j++) {
            let g = start + row + u32(clamp(i32(base.y) + j, 0, i32(p.gw) - 1));
            sum += vec2<f32>(displacement[g], displacement[g + plane]) * (wy * cubic(at.y - base.y - f32(j), p.a));
        }
    }
    return sum;
#else
    let nearest = vec2<i32>(floor(q + 0.5));
    let g = start + u32(clamp(nearest.x, 0, i32(p.gh) - 1)) * p.gw + u32(clamp(nearest.y, 0, i32(p.gw) - 1));
    return vec2<f32>(displacement[g], displacement[g + plane]);
#endif
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let at = id.y * p.row + id.x;
    if (at >= p.len) {
        return;
    }
    let channels = trip_count(p.c, group.x);
    let n = at / (p.ow * p.oh);
    let pixel = at % (p.ow * p.oh);
    let oy = f32(pixel / p.ow);
    let ox = f32(pixel % p.ow);
    let t = 8u * n;
    let q = vec2<f32>(
        transform[t] * oy + transform[t + 1u] * ox + transform[t + 2u],
        transform[t + 3u] * oy + transform[t + 4u] * ox + transform[t + 5u],
    );
    let place = q + displacement_at(n, q);
    let h = i32(p.h);
    let w = i32(p.w);
    if (ORDER == 0u) {
        let nearest = vec2<i32>(floor(place + 0.5));
        let source = u32(inside(nearest.x, h)) * p.w + u32(inside(nearest.y, w));
        for (var c = 0u; c < channels; c++) {
            y[(n * p.c + c) * p.oh * p.ow + pixel] = x[(n * p.c + c) * p.h * p.w + source];
        }
        return;
    }
    let base = floor(place);
    let fraction = place - base;
    let first = select(0, -1, ORDER == 3u);
    let last = select(1, 2, ORDER == 3u);
    for (var c = 0u; c < channels; c++) {
        let start = (n * p.c + c) * p.h * p.w;
        var sum = 0.0;
        for (var i = first; i <= last; i++) {
            let row = start + u32(inside(i32(base.x) + i, h)) * p.w;
            let wy = weight(i, fraction.x);
            for (var j = first; j <= last; j++) {
                sum += x[row + u32(inside(i32(base.y) + j, w))] * (wy * weight(j, fraction.y));
            }
        }
        y[(n * p.c + c) * p.oh * p.ow + pixel] = sum;
    }
}
