// Average pooling, stride = kernel, no padding.
//   x  [N, C, H, W]    blocked
//   y  [N, C, OH, OW]  blocked, OH = floor(H / KERNEL); y = mean of x over the window
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: KERNEL, the window's side.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    size: Size,  // of y
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let n = id.z / p.size.blocks;
    let block = id.z % p.size.blocks;
    let corner = plane_start(p.x, n, block) + id.y * KERNEL * p.x.row + id.x * KERNEL;
    var sum = vec4<f32>(0.0);
    for (var ky = 0u; ky < KERNEL; ky++) {
        var row = vec4<f32>(0.0);
        for (var kx = 0u; kx < KERNEL; kx++) {
            row += vec4<f32>(x[corner + ky * p.x.row + kx]);
        }
        sum += row;
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(sum * (1.0 / (f32(KERNEL) * f32(KERNEL))));
}
