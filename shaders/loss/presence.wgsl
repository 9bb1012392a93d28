// Whether each image of a batch has any foreground.
//   t  [N, C, H, W]  linear f32
//   y  [N, 2]        linear f32; (0, 1) where an element is above 0, else (1, 0)
// Bindings: 0 params, 1 t (read), 2 y (write).
// Dispatch: (N, 1, 1); one workgroup per image.
#import "lib/storage"
#import "lib/loops"
#import "lib/reduce"

struct Params {
    len: u32,  // C * H * W
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return max(a, b);
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var found = 0.0;
    for (var i = lane; i < trip_count(p.len, group.x); i += 256u) {
        found = select(found, 1.0, t[group.x * p.len + i] > 0.0);
    }
    let any = reduce(lane, vec4<f32>(found));
    if (lane < 2u) {
        y[2u * group.x + lane] = select(1.0 - any.x, any.x, lane == 1u);
    }
}
