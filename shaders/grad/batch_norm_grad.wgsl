// Gradient of batch or instance normalisation, second step.
//   x, dy, dx     [N, C, H, W]            blocked
//   coefficients  [1 or N][ceil(C / 4)][8] vec4  A, B, mean, D, scale, shift, dgamma, dbeta, by
//                                               batch_norm_grad_statistics
//   dgamma, dbeta [C]                     linear f32
// dx = A * dy' + B * (x - mean) + D, dy' = dy times the activation's slope at x * scale + shift.
// Bindings: 0 params, 1 x (read), 2 dy (read), 3 coefficients (read), 4 dx (write), 5 dgamma (write), 6 dbeta (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: ACTIVATION, 1: see lib/activation_slope.
#import "lib/storage"
#import "lib/loops"
#import "lib/activation_slope"
#import "lib/tensor"

struct Params {
    x: View,
    dx: View,  // and dy's
    w: u32,
    h: u32,
    blocks: u32,  // of channels
    alpha: f32,  // arguments of the activation
    beta: f32,
    c: u32,
    image: u32,   // coefficients per image, 0 if all images share them
    images: u32,  // whose dgamma and dbeta are summed
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<Stored>;
@group(0) @binding(5) var<storage, read_write> dgamma: array<f32>;
@group(0) @binding(6) var<storage, read_write> dbeta: array<f32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let c = n * p.image + 8u * block;
    let v = vec4<f32>(x[index(p.x, n, block, i32(id.y), i32(id.x))]);
    let at = index(p.dx, n, block, i32(id.y), i32(id.x));
    let slope = activation_slope(v * coefficients[c + 4u] + coefficients[c + 5u], p.alpha, p.beta);
    let grad = vec4<f32>(dy[at]) * slope;
    dx[at] = stored(coefficients[c] * grad + coefficients[c + 1u] * (v - coefficients[c + 2u]) + coefficients[c + 3u]);
    if (n == 0u && id.x == 0u && id.y == 0u) {
        var gamma_sum = vec4<f32>(0.0);
        var beta_sum = vec4<f32>(0.0);
        let images = trip_count(p.images, group.x);
        for (var i = 0u; i < images; i++) {
            gamma_sum += coefficients[i * p.image + c + 6u];
            beta_sum += coefficients[i * p.image + c + 7u];
        }
        for (var lane = 0u; lane < 4u; lane++) {
            if (4u * block + lane < p.c) {
                dgamma[4u * block + lane] = gamma_sum[lane];
                dbeta[4u * block + lane] = beta_sum[lane];
            }
        }
    }
}
