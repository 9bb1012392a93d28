// tap_sum for groups of TY x TX outputs, which share low-resolution pixels.
//   x  [N, KERNEL^2 * K, H, W]  blocked; the tap is the outer channel index, K is rounded up to 4
//   r  [N, K, OH, OW]           blocked; added with RESIDUAL
//   w  bias [K/4] vec4
//   y  [N, K, OH, OW]           blocked
// The map of a tap is upsampled FACTOR times to EH x EW pixels; outside of those it is zero.
// Bindings: 0 params, 1 x (read), [2 r (read)], w (read), y (write).
// Dispatch: (ceil(OW / (8 TX)), ceil(OH / (8 TY)), N * ceil(K / 4)).
// Constants: KERNEL, ACTIVATION, FACTOR, TY, TX; optionally BILINEAR, POWER_OF_TWO, RESIDUAL.
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

fn put(n: u32, block: u32, oy: i32, ox: i32, sum: vec4<f32>) {
#ifdef RESIDUAL
    let v = sum + vec4<f32>(r[index(p.r, n, block, oy, ox)]);
#else
    let v = sum;
#endif
    y[index(p.y, n, block, oy, ox)] = stored(activate(v, p.alpha, p.beta));
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let oy = i32(id.y * TY);
    let ox = i32(id.x * TX);
    if (u32(ox) >= p.ow || u32(oy) >= p.oh) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
#generate tap_sum
}
