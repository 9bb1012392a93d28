// Gradient of batch or instance normalisation, second step.
//   x, dy, dx     [N, C, H, W]            blocked
//   coefficients  [1 or N][ceil(C / 4)][8] vec4  A, B, mean, D, scale, shift, dgamma, dbeta, by
//                                               batch_norm_grad_statistics
//   dgamma, dbeta [C]                     linear f32
// dx = A * dy' + B * (x - mean) + D, dy' = dy times the activation's slope at x * scale + shift.
// Bindings: 0 params, 1 x (read), 2 dy (read), 3 coefficients (read), 4 dx (write), 5 dgamma (write), 6 dbeta (write).
// Dispatch: (ceil(W / COLUMNS), ceil(H / ROWS), N * ceil(C / 4)); each workgroup computes COLUMNS x ROWS vec4s of a plane.
// Constants: HEIGHT, rows of 16 invocations in a workgroup; COLUMNS, a multiple of 16; ROWS, of HEIGHT; ACTIVATION, 1: see
// lib/activation_slope.
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

@compute @workgroup_size(16, HEIGHT)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let n = group.z / p.blocks;
    let block = group.z % p.blocks;
    let c = n * p.image + 8u * block;
    let a = coefficients[c];
    let b = coefficients[c + 1u];
    let m = coefficients[c + 2u];
    let d = coefficients[c + 3u];
    let scale = coefficients[c + 4u];
    let shift = coefficients[c + 5u];
    let source = plane_start(p.x, n, block);
    let place = plane_start(p.dx, n, block);
    let bottom = min(ROWS * (group.y + 1u), p.h);
    let right = min(COLUMNS * (group.x + 1u), p.w);
    // Read once: some drivers would read a uniform for every pixel.
    let source_row = p.x.row;
    let place_row = p.dx.row;
    let alpha = p.alpha;
    let beta = p.beta;
    for (var row = ROWS * group.y + local.y; row < bottom; row += HEIGHT) {
        let from_row = source + row * source_row;
        let to_row = place + row * place_row;
        for (var column = COLUMNS * group.x + local.x; column < right; column += 16u) {
            let v = vec4<f32>(x[from_row + column]);
            let grad = vec4<f32>(dy[to_row + column]) * activation_slope(v * scale + shift, alpha, beta);
            dx[to_row + column] = stored(a * grad + b * (v - m) + d);
        }
    }
    // A loop, since some drivers execute what a condition skips.
    let first = select(0u, 1u, n == 0u && all(group.xy == vec2<u32>(0u)) && all(local.xy == vec2<u32>(0u)));
    for (var k = 0u; k < first; k++) {
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
