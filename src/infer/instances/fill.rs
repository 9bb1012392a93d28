//! Fills holes of instances that are already separated, and may be in several pieces.

use std::collections::HashSet;

use super::runs::{Rows, Run};
use super::union::Numbered;
use super::{InstanceOptions, Instances, Source, Union};
use crate::error::{Error, Result};
use crate::infer::Connectivity;
use crate::text::mib;

/// Class of the background's pieces; that of instance `n` is `n` more.
const BACKGROUND: u32 = 1;

/// Background from which every way along edges of pixels out of the image crosses one instance becomes part of that one;
/// of several such instances, of the one with the smallest number.
pub(super) fn fill(instances: &mut Instances, options: &InstanceOptions) -> Result<()> {
    let (width, height, count) = (instances.width, instances.height, instances.count());
    let mut union = Union::new(width as u32, height as u32, Connectivity::Four, false);
    let mut rows = Rows::new(&options.scratch);
    let mut neighbours = Neighbours::default();
    let (mut labels, mut own, mut above): (Vec<u32>, Vec<Run>, Vec<Run>) = (vec![0; width], Vec::new(), Vec::new());
    instances.rows(|y, row| {
        Run::paint(row, &mut labels);
        union.row(labels.iter().map(|&label| label + BACKGROUND), &mut own);
        rows.push(&own)?;
        neighbours.row(y as u32, &own, &above);
        let needed = 2 * (union.bytes() + neighbours.bytes());
        if needed > options.memory {
            return Err(Error::Limit {
                what: format!("the table of holes up to row {y}"),
                needed: mib(needed),
                limit: options.limit().to_string(),
            });
        }
        std::mem::swap(&mut own, &mut above);
        Ok(())
    })?;
    let numbered = union.finish(0);
    let owner = Pieces::new(neighbours, &numbered, count).owners([width as u32, height as u32]);
    if owner.is_empty() {
        return Ok(());
    }
    let mut next = rows.read()?;
    let mut out = Rows::new(&options.scratch);
    for _ in 0..height {
        next(&mut own)?;
        above.clear();
        for run in &own {
            let piece = numbered.number[run.label as usize] as usize;
            let label = (numbered.class[piece] - BACKGROUND).max(owner[piece]);
            match above.last_mut() {
                _ if label == 0 => {}
                Some(last) if last.label == label && last.end == run.start => last.end = run.end,
                _ => above.push(Run { label, ..*run }),
            }
        }
        out.push(&above)?;
    }
    instances.source = Source::Rows(out);
    instances.number = (0..=count as u32).collect();
    Ok(())
}

/// First and last columns, first and last rows.
#[derive(Clone, Copy)]
struct Extent([u32; 4]);

impl Extent {
    const EMPTY: Self = Self([u32::MAX, 0, u32::MAX, 0]);

    fn join(&mut self, other: &Self) {
        let (Self([left, right, top, bottom]), Self(o)) = (self, other);
        (*left, *right) = ((*left).min(o[0]), (*right).max(o[1]));
        (*top, *bottom) = ((*top).min(o[2]), (*bottom).max(o[3]));
    }

    fn contains(&self, other: &Self) -> bool {
        let (Self(a), Self(b)) = (self, other);
        a[0] <= b[0] && b[1] <= a[1] && a[2] <= b[2] && b[3] <= a[3]
    }

    fn is_inner(&self, [width, height]: [u32; 2]) -> bool {
        let [left, right, top, bottom] = self.0;
        left > 0 && top > 0 && right + 1 < width && bottom + 1 < height
    }
}

/// Which pieces share an edge, and how far they extend, by provisional labels.
#[derive(Default)]
struct Neighbours {
    edges: HashSet<(u32, u32)>,
    extents: Vec<Extent>,
    /// Pairs seen lately, by a hash: most come again in the next row.
    lately: Vec<(u32, u32)>,
}

const LATELY: usize = 1 << 10;

impl Neighbours {
    fn bytes(&self) -> u64 {
        (16 * self.edges.capacity() + size_of_val(&self.extents[..])) as u64
    }

    /// Takes a row that its runs cover without gaps.
    fn row(&mut self, y: u32, own: &[Run], above: &[Run]) {
        for run in own {
            let at = run.label as usize;
            if self.extents.len() <= at {
                self.extents.resize(at + 1, Extent::EMPTY);
            }
            self.extents[at].join(&Extent([run.start, run.end - 1, y, y]));
        }
        own.windows(2).for_each(|pair| self.edge(pair[0].label, pair[1].label));
        let mut above = above.iter().peekable();
        for run in own {
            while let Some(upper) = above.next_if(|upper| upper.end <= run.end) {
                self.edge(upper.label, run.label);
            }
            if let Some(upper) = above.peek().filter(|upper| upper.start < run.end) {
                self.edge(upper.label, run.label);
            }
        }
    }

