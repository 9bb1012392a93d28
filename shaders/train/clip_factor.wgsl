// The factor that limits the global norm of the gradients to `max`: torch.nn.utils.clip_grad_norm_.
//   total  [1]  linear f32, sum of the squares of all gradients
//   hyper  [8]  linear f32, see optimiser_step; [3] is the scale already applied to gradients
//   y      [1]  linear f32; min(1, max / (norm + 1e-6))
// Bindings: 0 params, 1 total (read), 2 hyper (read), 3 y (write).
// Dispatch: (1, 1, 1).
#import "lib/storage"

struct Params {
    max: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> total: array<f32>;
@group(0) @binding(2) var<storage, read> hyper: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(1)
fn main() {
    y[0] = min(1.0, p.max / (sqrt(total[0]) * hyper[3] + 1e-6));
}
