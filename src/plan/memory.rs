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
/// orders of the large items and keeps the best; small items fill gaps in any order.
pub(super) fn place(items: &[Item], limit: u64, textures: SlotKind) -> (Vec<Place>, Vec<Slot>) {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(items[i].bytes), items[i].first));
    let min = largest_live_set(items);
    let relations = Relations::new(items);
    let mut whole = Placement::default();
    whole.fill(items, &relations, &order, limit, textures, u64::MAX, &[]);
    // Within 1% of the lower bound.
    let near = min + min / 100;
    let large = order.iter().filter(|&&i| items[i].bytes * 64 > min).count();
    if large < 2 || whole.total <= near {
        return (whole.places, whole.slots);
    }
    // A linear congruential generator, for the same plan every time.
    let mut state = 1u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    let mut best = order[..large].to_vec();
    let mut placed = Placement::default();
    placed.fill(items, &relations, &best, limit, textures, u64::MAX, &[]);
    let (mut least, mut places) = (placed.total, placed.places.clone());
    let mut other = best.clone();
    for round in 0..ROUNDS.min(COMPARISONS / (large * large)) {
        // Few orders are better than one that is almost as good as possible.
        if least <= near || (round >= ROUNDS / 3 && least <= min + min / 12) {
            break;
        }
        other.clone_from(&best);
        let mut same = large;
        for _ in 0..1 + below(3) {
            let (from, to) = (below(large), below(large));
            same = same.min(from).min(to);
            match from <= to {
                true => other[from..=to].rotate_left(1),
                false => other[to..=from].rotate_right(1),
            }
        }
        // What comes first in both orders has the same places.
        let known: Vec<Place> = other[..same].iter().map(|&i| places[i]).collect();
        if placed.fill(items, &relations, &other, limit, textures, least, &known) {
            least = placed.total;
            places.clone_from(&placed.places);
            std::mem::swap(&mut best, &mut other);
        }
    }
    order[..large].copy_from_slice(&best);
    placed.fill(items, &relations, &order, limit, textures, u64::MAX, &[]);
    let best = if placed.total <= whole.total { placed } else { whole };
    (best.places, best.slots)
}

/// For every item the others that clash with it, and those alive together with it, as bits.
struct Relations {
    /// 64-bit words per item.
    words: usize,
    clashes: Vec<u64>,
    lives: Vec<u64>,
}

impl Relations {
    fn new(items: &[Item]) -> Self {
        let words = items.len().div_ceil(64);
        let (mut clashes, mut lives) = (vec![0; words * items.len()], vec![0; words * items.len()]);
        let set = |bits: &mut [u64], i: usize, j: usize| bits[i * words + j / 64] |= 1 << (j % 64);
        // The items that each node touches.
        let nodes = items.iter().flat_map(|i| i.written.iter().chain(&i.read)).max().map_or(0, |&n| n + 1);
        let (mut written, mut read) = (vec![Vec::new(); nodes], vec![Vec::new(); nodes]);
        for (i, item) in items.iter().enumerate() {
            item.written.iter().for_each(|&n| written[n].push(i));
            item.read.iter().for_each(|&n| read[n].push(i));
            items.iter().enumerate().filter(|(_, o)| item.lives_with(o)).for_each(|(j, _)| set(&mut lives, i, j));
        }
        for (written, read) in written.iter().zip(&read) {
            for &w in written {
                for &other in written.iter().chain(read) {
                    set(&mut clashes, w, other);
                    set(&mut clashes, other, w);
                }
            }
        }
        Self { words, clashes, lives }
    }

    fn clashes(&self, item: usize) -> &[u64] {
        &self.clashes[item * self.words..][..self.words]
    }

    fn lives(&self, item: usize) -> &[u64] {
        &self.lives[item * self.words..][..self.words]
    }
}

/// Items in slots. Filled again and again, so it keeps its memory.
#[derive(Default)]
struct Placement {
    places: Vec<Place>,
    slots: Vec<Slot>,
    /// Bytes of all slots.
    total: u64,
    /// The items of each slot, as bits.
    members: Vec<u64>,
    /// Byte ranges that are taken while the item lives.
    busy: Vec<(u64, u64)>,
}

