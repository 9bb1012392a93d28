// Gradient of max pooling with windows that do not overlap.
//   x   [N, C, H, W]    blocked
//   dy  [N, C, OH, OW]  blocked
//   dx  [N, C, H, W]    blocked; dy at the first maximum of each window in row-major order, else 0
// Bindings: 0 params, 1 x (read), 2 dy (read), 3 dx (write).
// Dispatch: (ceil(ceil(W / K) / 16), ceil(ceil(H / K) / 4), N * ceil(C / 4)); each invocation computes one window of
// dx.
// Constants: K, the window's side and stride.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,      // and dx's
    dy: View,
    w: u32,
    h: u32,
    blocks: u32,  // of channels
    ow: u32,
    oh: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let top = id.y * K;
    let left = id.x * K;
    if (left >= p.w || top >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let plane = plane_start(p.x, n, block);
    // The lowest float, as bits: naga writes it as a decimal that browsers reject as too large.
    var best = bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu));
    var first = vec4<u32>(0u);
    for (var k = 0u; k < K * K; k++) {
        let y = top + k / K;
        let column = left + k % K;
        if (y < p.h && column < p.w) {
            let v = vec4<f32>(x[plane + pixel_offset(p.x, i32(y), i32(column))]);
            first = select(first, vec4<u32>(k), v > best);
            best = max(best, v);
        }
    }
    // Floor mode leaves pixels that no window covers.
    var grad = vec4<f32>(0.0);
    if (id.x < p.ow && id.y < p.oh) {
        grad = vec4<f32>(dy[index(p.dy, n, block, i32(id.y), i32(id.x))]);
    }
    for (var k = 0u; k < K * K; k++) {
        let y = top + k / K;
        let column = left + k % K;
        if (y < p.h && column < p.w) {
            let hit = first == vec4<u32>(k);
            dx[plane + pixel_offset(p.x, i32(y), i32(column))] = stored(select(vec4<f32>(0.0), grad, hit));
        }
    }
}
