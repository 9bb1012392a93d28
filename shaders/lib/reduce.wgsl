// A reduction over the invocations of a workgroup, in a fixed order: the same bits on every run.
// The importing shader has @workgroup_size(16, HEIGHT), HEIGHT 1 or 16, or if it has no such constant 16, and defines
// combine(a, b).
#ifndef HEIGHT
const HEIGHT: u32 = 16u;
#endif
const INVOCATIONS: u32 = 16u * HEIGHT;
var<workgroup> partial: array<vec4<f32>, INVOCATIONS>;

// Combines `v` of all invocations; all get the result. Call it in uniform control flow only.
fn reduce(lane: u32, v: vec4<f32>) -> vec4<f32> {
    partial[lane] = v;
    workgroupBarrier();
    for (var step = INVOCATIONS / 4u; step > 0u; step >>= 2u) {
        // A loop, since some drivers execute what a condition skips.
        for (var i = lane; i < step; i += INVOCATIONS) {
            let low = combine(partial[i], partial[i + step]);
            let high = combine(partial[i + 2u * step], partial[i + 3u * step]);
            partial[i] = combine(low, high);
        }
        workgroupBarrier();
    }
    let result = partial[0];
    // The next call must not overwrite the result while another invocation still reads it.
    workgroupBarrier();
    return result;
}
