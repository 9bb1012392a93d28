// Statistics of a normalisation, as its scale and shift.
//   x             [N, C, H, W]                   blocked
//   affine        [ceil(C / 4)][2] vec4          gamma, beta
//   coefficients  [1 or N][ceil(C / 4)][2] vec4  scale = gamma / sqrt(var + eps), shift = beta - m.mean * scale
//   mean, var     [C]                            linear f32, with KEEP
// Mean and biased variance are taken over H, W and, if all images share them, N.
// Bindings: 0 params, 1 x (read), 2 affine (read), 3 coefficients (write); with KEEP 4 mean (write), 5 var (write).
// Dispatch: (ceil(C / 4), N / images, 1); each workgroup computes one block of coefficients.
// Constants: HEIGHT, rows of 16 invocations in a workgroup; optionally KEEP, if all images share the statistics.
#import "lib/storage"
#import "lib/loops"
#import "lib/moments"
#import "lib/lanes"
#import "lib/tensor"

struct Params {
    x: View,
    w: u32,
    h: u32,
    c: u32,
    images: u32,   // per statistic: 1 or N
    factor: f32,   // 1 / elements per statistic
    eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> coefficients: array<vec4<f32>>;
#ifdef KEEP
@group(0) @binding(4) var<storage, read_write> kept_mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> kept_variance: array<f32>;
#endif

@compute @workgroup_size(16, HEIGHT)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.x;
    let first = group.y * p.images;
    let images = vec2<u32>(first, first + trip_count(p.images, group.x));
    let rows = vec2<u32>(0u, trip_count(p.h, group.x));
    let m = moments(lane, local.xy, block, images, rows, trip_count(p.w, group.x), p.factor);

    if (lane == 0u) {
        let variance = max(m.squares * p.factor - m.offset * m.offset, vec4<f32>(0.0));
        let scale = affine[2u * block] / sqrt(variance + p.eps);
        let shift = affine[2u * block + 1u] - m.mean * scale;
        // Squares in lanes past the last channel may overflow; zeros keep those lanes finite.
        let inside = inside_lanes(block, p.c);
        let at = 2u * (group.y * ((p.c + 3u) / 4u) + block);
        coefficients[at] = select(vec4<f32>(0.0), scale, inside);
        coefficients[at + 1u] = select(vec4<f32>(0.0), shift, inside);
#ifdef KEEP
        for (var i = 0u; i < 4u; i++) {
            if (inside[i]) {
                kept_mean[4u * block + i] = m.mean[i];
                kept_variance[4u * block + i] = variance[i];
            }
        }
#endif
    }
}
