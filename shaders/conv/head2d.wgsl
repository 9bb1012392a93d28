// The head of a network: 1x1 convolution to classes, activation, and optionally softmax and mask.
//   x  [N, C, H, W]  blocked
//   w  bias [ceil(CLASSES/4)] vec4, then [C/4][CLASSES] vec4 over input channels
//   y  [N, CLASSES, H, W] linear f32; with MASK [N, 1, H, W]: the class with the largest value, the first on ties;
//      with THRESHOLD, that class plus one where its value is above the threshold, else 0
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(W / (16 PIXELS)), ceil(H / 4), N); each invocation computes PIXELS neighbouring pixels of a row.
// Constants: CLASSES, 1 to 8; PIXELS; ACTIVATION; optionally SOFTMAX, MASK, THRESHOLD.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/activation"

struct Params {
    x: View,
    w: u32,
    h: u32,
    blocks: u32,       // of channels
    bias_vec4s: u32,   // before the weights
    alpha: f32,  // arguments of the activation
    beta: f32,
    threshold: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let left = id.x * PIXELS;
    if (left >= p.w || id.y >= p.h) {
        return;
    }
    let row = index(p.x, id.z, 0u, i32(id.y), 0);
#generate head2d
}
