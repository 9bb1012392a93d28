// Max pooling.
//   x  [N, C, H, W]    blocked
//   y  [N, C, OH, OW]  blocked; y = max of x over the window, clipped to the map
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / COLUMNS), ceil(OH / ROWS), N * ceil(C / 4)); each workgroup computes COLUMNS x ROWS vec4s of a plane.
// Constants: KERNEL, the window's side; HEIGHT, rows of 16 invocations in a workgroup; COLUMNS, a multiple of 16; ROWS, of HEIGHT.
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

// The largest value of the window whose first pixel is in this row and column.
fn largest(plane: u32, top: i32, left: i32) -> vec4<f32> {
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
    return best;
}

@compute @workgroup_size(16, HEIGHT)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let n = group.z / p.blocks;
    let block = group.z % p.blocks;
    let plane = plane_start(p.x, n, block);
    let place = plane_start(p.y, n, block);
    let bottom = min(ROWS * (group.y + 1u), p.oh);
    let right = min(COLUMNS * (group.x + 1u), p.ow);
    // Read once: some drivers would read a uniform for every pixel.
    let stride = p.stride;
    let padding = i32(p.padding);
    let place_row = p.y.row;
    for (var row = ROWS * group.y + local.y; row < bottom; row += HEIGHT) {
        let top = i32(row * stride) - padding;
        for (var column = COLUMNS * group.x + local.x; column < right; column += 16u) {
            y[place + row * place_row + column] = stored(largest(plane, top, i32(column * stride) - padding));
        }
    }
}
