//! What a driver needs from plans and kernels beyond its limits and features. This is the only place that distinguishes
//! drivers; the planner and the operations query the policy and know no driver by name.
//!
//! GPU drivers need nothing special: [`DriverPolicy::default`]. A software rasteriser (measured: llvmpipe of Mesa 22 to
//! 26) runs a subgroup as one CPU vector, and compiles with LLVM:
//!
//! - Loading a vec4 from a storage buffer goes lane by lane, behind a branch and a bounds check: 40 ns per subgroup of
//!   8. From a storage texture it has no branches: 7 ns. A store takes 19 ns to a buffer and about 49 ns to a texture.
//!   So tensors that are read more than once are better as textures. Where kernels can write a texture as a buffer over
//!   the same memory, so are all tensors that are read.
//! - Matrix products share operands by subgroup broadcast, which is a vector permutation: see [`BroadcastCosts`].
//! - A kernel takes half a second to compile, half of it for stores, which are inlined. So loops around stores stay
//!   rolled, and one kernel serves layers of many sizes.
//! - Where uniforms alone determine a loop's trip count, each dispatch recompiles the kernel for every new value, 1 to
//!   60 ms, and keeps every copy. So trip counts are hidden.
//!
//! The environment variables that such a driver reads at load time (its vector width) are the program's business:
//! `src/cli/mesa.rs`.

use super::{AdapterClass, Caps, TensorStorage};

/// What a driver needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverPolicy {
    /// Where tensors may be stored, the default first.
    pub storage: &'static [TensorStorage],
    /// Lanes of the kernels that share operands by subgroup broadcast, where those are the fastest.
    pub broadcast_lanes: Option<u32>,
    /// Whether loops around stores stay rolled and one kernel serves layers of many shapes, because compilation is
    /// slow.
    pub rolled_loops: bool,
    /// Whether trip counts must not depend on uniforms alone.
    pub hides_trip_counts: bool,
}

impl Default for DriverPolicy {
    fn default() -> Self {
        Self {
            storage: &[TensorStorage::Buffers],
            broadcast_lanes: None,
            rolled_loops: false,
            hides_trip_counts: false,
        }
    }
}

impl DriverPolicy {
    /// The policy for a device.
    pub fn of(caps: &Caps) -> Self {
        use TensorStorage::{Aliased, Buffers, Textures};
        let software = caps.class == AdapterClass::Cpu;
        // 256-bit or 512-bit vectors.
        let vectors = software && matches!(caps.subgroup, Some(8 | 16));
        let storage: &[TensorStorage] = match (caps.storage_textures, vectors, caps.aliased_memory) {
            (false, ..) => &[Buffers],
            // Not measured on GPUs: `unet tune` finds out whether textures pay.
            (true, false, _) => &[Buffers, Textures],
            (true, true, false) => &[Textures, Buffers],
            (true, true, true) => &[Aliased, Textures, Buffers],
        };
        let broadcast_lanes = caps.subgroup.filter(|&lanes| lanes == 8 || lanes == 16 && software);
        // Broadcast kernels are compiled for CPU vectors.
        let rolled_loops = broadcast_lanes.is_some();
        Self { storage, broadcast_lanes, rolled_loops, hides_trip_counts: software }
    }

    /// Whether tensors that are read are textures by default, before tuning.
    pub fn prefers_textures(&self) -> bool {
        self.storage[0] != TensorStorage::Buffers
    }

    /// Costs of the matrix product by subgroup broadcast.
    pub fn broadcast_costs(&self) -> BroadcastCosts {
        match self.broadcast_lanes {
            Some(lanes) if lanes > 8 => BroadcastCosts { texture_load: 100, buffer_load: 530, sum: 4 * 3 },
            _ => BroadcastCosts { texture_load: 80, buffer_load: 400, sum: 4 * 2 },
        }
    }
}

/// Costs per subgroup of a step of K in the matrix product by broadcast, in tenths of a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastCosts {
    /// Loading a vec4 per lane from a texture.
    pub texture_load: usize,
    /// The same from a buffer.
    pub buffer_load: usize,
    /// The four multiply-adds per sum and lane.
    pub sum: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_get_the_default_policy() {
        for class in AdapterClass::ALL.into_iter().filter(|&c| c != AdapterClass::Cpu) {
            let policy = DriverPolicy::of(&Caps { class, subgroup: Some(32), ..Caps::default() });
            assert_eq!(policy, DriverPolicy::default(), "{class:?}");
            let textures = DriverPolicy::of(&Caps { class, storage_textures: true, ..Caps::default() });
            assert!(!textures.prefers_textures(), "{class:?}");
            assert!(textures.storage.contains(&TensorStorage::Textures), "for tuning");
        }
    }

    #[test]
    fn cpu_vectors_prefer_textures() {
        let caps = |subgroup, aliased_memory| Caps {
            class: AdapterClass::Cpu,
            subgroup: Some(subgroup),
            storage_textures: true,
            aliased_memory,
            ..Caps::default()
        };
        for lanes in [8, 16] {
            assert_eq!(DriverPolicy::of(&caps(lanes, true)).storage[0], TensorStorage::Aliased);
            assert_eq!(DriverPolicy::of(&caps(lanes, false)).storage[0], TensorStorage::Textures);
            assert_eq!(DriverPolicy::of(&caps(lanes, false)).broadcast_lanes, Some(lanes));
        }
        assert!(!DriverPolicy::of(&caps(4, true)).prefers_textures());
        let wide = Caps { class: AdapterClass::Intel, ..caps(16, false) };
        assert_eq!(DriverPolicy::of(&wide).broadcast_lanes, None);
    }
}
