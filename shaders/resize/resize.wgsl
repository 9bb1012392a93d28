// Resizing, nearest or bilinear.
//   x  [N, C, H, W]    blocked
//   y  [N, C, OH, OW]  blocked; interpolated at the coordinate max(0, i * step + start) / den of each axis
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(C / 4)); an invocation makes one vec4.
// Constants: BILINEAR, if not defined nearest; POWER_OF_TWO, if defined both denominators are.
#import "lib/storage"
#import "lib/tensor"
#import "lib/resize"

struct Params {
    x: View,
    y: View,
    size: vec4<u32>,  // OW, OH, channel blocks, W
    rest: vec4<u32>,  // H, -, -, -
    columns: Axis,
    rows: Axis,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.x || id.y >= p.size.y) {
        return;
    }
    let n = id.z / p.size.z;
    let block = id.z % p.size.z;
    let column = source(p.columns, id.x);
    let row = source(p.rows, id.y);
    let low = plane_start(p.x, n, block) + row.low * p.x.y + column.low;
#ifdef BILINEAR
    // At the border the upper neighbour is the lower one.
    let right = select(0u, 1u, column.low + 1u < p.size.w);
    let below = select(0u, p.x.y, row.low + 1u < p.rest.x);
    let left = 1.0 - column.weight;
    let upper = vec4<f32>(x[low]) * left + vec4<f32>(x[low + right]) * column.weight;
    let lower = vec4<f32>(x[low + below]) * left + vec4<f32>(x[low + below + right]) * column.weight;
    let v = upper * (1.0 - row.weight) + lower * row.weight;
#else
    let v = vec4<f32>(x[low]);
#endif
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
