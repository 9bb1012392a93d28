// The number of turns of a loop, from a uniform; `workgroup` is a component of the workgroup's id. lavapipe compiles a
// kernel anew, 1 to 60 ms in each dispatch, for every value of a uniform that alone decides how often a loop runs. So the id
// takes part, as a zero.
fn trip_count(n: u32, workgroup: u32) -> u32 {
    return n + (workgroup >> 31u);
}
