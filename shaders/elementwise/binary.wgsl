// Elementwise operations on two tensors, with broadcasting of axes of one element.
//   a, b  [N or 1, C or 1, H or 1, W or 1]  blocked
//   y     [N, C, H, W]                      blocked; y = a KIND b, 0 past the last channel
// Bindings: 0 params, 1 a (read), 2 b (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: KIND, 0 a + b, 1 a - b, 2 a * b, 3 a / b, 4 min, 5 max, 6 power, 7 PReLU of slope b, 8 a < b, 9 a > b,
// 10 a == b.
#import "lib/storage"
#import "lib/tensor"
#import "lib/lanes"

struct Params {
    a: View,  // strides of axes of one element are 0
    b: View,
    y: View,
    size: Size,
    a_step: u32,         // column stride of a
    a_one_channel: u32,  // 1 if its single channel is broadcast
    b_step: u32,         // the same for b
    b_one_channel: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
@group(0) @binding(2) var<storage, read> b: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

// pow, also for negative bases with integer exponents, which WGSL leaves undefined. Common exponents need no logarithm.
fn power(base: f32, exponent: f32) -> f32 {
    if (exponent == 2.0) {
        return base * base;
    }
    if (exponent == 0.0) {
        return 1.0;
    }
    if (exponent == 1.0) {
        return base;
    }
    if (exponent == -1.0) {
        return 1.0 / base;
    }
    if (base == 0.0) {
        return select(1.0 / base, 0.0, exponent > 0.0);
    }
    let size = pow(abs(base), exponent);
    if (base > 0.0) {
        return size;
    }
    if (exponent != floor(exponent)) {
        return sqrt(base);  // NaN
    }
    let half = 0.5 * exponent;
    return select(-size, size, half == floor(half));
}

fn combine(u: vec4<f32>, v: vec4<f32>) -> vec4<f32> {
    let zero = vec4<f32>(0.0);
    let one = vec4<f32>(1.0);
    switch (KIND) {
        case 0u: { return u + v; }
        case 1u: { return u - v; }
        case 2u: { return u * v; }
        case 3u: { return u / v; }
        case 4u: { return min(u, v); }
        case 5u: { return max(u, v); }
        case 6u: { return vec4<f32>(power(u.x, v.x), power(u.y, v.y), power(u.z, v.z), power(u.w, v.w)); }
        case 7u: { return select(u * v, u, u > zero); }
        case 8u: { return select(zero, one, u < v); }
        case 9u: { return select(zero, one, u > v); }
        default: { return select(zero, one, u == v); }
    }
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let n = id.z / p.size.blocks;
    let block = id.z % p.size.blocks;
    var u = vec4<f32>(a[plane_start(p.a, n, block) + id.y * p.a.row + id.x * p.a_step]);
    var v = vec4<f32>(b[plane_start(p.b, n, block) + id.y * p.b.row + id.x * p.b_step]);
    u = select(u, u.xxxx, p.a_one_channel != 0u);
    v = select(v, v.xxxx, p.b_one_channel != 0u);
    let result = select(vec4<f32>(0.0), combine(u, v), inside_lanes(block, p.size.c));
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(result);
}
