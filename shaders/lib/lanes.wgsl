// Lanes past the last channel: they may hold anything finite, so what must not be made of that, as quotients, is zeroed.
fn inside_lanes(block: u32, channels: u32) -> vec4<bool> {
    return vec4<u32>(0u, 1u, 2u, 3u) + 4u * block < vec4<u32>(channels);
}
