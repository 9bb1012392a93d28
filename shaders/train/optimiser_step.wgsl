// One step of SGD, Adam or AdamW on a parameter, in place.
//   grad   [len]  linear f32
//   hyper  [8]    linear f32: step size, 1 / sqrt(1 - beta2^t), decay of the parameter, scale of the gradient, apply,
//                 keep, -, -
//   clip   [1]    linear f32: a factor on the gradient, with CLIP
//   param, m, v  [len]  linear f32; m with HAS_M, v with HAS_V
// Bindings: 0 params, 1 grad (read), 2 hyper (read), 3 clip (read) with CLIP, then param, m and v (read and write) from
// FIRST on. If `apply` is 0, nothing changes.
// Dispatch: (row / 64, ceil(ceil(len / EACH) / row), 1), row a multiple of 64; each invocation computes EACH elements, 64 apart.
// Constants: FIRST, EACH; optionally CLIP, ADAM, HAS_M, HAS_V; FOURS if elements are vec4s, whose number is `len`.
#import "lib/storage"

struct Params {
    len: u32,
    row: u32,
    first: f32,     // momentum, or beta1
    second: f32,    // beta2
    eps: f32,
    decay: f32,     // weight decay added to the gradient, times the parameter
    nesterov: u32,
}
#ifdef FOURS
alias Element = vec4<f32>;
#else
alias Element = f32;
#endif
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<Element>;
@group(0) @binding(2) var<storage, read> hyper: array<f32>;
#ifdef CLIP
@group(0) @binding(3) var<storage, read> clip: array<f32>;
#endif
@group(0) @binding(FIRST) var<storage, read_write> param: array<Element>;
#ifdef HAS_M
@group(0) @binding(FIRST + 1) var<storage, read_write> m: array<Element>;
#endif
#ifdef HAS_V
@group(0) @binding(FIRST + 2) var<storage, read_write> v: array<Element>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (hyper[4] == 0.0) {
        return;
    }
    // Read once: some drivers would read a uniform for every element.
    let rate = hyper[0];
    let keep = 1.0 - hyper[2];
    let scale = hyper[3];
#ifdef CLIP
    let factor = clip[0];
#endif
    let decay = p.decay;
    let beta1 = p.first;
    let beta2 = p.second;
    let correction = hyper[1];
    let eps = p.eps;
    let nesterov = p.nesterov != 0u;
    let start = EACH * (group.y * p.row + 64u * group.x);
    let end = min(start + 64u * EACH, p.len);
    for (var i = start + lane; i < end; i += 64u) {
        var g = grad[i] * scale;
#ifdef CLIP
        g *= factor;
#endif
        let old = param[i];
        g += decay * old;
        var step = g;
#ifdef ADAM
        let first = beta1 * m[i] + (1.0 - beta1) * g;
        let second = beta2 * v[i] + (1.0 - beta2) * g * g;
        m[i] = first;
        v[i] = second;
        step = first / (sqrt(second) * correction + eps);
#else
#ifdef HAS_M
        let momentum = beta1 * m[i] + g;
        m[i] = momentum;
        step = select(momentum, g + beta1 * momentum, nesterov);
#endif
#endif
        param[i] = old * keep - rate * step;
    }
}
