//! Which regions of an image one instance encloses.

/// Regions that share an edge, and which of them reach the outside of the image.
#[derive(Debug, Default)]
pub(super) struct Regions {
    /// Pairs of neighbours.
    pub edges: Vec<(u32, u32)>,
    /// Regions at the image's edge.
    pub outer: Vec<u32>,
}

/// The region outside the image.
const OUTSIDE: usize = 0;

impl Regions {
    /// Every region with the smallest instance that all ways from it to the outside cross, for those that have one, by
    /// region. Such an instance is a cut vertex between the two (R. Tarjan, "Depth-first search and linear graph algorithms",
    /// 1972).
    pub(super) fn enclosed(mut self, is_instance: impl Fn(u32) -> bool) -> Vec<(u32, u32)> {
        let mut names: Vec<u32> =
            self.edges.iter().flat_map(|&(a, b)| [a, b]).chain(self.outer.iter().copied()).collect();
        names.sort_unstable();
        names.dedup();
        let place = |name: u32| names.partition_point(|&n| n < name) + 1;
        // Both directions of every edge, by their first ends.
        let inner = self.edges.drain(..).map(|(a, b)| (place(a), place(b)));
        let outer = self.outer.drain(..).map(|n| (OUTSIDE, place(n)));
        let mut edges: Vec<(usize, usize)> = inner.chain(outer).flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        edges.sort_unstable();
        edges.dedup();
        let mut first = vec![0; names.len() + 2];
        edges.iter().for_each(|&(a, _)| first[a + 1] += 1);
        for i in 1..first.len() {
            first[i] += first[i - 1];
        }
        let walk = Walk::new(&edges, first);
        let mut by = vec![u32::MAX; names.len() + 1];
        for &node in walk.order.iter().skip(1) {
            let parent = walk.parent[node];
            by[node] = by[parent];
            if parent != OUTSIDE && walk.low[node] >= walk.reached[parent] && is_instance(names[parent - 1]) {
                by[node] = by[node].min(names[parent - 1]);
            }
        }
        let found = names.iter().zip(&by[1..]).filter(|(_, by)| **by < u32::MAX);
        found.map(|(&name, &by)| (name, by)).collect()
    }
}

/// A depth-first walk from the outside.
struct Walk {
    order: Vec<usize>,
    parent: Vec<usize>,
    /// Position in the order, from 1.
    reached: Vec<usize>,
    /// The earliest position that a node and those below it are next to.
    low: Vec<usize>,
}

impl Walk {
    /// Edges sorted by first ends; those of node `n` begin at `first[n]`.
    fn new(edges: &[(usize, usize)], first: Vec<usize>) -> Self {
        let nodes = first.len() - 1;
        let mut walk =
            Self { order: vec![OUTSIDE], parent: vec![OUTSIDE; nodes], reached: vec![0; nodes], low: vec![0; nodes] };
        (walk.reached[OUTSIDE], walk.low[OUTSIDE]) = (1, 1);
        let mut next = first.clone();
        let mut path = vec![OUTSIDE];
        while let Some(&node) = path.last() {
            if next[node] == first[node + 1] {
                path.pop();
                let parent = walk.parent[node];
                walk.low[parent] = walk.low[parent].min(walk.low[node]);
                continue;
            }
            let (_, to) = edges[next[node]];
            next[node] += 1;
            if walk.reached[to] == 0 {
                walk.order.push(to);
                walk.parent[to] = node;
                (walk.reached[to], walk.low[to]) = (walk.order.len(), walk.order.len());
                path.push(to);
            } else if to != walk.parent[node] {
                walk.low[node] = walk.low[node].min(walk.reached[to]);
            }
        }
        walk
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The regions that are not reached from the outside once an instance is taken away.
    fn cut_off(nodes: u32, edges: &[(u32, u32)], outer: &[u32], instance: u32) -> Vec<u32> {
        let mut reached = vec![false; nodes as usize];
        outer.iter().filter(|&&n| n != instance).for_each(|&n| reached[n as usize] = true);
        for _ in 0..nodes {
            for &(a, b) in edges.iter().filter(|e| e.0 != instance && e.1 != instance) {
                let either = reached[a as usize] || reached[b as usize];
                (reached[a as usize], reached[b as usize]) = (either, either);
            }
        }
        (0..nodes).filter(|&n| n != instance && !reached[n as usize]).collect()
    }

    proptest! {
        #[test]
        fn enclosed_regions_are_cut_off_by_their_instance(
            nodes in 2u32..9,
            pairs in prop::collection::vec((0u32..9, 0u32..9), 1..16),
            outer in prop::collection::vec(0u32..9, 1..4),
        ) {
            let edges: Vec<(u32, u32)> =
                pairs.into_iter().map(|(a, b)| (a % nodes, b % nodes)).filter(|(a, b)| a != b).collect();
            let outer: Vec<u32> = outer.into_iter().map(|n| n % nodes).collect();
            // Even regions are instances.
            let mut expected = vec![];
            let unreachable = cut_off(nodes, &edges, &outer, u32::MAX);
            for n in (0..nodes).filter(|n| !unreachable.contains(n)) {
                let by = (0..nodes).step_by(2).find(|&i| i != n && cut_off(nodes, &edges, &outer, i).contains(&n));
                expected.extend(by.map(|by| (n, by)));
            }
            prop_assert_eq!(Regions { edges, outer }.enclosed(|n| n % 2 == 0), expected);
        }
    }
}
