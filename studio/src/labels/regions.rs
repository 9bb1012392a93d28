//! Flood fill, parts and holes of regions.

use std::collections::{BTreeMap, VecDeque};

use super::recorder::Recorder;
use super::shapes::line_in_row;
use super::table::Labels;
use super::tile::Pixels;
use super::{BACKGROUND, Rect, UNLABELLED};

impl Labels {
    /// Gives the 4-connected region of equal value around a pixel of the map another value.
    pub(super) fn flood(&mut self, recorder: &mut Recorder, at: [u32; 2], value: u32) {
        let Some(old) = self.map.get(at[0], at[1]).filter(|&old| old != value) else { return };
        // Tiles with pixels from which the region goes on.
        let mut open = BTreeMap::new();
        let seed = |open: &mut BTreeMap<usize, Vec<[u32; 2]>>, labels: &Self, x: u32, y: u32| {
            if let Some(t) = labels.map.tile_of(x, y)
                && labels.map.tiles[t].pixels.at(labels.map.place(t).offset(x, y)) == old
            {
                open.entry(t).or_default().push([x, y]);
            }
        };
        seed(&mut open, self, at[0], at[1]);
        while let Some((t, seeds)) = open.pop_first() {
            let place = self.map.place(t);
            let mut reached = Reached::new(Rect::new(place.x.into(), place.y.into(), place.width, place.height));
            match &self.map.tiles[t].pixels {
                Pixels::Uniform(_) => {
                    reached.all();
                    self.map_tile(recorder, t, |_| value);
                }
                Pixels::Dense(values) => {
                    reached.spread(seeds, |x, y| values[place.offset(x, y)] == old);
                    self.rewrite(recorder, t, place.rows(), |x, y, v| if reached.has(x, y) { value } else { v });
                }
            }
            let (right, bottom) = (place.x + place.width, place.y + place.height);
            for y in (place.y..bottom).filter(|&y| place.x > 0 && reached.has(place.x, y)) {
                seed(&mut open, self, place.x - 1, y);
            }
            for y in (place.y..bottom).filter(|&y| reached.has(right - 1, y)) {
                seed(&mut open, self, right, y);
            }
            for x in (place.x..right).filter(|&x| place.y > 0 && reached.has(x, place.y)) {
                seed(&mut open, self, x, place.y - 1);
            }
            for x in (place.x..right).filter(|&x| reached.has(x, bottom - 1)) {
                seed(&mut open, self, x, bottom);
            }
        }
    }

    /// Gives the pixels of a rectangle the value `new(offset, old)`, with offsets row by row.
    pub(super) fn rewrite_rect(&mut self, recorder: &mut Recorder, rect: Rect, new: impl Fn(usize, u32) -> u32) {
        for t in self.map.tiles_in(rect) {
            let place = self.map.place(t);
            let (left, top) = (i64::from(place.x).max(rect.x), i64::from(place.y).max(rect.y));
            let right = i64::from(place.x + place.width).min(rect.right());
            let bottom = i64::from(place.y + place.height).min(rect.bottom());
            let rows = (top..bottom).map(|y| (y as u32, left as u32, right as u32));
            let offset = |x: u32, y: u32| {
                (i64::from(y) - rect.y) as usize * rect.width as usize + (i64::from(x) - rect.x) as usize
            };
            self.rewrite(recorder, t, rows, |x, y, old| new(offset(x, y), old));
        }
    }
}

/// Pixels of a rectangle that a flood has reached.
struct Reached {
    rect: Rect,
    pixels: Vec<bool>,
}

impl Reached {
    fn new(rect: Rect) -> Self {
        Self { rect, pixels: vec![false; rect.width as usize * rect.height as usize] }
    }

    fn all(&mut self) {
        self.pixels.fill(true);
    }

