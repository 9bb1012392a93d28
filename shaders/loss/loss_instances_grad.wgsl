// Gradient of the sums of loss_instances.
//   x      [N, C, H, W]  blocked
//   t      [N, T, H, W]  linear f32, see lib/instance_target
//   dsums  [4 k]         linear f32; of pairs, only the first depends on x
//   dx     [N, C, H, W]  blocked
// Bindings: 0 params, 1 x (read), 2 t (read), 3 dsums (read), 4 dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N); each invocation computes one pixel.
// Constants: PLANES, TARGETS; optionally OFFSETS; CLASSES, the index of the classes' sum.
#import "lib/storage"
#import "lib/instance_target"
#import "lib/label_scores"
#import "lib/log"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    x: View,
    w: u32,
    h: u32,
    c: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> t: array<f32>;
@group(0) @binding(3) var<storage, read> dsums: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z;
    let pixels = p.w * p.h;
    let pixel = id.y * p.w + id.x;
    let start = index(p.x, n, 0u, i32(id.y), i32(id.x));
    let channels = trip_count(p.c, group.x);
    let truth = truth_of(n, pixel, pixels);
    let z = vec4<f32>(x[start]);
    let e = z - truth.planes;
    // WGSL guarantees nothing about infinities.
    let excess = 1.0 / (1.0 + exp(min(-z, vec4<f32>(87.0)))) - truth.planes;
    var first = vec4<f32>(dsums[0] * truth.weights.x * excess.x, dsums[2] * truth.weights.y * 2.0 * e.y, 0.0, 0.0);
    var second = vec4<f32>(0.0);
#ifdef OFFSETS
    let offsets = vec2<f32>(e.w, f32(x[start + p.x.plane].x) - truth.last);
    let slopes = dsums[6] * truth.weights.w * 0.5 * clamp(4.0 * offsets, vec2<f32>(-1.0), vec2<f32>(1.0));
    first.z = dsums[4] * truth.weights.z * excess.z;
    first.w = slopes.x;
    second.x = slopes.y;
#endif
#ifdef CLASSES
    let label = class_channel(n, pixel, pixels);
    let s = scores(start, PLANES, min(label, p.c - 1u), channels);
    let scale = select(0.0, dsums[CLASSES] * truth.weights.w, label < p.c);
#endif
    let blocks = (channels + 3u) / 4u;
    for (var b = 0u; b < blocks; b++) {
        var v = select(select(vec4<f32>(0.0), second, b == 1u), first, b == 0u);
#ifdef CLASSES
        let c = vec4<u32>(0u, 1u, 2u, 3u) + 4u * b;
        let is_class = (c >= vec4<u32>(PLANES)) & (c < vec4<u32>(p.c));
        let logits = select(vec4<f32>(s.top), vec4<f32>(x[start + b * p.x.plane]), is_class);
        let hot = select(vec4<f32>(0.0), vec4<f32>(1.0), c == vec4<u32>(label));
        v = select(v, scale * (exp(logits - s.top) / (1.0 + s.rest) - hot), is_class);
#endif
        dx[start + b * p.x.plane] = stored(v);
    }
}
