// Max pooling.
//   x  [N, C, H, W]    blocked
//   y  [N, C, OH, OW]  blocked; y = max of x over the window, clipped to the map
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: KERNEL, the window's side.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    ow: u32,
    oh: u32,
    blocks: u32,  // of channels
    w: u32,
    h: u32,
    stride: u32,
    padding: u32,
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
    let top = i32(id.y * p.stride) - i32(p.padding);
    let left = i32(id.x * p.stride) - i32(p.padding);
    let plane = plane_start(p.x, n, block);
    // The lowest float, as bits: naga writes it as a decimal that browsers reject as too large.
    var best = bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu));
    for (var ky = 0; ky < i32(KERNEL); ky++) {
        let iy = top + ky;
        if (iy < 0 || iy >= i32(p.h)) {
            continue;
        }
        for (var kx = 0; kx < i32(KERNEL); kx++) {
            let ix = left + kx;
            if (ix >= 0 && ix < i32(p.w)) {
                best = max(best, vec4<f32>(x[plane + pixel_offset(p.x, iy, ix)]));
            }
        }
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(best);
}
