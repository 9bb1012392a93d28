// First stage of a loss: pixels of a plane, and linear tensors beside blocked ones. The importing shader has
// @workgroup_size(16, 16), reduces with lib/reduce and holds W, H, C in `p.w`, `p.h`, `p.c`.
// A workgroup sums up 4096 pixels: 16 turns of its 256 invocations.
const ITERATIONS: u32 = 16u;

// The pixel of an invocation's turn, in row-major order; past the last one for some.
fn pixel_of(part: u32, iteration: u32, lane: u32) -> u32 {
    return (part * ITERATIONS + iteration) * 256u + lane;
}

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a + b;
}

fn across(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
