// Counter-based random numbers: a hash of a seed, a salt and an element's number, the same on every device.

// The finaliser of MurmurHash3: a bijection of 32 bits with good mixing.
fn mix(v: u32) -> u32 {
    var h = v;
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    return h ^ (h >> 16u);
}

// The state that all elements of a stream share. A seed is four 16-bit words, stored as floats.
fn stream_of(seed: vec4<f32>, salt: u32) -> u32 {
    let low = u32(seed.x) | (u32(seed.y) << 16u);
    let high = u32(seed.z) | (u32(seed.w) << 16u);
    return mix(mix(low ^ salt) + high);
}

fn random(stream: u32, element: u32) -> u32 {
    return mix(mix(element ^ stream) + stream);
}
