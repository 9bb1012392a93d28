// Dropout: elements are zeroed at random, the others scaled to keep the mean.
//   x     [N, C, H, W]  blocked
//   seed  [4]           linear f32, see lib/random
//   y     [N, C, H, W]  blocked
// Bindings: 0 params, 1 x (read), 2 seed (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// An element's random number is a hash of the seed, the node's salt and the element's index in NCHW order.
#import "lib/storage"
#import "lib/random"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    size: Size,
    salt: u32,
    threshold: u32,  // elements with random numbers below it are dropped
    scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> seed: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let n = id.z / p.size.blocks;
    let block = id.z % p.size.blocks;
    let stream = stream_of(vec4<f32>(seed[0], seed[1], seed[2], seed[3]), p.salt);
    var v = vec4<f32>(x[index(p.x, n, block, i32(id.y), i32(id.x))]);
    for (var lane = 0u; lane < 4u; lane++) {
        let at = ((n * p.size.c + 4u * block + lane) * p.size.h + id.y) * p.size.w + id.x;
        v[lane] = select(v[lane] * p.scale, 0.0, random(stream, at) < p.threshold);
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
