// Table-driven resampling: resizing and padding of any kind.
//   x      [N, C, H, W]    blocked
//   table  [OW][column taps] then [OH][row taps] of vec2: the input pixel's index, or -1 for the fill value; its weight
//   y      [N, C, OH, OW]  blocked; y = sum over row taps and column taps of weights times x
// Bindings: 0 params, 1 x (read), 2 table (read), 3 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(C / 4)); each invocation computes one vec4.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    ow: u32,
    oh: u32,
    blocks: u32,      // of channels
    first_row: u32,   // where rows begin in the table
    column_taps: u32,
    row_taps: u32,
    fill: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.ow || id.y >= p.oh) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let plane = plane_start(p.x, n, block);
    let row_taps = trip_count(p.row_taps, group.x);
    let column_taps = trip_count(p.column_taps, group.x);
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < row_taps; i++) {
        let row = table[p.first_row + id.y * p.row_taps + i];
        var part = vec4<f32>(0.0);
        for (var k = 0u; k < column_taps; k++) {
            let column = table[id.x * p.column_taps + k];
            var v = vec4<f32>(p.fill);
            if (row.x >= 0.0 && column.x >= 0.0) {
                v = vec4<f32>(x[plane + pixel_offset(p.x, i32(row.x), i32(column.x))]);
            }
            part += v * column.y;
        }
        sum += part * row.y;
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(sum);
}
