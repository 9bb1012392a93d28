// What kernels around the generated matrix product have in common: the constants TM, TN and, if SUBGROUP is not
// defined, the operands staged in workgroup memory.
const COLUMNS: u32 = TN * 8u;
#ifdef SUBGROUP
const INVOCATIONS: u32 = 8u;
#else
const INVOCATIONS: u32 = 64u;
// Steps of K staged at a time; the generator counts on 4.
const KB: u32 = 4u;
var<workgroup> xs: array<vec4<f32>, KB * COLUMNS>;
var<workgroup> ws: array<vec4<f32>, KB * TM>;
#endif
// `place` of a column that is not stored.
const NOWHERE: u32 = 0xffffffffu;
// The workgroup's id, for the functions that the generated code calls.
var<private> tile: vec3<u32>;

// A uniform value as the bound of a loop. Where a uniform alone bounds a loop, lavapipe (Mesa 22.3) compiles the kernel
// anew for its value, at every dispatch; where the workgroup's id takes part, as a zero, it does not.
fn opaque(n: u32) -> u32 {
    return n + (tile.z >> 31u);
}
