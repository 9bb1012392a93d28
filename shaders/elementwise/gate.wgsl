// The gate of the classification-guided module (CGM).
//   x  [N, 2, 1, 1]  blocked; scores of absent, present
//   y  [N, 1, 1, 1]  blocked; 1 if present scores higher, else 0, also on ties
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (1, 1, N); the first invocation of each workgroup computes one vec4.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x > 0u || id.y > 0u) {
        return;
    }
    let scores = vec4<f32>(x[plane_start(p.x, id.z, 0u)]);
    y[plane_start(p.y, id.z, 0u)] = stored(vec4<f32>(select(0.0, 1.0, scores.y > scores.x), 0.0, 0.0, 0.0));
}
