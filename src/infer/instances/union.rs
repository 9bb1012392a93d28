//! Connected components of a stream of rows: union-find over runs.

use std::collections::HashSet;

use super::runs::Run;
use crate::weights::Connectivity;

/// Finds components while rows arrive. Labels are provisional until [`Union::finish`]; a component's first pixels have
/// its smallest label.
#[derive(Debug)]
pub(in crate::low_level::infer) struct Union {
    width: u32,
    height: u32,
    diagonal: bool,
    sets: Sets,
    holes: Option<Holes>,
    above: Vec<Run>,
    y: u32,
}

/// Properties of each provisional label, and of each component at its root. Entry 0 is unused.
#[derive(Debug)]
struct Sets {
    parent: Vec<u32>,
    class: Vec<u32>,
    area: Vec<u64>,
    last: Vec<u32>,
}

/// Data to distinguish holes from the background around instances.
#[derive(Debug, Default)]
struct Holes {
    /// Whether a background component touches the image's edge; stored at its root.
    open: Vec<bool>,
    /// Labels of background components and of adjacent instances.
    adjacent: HashSet<(u32, u32)>,
}

/// Result of [`Union::finish`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::low_level::infer) struct Numbered {
    /// Instance number by provisional label; 0 for none.
    pub number: Vec<u32>,
    /// Class by instance number; entry 0 is unused.
    pub class: Vec<u32>,
    /// Last row by instance number.
    pub last: Vec<u32>,
}

impl Union {
    /// For an image of this size. With `holes`, background is labelled too, and [`Union::finish`] assigns holes to the
    /// instances around them.
    pub(crate) fn new(width: u32, height: u32, connectivity: Connectivity, holes: bool) -> Self {
        let sets = Sets { parent: vec![0], class: vec![0], area: vec![0], last: vec![0] };
        let holes = holes.then(|| Holes { open: vec![false], ..Default::default() });
        let diagonal = connectivity == Connectivity::Eight;
        Self { width, height, diagonal, sets, holes, above: Vec::new(), y: 0 }
    }

    /// Number of provisional labels.
    pub(crate) fn labels(&self) -> usize {
        self.sets.parent.len() - 1
    }

    /// Bytes of memory in use.
    pub(crate) fn bytes(&self) -> u64 {
        let holes = self.holes.as_ref().map_or(0, |h| h.open.len() + 16 * h.adjacent.capacity());
        (20 * self.sets.parent.capacity() + 12 * self.above.capacity() + holes) as u64
    }

    /// Processes the classes of the next row, and returns its runs with provisional labels.
    pub(crate) fn row(&mut self, classes: impl Iterator<Item = u32>, runs: &mut Vec<Run>) {
        runs.clear();
        // Until labelled, runs hold their class.
        for (x, class) in classes.enumerate() {
            let x = x as u32;
            match runs.last_mut() {
                Some(run) if run.end == x && run.label == class => run.end += 1,
                _ if class > 0 || self.holes.is_some() => runs.push(Run { start: x, end: x + 1, label: class }),
                _ => {}
            }
        }
        let Self { sets, holes, above, diagonal, y, .. } = self;
        let mut first = 0;
        for run in runs.iter_mut() {
            let class = run.label;
            // Of two crossing diagonal pairs only one is connected: background uses the opposite rule to instances.
            let corners = *diagonal == (class > 0);
            while above.get(first).is_some_and(|a| a.end < run.start) {
                first += 1;
            }
            let mut current = 0;
            for a in above.iter().skip(first).take_while(|a| a.start <= run.end) {
                if sets.class[a.label as usize] == class && (corners || overlap(a, run)) {
                    let other = sets.root(a.label);
                    current = if current == 0 { other } else { sets.join(current, other, holes) };
                }
            }
            if current == 0 {
                current = sets.add(class);
                if let Some(holes) = holes {
                    holes.open.push(false);
                }
            }
            sets.area[current as usize] += u64::from(run.end - run.start);
            sets.last[current as usize] = *y;
            run.label = current;
        }
        if self.holes.is_some() {
            self.note_neighbours(runs);
        }
        self.above.clone_from(runs);
        self.y += 1;
    }