impl Placement {
    /// Places the items in the given order, of which the first have the `known` places. Stops, and returns `false`, once the slots
    /// exceed `most` bytes.
    #[expect(clippy::too_many_arguments, reason = "the order changes thousands of times, the rest never")]
    fn fill(
        &mut self,
        items: &[Item],
        relations: &Relations,
        order: &[usize],
        limit: u64,
        textures: SlotKind,
        most: u64,
        known: &[Place],
    ) -> bool {
        let words = relations.words;
        self.places.clear();
        self.places.resize(items.len(), Place { slot: 0, offset: 0 });
        self.slots.clear();
        self.members.clear();
        self.total = 0;
        for (n, &i) in order.iter().enumerate() {
            let item = &items[i];
            let kind = if item.texture { textures } else { SlotKind::Buffer };
            let Place { slot, offset } = match known.get(n) {
                Some(place) => *place,
                None => self.best_place(items, relations, i, limit, kind),
            };
            if slot == self.slots.len() {
                self.slots.push(Slot { bytes: 0, kind });
                self.members.resize(self.members.len() + words, 0);
            }
            let end = offset + item.bytes;
            self.total += end.saturating_sub(self.slots[slot].bytes);
            self.slots[slot].bytes = self.slots[slot].bytes.max(end);
            self.members[slot * words + i / 64] |= 1 << (i % 64);
            self.places[i] = Place { slot, offset };
            if self.total > most {
                return false;
            }
        }
        true
    }

    /// Where an item lets the total grow least.
    fn best_place(&mut self, items: &[Item], relations: &Relations, i: usize, limit: u64, kind: SlotKind) -> Place {
        let (item, words) = (&items[i], relations.words);
        let (clashes, lives) = (relations.clashes(i), relations.lives(i));
        let (mut least, mut best) = (item.bytes, Place { slot: self.slots.len(), offset: 0 });
        for (s, &Slot { bytes: size, kind: other }) in self.slots.iter().enumerate() {
            // At equal growth, sharing a slot is better: later items may overlap both.
            let shares = kind == SlotKind::Aliased && best.slot == self.slots.len();
            let better = |growth: u64| growth < least || (growth == least && shares);
            if kind != other || !better(item.bytes.saturating_sub(size)) {
                continue;
            }
            let members = &self.members[s * words..][..words];
            let excluded = |m: u64, clash: u64, live: u64| match kind {
                SlotKind::Buffer => m & clash != 0,
                SlotKind::Texture => m & (clash | live) != 0,
                SlotKind::Aliased => false,
            };
            if (0..words).any(|w| excluded(members[w], clashes[w], lives[w])) {
                continue;
            }
            self.busy.clear();
            for (w, (member, live)) in members.iter().zip(lives).enumerate() {
                let mut both = member & live;
                while both != 0 {
                    let m = w * 64 + both.trailing_zeros() as usize;
                    self.busy.push((self.places[m].offset, self.places[m].offset + items[m].bytes));
                    both &= both - 1;
                }
            }
            self.busy.sort_unstable();
            let mut offset = 0;
            for &(from, to) in &self.busy {
                if offset + item.bytes <= from {
                    break;
                }
                offset = offset.max(to);
            }
            let growth = (offset + item.bytes).saturating_sub(size);
            if offset + item.bytes <= limit && better(growth) {
                (least, best) = (growth, Place { slot: s, offset });
            }
        }
        best
    }
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

    /// Whether some node needs them in different buffers.
    fn clash(a: &Item, b: &Item) -> bool {
        let meet = |a: &[usize], b: &[usize]| a.iter().any(|n| b.contains(n));
        meet(&a.written, &b.read) || meet(&a.read, &b.written) || meet(&a.written, &b.written)
    }

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
                    prop_assert!(aliased && a.texture || !clash(a, b));
                    let apart = places[i].offset + a.bytes <= places[j].offset || places[j].offset + b.bytes <= places[i].offset;
                    prop_assert!(apart || !a.lives_with(b), "{i} and {j} overlap");
                }
            }
            prop_assert!(slots.iter().map(|s| s.bytes).sum::<u64>() >= largest_live_set(&items));
        }
    }
}
