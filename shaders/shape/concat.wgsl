// Copies one input of a concatenation into its channels of the output.
//   x  [N, C, H, W]   blocked
//   y  [N, OC, H, W]  blocked; channels OFFSET .. OFFSET + C become x; lanes before them are preserved
// Bindings: 0 params, 1 x (read), 2 y (read and write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil((SHIFT + C) / 4)), inputs in order; each invocation computes one vec4.
// Constants: SHIFT = OFFSET mod 4. Lanes past the last channel of x are copied too: they are finite, and the next
// input, if any, overwrites them. The first input has SHIFT 0 and does not read y.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    w: u32,
    h: u32,
    blocks: u32,       // channel blocks of y that are written
    in_blocks: u32,    // channel blocks of x
    first_block: u32,  // of y that is written
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

// The last SHIFT lanes of a block of x, moved to the front.
fn tail(v: vec4<f32>) -> vec4<f32> {
    if (SHIFT == 1u) {
        return v.wwww;
    } else if (SHIFT == 2u) {
        return v.zwzw;
    }
    return v.yzww;
}

// SHIFT lanes of `front`, then the first lanes of `v`.
fn join(front: vec4<f32>, v: vec4<f32>) -> vec4<f32> {
    if (SHIFT == 1u) {
        return vec4<f32>(front.x, v.xyz);
    } else if (SHIFT == 2u) {
        return vec4<f32>(front.xy, v.xy);
    }
    return vec4<f32>(front.xyz, v.x);
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let source = index(p.x, n, block, i32(id.y), i32(id.x));
    let place = index(p.y, n, p.first_block + block, i32(id.y), i32(id.x));
    var v = vec4<f32>(0.0);
    if (block < p.in_blocks) {
        v = vec4<f32>(x[source]);
    }
    if (SHIFT != 0u) {
        if (block == 0u) {
            v = join(vec4<f32>(y[place]), v);
        } else {
            v = join(tail(vec4<f32>(x[source - p.x.plane])), v);
        }
    }
    y[place] = stored(v);
}
