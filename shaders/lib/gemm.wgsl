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

// The number of turns of a loop, from a uniform. lavapipe compiles a kernel anew for every value of a uniform that bounds
// a loop, 2 to 5 ms in each dispatch; it cannot see where a broadcast value comes from.
fn turns(n: u32) -> u32 {
#ifdef SUBGROUP
    return subgroupBroadcast(n, 0u);
#else
    return n;
#endif
}
