// A slice of a tensor's channels, from any channel on.
//   x  [N, C, H, W]      blocked
//   y  [N, COUNT, H, W]  blocked; y[c] = x[first + c]
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(COUNT / 4)); each invocation computes one vec4.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    w: u32,
    h: u32,
    blocks: u32,     // of channels of y
    first: u32,      // channel of x
    in_blocks: u32,  // of channels of x
    count: u32,      // channels of y
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let first = p.first + 4u * block;
    let start = first / 4u;
    let low = vec4<f32>(x[index(p.x, n, start, i32(id.y), i32(id.x))]);
    let high = vec4<f32>(x[index(p.x, n, min(start + 1u, p.in_blocks - 1u), i32(id.y), i32(id.x))]);
    var v = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let at = first % 4u + lane;
        // Lanes past the last channel hold other channels' gradients and become 0.
        if (4u * block + lane < p.count) {
            v[lane] = select(high[at & 3u], low[at & 3u], at < 4u);
        }
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
