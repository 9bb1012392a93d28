// A scale and a shift per channel: the last step of all normalisations.
//   x             [N, C, H, W]                   blocked
//   coefficients  [1 or N][ceil(C / 4)][2] vec4  scale, shift
//   y             [N, C, H, W]                   blocked; y = activate(x * scale + shift)
// Bindings: 0 params, 1 x (read), 2 coefficients (read), 3 y (write).
// Dispatch: (ceil(W / COLUMNS), ceil(H / ROWS), N * ceil(C / 4)); each workgroup computes COLUMNS x ROWS vec4s of a plane.
// Constants: HEIGHT, rows of 16 invocations in a workgroup; COLUMNS, a multiple of 16; ROWS, of HEIGHT; ACTIVATION, see
// lib/activation.
#import "lib/storage"
#import "lib/activation"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    w: u32,
    h: u32,
    blocks: u32,  // of channels
    image: u32,   // coefficients per image, 0 if all images share them
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, HEIGHT)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let n = group.z / p.blocks;
    let block = group.z % p.blocks;
    let c = n * p.image + 2u * block;
    let scale = coefficients[c];
    let shift = coefficients[c + 1u];
    let source = plane_start(p.x, n, block);
    let place = plane_start(p.y, n, block);
    let bottom = min(ROWS * (group.y + 1u), p.h);
    let right = min(COLUMNS * (group.x + 1u), p.w);
    // Read once: some drivers would read a uniform for every pixel.
    let source_row = p.x.row;
    let place_row = p.y.row;
    let alpha = p.alpha;
    let beta = p.beta;
    for (var row = ROWS * group.y + local.y; row < bottom; row += HEIGHT) {
        let from_row = source + row * source_row;
        let to_row = place + row * place_row;
        for (var column = COLUMNS * group.x + local.x; column < right; column += 16u) {
            y[to_row + column] = stored(activate(vec4<f32>(x[from_row + column]) * scale + shift, alpha, beta));
        }
    }
}
