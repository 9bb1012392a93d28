//! Assigns tensors to slots by their lifetimes, in a few buffers and textures.
//!
//! wgpu tracks whole buffers, so a dispatch must never read and write the same one: input and output of a node need
//! different slots. Within a slot, tensors with disjoint lifetimes overlap, and tensors that are alive together lie
//! side by side. A texture holds one tensor at a time, unless textures are ranges of one buffer (aliased): then each
//! tensor is a separate texture, which wgpu tracks separately.

use super::{Slot, SlotKind};

/// A tensor to place.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Size, a multiple of the alignment.
    pub bytes: u64,
    /// First node that touches it.
    pub first: usize,
    /// Last node that touches it.
    pub last: usize,
    /// Nodes that write it.
    pub written: Vec<usize>,
    /// Nodes that read it.
    pub read: Vec<usize>,
    /// Whether it is in a texture instead of a buffer.
    pub texture: bool,
}

impl Item {
    fn lives_with(&self, other: &Item) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether some node needs them in different buffers.
    fn clashes(&self, other: &Item) -> bool {
        let meet = |a: &[usize], b: &[usize]| a.iter().any(|n| b.contains(n));
        meet(&self.written, &other.read) || meet(&self.read, &other.written) || meet(&self.written, &other.written)
    }
}

/// Where an item is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub slot: usize,
    pub offset: u64,
}

/// Max rounds of the search for a better order.
const ROUNDS: usize = 3000;
/// Max pairs of items that the search compares, so that a plan of thousands of items takes seconds, not minutes.
const COMPARISONS: usize = 300_000_000;

/// Places every item; returns the places and the slots. `limit` is the max size of a slot; a larger item gets its own
/// slot, which the device will reject. `textures` is the kind of texture slots.
///
/// Items are placed one by one, largest first, each where the total grows least. A bounded search then tries other
/// orders of the large items and keeps the best.
pub(super) fn place(items: &[Item], limit: u64, textures: SlotKind) -> (Vec<Place>, Vec<Slot>) {
    let total = |slots: &[Slot]| slots.iter().map(|s| s.bytes).sum::<u64>();
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(items[i].bytes), items[i].first));
    let min = largest_live_set(items);
    let mut best = place_in_order(items, &order, limit, textures);
    // A linear congruential generator, for the same plan every time.
    let mut state = 1u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    // Small items fill gaps in any order.
    let large = order.iter().filter(|&&i| items[i].bytes * 64 > min).count();
    for _ in 0..ROUNDS.min(COMPARISONS / (items.len() * items.len()).max(1)) {
        // Within 1% of the lower bound.
        if large < 2 || total(&best.1) <= min + min / 100 {
            break;
        }
        let mut other = order.clone();
        for _ in 0..1 + below(3) {
            let from = below(large);
            let item = other.remove(from);
            other.insert(below(large), item);
        }
        let placed = place_in_order(items, &other, limit, textures);
        if total(&placed.1) <= total(&best.1) {
            (best, order) = (placed, other);
        }
    }
    best
}

/// Places the items in the given order.
fn place_in_order(items: &[Item], order: &[usize], limit: u64, textures: SlotKind) -> (Vec<Place>, Vec<Slot>) {
    let mut slots: Vec<Slot> = Vec::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut places = vec![Place { slot: 0, offset: 0 }; items.len()];
    for &i in order {
        let item = &items[i];
        let kind = if item.texture { textures } else { SlotKind::Buffer };
        // (growth, slot, offset)
        let mut best = (item.bytes, slots.len(), 0);
        for (s, &Slot { bytes: size, kind: other }) in slots.iter().enumerate() {
            let excludes = |&m: &usize| match kind {
                SlotKind::Buffer => items[m].clashes(item),
                SlotKind::Texture => items[m].clashes(item) || items[m].lives_with(item),
                SlotKind::Aliased => false,
            };
            if kind != other || members[s].iter().any(excludes) {
                continue;
            }
            let mut busy: Vec<(u64, u64)> = members[s]
                .iter()
                .filter(|&&m| items[m].lives_with(item))
                .map(|&m| (places[m].offset, places[m].offset + items[m].bytes))
                .collect();
            busy.sort_unstable();
            let mut offset = 0;
            for (from, to) in busy {
                if offset + item.bytes <= from {
                    break;
                }
                offset = offset.max(to);
            }
            let growth = (offset + item.bytes).saturating_sub(size);
            // At equal growth, sharing a slot is better: later items may overlap both.
            let joins = kind == SlotKind::Aliased && growth == best.0 && best.1 == slots.len();
            if offset + item.bytes <= limit && (growth < best.0 || joins) {
                best = (growth, s, offset);
            }
        }
        let (_, slot, offset) = best;
        if slot == slots.len() {
            slots.push(Slot { bytes: 0, kind });
            members.push(Vec::new());
        }
        slots[slot].bytes = slots[slot].bytes.max(offset + item.bytes);
        members[slot].push(i);
        places[i] = Place { slot, offset };
    }
    (places, slots)
}

