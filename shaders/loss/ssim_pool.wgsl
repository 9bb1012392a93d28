// The next coarser scale of SSIM: means of 2 x 2 pixels; an odd last row or column is dropped.
//   x  [planes][H][W]          linear f32
//   y  [planes][H / 2][W / 2]  linear f32
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / 2 / 16), ceil(H / 2 / 4), planes).
#import "lib/storage"

struct Params {
    w: u32,
    h: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = vec2<u32>(p.w / 2u, p.h / 2u);
    if (id.x >= size.x || id.y >= size.y) {
        return;
    }
    let at = (id.z * p.h + 2u * id.y) * p.w + 2u * id.x;
    let sum = (x[at] + x[at + 1u]) + (x[at + p.w] + x[at + p.w + 1u]);
    y[(id.z * size.y + id.y) * size.x + id.x] = 0.25 * sum;
}
