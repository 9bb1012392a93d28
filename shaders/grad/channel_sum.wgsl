// Sum over images, rows and columns, per channel: the gradient of a bias.
//   x  [N, C, H, W]  blocked
//   y  [C]           linear f32
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(C / 4), 1, 1); each workgroup sums one block of channels.
#import "lib/storage"
#import "lib/loops"
#import "lib/reduce_sum"
#import "lib/tensor"

struct Params {
    x: View,
    w: u32,
    h: u32,
    c: u32,
    images: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Sums within rows first: rounding error grows with W + H, not with W * H.
    var total = vec4<f32>(0.0);
    let images = trip_count(p.images, group.x);
    let height = trip_count(p.h, group.x);
    let width = trip_count(p.w, group.x);
    for (var n = 0u; n < images; n++) {
        for (var iy = local.y; iy < height; iy += 16u) {
            let row = plane_start(p.x, n, group.x) + iy * p.x.row;
            var part = vec4<f32>(0.0);
            for (var ix = local.x; ix < width; ix += 16u) {
                part += vec4<f32>(x[row + ix]);
            }
            total += part;
        }
    }
    let sum = reduce(lane, total);
    if (lane < 4u && 4u * group.x + lane < p.c) {
        y[4u * group.x + lane] = sum[lane];
    }
}
