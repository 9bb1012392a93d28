// A reduction over the 256 invocations of a workgroup, in a fixed order: the same bits on every run.
// The importing shader has @workgroup_size(16, 16) and defines combine(a, b).
var<workgroup> partial: array<vec4<f32>, 256>;

// Combines `v` of all invocations; all get the result. Call it in uniform control flow only.
fn reduce(lane: u32, v: vec4<f32>) -> vec4<f32> {
    partial[lane] = v;
    workgroupBarrier();
    for (var step = 64u; step > 0u; step >>= 2u) {
        // A loop, since some drivers execute what a condition skips.
        for (var i = lane; i < step; i += 256u) {
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
