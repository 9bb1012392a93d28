// A scale and a shift per channel: the last step of all normalisations.
//   x             [N, C, H, W]                   blocked
//   coefficients  [1 or N][ceil(C / 4)][2] vec4  scale, shift
//   y             [N, C, H, W]                   blocked; y = activate(x * scale + shift)
// Bindings: 0 params, 1 x (read), 2 coefficients (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: ACTIVATION, see lib/activation.
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

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let at = n * p.image + 2u * block;
    let v = vec4<f32>(x[index(p.x, n, block, i32(id.y), i32(id.x))]);
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(activate(v * coefficients[at] + coefficients[at + 1u], p.alpha, p.beta));
}
