// Gradient of the sums of softmax cross entropy: see loss_cross_entropy.
//   x       [N, C, H, W]  blocked
//   t       [N, 1, H, W]  linear f32, class indices
//   weight  [N, 1, H, W]  linear f32, with WEIGHTED
//   dsums   [3]           linear f32; only the first sum depends on x
//   dx      [N, C, H, W]  blocked; dsums[0] w k (softmax - one-hot), k = 1 without FOCAL
// Bindings: 0 params, 1 x (read), 2 t (read), 3 weight (read) with WEIGHTED, Y - 1 dsums (read), Y dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N); each invocation computes one pixel.
// Constants: Y; CLASSES; optionally WEIGHTED, FOCAL.
#import "lib/storage"
#import "lib/label_scores"
#import "lib/log"
#import "lib/loops"
#import "lib/tensor"
#import "lib/target"

struct Params {
    x: View,
    w: u32,
    h: u32,
    c: u32,
    ignored: f32,
    gamma: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> t: array<f32>;
#ifdef WEIGHTED
@group(0) @binding(3) var<storage, read> weight: array<f32>;
#endif
@group(0) @binding(Y - 1) var<storage, read> dsums: array<f32>;
@group(0) @binding(Y) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z;
    let pixels = p.w * p.h;
    let pixel = id.y * p.w + id.x;
    let label = label_of(n, pixel, pixels);
    let start = index(p.x, n, 0u, i32(id.y), i32(id.x));
    let channels = trip_count(p.c, group.x);
    let blocks = (channels + 3u) / 4u;
    if (label == p.c) {
        for (var b = 0u; b < blocks; b++) {
            dx[start + b * p.x.plane] = stored(vec4<f32>(0.0));
        }
        return;
    }
    let s = scores(start, 0u, label, channels);
    let sum = 1.0 + s.rest;
    var scale = dsums[0];
#ifdef WEIGHTED
    scale *= weight[n * pixels + pixel];
#endif
#ifdef FOCAL
    let u = doubt(s);
    scale *= pow(u, p.gamma) * (1.0 + p.gamma * (exp(s.own) / sum) * (surprise(s) / u));
#endif
    for (var b = 0u; b < blocks; b++) {
        let valid = inside(b);
        let z = select(vec4<f32>(s.top), vec4<f32>(x[start + b * p.x.plane]), valid);
        let hot = select(vec4<f32>(0.0), vec4<f32>(1.0), vec4<u32>(0u, 1u, 2u, 3u) + 4u * b == vec4<u32>(label));
        let v = scale * (exp(z - s.top) / sum - hot);
        dx[start + b * p.x.plane] = stored(select(vec4<f32>(0.0), v, valid));
    }
}
