// Convolution with stride 1 and no dilation, by subgroup broadcast: each subgroup computes one column per lane x ROWS
// rows x OCS output channels. Padding of at most 1 is the tensors' zero halo. Several sources take several dispatches.
//   x  [N, C, H, W]    blocked
//   w  bias [K/4] vec4, then [K/OCS][C/4][KH][KW][OCS] of vec4 over input channels
//   y  [N, K, OH, OW]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OW / SUBGROUP), ceil(OH / ROWS), N * ceil(K / OCS)).
// Constants: KH, KW, ROWS, OCS (a multiple of 4), ACTIVATION; SUBGROUP, the fixed subgroup size; optionally ACCUMULATE.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/activation"

struct Params {
    x: View,
    y: View,
    ow: u32,
    oh: u32,
    out_blocks: u32,
    in_blocks: u32,
    pad_top: u32,
    pad_left: u32,
    groups: u32,  // of OCS output channels
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(SUBGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = group.z / p.groups;
    let g = group.z % p.groups;
    let ox = group.x * SUBGROUP;
    let oy = group.y * ROWS;
    let corner = index(p.x, n, 0u, -i32(p.pad_top), -i32(p.pad_left));
    let bottom = p.oh + KH - 2u;
    let right = p.ow + KW - 2u;
#generate direct
}
