// Counts the samples of a channel by value.
//   samples  [count]  of 1, 2 or 4 bytes, packed
//   bins     2 x 65,536 counts: by value of integers (pass 0, 1); by the upper half of a float's key (pass 2); by the lower
//            half, of those keys whose upper half is `first` or, in the second 65,536, `second` (pass 3)
// A key is an integer in the order of the floats. What is not a finite number does not count.
// Bindings: 0 params, 1 samples (read), 2 bins (read, write).
// Dispatch: (groups, 1, 1); stride = 256 groups.
struct Params {
    count: u32,
    pass_number: u32,
    stride: u32,
    first: u32,
    second: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> samples: array<u32>;
@group(0) @binding(2) var<storage, read_write> bins: array<atomic<u32>>;

@compute @workgroup_size(256)
fn count(@builtin(global_invocation_id) id: vec3<u32>) {
    for (var i = id.x; i < p.count; i += p.stride) {
        if (p.pass_number == 0u) {
            atomicAdd(&bins[(samples[i / 4u] >> (i % 4u * 8u)) & 0xffu], 1u);
            continue;
        }
        if (p.pass_number == 1u) {
            atomicAdd(&bins[(samples[i / 2u] >> (i % 2u * 16u)) & 0xffffu], 1u);
            continue;
        }
        let bits = samples[i];
        if ((bits & 0x7f800000u) == 0x7f800000u) {
            continue;
        }
        let key = select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
        if (p.pass_number == 2u) {
            atomicAdd(&bins[key >> 16u], 1u);
            continue;
        }
        if (key >> 16u == p.first) {
            atomicAdd(&bins[key & 0xffffu], 1u);
        }
        if (key >> 16u == p.second) {
            atomicAdd(&bins[65536u + (key & 0xffffu)], 1u);
        }
    }
}
