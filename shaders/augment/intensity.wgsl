// Intensity augmentation: gain, offset, gamma and noise.
//   x       [N, C, H, W]  linear f32
//   change  [N, 4]        linear f32: gain, offset, gamma, standard deviation of the noise
//   seed    [4]           linear f32, see lib/random
//   y       [N, C, H, W]  linear f32; y = gain * sign(x) |x|^gamma + offset + noise
// Bindings: 0 params, 1 x (read), 2 change (read), 3 seed (read), 4 y (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64; each invocation computes one element.
// Constants: optionally CLIP, which clips x and y to 0 .. 1.
#import "lib/storage"
#import "lib/random"

struct Params {
    len: u32,
    row: u32,
    image: u32,  // elements of an image
    salt: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> change: array<f32>;
@group(0) @binding(3) var<storage, read> seed: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i >= p.len) {
        return;
    }
    let c = 4u * (i / p.image);
    var v = x[i];
#ifdef CLIP
    v = clamp(v, 0.0, 1.0);
#endif
    if (change[c + 2u] != 1.0) {
        v = select(pow(abs(v), change[c + 2u]) * sign(v), 0.0, v == 0.0);
    }
    v = change[c] * v + change[c + 1u];
    if (change[c + 3u] != 0.0) {
        let stream = stream_of(vec4<f32>(seed[0], seed[1], seed[2], seed[3]), p.salt);
        // Box-Muller transform from 24 bits each; the first is never 0.
        let first = (f32(random(stream, 2u * i) >> 8u) + 1.0) / 16777216.0;
        let second = f32(random(stream, 2u * i + 1u) >> 8u) / 16777216.0;
        v += change[c + 3u] * sqrt(-2.0 * log(first)) * cos(6.2831853 * second);
    }
#ifdef CLIP
    v = clamp(v, 0.0, 1.0);
#endif
    y[i] = v;
}
