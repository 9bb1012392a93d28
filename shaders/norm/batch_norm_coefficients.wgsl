// Scale and shift of batch normalisation with stored statistics, from parameters on the device.
//   gamma, beta, mean, var  [C]                    linear f32
//   coefficients            [ceil(C / 4)][2] vec4  scale = gamma / sqrt(var + eps), shift = beta - mean * scale
// Bindings: 0 params, 1 gamma (read), 2 beta (read), 3 mean (read), 4 var (read), 5 coefficients (write).
// Dispatch: (ceil(C / 256), 1, 1); each invocation computes one block.
struct Params {
    c: u32,
    blocks: u32,
    eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> variance: array<f32>;
@group(0) @binding(5) var<storage, read_write> coefficients: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.blocks) {
        return;
    }
    var scale = vec4<f32>(0.0);
    var shift = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let c = 4u * id.x + lane;
        if (c < p.c) {
            scale[lane] = gamma[c] / sqrt(variance[c] + p.eps);
            shift[lane] = beta[c] - mean[c] * scale[lane];
        }
    }
    coefficients[2u * id.x] = scale;
    coefficients[2u * id.x + 1u] = shift;
}
