//! What a driver needs from plans and kernels beyond what its limits and features say. The one place where kinds of drivers
//! are told apart; the planner and the operations ask the policy for what it wants and know no driver's name.
//!
//! A GPU's driver has no wishes: [`DriverPolicy::default`]. A software rasteriser (measured: llvmpipe of Mesa 22 to 26) runs
//! a subgroup as one vector of the CPU, and compiles with LLVM:
//!
//! - A vec4 of a storage buffer is loaded lane by lane behind a branch and a bounds check, 40 ns a subgroup of 8; one of a
//!   storage texture without branches, 7 ns. A store into a buffer takes 19 ns and one into a texture about 49. So what is
//!   read more than once is better a texture; and whatever is read, where kernels can write the texture as a buffer in the
//!   same memory.
//! - Operands of products are spread by subgroup broadcast, which is a permutation of a vector: see [`BroadcastCosts`].
//! - Stores are inlined, half of the time a kernel takes to compile, and a kernel takes half a second: loops around stores
//!   stay rolled, and one kernel serves layers of many sizes.
//! - Where a uniform alone decides how often a loop runs, the kernel is compiled anew in each dispatch for every value, 1 to
//!   60 ms, and never forgotten: trip counts are hidden.
//!
//! What such a driver reads from the environment before it is loaded (the width of its vectors) belongs to the program:
//! `src/cli/mesa.rs`.

use super::{AdapterClass, Caps, TensorStorage};

/// What a driver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverPolicy {
    /// What tensors may lie in, the usual first.
    pub storage: &'static [TensorStorage],
    /// Lanes of the kernels that spread operands by subgroup broadcast, where those are the fastest.
    pub broadcast_lanes: Option<u32>,
    /// Whether trip counts must not come from a uniform alone.
    pub hides_trip_counts: bool,
}

impl Default for DriverPolicy {
    fn default() -> Self {
        Self { storage: &[TensorStorage::Buffers], broadcast_lanes: None, hides_trip_counts: false }
    }
}

impl DriverPolicy {
    /// The policy for a device.
    pub fn of(caps: &Caps) -> Self {
        use TensorStorage::{Aliased, Buffers, Textures};
        let software = caps.class == AdapterClass::Cpu;
        // Vectors of 256 bits, or of 512.
        let vectors = software && matches!(caps.subgroup, Some(8 | 16));
        let storage: &[TensorStorage] = match (caps.storage_textures, vectors, caps.aliased_memory) {
            (false, ..) => &[Buffers],
            // Not measured there: `unet tune` says whether textures pay.
            (true, false, _) => &[Buffers, Textures],
            (true, true, false) => &[Textures, Buffers],
            (true, true, true) => &[Aliased, Textures, Buffers],
        };
        let broadcast_lanes = caps.subgroup.filter(|&lanes| lanes == 8 || lanes == 16 && software);
        Self { storage, broadcast_lanes, hides_trip_counts: software }
    }

    /// Whether tensors that are read lie in textures unless something else was measured.
    pub fn prefers_textures(&self) -> bool {
        self.storage[0] != TensorStorage::Buffers
    }

    /// Costs of the product by subgroup broadcast.
    pub fn broadcast_costs(&self) -> BroadcastCosts {
        match self.broadcast_lanes {
            Some(lanes) if lanes > 8 => BroadcastCosts { texture_load: 100, buffer_load: 530, sum: 4 * 3 },
            _ => BroadcastCosts { texture_load: 80, buffer_load: 400, sum: 4 * 2 },
        }
    }
}

/// What a step of the inner dimension costs a subgroup of the product by broadcast, in tenths of a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastCosts {
    /// Loading a vec4 a lane from a texture.
    pub texture_load: usize,
    /// The same from a buffer.
    pub buffer_load: usize,
    /// The four multiply-adds of a sum a lane.
    pub sum: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_have_no_wishes() {
        for class in AdapterClass::ALL.into_iter().filter(|&c| c != AdapterClass::Cpu) {
            let policy = DriverPolicy::of(&Caps { class, subgroup: Some(32), ..Caps::default() });
            assert_eq!(policy, DriverPolicy::default(), "{class:?}");
            let textures = DriverPolicy::of(&Caps { class, storage_textures: true, ..Caps::default() });
            assert!(!textures.prefers_textures(), "{class:?}");
            assert!(textures.storage.contains(&TensorStorage::Textures), "for tuning");
        }
    }

    #[test]
    fn vectors_of_the_cpu_prefer_textures() {
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
