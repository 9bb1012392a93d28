// Random numbers by counting: a hash of a seed, a salt and an element's number, the same on every device.

// The finaliser of MurmurHash3: a bijection of 32 bits that spreads them well.
fn mix(v: u32) -> u32 {
    var h = v;
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    return h ^ (h >> 16u);
}

// What all elements of a stream have in common. A seed is four words of 16 bits, as numbers.
fn stream_of(seed: vec4<f32>, salt: u32) -> u32 {
    let low = u32(seed.x) | (u32(seed.y) << 16u);
    let high = u32(seed.z) | (u32(seed.w) << 16u);
    return mix(mix(low ^ salt) + high);
}

fn random(stream: u32, element: u32) -> u32 {
    return mix(mix(element ^ stream) + stream);
}
