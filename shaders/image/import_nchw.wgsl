// Converts plain NCHW to the device layout; lanes past the last channel become 0.
//   x  [N, C, H, W]  linear f32
//   y  [N, C, H, W]  blocked
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / COLUMNS), ceil(H / ROWS), N * ceil(C / 4)); each workgroup computes COLUMNS x ROWS vec4s of a plane.
// Constants: HEIGHT, rows of 16 invocations in a workgroup; COLUMNS, a multiple of 16; ROWS, of HEIGHT.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    y: View,
    size: Size,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, HEIGHT)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let n = group.z / p.size.blocks;
    let block = group.z % p.size.blocks;
    let w = p.size.w;
    let bottom = min(ROWS * (group.y + 1u), p.size.h);
    let right = min(COLUMNS * (group.x + 1u), w);
    // A loop over the channels there are, since some drivers execute what a condition skips.
    let lanes = min(p.size.c - 4u * block, 4u);
    let channel = p.size.h * w;
    let source = (n * p.size.c + 4u * block) * channel;
    let place = plane_start(p.y, n, block);
    let place_row = p.y.row;
    for (var row = ROWS * group.y + local.y; row < bottom; row += HEIGHT) {
        let from_row = source + row * w;
        let to_row = place + row * place_row;
        for (var column = COLUMNS * group.x + local.x; column < right; column += 16u) {
            var v = vec4<f32>(0.0);
            for (var lane = 0u; lane < lanes; lane++) {
                v[lane] = x[from_row + lane * channel + column];
            }
            y[to_row + column] = stored(v);
        }
    }
}
