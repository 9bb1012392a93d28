// Class ids from probabilities or logits.
//   x  [N, K, H, W]  blocked
//   y  [N, 1, H, W]  linear f32: the channel with the largest value, the first on ties; with THRESHOLD, that channel
//      plus one where its value is above the threshold, else 0; with FOREGROUND, the largest of the channels but the first
//      where the first, the background's, is below the threshold, else 0
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N).
// Constants: optionally THRESHOLD or FOREGROUND.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    x: View,
    w: u32,
    h: u32,
    classes: u32,  // K
    threshold: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let pixel = index(p.x, id.z, 0u, i32(id.y), i32(id.x));
#ifdef FOREGROUND
    var best = f32(x[pixel].y);
    var class_id = 1u;
#else
    var best = f32(x[pixel].x);
    var class_id = 0u;
#endif
    let classes = trip_count(p.classes, group.x);
    for (var c = class_id + 1u; c < classes; c++) {
        let v = f32(x[pixel + (c / 4u) * p.x.plane][c % 4u]);
        if (v > best) {
            best = v;
            class_id = c;
        }
    }
#ifdef THRESHOLD
    class_id = select(0u, class_id + 1u, best > p.threshold);
#endif
#ifdef FOREGROUND
    class_id = select(0u, class_id, f32(x[pixel].x) < p.threshold);
#endif
    y[(id.z * p.h + id.y) * p.w + id.x] = f32(class_id);
}
