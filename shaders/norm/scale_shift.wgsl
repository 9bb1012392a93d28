// A scale and a shift for every channel: the last step of all normalisations.
//   x             [N, C, H, W]                   blocked
//   coefficients  [1 or N][ceil(C / 4)][2] vec4  scale, shift
//   y             [N, C, H, W]                   blocked; y = activate(x * scale + shift)
// Bindings: 0 params, 1 x (read), 2 coefficients (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); an invocation makes one vec4.
// Constants: ACTIVATION, see lib/activation.
#import "lib/storage"
#import "lib/activation"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    size: vec4<u32>,  // W, H, channel blocks, coefficients per image (0: all images share them)
    slope: vec4<f32>,  // of a leaky ReLU, -, -, -
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.x || id.y >= p.size.y) {
        return;
    }
    let n = id.z / p.size.z;
    let block = id.z % p.size.z;
    let at = n * p.size.w + 2u * block;
    let v = vec4<f32>(x[index(p.x, n, block, i32(id.y), i32(id.x))]);
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(activate(v * coefficients[at] + coefficients[at + 1u], p.slope.x));
}
