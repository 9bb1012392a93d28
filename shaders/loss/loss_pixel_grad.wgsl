// Gradient of the mean of elementwise losses: see loss_pixel.
//   x       [N, C, H, W]  blocked
//   t       [N, C, H, W]  linear f32
//   weight  [N, 1, H, W]  linear f32, with WEIGHTED
//   dy      [1]           linear f32
//   dx      [N, C, H, W]  blocked
// Bindings: 0 params, 1 x (read), 2 t (read), 3 weight (read) with WEIGHTED, Y - 1 dy (read), Y dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: KIND, Y; optionally WEIGHTED.
#import "lib/storage"
#import "lib/log"
#import "lib/pixel_loss"
#import "lib/tensor"
#import "lib/target"

struct Params {
    x: View,
    w: u32,
    h: u32,
    c: u32,
    gamma: f32,
    positive: f32,
    negative: f32,
    eps: f32,
    factor: f32,  // 1 / elements
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> t: array<f32>;
#ifdef WEIGHTED
@group(0) @binding(3) var<storage, read> weight: array<f32>;
#endif
@group(0) @binding(Y - 1) var<storage, read> dy: array<f32>;
@group(0) @binding(Y) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let blocks = (p.c + 3u) / 4u;
    let n = id.z / blocks;
    let block = id.z % blocks;
    let pixels = p.w * p.h;
    let pixel = id.y * p.w + id.x;
    let place = index(p.x, n, block, i32(id.y), i32(id.x));
    let valid = inside(block);
    let v = select(vec4<f32>(0.5), vec4<f32>(x[place]), valid);
    var scale = dy[0] * p.factor;
#ifdef WEIGHTED
    scale *= weight[n * pixels + pixel];
#endif
    dx[place] = stored(select(vec4<f32>(0.0), scale * slope_of(v, target_of(n, block, pixel, pixels)), valid));
}
