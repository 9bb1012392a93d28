// Gradient of batch or instance normalisation, first step: the sums, and the coefficients of dx.
//   x, dy         [N, C, H, W]            blocked
//   affine        [ceil(C / 4)][2] vec4   gamma, beta
//   mean, var     [C]                     linear f32, of the batch; var biased
//   coefficients  [1 or N][ceil(C / 4)][8] vec4  A, B, mean, D, scale, shift, dgamma, dbeta: see batch_norm_grad
// Bindings: 0 params, 1 x (read), 2 dy (read), 3 affine (read), 4 mean (read), 5 var (read), 6 coefficients (write);
// with INSTANCE 4 coefficients (write).
// Dispatch: (ceil(C / 4), 1 or N, 1); each workgroup computes one block of channels, with INSTANCE of one image.
// Constants: HEIGHT, rows of 16 invocations in a workgroup; ACTIVATION, 1: see lib/activation_slope; optionally INSTANCE:
// statistics per image, computed here.
#import "lib/storage"
#import "lib/loops"
#import "lib/activation_slope"
#import "lib/moments"
#import "lib/lanes"
#import "lib/tensor"

struct Params {
    x: View,
    dy: View,
    w: u32,
    h: u32,
    c: u32,
    images: u32,  // that share statistics
    factor: f32,  // 1 / elements that share statistics, 0 if these are constants
    eps: f32,
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read> affine: array<vec4<f32>>;
#ifdef INSTANCE
@group(0) @binding(4) var<storage, read_write> coefficients: array<vec4<f32>>;
#else
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<vec4<f32>>;
#endif

@compute @workgroup_size(16, HEIGHT)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.x;
    let start_image = group.y * p.images;
    let images = start_image + trip_count(p.images, group.x);
    let height = trip_count(p.h, group.x);
    let width = trip_count(p.w, group.x);
#ifdef INSTANCE
    // The same computation as in norm_statistics, so that the statistics are those of the forward pass.
    let rows = vec2<u32>(0u, height);
    let own = moments(lane, local.xy, block, vec2<u32>(start_image, images), rows, width, p.factor);
    let m = own.mean;
    let v = max(own.squares * p.factor - own.offset * own.offset, vec4<f32>(0.0));
#else
    let channels = min(vec4<u32>(0u, 1u, 2u, 3u) + 4u * block, vec4<u32>(p.c - 1u));
    let m = vec4<f32>(mean[channels.x], mean[channels.y], mean[channels.z], mean[channels.w]);
    let v = vec4<f32>(variance[channels.x], variance[channels.y], variance[channels.z], variance[channels.w]);
#endif
    let inverse = 1.0 / sqrt(v + p.eps);
    let scale = affine[2u * block] * inverse;
    let shift = affine[2u * block + 1u] - m * scale;
    var total = vec4<f32>(0.0);
    var product = vec4<f32>(0.0);
    for (var n = start_image; n < images; n++) {
        for (var band = 0u; band < height; band += BAND) {
            var band_total = vec4<f32>(0.0);
            var band_product = vec4<f32>(0.0);
            let end = min(band + BAND, height);
            for (var iy = band + local.y; iy < end; iy += HEIGHT) {
                let start = plane_start(p.x, n, block) + iy * p.x.row;
                let row = plane_start(p.dy, n, block) + iy * p.dy.row;
                var part = vec4<f32>(0.0);
                var part_product = vec4<f32>(0.0);
                for (var ix = local.x; ix < width; ix += 16u) {
                    let at = vec4<f32>(x[start + ix]);
                    let grad = vec4<f32>(dy[row + ix]) * activation_slope(at * scale + shift, p.alpha, p.beta);
                    part += grad;
                    part_product += grad * (at - m);
                }
                band_total += part;
                band_product += part_product;
            }
            total += band_total;
            product += band_product;
        }
    }
    let sum = reduce(lane, total);
    let spread = reduce(lane, product) * inverse;
    if (lane == 0u) {
        let at = 8u * (group.y * ((p.c + 3u) / 4u) + block);
        // Lanes past the last channel may hold anything; zero coefficients keep them finite.
        let inside = inside_lanes(block, p.c);
        let zero = vec4<f32>(0.0);
        coefficients[at] = select(zero, scale, inside);
        coefficients[at + 1u] = select(zero, -scale * inverse * spread * p.factor, inside);
        coefficients[at + 2u] = select(zero, m, inside);
        coefficients[at + 3u] = select(zero, -scale * sum * p.factor, inside);
        coefficients[at + 4u] = select(zero, scale, inside);
        coefficients[at + 5u] = select(zero, shift, inside);
        coefficients[at + 6u] = spread;
        coefficients[at + 7u] = sum;
    }
}
