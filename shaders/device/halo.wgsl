// Clears the halo of a blocked tensor in reused memory.
//   y  [N, C, H, W]  blocked; the halo of one pixel around every plane becomes 0
// Bindings: 0 params, 1 y (write).
// Dispatch: (ceil((2 * row + 2 * H) / 64), N * ceil(C / 4)); each invocation clears one halo pixel of one plane.
#import "lib/storage"
struct Params {
    row: u32,     // W + 2
    height: u32,  // H
    plane: u32,   // vec4s of a plane
    border: u32,  // halo pixels of a plane
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.border) {
        return;
    }
    var at = id.x;
    if (id.x >= 2u * p.row) {
        // Left and right columns, alternately.
        let k = id.x - 2u * p.row;
        at = (1u + k / 2u) * p.row + (k % 2u) * (p.row - 1u);
    } else if (id.x >= p.row) {
        at = (p.height + 1u) * p.row + id.x - p.row;
    }
    y[id.y * p.plane + at] = stored(vec4<f32>(0.0));
}
