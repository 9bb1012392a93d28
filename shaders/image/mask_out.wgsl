// Class ids from probabilities or logits.
//   x  [N, K, H, W]  blocked
//   y  [N, 1, H, W]  linear f32: the channel with the largest value, the first on ties; with THRESHOLD, that channel
//      plus one where its value is above the threshold, else 0; with FOREGROUND, the largest of the channels but the first
//      where the first, the background's, is below the threshold, else 0
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / COLUMNS), ceil(H / ROWS), N); each workgroup computes COLUMNS x ROWS pixels.
// Constants: HEIGHT, rows of 16 invocations in a workgroup; COLUMNS, a multiple of 16; ROWS, of HEIGHT; optionally
// THRESHOLD or FOREGROUND.
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

// The class of the pixel at this place of the first plane.
fn class_of(pixel: u32, classes: u32) -> u32 {
#ifdef FOREGROUND
    var best = f32(x[pixel].y);
    var class_id = 1u;
#else
    var best = f32(x[pixel].x);
    var class_id = 0u;
#endif
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
    return class_id;
}

@compute @workgroup_size(16, HEIGHT)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let n = group.z;
    let w = p.w;
    let bottom = min(ROWS * (group.y + 1u), p.h);
    let right = min(COLUMNS * (group.x + 1u), w);
    let classes = trip_count(p.classes, group.x);
    let source = plane_start(p.x, n, 0u);
    let source_row = p.x.row;
    for (var row = ROWS * group.y + local.y; row < bottom; row += HEIGHT) {
        for (var column = COLUMNS * group.x + local.x; column < right; column += 16u) {
            y[(n * p.h + row) * w + column] = f32(class_of(source + row * source_row + column, classes));
        }
    }
}
