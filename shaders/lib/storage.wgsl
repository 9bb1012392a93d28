// How activations and packed weights are stored: f32, or f16 if F16 is defined. Arithmetic is f32 either way: kernels
// load with `vec4<f32>(x[i])` and store with `y[i] = stored(v)`. The value of F16 is the binding after the kernel's
// own: the overflow flag, which becomes 1 when a stored value exceeds f16.
#ifdef F16
alias Stored = vec4<f16>;
alias StoredScalar = f16;
@group(0) @binding(F16) var<storage, read_write> overflow: atomic<u32>;

fn stored(v: vec4<f32>) -> Stored {
    // Also true for a NaN.
    if (!all(abs(v) <= vec4<f32>(65504.0))) {
        atomicStore(&overflow, 1u);
    }
    return Stored(v);
}

fn stored2(v: vec2<f32>) -> vec2<f16> {
    if (!all(abs(v) <= vec2<f32>(65504.0))) {
        atomicStore(&overflow, 1u);
    }
    return vec2<f16>(v);
}
#else
alias Stored = vec4<f32>;
alias StoredScalar = f32;

fn stored(v: vec4<f32>) -> Stored {
    return v;
}

fn stored2(v: vec2<f32>) -> vec2<f32> {
    return v;
}
#endif
