// Reduction over rows, columns or both.
//   x  [N, C, H, W]            blocked
//   y  [N, C, 1 or H, 1 or W]  blocked
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(C / 4), pixels of y, N); each workgroup computes one vec4.
// Constants: KIND, see lib/reduction.
#import "lib/storage"
#import "lib/loops"
#import "lib/reduce"
#import "lib/tensor"
#import "lib/lanes"
#import "lib/reduction"

struct Params {
    x: View,
    y: View,
    size: Size,     // of x
    reduced: Size,  // of y
    factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let oy = group.y / p.reduced.w;
    let ox = group.y % p.reduced.w;
    let plane = plane_start(p.x, group.z, group.x);
    let row0 = select(oy, 0u, p.reduced.h == 1u);
    let column0 = select(ox, 0u, p.reduced.w == 1u);
    let rows = trip_count(p.size.h / p.reduced.h, group.x);
    let columns = trip_count(p.size.w / p.reduced.w, group.x);
    // Reduces within rows first: a sum's rounding error grows with W + H, not with W * H.
    var total = start();
    for (var iy = local.y; iy < rows; iy += 16u) {
        let row = plane + (row0 + iy) * p.x.row + column0;
        var part = start();
        for (var ix = local.x; ix < columns; ix += 16u) {
            part = combine(part, vec4<f32>(x[row + ix]));
        }
        total = combine(total, part);
    }
    let v = reduce(lane, total) * p.factor;
    if (lane == 0u) {
        let inside = inside_lanes(group.x, p.reduced.c);
        y[index(p.y, group.z, group.x, i32(oy), i32(ox))] = stored(select(vec4<f32>(0.0), v, inside));
    }
}
