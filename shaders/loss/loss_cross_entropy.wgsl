// Softmax cross entropy, plain and focal, first stage: sums over 4096 pixels of an image.
//   x         [N, C, H, W]  blocked
//   t         [N, 1, H, W]  linear f32, class indices
//   weight    [N, 1, H, W]  linear f32, with WEIGHTED
//   partials  [N][parts] vec4; sum of w (1 - p)^gamma (-log p), number of pixels with a class, sum of w
// Bindings: 0 params, 1 x (read), 2 t (read), 3 weight (read) with WEIGHTED, Y partials (write).
// Dispatch: (parts = ceil(H * W / 4096), N, 1).
// Constants: Y; CLASSES; optionally WEIGHTED, FOCAL.
#import "lib/storage"
#import "lib/label_scores"
#import "lib/log"
#import "lib/loops"
#import "lib/planes"
#import "lib/reduce"
#import "lib/tensor"
#import "lib/target"

struct Params {
    x: View,
    w: u32,
    h: u32,
    c: u32,
    parts: u32,
    ignored: f32,
    gamma: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> t: array<f32>;
#ifdef WEIGHTED
@group(0) @binding(3) var<storage, read> weight: array<f32>;
#endif
@group(0) @binding(Y) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = group.y;
    let pixels = p.w * p.h;
    let channels = trip_count(p.c, group.x);
    var total = vec4<f32>(0.0);
    for (var iteration = 0u; iteration < ITERATIONS; iteration++) {
        let pixel = pixel_of(group.x, iteration, lane);
        if (pixel >= pixels) {
            break;
        }
        let label = label_of(n, pixel, pixels);
        if (label == p.c) {
            continue;
        }
        let s = scores(index(p.x, n, 0u, i32(pixel / p.w), i32(pixel % p.w)), 0u, label, channels);
        var loss = surprise(s);
#ifdef FOCAL
        loss *= pow(doubt(s), p.gamma);
#endif
        var w = 1.0;
#ifdef WEIGHTED
        w = weight[n * pixels + pixel];
#endif
        total += vec4<f32>(w * loss, 1.0, w, 0.0);
    }
    let sum = reduce(lane, total);
    if (lane == 0u) {
        partials[n * p.parts + group.x] = sum;
    }
}
