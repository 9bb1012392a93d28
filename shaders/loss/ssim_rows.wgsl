// SSIM, first step: means, variances and covariance of two images over windows of one row.
//   a, b  [planes][H][W]         linear f32
//   taps  [window]               f32, with sum 1
//   rows  [5][count][H][W2]      linear f32; mean of a, of b, variance of a, of b, covariance; W2 = W - window + 1
// Variances are taken around each window's own mean: E[a^2] - E[a]^2 would lose small variances to cancellation.
// Bindings: 0 params, 1 a (read), 2 b (read), 3 taps (read), 4 rows (write).
// Dispatch: (ceil(W2 / 16), ceil(H / 4), count), planes first .. first + count.
#import "lib/storage"
#import "lib/loops"

struct Params {
    w: u32,
    h: u32,
    w2: u32,
    window: u32,
    first: u32,
    count: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> taps: array<f32>;
@group(0) @binding(4) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w2 || id.y >= p.h) {
        return;
    }
    let start = ((p.first + id.z) * p.h + id.y) * p.w + id.x;
    var mean = vec2<f32>(0.0);
    let window = trip_count(p.window, group.x);
    for (var k = 0u; k < window; k++) {
        mean += taps[k] * vec2<f32>(a[start + k], b[start + k]);
    }
    var spread = vec3<f32>(0.0);
    for (var k = 0u; k < window; k++) {
        let d = vec2<f32>(a[start + k], b[start + k]) - mean;
        spread += taps[k] * vec3<f32>(d * d, d.x * d.y);
    }
    let place = (id.z * p.h + id.y) * p.w2 + id.x;
    let step = p.count * p.h * p.w2;
    rows[place] = mean.x;
    rows[place + step] = mean.y;
    rows[place + 2u * step] = spread.x;
    rows[place + 3u * step] = spread.y;
    rows[place + 4u * step] = spread.z;
}
