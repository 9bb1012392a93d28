// One-hot encoding: class indices to one mask per class.
//   t  [N, 1, H, W]  linear f32
//   y  [N, C, H, W]  linear f32; 1 where t is class `first` + c, else 0
// Bindings: 0 params, 1 t (read), 2 y (write).
// Dispatch: (row / 64, ceil(N C H W / row), 1), row a multiple of 64.
#import "lib/storage"

struct Params {
    len: u32,
    row: u32,
    pixels: u32,  // H * W
    classes: u32, // C
    first: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i >= p.len) {
        return;
    }
    let plane = i / p.pixels;
    let label = floor(t[plane / p.classes * p.pixels + i % p.pixels] + 0.5);
    y[i] = select(0.0, 1.0, label == f32(p.first + plane % p.classes));
}
