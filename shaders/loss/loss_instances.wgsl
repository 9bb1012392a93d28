// Losses of a network that predicts instances, first stage: sums over 4096 pixels of an image.
//   x         [N, C, H, W]  blocked; PLANES raw planes, then logits of classes
//   t         [N, T, H, W]  linear f32, see lib/instance_target
//   partials  [1, and one more each with OFFSETS and CLASSES][total] vec4; sum of w e, sum of w, of two terms:
//             cross entropy of the foreground, squared error of the distance;
//             cross entropy of the touching border, smooth L1 of the offsets; cross entropy of the classes, nothing
// Bindings: 0 params, 1 x (read), 2 t (read), 3 partials (write).
// Dispatch: (parts = ceil(H * W / 4096), N, 1).
// Constants: PLANES, TARGETS; optionally OFFSETS; CLASSES, the index of the classes' sum.
#import "lib/storage"
#import "lib/instance_target"
#import "lib/label_scores"
#import "lib/log"
#import "lib/loops"
#import "lib/planes"
#import "lib/reduce"
#import "lib/tensor"

struct Params {
    x: View,
    w: u32,
    h: u32,
    c: u32,
    parts: u32,
    total: u32,  // N * parts
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> t: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;

// Smooth L1 with beta 0.25.
fn smooth_l1(e: vec2<f32>) -> vec2<f32> {
    return select(abs(e) - 0.125, 2.0 * e * e, abs(e) < vec2<f32>(0.25));
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = group.y;
    let pixels = p.w * p.h;
    let channels = trip_count(p.c, group.x);
    var outline = vec4<f32>(0.0);
    var inner = vec4<f32>(0.0);
    var named = vec4<f32>(0.0);
    for (var iteration = 0u; iteration < ITERATIONS; iteration++) {
        let pixel = pixel_of(group.x, iteration, lane);
        if (pixel >= pixels) {
            break;
        }
        let start = index(p.x, n, 0u, i32(pixel / p.w), i32(pixel % p.w));
        let z = vec4<f32>(x[start]);
        let truth = truth_of(n, pixel, pixels);
        let w = truth.weights;
        let e = z - truth.planes;
        let cross = max(z, vec4<f32>(0.0)) - z * truth.planes + log1p_unit(exp(-abs(z)));
        outline += vec4<f32>(w.x * cross.x, w.x, w.y * e.y * e.y, w.y);
#ifdef OFFSETS
        let offsets = smooth_l1(vec2<f32>(e.w, f32(x[start + p.x.plane].x) - truth.last));
        inner += vec4<f32>(w.z * cross.z, w.z, w.w * 0.5 * (offsets.x + offsets.y), w.w);
#endif
#ifdef CLASSES
        let label = class_channel(n, pixel, pixels);
        if (label < p.c) {
            named += vec4<f32>(w.w * surprise(scores(start, PLANES, label, channels)), w.w, 0.0, 0.0);
        }
#endif
    }
    let at = n * p.parts + group.x;
    outline = reduce(lane, outline);
    if (lane == 0u) {
        partials[at] = outline;
    }
#ifdef OFFSETS
    inner = reduce(lane, inner);
    if (lane == 0u) {
        partials[p.total + at] = inner;
    }
#endif
#ifdef CLASSES
    named = reduce(lane, named);
    if (lane == 0u) {
        partials[CLASSES / 4u * p.total + at] = named;
    }
#endif
}
