// Reorders elements: y is a strided view of x.
//   x  [N, C, H, W]      blocked
//   y  [ON, OC, OH, OW]  blocked; 0 past the last channel
// Element number k of y in NCHW order, as coordinates i0, i1, .. of `dims`, is element number
// offset + i0 * stride0 + i1 * stride1 + .. of x.
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), ON * ceil(OC / 4)); each invocation computes one vec4.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    size: Size,  // of y
    w: u32,
    h: u32,
    c: u32,
    offset: u32,
    dims: array<vec4<u32>, 2>,  // the last axis first; 1 for missing axes
    strides: array<vec4<i32>, 2>,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

// Element number `k` of y.
fn element(k: u32) -> f32 {
    var rest = k;
    var number = i32(p.offset);
    for (var i = 0u; i < 8u; i++) {
        let dim = p.dims[i / 4u][i % 4u];
        number += i32(rest % dim) * p.strides[i / 4u][i % 4u];
        rest /= dim;
    }
    let at = u32(number);
    let row = at / p.w;
    let plane = row / p.h;
    let c = plane % p.c;
    return vec4<f32>(x[index(p.x, plane / p.c, c / 4u, i32(row % p.h), i32(at % p.w))])[c % 4u];
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let n = id.z / p.size.blocks;
    let block = id.z % p.size.blocks;
    var v = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let c = 4u * block + lane;
        if (c < p.size.c) {
            v[lane] = element(((n * p.size.c + c) * p.size.h + id.y) * p.size.w + id.x);
        }
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