    fn index(&self, x: u32, y: u32) -> Option<usize> {
        let (x, y) = (i64::from(x) - self.rect.x, i64::from(y) - self.rect.y);
        let inside = (0..i64::from(self.rect.width)).contains(&x) && (0..i64::from(self.rect.height)).contains(&y);
        inside.then(|| y as usize * self.rect.width as usize + x as usize)
    }

    fn has(&self, x: u32, y: u32) -> bool {
        self.index(x, y).is_some_and(|i| self.pixels[i])
    }

    /// Adds all that is 4-connected with the seeds by pixels that are `open`.
    fn spread(&mut self, seeds: Vec<[u32; 2]>, open: impl Fn(u32, u32) -> bool) {
        let mut stack = seeds;
        while let Some([x, y]) = stack.pop() {
            let Some(i) = self.index(x, y).filter(|&i| !self.pixels[i]) else { continue };
            if !open(x, y) {
                continue;
            }
            self.pixels[i] = true;
            let around = [(x.checked_sub(1), Some(y)), (x.checked_add(1), Some(y))];
            let above = [(Some(x), y.checked_sub(1)), (Some(x), y.checked_add(1))];
            stack.extend(around.into_iter().chain(above).filter_map(|(x, y)| Some([x?, y?])));
        }
    }
}

/// Pixels of a small area around an instance, row by row.
pub(super) struct Area {
    pub rect: Rect,
    pub values: Vec<u32>,
}

/// The part of a pixel that is in none.
const NONE: u32 = 0;
/// The part of pixels under a line.
const CUT: u32 = u32::MAX;

impl Area {
    /// Reads the instance's bounding box.
    pub fn read(labels: &Labels, rect: Rect) -> Self {
        let mut values = vec![UNLABELLED; rect.width as usize * rect.height as usize];
        labels.map.read(rect, &mut values);
        Self { rect, values }
    }

    /// The place of a pixel, by its column and row in the area.
    pub fn at(&self, x: i64, y: i64) -> Option<usize> {
        let inside = x >= 0 && y >= 0 && x < i64::from(self.rect.width) && y < i64::from(self.rect.height);
        inside.then(|| y as usize * self.rect.width as usize + x as usize)
    }

    /// The neighbours of a pixel by edges, then those by corners.
    fn around(&self, i: usize) -> impl Iterator<Item = usize> {
        let (x, y) = ((i % self.rect.width as usize) as i64, (i / self.rect.width as usize) as i64);
        const STEPS: [[i64; 2]; 8] = [[0, -1], [-1, 0], [1, 0], [0, 1], [-1, -1], [1, -1], [-1, 1], [1, 1]];
        STEPS.into_iter().filter_map(move |[dx, dy]| self.at(x + dx, y + dy))
    }

    /// Background and unlabelled pixels that instance `id` surrounds, as a flag per pixel.
    pub fn holes(&self, id: u32) -> Vec<bool> {
        let [width, height] = [self.rect.width as usize, self.rect.height as usize];
        let mut outside = vec![false; self.values.len()];
        let on_edge = |i: usize| {
            let (x, y) = (i % width, i / width);
            x == 0 || y == 0 || x == width - 1 || y == height - 1
        };
        let mut stack: Vec<usize> = (0..self.values.len()).filter(|&i| on_edge(i)).collect();
        while let Some(i) = stack.pop() {
            if outside[i] || self.values[i] == id {
                continue;
            }
            outside[i] = true;
            // What the instance surrounds by corners is surrounded, too: the outside spreads by edges.
            let (x, y) = ((i % width) as i64, (i / width) as i64);
            stack.extend([[0, -1], [-1, 0], [1, 0], [0, 1]].iter().filter_map(|[dx, dy]| self.at(x + dx, y + dy)));
        }
        let empty = |&v: &u32| v == BACKGROUND || v == UNLABELLED;
        self.values.iter().zip(outside).map(|(v, outside)| !outside && empty(v)).collect()
    }

