// Gradient of pooling of any geometry: each element of x gathers the gradients of the windows that cover it.
//   dy  [N, C, OH, OW]  blocked
//   x   [N, C, H, W]    blocked, with MAX
//   dx  [N, C, H, W]    blocked; for a max, dy goes to the first maximum of its window in row-major order; for a mean,
//                       each element gets its share
// Bindings: 0 params, 1 dy (read); with MAX 2 x (read), 3 dx (write), else 2 dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: optionally MAX, for the max instead of the mean.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/pool"

struct Params {
    dy: View,
    x: View,              // and dx's
    pool: Geometry,
    w: u32,
    h: u32,
    blocks: u32,          // of channels
    counts_padding: u32,  // 1 if the mean includes padding
    ow: u32,
    oh: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<Stored>;
#ifdef MAX
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

// The first maximum of window (oy, ox), per channel: ky * kernel columns + kx.
fn winner(plane: u32, oy: i32, ox: i32, rows: i32, columns: i32) -> vec4<i32> {
    let top = oy * p.pool.stride.x - p.pool.padding.x;
    let left = ox * p.pool.stride.y - p.pool.padding.y;
    // The lowest float, as bits: naga writes it as a decimal that browsers reject as too large.
    var best = bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu));
    var first = vec4<i32>(-1);
    for (var ky = 0; ky < rows; ky++) {
        let iy = top + ky * p.pool.dilation.x;
        for (var kx = 0; kx < columns; kx++) {
            let ix = left + kx * p.pool.dilation.y;
            if (iy >= 0 && iy < p.pool.size.x && ix >= 0 && ix < p.pool.size.y) {
                let v = vec4<f32>(x[plane + pixel_offset(p.x, iy, ix)]);
                let larger = (v > best) | (first < vec4<i32>(0));
                first = select(first, vec4<i32>(ky * columns + kx), larger);
                best = select(best, v, larger);
            }
        }
    }
    return first;
}
#else
@group(0) @binding(2) var<storage, read_write> dx: array<Stored>;
#endif

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let plane = plane_start(p.x, n, block);
    let rows = i32(trip_count(u32(p.pool.kernel.x), group.x));
    let columns = i32(trip_count(u32(p.pool.kernel.y), group.x));
    // The pixel's position from the start of window 0.
    let at_y = i32(id.y) + p.pool.padding.x;
    let at_x = i32(id.x) + p.pool.padding.y;
    var sum = vec4<f32>(0.0);
    // Starts with the last window that begins at the pixel or before.
    for (var ky = at_y % p.pool.stride.x; ky <= (rows - 1) * p.pool.dilation.x; ky += p.pool.stride.x) {
        let oy = (at_y - ky) / p.pool.stride.x;
        if (ky % p.pool.dilation.x != 0 || at_y < ky || oy >= i32(p.oh)) {
            continue;
        }
        for (var kx = at_x % p.pool.stride.y; kx <= (columns - 1) * p.pool.dilation.y; kx += p.pool.stride.y) {
            let ox = (at_x - kx) / p.pool.stride.y;
            if (kx % p.pool.dilation.y != 0 || at_x < kx || ox >= i32(p.ow)) {
                continue;
            }
            let grad = vec4<f32>(dy[index(p.dy, n, block, oy, ox)]);
#ifdef MAX
            let mine = (ky / p.pool.dilation.x) * columns + kx / p.pool.dilation.y;
            sum += select(vec4<f32>(0.0), grad, winner(plane, oy, ox, rows, columns) == vec4<i32>(mine));
#else
            let all = p.counts_padding != 0u;
            let count = counted(p.pool, all, 0u, u32(oy), rows) * counted(p.pool, all, 1u, u32(ox), columns);
            sum += grad / f32(max(count, 1));
#endif
        }
    }
    dx[plane + pixel_offset(p.x, i32(id.y), i32(id.x))] = stored(sum);
}