    fn edge(&mut self, a: u32, b: u32) {
        if a == b {
            return;
        }
        let pair = (a.min(b), a.max(b));
        self.lately.resize(LATELY, (0, 0));
        let slot = &mut self.lately[pair.0.wrapping_mul(31).wrapping_add(pair.1) as usize % LATELY];
        if *slot != pair {
            *slot = pair;
            self.edges.insert(pair);
        }
    }
}

/// Pieces of instances and of the background, by number from 1.
struct Pieces<'a> {
    class: &'a [u32],
    extents: Vec<Extent>,
    /// Both directions of every edge, sorted; those of piece `n` begin at `first[n]`.
    edges: Vec<(u32, u32)>,
    first: Vec<usize>,
    count: usize,
}

impl<'a> Pieces<'a> {
    fn new(neighbours: Neighbours, Numbered { number, class, .. }: &'a Numbered, count: usize) -> Self {
        let mut extents = vec![Extent::EMPTY; class.len()];
        for (extent, &piece) in neighbours.extents.iter().zip(number).skip(1) {
            extents[piece as usize].join(extent);
        }
        let pairs = neighbours.edges.into_iter().map(|(a, b)| (number[a as usize], number[b as usize]));
        let mut edges: Vec<(u32, u32)> = pairs.filter(|(a, b)| a != b).flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        edges.sort_unstable();
        edges.dedup();
        let mut first = vec![0; class.len() + 1];
        edges.iter().for_each(|&(a, _)| first[a as usize + 1] += 1);
        for i in 1..first.len() {
            first[i] += first[i - 1];
        }
        Self { class, extents, edges, first, count }
    }

    fn beside(&self, piece: u32) -> impl Iterator<Item = u32> {
        self.edges[self.first[piece as usize]..self.first[piece as usize + 1]].iter().map(|e| e.1)
    }

    /// By piece of background, the instance that it becomes part of, or 0. Empty if all are 0.
    fn owners(&self, size: [u32; 2]) -> Vec<u32> {
        let is_hole = |p: &usize| self.class[*p] == BACKGROUND && self.extents[*p].is_inner(size);
        if !(1..self.class.len()).any(|p| is_hole(&p)) {
            return Vec::new();
        }
        let mut pieces: Vec<u32> = (1..self.class.len() as u32).collect();
        pieces.retain(|&p| self.class[p as usize] > BACKGROUND);
        pieces.sort_by_key(|&p| self.class[p as usize]);
        let mut extents = vec![Extent::EMPTY; self.count + 1];
        pieces
            .iter()
            .for_each(|&p| extents[(self.class[p as usize] - BACKGROUND) as usize].join(&self.extents[p as usize]));
        let mut owner = vec![0; self.class.len()];
        let mut any = false;
        // The search that has seen a piece.
        let (mut seen, mut search) = (vec![0u64; self.class.len()], 0);
        let mut found = Vec::new();
        for of_one in pieces.chunk_by(|&a, &b| self.class[a as usize] == self.class[b as usize]) {
            let class = self.class[of_one[0] as usize];
            let extent = &extents[(class - BACKGROUND) as usize];
            let earlier = search;
            for from in of_one.iter().flat_map(|&p| self.beside(p)) {
                if seen[from as usize] > earlier || self.class[from as usize] == class {
                    continue;
                }
                // All that is reached from here without crossing the instance, unless that leads out: whatever
                // reaches beyond the instance's extent does.
                search += 1;
                found.clear();
                found.push(from);
                seen[from as usize] = search;
                let (mut next, mut enclosed) = (0, true);
                while let Some(&piece) = found.get(next).filter(|_| enclosed) {
                    next += 1;
                    let own = &self.extents[piece as usize];
                    enclosed = extent.contains(own) && own.is_inner(size);
                    for near in self.beside(piece).filter(|&n| self.class[n as usize] != class) {
                        let by = &mut seen[near as usize];
                        if *by > earlier && *by < search {
                            // An earlier search led out from there.
                            enclosed = false;
                        } else if *by < search {
                            *by = search;
                            found.push(near);
                        }
                    }
                }
                let holes = found.iter().filter(|&&p| enclosed && self.class[p as usize] == BACKGROUND);
                for &hole in holes {
                    any = true;
                    if owner[hole as usize] == 0 {
                        owner[hole as usize] = class - BACKGROUND;
                    }
                }
            }
        }
        if any { owner } else { Vec::new() }
    }
}
