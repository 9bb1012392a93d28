// Resizing, nearest or bilinear.
//   x  [N, C, H, W]    blocked
//   y  [N, C, OH, OW]  blocked; interpolated at the coordinate max(0, i * step + start) / den of each axis
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: optionally BILINEAR (else nearest) and POWER_OF_TWO (both denominators are powers of two).
#import "lib/storage"
#import "lib/tensor"
#import "lib/resize"

struct Params {
    x: View,
    y: View,
    columns: Axis,
    rows: Axis,
    ow: u32,
    oh: u32,
    blocks: u32,  // of channels
    w: u32,
    h: u32,
    column_factor: f32,
    row_factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.ow || id.y >= p.oh) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let column = source(p.columns, p.column_factor, id.x);
    let row = source(p.rows, p.row_factor, id.y);
    let low = plane_start(p.x, n, block) + row.low * p.x.row + column.low;
#ifdef BILINEAR
    // At the edge, the upper neighbour is the lower one.
    let right = select(0u, 1u, column.low + 1u < p.w);
    let below = select(0u, p.x.row, row.low + 1u < p.h);
    let left = 1.0 - column.weight;
    let upper = vec4<f32>(x[low]) * left + vec4<f32>(x[low + right]) * column.weight;
    let lower = vec4<f32>(x[low + below]) * left + vec4<f32>(x[low + below + right]) * column.weight;
    let v = upper * (1.0 - row.weight) + lower * row.weight;
#else
    let v = vec4<f32>(x[low]);
#endif
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
