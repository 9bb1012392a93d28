// Mean of tensors of one shape, summed in the order of the inputs.
//   x0 .. x5  [N, C, H, W]  blocked, INPUTS of them
//   y         [N, C, H, W]  blocked; y = (x0 + x1 + ..) * factor
// Bindings: 0 params, 1 .. INPUTS the inputs (read), INPUTS + 1 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: INPUTS; X1 .. X5 for the inputs present; optionally ACCUMULATE, which starts the sum with y's old value.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,  // of all inputs: they share a shape
    y: View,
    w: u32,
    h: u32,
    blocks: u32,  // of channels
    factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x0: array<Stored>;
#ifdef X1
@group(0) @binding(2) var<storage, read> x1: array<Stored>;
#endif
#ifdef X2
@group(0) @binding(3) var<storage, read> x2: array<Stored>;
#endif
#ifdef X3
@group(0) @binding(4) var<storage, read> x3: array<Stored>;
#endif
#ifdef X4
@group(0) @binding(5) var<storage, read> x4: array<Stored>;
#endif
#ifdef X5
@group(0) @binding(6) var<storage, read> x5: array<Stored>;
#endif
@group(0) @binding(INPUTS + 1) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let source = index(p.x, n, block, i32(id.y), i32(id.x));
    let place = index(p.y, n, block, i32(id.y), i32(id.x));
    var sum = vec4<f32>(x0[source]);
#ifdef ACCUMULATE
    sum = vec4<f32>(y[place]) + sum;
#endif
#ifdef X1
    sum += vec4<f32>(x1[source]);
#endif
#ifdef X2
    sum += vec4<f32>(x2[source]);
#endif
#ifdef X3
    sum += vec4<f32>(x3[source]);
#endif
#ifdef X4
    sum += vec4<f32>(x4[source]);
#endif
#ifdef X5
    sum += vec4<f32>(x5[source]);
#endif
    y[place] = stored(sum * p.factor);
}