    /// Records which instances adjoin which background, and which background touches the edge.
    fn note_neighbours(&mut self, runs: &[Run]) {
        let Some(holes) = &mut self.holes else { return };
        let edge_row = self.y == 0 || self.y + 1 == self.height;
        for run in runs.iter().filter(|r| edge_row || r.start == 0 || r.end == self.width) {
            let root = self.sets.root(run.label);
            holes.open[root as usize] = true;
        }
        let sets = &mut self.sets;
        let mut adjacent = |a: &Run, b: &Run| {
            let (ground, instance) = match (sets.class[a.label as usize], sets.class[b.label as usize]) {
                (0, 1..) => (a.label, b.label),
                (1.., 0) => (b.label, a.label),
                _ => return,
            };
            let ground = sets.root(ground);
            if !holes.open[ground as usize] {
                holes.adjacent.insert((ground, sets.root(instance)));
            }
        };
        // With background included, the runs cover the row without gaps.
        runs.windows(2).for_each(|pair| adjacent(&pair[0], &pair[1]));
        let mut first = 0;
        for run in runs {
            while self.above.get(first).is_some_and(|a| a.end <= run.start) {
                first += 1;
            }
            self.above.iter().skip(first).take_while(|a| a.start < run.end).for_each(|a| adjacent(a, run));
        }
    }

    /// Numbers the instances of at least `min_area` pixels from 1 in the order of their first pixels. A hole is
    /// background that does not touch the image's edge and adjoins one instance only; it becomes part of that instance.
    pub(crate) fn finish(mut self, min_area: u64) -> Numbered {
        let count = self.sets.parent.len();
        // The instance around each hole, at the hole's root.
        let mut around = vec![0u32; if self.holes.is_some() { count } else { 0 }];
        if let Some(holes) = self.holes.take() {
            const SEVERAL: u32 = u32::MAX;
            for (ground, instance) in holes.adjacent {
                let (ground, instance) = (self.sets.root(ground), self.sets.root(instance));
                let entry = &mut around[ground as usize];
                *entry = if *entry == 0 || *entry == instance { instance } else { SEVERAL };
            }
            for (ground, instance) in around.iter_mut().enumerate() {
                if *instance == SEVERAL || holes.open[ground] {
                    *instance = 0;
                } else if *instance > 0 {
                    let area = self.sets.area[ground];
                    self.sets.area[*instance as usize] += area;
                }
            }
        }
        let mut out = Numbered { number: vec![0; count], class: vec![0], last: vec![0] };
        for label in 1..count as u32 {
            let root = self.sets.root(label);
            let at = root as usize;
            let class = self.sets.class[at];
            out.number[label as usize] = match class {
                // A hole's first pixel comes after that of the instance around it.
                0 => around.get(at).map_or(0, |&instance| out.number[instance as usize]),
                class if root == label && self.sets.area[at] >= min_area => {
                    out.class.push(class);
                    out.last.push(self.sets.last[at]);
                    out.class.len() as u32 - 1
                }
                _ if root == label => 0,
                _ => out.number[at],
            };
        }
        out
    }
}

fn overlap(a: &Run, b: &Run) -> bool {
    a.start < b.end && b.start < a.end
}

impl Sets {
    fn add(&mut self, class: u32) -> u32 {
        let label = self.parent.len() as u32;
        self.parent.push(label);
        self.class.push(class);
        self.area.push(0);
        self.last.push(0);
        label
    }

    /// The root of a component; halves the path on the way.
    fn root(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            let above = self.parent[self.parent[i as usize] as usize];
            self.parent[i as usize] = above;
            i = above;
        }
        i
    }

    /// Merges two components given by their roots, and returns the new root.
    fn join(&mut self, a: u32, b: u32, holes: &mut Option<Holes>) -> u32 {
        let (first, second) = (a.min(b), a.max(b));
        let (f, s) = (first as usize, second as usize);
        if f != s {
            self.parent[s] = first;
            self.area[f] += self.area[s];
            self.last[f] = self.last[f].max(self.last[s]);
            if let Some(holes) = holes {
                holes.open[f] |= holes.open[s];
            }
        }
        first
    }
}
