// Common parts of the kernels around the generated GEMM. Constants: TM, TN; SUBGROUP, the subgroup size, or UNIFORM;
// else operands are staged in workgroup memory: KB, the steps of K staged at a time, EVEN if all taps have a multiple
// of KB steps, NARROW if only weights are staged, and MATRIX, the side of the cooperative matrices, if any.
const COLUMNS: u32 = TN * 8u;
#ifdef SUBGROUP
const INVOCATIONS: u32 = SUBGROUP;
// Invocations along columns.
const SPREAD: u32 = SUBGROUP;
const KB: u32 = 1u;
#else
#ifdef UNIFORM
const INVOCATIONS: u32 = 64u;
const SPREAD: u32 = 64u;
const KB: u32 = 1u;
#else
#ifdef NARROW
const INVOCATIONS: u32 = 64u;
const SPREAD: u32 = 64u;
var<workgroup> ws: array<vec4<f32>, KB * TM>;
#else
#ifdef MATRIX
const INVOCATIONS: u32 = 32u;
const SPREAD: u32 = 32u;
var<workgroup> xs: array<f16, MATRIX * COLUMNS>;
var<workgroup> ws: array<f16, MATRIX * TM>;
var<workgroup> sums: array<f32, MATRIX * COLUMNS>;
#else
const INVOCATIONS: u32 = TM * TN / 8u;
const SPREAD: u32 = TN;
var<workgroup> xs: array<vec4<f32>, KB * COLUMNS>;
var<workgroup> ws: array<vec4<f32>, KB * TM>;
#endif
#endif
#endif
#endif
// `place` of a column that is not stored.
const NOWHERE: u32 = 0xffffffffu;
// The workgroup's id, for the functions that the generated code calls.
var<private> tile: vec3<u32>;

// Steps of K in a tap's packed weights: whole blocks of KB.
fn packed_steps(steps: u32) -> u32 {
    return (steps + KB - 1u) / KB * KB;
}
