// First stage of a loss: iterates over the pixels of a plane. The importing shader has @workgroup_size(16, 16), reduces
// with lib/reduce and holds W, H, C in `p.w`, `p.h`, `p.c`.
// A workgroup sums 4096 pixels: 16 iterations of its 256 invocations.
const ITERATIONS: u32 = 16u;

// The pixel of an invocation in an iteration, in row-major order; may lie past the last one.
fn pixel_of(part: u32, iteration: u32, lane: u32) -> u32 {
    return (part * ITERATIONS + iteration) * 256u + lane;
}

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a + b;
}

fn across(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
