// A loop's trip count from a uniform; `workgroup` is a component of the workgroup's id. If uniforms alone determine a
// trip count, some drivers recompile the kernel, in each dispatch, for every new value. With HIDE_TRIP_COUNTS the id
// contributes a zero.
fn trip_count(n: u32, workgroup: u32) -> u32 {
#ifdef HIDE_TRIP_COUNTS
    return n + (workgroup >> 31u);
#else
    return n;
#endif
}
