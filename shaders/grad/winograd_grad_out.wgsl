// Weight gradient in Winograd's domain, the last transform: dw = Gt m G, for the channels of one source.
//   m   [36][R][C/4] of vec4 over channels of all sources, by winograd_grad_gemm
//   dw  [R, I, 3, 3]  linear f32; input channels first .. first + c of it
// Bindings: 0 params, 1 m (read), 2 dw (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64, len = R ceil(c / 4); each invocation computes four filters.
#import "lib/storage"

struct Params {
    len: u32,
    row: u32,
    steps: u32,   // C/4 of all sources
    first4: u32,  // first channel block of the source
    blocks: u32,  // ceil(c / 4)
    points: u32,  // R C/4
    c: u32,
    inputs: u32,  // I
    first: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> m: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i >= p.len) {
        return;
    }
    let r = i / p.blocks;
    let block = i % p.blocks;
    let at = r * p.steps + p.first4 + block;
#generate winograd_grad_out
    for (var lane = 0u; lane < 4u; lane++) {
        let c = 4u * block + lane;
        if (c < p.c) {
            let to = (r * p.inputs + p.first + c) * 9u;
            dw[to] = w0_0[lane];
            dw[to + 1u] = w0_1[lane];
            dw[to + 2u] = w0_2[lane];
            dw[to + 3u] = w1_0[lane];
            dw[to + 4u] = w1_1[lane];
            dw[to + 5u] = w1_2[lane];
            dw[to + 6u] = w2_0[lane];
            dw[to + 7u] = w2_1[lane];
            dw[to + 8u] = w2_2[lane];
        }
    }
}
