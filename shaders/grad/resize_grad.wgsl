// Gradient of resizing, nearest or bilinear: each input pixel gathers from the output pixels it contributed to.
//   dy  [N, C, OH, OW]  blocked
//   dx  [N, C, H, W]    blocked
// Bindings: 0 params, 1 dy (read), 2 dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: optionally BILINEAR (else nearest) and POWER_OF_TWO (both denominators are powers of two).
#import "lib/storage"
#import "lib/tensor"
#import "lib/resize"

struct Params {
    dx: View,
    dy: View,
    columns: Axis,
    rows: Axis,
    w: u32,
    h: u32,
    blocks: u32,  // of channels
    ow: u32,
    oh: u32,
    column_factor: f32,
    row_factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<Stored>;
@group(0) @binding(2) var<storage, read_write> dx: array<Stored>;

// The number of output pixels of an axis, of `m`, whose lower neighbour is below `i`. They are the first ones.
fn before(a: Axis, i: i32, m: u32) -> u32 {
    if (i <= 0) {
        return 0u;
    }
    if (a.step == 0) {
        return m;
    }
    return u32(clamp((i * i32(a.den) - a.start + a.step - 1) / a.step, 0, i32(m)));
}

// The weight of input pixel `i` in output pixel `j`; `last` is the last input pixel.
fn share(a: Axis, factor: f32, j: u32, i: u32, last: u32) -> f32 {
    let s = source(a, factor, j);
#ifdef BILINEAR
    if (s.low == i) {
        // At the edge, the upper neighbour is the lower one.
        return select(1.0 - s.weight, 1.0, i == last);
    }
    return s.weight;
#else
    return 1.0;
#endif
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let plane = plane_start(p.dy, n, block);
#ifdef BILINEAR
    let reach = 1;
#else
    let reach = 0;
#endif
    let end_x = before(p.columns, i32(id.x) + 1, p.ow);
    let end_y = before(p.rows, i32(id.y) + 1, p.oh);
    var sum = vec4<f32>(0.0);
    for (var y = before(p.rows, i32(id.y) - reach, p.oh); y < end_y; y++) {
        var row = vec4<f32>(0.0);
        for (var x = before(p.columns, i32(id.x) - reach, p.ow); x < end_x; x++) {
            row += vec4<f32>(dy[plane + y * p.dy.row + x]) * share(p.columns, p.column_factor, x, id.x, p.w - 1u);
        }
        sum += row * share(p.rows, p.row_factor, y, id.y, p.h - 1u);
    }
    dx[index(p.dx, n, block, i32(id.y), i32(id.x))] = stored(sum);
}
