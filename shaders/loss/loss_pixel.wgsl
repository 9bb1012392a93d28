// Elementwise losses, first stage: sums over 4096 pixels of four channels.
//   x         [N, C, H, W]  blocked
//   t         [N, C, H, W]  linear f32
//   weight    [N, 1, H, W]  linear f32, with WEIGHTED
//   partials  [N * ceil(C / 4)][parts] vec4, only the first component
// Bindings: 0 params, 1 x (read), 2 t (read), 3 weight (read) with WEIGHTED, Y partials (write).
// Dispatch: (parts = ceil(H * W / 4096), N * ceil(C / 4), 1).
// Constants: KIND, Y; optionally WEIGHTED.
#import "lib/storage"
#import "lib/log"
#import "lib/pixel_loss"
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
    gamma: f32,
    positive: f32,
    negative: f32,
    eps: f32,
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
    let blocks = (p.c + 3u) / 4u;
    let n = group.y / blocks;
    let block = group.y % blocks;
    let pixels = p.w * p.h;
    let valid = inside(block);
    var total = vec4<f32>(0.0);
    for (var iteration = 0u; iteration < ITERATIONS; iteration++) {
        let pixel = pixel_of(group.x, iteration, lane);
        if (pixel >= pixels) {
            break;
        }
        // Values past the last channel are finite, but their losses may not be.
        let at = vec4<f32>(x[index(p.x, n, block, i32(pixel / p.w), i32(pixel % p.w))]);
        let v = select(vec4<f32>(0.5), at, valid);
        var loss = select(vec4<f32>(0.0), loss_of(v, target_of(n, block, pixel, pixels)), valid);
#ifdef WEIGHTED
        loss *= weight[n * pixels + pixel];
#endif
        total += loss;
    }
    let sum = reduce(lane, total);
    if (lane == 0u) {
        partials[group.y * p.parts + group.x] = vec4<f32>(across(sum), 0.0, 0.0, 0.0);
    }
}
