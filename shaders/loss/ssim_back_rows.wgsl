// Gradient of SSIM, last step: from rows to pixels, plus the gradient from the coarser scale.
//   columns  [3][count][H][W2]          linear f32: see ssim_back_columns
//   taps     [window]                   f32
//   a, b     [planes][H][W]             linear f32
//   coarse   [planes][H / 2][W / 2]     linear f32, with COARSE: the gradient of means of 2 x 2 pixels
//   da       [planes][H][W]             linear f32
// Bindings: 0 params, 1 columns (read), 2 taps (read), 3 a (read), 4 b (read), 5 coarse (read) with COARSE, Y da
// (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), count), planes first .. first + count.
// Constants: Y; optionally COARSE.
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
@group(0) @binding(1) var<storage, read> columns: array<f32>;
@group(0) @binding(2) var<storage, read> taps: array<f32>;
@group(0) @binding(3) var<storage, read> a: array<f32>;
@group(0) @binding(4) var<storage, read> b: array<f32>;
#ifdef COARSE
@group(0) @binding(5) var<storage, read> coarse: array<f32>;
#endif
@group(0) @binding(Y) var<storage, read_write> da: array<f32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let start = (id.z * p.h + id.y) * p.w2;
    let step = p.count * p.h * p.w2;
    var sum = vec3<f32>(0.0);
    let window = trip_count(p.window, group.x);
    for (var k = 0u; k < window; k++) {
        // A negative difference wraps and fails the test.
        let x = id.x - k;
        if (x < p.w2) {
            let at = start + x;
            sum += taps[k] * vec3<f32>(columns[at], columns[at + step], columns[at + 2u * step]);
        }
    }
    let plane = p.first + id.z;
    let place = (plane * p.h + id.y) * p.w + id.x;
    var v = sum.x + (a[place] * sum.y + b[place] * sum.z);
#ifdef COARSE
    let half = vec2<u32>(p.w / 2u, p.h / 2u);
    if (id.x / 2u < half.x && id.y / 2u < half.y) {
        v += 0.25 * coarse[(plane * half.y + id.y / 2u) * half.x + id.x / 2u];
    }
#endif
    da[place] = v;
}
