// Whether lanes hold channels. Lanes past the last channel hold arbitrary finite values; results that these could make
// infinite, such as quotients, are zeroed.
fn inside_lanes(block: u32, channels: u32) -> vec4<bool> {
    return vec4<u32>(0u, 1u, 2u, 3u) + 4u * block < vec4<u32>(channels);
}