    /// The pixels that a line passes through.
    fn under(&self, line: &[[f64; 2]]) -> Vec<usize> {
        let mut found = Vec::new();
        for (a, b) in line.iter().zip(line.iter().skip(1)) {
            let low = a[1].min(b[1]).floor().max(self.rect.y as f64) as i64;
            let high = (a[1].max(b[1]).floor() as i64).min(self.rect.bottom() - 1);
            for y in low..=high {
                let Some([x0, x1]) = line_in_row(*a, *b, y) else { continue };
                let columns = x0.max(self.rect.x)..=x1.min(self.rect.right() - 1);
                found.extend(columns.filter_map(|x| self.at(x - self.rect.x, y - self.rect.y)));
            }
        }
        found
    }

    /// Numbers the 8-connected parts of pixels that are `in_part`, from 1; returns the parts' areas by number - 1.
    fn parts(&self, in_part: impl Fn(usize) -> bool) -> (Vec<u32>, Vec<u64>) {
        let (mut part_of, mut areas) = (vec![NONE; self.values.len()], Vec::new());
        for start in 0..self.values.len() {
            if part_of[start] != NONE || !in_part(start) {
                continue;
            }
            let part = areas.len() as u32 + 1;
            let (mut stack, mut area) = (vec![start], 0);
            part_of[start] = part;
            while let Some(i) = stack.pop() {
                area += 1;
                for j in self.around(i) {
                    if part_of[j] == NONE && in_part(j) {
                        part_of[j] = part;
                        stack.push(j);
                    }
                }
            }
            areas.push(area);
        }
        (part_of, areas)
    }

    /// Divides instance `id` where the line crosses it. Returns the piece of every pixel and the number of pieces; piece 1 is
    /// the largest, and 0 is no piece: other pixels, and what the line does not divide. None if it divides nothing.
    pub fn divided(&self, id: u32, line: &[[f64; 2]]) -> Option<(Vec<u32>, u32)> {
        let whole = |i: usize| self.values[i] == id;
        let mut under = vec![false; self.values.len()];
        self.under(line).into_iter().filter(|&i| whole(i)).for_each(|i| under[i] = true);
        // An instance may have been in several pieces before: each that the line crosses is divided by itself.
        let (before, before_areas) = self.parts(whole);
        let (mut after, areas) = self.parts(|i| whole(i) && !under[i]);
        let mut count = vec![0; before_areas.len() + 1];
        let mut owner = vec![NONE; areas.len() + 1];
        for (i, &part) in after.iter().enumerate().filter(|(_, part)| **part != NONE) {
            if owner[part as usize] == NONE {
                owner[part as usize] = before[i];
                count[before[i] as usize] += 1;
            }
        }
        let divided = |part: u32| count[owner[part as usize] as usize] > 1;
        let mut order: Vec<u32> = (1..=areas.len() as u32).filter(|&part| divided(part)).collect();
        if order.is_empty() {
            return None;
        }
        // Equal areas keep the order of their first pixels.
        order.sort_by_key(|&part| std::cmp::Reverse(areas[part as usize - 1]));
        let mut piece_of = vec![NONE; areas.len() + 1];
        (1..).zip(&order).for_each(|(piece, &part)| piece_of[part as usize] = piece);
        for (i, part) in after.iter_mut().enumerate() {
            let cut = under[i] && count[before[i] as usize] > 1;
            *part = if cut { CUT } else { piece_of[*part as usize] };
        }
        self.spread_pieces(&mut after);
        Some((after, order.len() as u32))
    }

    /// Gives pixels under the line to the nearest piece, layer by layer.
    fn spread_pieces(&self, pieces: &mut [u32]) {
        let solid = |piece: u32| piece != NONE && piece != CUT;
        let mut queue: VecDeque<usize> = (0..pieces.len()).filter(|&i| solid(pieces[i])).collect();
        while let Some(i) = queue.pop_front() {
            for j in self.around(i) {
                if pieces[j] == CUT {
                    pieces[j] = pieces[i];
                    queue.push_back(j);
                }
            }
        }
    }
}
