// The number of turns of a loop, from a uniform; `workgroup` is a component of the workgroup's id. Some drivers compile a
// kernel anew, in each dispatch, for every value of a uniform that alone decides how often a loop runs: with HIDE_TRIP_COUNTS
// the id takes part, as a zero.
fn trip_count(n: u32, workgroup: u32) -> u32 {
#ifdef HIDE_TRIP_COUNTS
    return n + (workgroup >> 31u);
#else
    return n;
#endif
}
