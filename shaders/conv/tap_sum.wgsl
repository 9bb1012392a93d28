// Adds the upsampled, shifted maps of a convolution's taps: the second half of "upsample, then convolve".
//   x  [N, KERNEL^2 * K, H, W]  blocked; the tap is the outer channel index, K is rounded up to 4
//   r  [N, K, OH, OW]           blocked; added with RESIDUAL
//   w  bias [K/4] vec4
//   y  [N, K, OH, OW]           blocked
// The map of a tap is upsampled to EH x EW pixels; outside of those it is zero.
// Bindings: 0 params, 1 x (read), [2 r (read)], w (read), y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(K / 4)); each invocation computes one vec4.
// Constants: KERNEL, ACTIVATION; optionally BILINEAR, POWER_OF_TWO, RESIDUAL.
#import "lib/storage"
#import "lib/tensor"
#import "lib/resize"
#import "lib/activation"

struct Params {
    x: View,
    r: View,
    y: View,
    columns: Axis,
    rows: Axis,
    ow: u32,
    oh: u32,
    blocks: u32,  // of channels
    w: u32,
    h: u32,
    up_w: u32,    // EW
    up_h: u32,    // EH
    padding: u32,
    column_factor: f32,
    row_factor: f32,
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
#ifdef RESIDUAL
@group(0) @binding(2) var<storage, read> r: array<Stored>;
@group(0) @binding(3) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;
#else
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
#endif

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.ow || id.y >= p.oh) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    var sum = w[block];
#ifdef RESIDUAL
    sum += vec4<f32>(r[index(p.r, n, block, i32(id.y), i32(id.x))]);
#endif
    for (var ky = 0u; ky < KERNEL; ky++) {
        let ey = id.y + ky - p.padding;
        // Above the map, the difference wraps around to a huge number.
        if (ey >= p.up_h) {
            continue;
        }
        let row = source(p.rows, p.row_factor, ey);
        for (var kx = 0u; kx < KERNEL; kx++) {
            let ex = id.x + kx - p.padding;
            if (ex >= p.up_w) {
                continue;
            }
            let column = source(p.columns, p.column_factor, ex);
            let tap = (ky * KERNEL + kx) * p.blocks + block;
            let low = plane_start(p.x, n, tap) + row.low * p.x.row + column.low;
#ifdef BILINEAR
            // At the edge, the upper neighbour is the lower one.
            let right = select(0u, 1u, column.low + 1u < p.w);
            let below = select(0u, p.x.row, row.low + 1u < p.h);
            let left = 1.0 - column.weight;
            let upper = vec4<f32>(x[low]) * left + vec4<f32>(x[low + right]) * column.weight;
            let lower = vec4<f32>(x[low + below]) * left + vec4<f32>(x[low + below + right]) * column.weight;
            sum += upper * (1.0 - row.weight) + lower * row.weight;
#else
            sum += vec4<f32>(x[low]);
#endif
        }
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(activate(sum, p.alpha, p.beta));
}