/// Bytes alive at each of `nodes` nodes.
pub(super) fn live_sets(items: &[Item], nodes: usize) -> Vec<u64> {
    (0..nodes).map(|n| items.iter().filter(|i| i.first <= n && n <= i.last).map(|i| i.bytes).sum()).collect()
}

/// Max bytes alive at any node: a lower bound on any plan.
pub(super) fn largest_live_set(items: &[Item]) -> u64 {
    let nodes = items.iter().map(|i| i.last + 1).max().unwrap_or(0);
    live_sets(items, nodes).into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain(sizes: &[u64]) -> Vec<Item> {
        // Item i is written by node i and read by node i + 1.
        let item = |(i, &bytes): (usize, &u64)| Item {
            bytes,
            first: i,
            last: i + 1,
            written: vec![i],
            read: vec![i + 1],
            texture: false,
        };
        sizes.iter().enumerate().map(item).collect()
    }

    #[test]
    fn a_chain_of_equal_tensors_needs_two_slots() {
        let items = chain(&[512; 10]);
        let (_, slots) = place(&items, 1 << 30, SlotKind::Texture);
        assert_eq!(slots, vec![Slot { bytes: 512, kind: SlotKind::Buffer }; 2]);
        assert_eq!(largest_live_set(&items), 1024);
    }

    #[test]
    fn textures_that_are_ranges_of_a_buffer_share_a_slot() {
        let items: Vec<Item> = chain(&[512; 10]).into_iter().map(|i| Item { texture: true, ..i }).collect();
        let slots = |kind| place(&items, 1 << 30, kind).1;
        assert_eq!(slots(SlotKind::Aliased), vec![Slot { bytes: 1024, kind: SlotKind::Aliased }]);
        assert_eq!(slots(SlotKind::Texture), vec![Slot { bytes: 512, kind: SlotKind::Texture }; 2]);
    }

    proptest! {
        #[test]
        fn places_never_overlap_or_clash(
            sizes in proptest::collection::vec(1u64..50, 1..40),
            spans in proptest::collection::vec(0usize..12, 40),
            textures in proptest::collection::vec(proptest::bool::weighted(0.3), 40),
            aliased: bool,
        ) {
            let items: Vec<Item> = sizes.iter().enumerate().map(|(i, &b)| Item {
                bytes: b * 256, first: i, last: i + spans[i], written: vec![i], read: (i + 1..=i + spans[i]).collect(),
                texture: textures[i],
            }).collect();
            let kind = if aliased { SlotKind::Aliased } else { SlotKind::Texture };
            let (places, slots) = place(&items, 1 << 30, kind);
            for (i, a) in items.iter().enumerate() {
                prop_assert!(places[i].offset + a.bytes <= slots[places[i].slot].bytes);
                prop_assert_eq!(slots[places[i].slot].kind, if a.texture { kind } else { SlotKind::Buffer });
                prop_assert!(aliased || !(a.texture && places[i].offset > 0));
                for (j, b) in items.iter().enumerate().filter(|(j, _)| *j != i && places[*j].slot == places[i].slot) {
                    prop_assert!(aliased && a.texture || !a.clashes(b));
                    let apart = places[i].offset + a.bytes <= places[j].offset || places[j].offset + b.bytes <= places[i].offset;
                    prop_assert!(apart || !a.lives_with(b), "{i} and {j} overlap");
                }
            }
            prop_assert!(slots.iter().map(|s| s.bytes).sum::<u64>() >= largest_live_set(&items));
        }
    }
}
