// The number of turns of a loop, from a uniform. lavapipe compiles a kernel anew for every value of a uniform that bounds
// a loop, 2 to 5 ms in each dispatch; it cannot see where a broadcast value comes from.
fn turns(n: u32) -> u32 {
#ifdef SUBGROUP
    return subgroupBroadcast(n, 0u);
#else
    return n;
#endif
}
