// Overlap of a prediction with the target, first stage: sums over 4096 pixels of four channels.
//   x         [N, C, H, W]  blocked
//   t         [N, C, H, W]  linear f32, or with CLASSES [N, 1, H, W] class indices
//   partials  [N * C][parts] vec4; sums of x t, of x and of t over pixels with a target
// Bindings: 0 params, 1 x (read), 2 t (read), 3 partials (write).
// Dispatch: (parts = ceil(H * W / 4096), N * ceil(C / 4), 1).
// Constants: optionally CLASSES.
#import "lib/storage"
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
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> t: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let blocks = (p.c + 3u) / 4u;
    let n = group.y / blocks;
    let block = group.y % blocks;
    let pixels = p.w * p.h;
    var both = vec4<f32>(0.0);
    var guessed = vec4<f32>(0.0);
    var there = vec4<f32>(0.0);
    for (var iteration = 0u; iteration < ITERATIONS; iteration++) {
        let pixel = pixel_of(group.x, iteration, lane);
        if (pixel >= pixels) {
            break;
        }
#ifdef CLASSES
        let label = label_of(n, pixel, pixels);
        if (label == p.c) {
            continue;
        }
        let hot = vec4<u32>(0u, 1u, 2u, 3u) + 4u * block == vec4<u32>(label);
        let real = select(vec4<f32>(0.0), vec4<f32>(1.0), hot);
#else
        let real = target_of(n, block, pixel, pixels);
#endif
        let v = vec4<f32>(x[index(p.x, n, block, i32(pixel / p.w), i32(pixel % p.w))]);
        both += v * real;
        guessed += v;
        there += real;
    }
    both = reduce(lane, both);
    guessed = reduce(lane, guessed);
    there = reduce(lane, there);
    let c = 4u * block + lane;
    if (lane < 4u && c < p.c) {
        partials[(n * p.c + c) * p.parts + group.x] = vec4<f32>(both[lane], guessed[lane], there[lane], 0.0);
    }
}
