// Pooling of any geometry.
//   x  [N, C, H, W]    blocked
//   y  [N, C, OH, OW]  blocked; y = max or mean of x over the window
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: optionally MAX, for the max instead of the mean.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/pool"

struct Params {
    x: View,
    y: View,
    pool: Geometry,
    ow: u32,
    oh: u32,
    blocks: u32,          // of channels
    counts_padding: u32,  // 1 if the mean includes padding
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.ow || id.y >= p.oh) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let plane = plane_start(p.x, n, block);
    let top = i32(id.y) * p.pool.stride.x - p.pool.padding.x;
    let left = i32(id.x) * p.pool.stride.y - p.pool.padding.y;
    let rows = i32(trip_count(u32(p.pool.kernel.x), group.x));
    let columns = i32(trip_count(u32(p.pool.kernel.y), group.x));
#ifdef MAX
    // The lowest float, as bits: naga writes it as a decimal that browsers reject as too large.
    var v = bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu));
#else
    var v = vec4<f32>(0.0);
#endif
    for (var ky = 0; ky < rows; ky++) {
        let iy = top + ky * p.pool.dilation.x;
        if (iy < 0 || iy >= p.pool.size.x) {
            continue;
        }
        for (var kx = 0; kx < columns; kx++) {
            let ix = left + kx * p.pool.dilation.y;
            if (ix < 0 || ix >= p.pool.size.y) {
                continue;
            }
            let at = vec4<f32>(x[plane + pixel_offset(p.x, iy, ix)]);
#ifdef MAX
            v = max(v, at);
#else
            v += at;
#endif
        }
    }
#ifndef MAX
    let all = p.counts_padding != 0u;
    let count = counted(p.pool, all, 0u, id.y, rows) * counted(p.pool, all, 1u, id.x, columns);
    v /= f32(max(count, 1));
#endif
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
