//! Connected components: from a mask to single instances.

use super::instances::{Connectivity, Union};
use super::labels::LabelMap;

/// Numbers the connected components of equal labels above 0 from 1 on, in the order of their first pixels (row by row).
/// Touching pixels of different labels belong to different components; of a mask of 0 and 1 these are its components.
pub fn components(map: &LabelMap, connectivity: Connectivity) -> LabelMap {
    // Sides of a map that is in memory are far below 2^32.
    let mut union = Union::new(map.width() as u32, map.height() as u32, connectivity, false);
    let (mut row, mut runs, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for classes in map.labels().chunks_exact(map.width()) {
        union.row(classes.iter().copied(), &mut row);
        runs.extend_from_slice(&row);
        ends.push(runs.len());
    }
    let number = union.finish(0).number;
    let mut labels = vec![0; map.labels().len()];
    let mut first = 0;
    for (line, end) in labels.chunks_exact_mut(map.width()).zip(ends) {
        for run in &runs[first..end] {
            line[run.start as usize..run.end as usize].fill(number[run.label as usize]);
        }
        first = end;
    }
    let mut labels = labels.into_iter();
    map.map(|_| labels.next().unwrap_or(0))
}

/// Lets every instance grow by one pixel in all eight directions, `steps` times, into the background only; where several
/// meet, the one of the largest number wins.
pub fn grow(map: &LabelMap, steps: usize) -> LabelMap {
    let (w, h) = (map.width(), map.height());
    let mut now = map.clone();
    for _ in 0..steps {
        let from = now.labels().to_vec();
        let mut at = 0;
        now = now.map(|label| {
            let (x, y) = (at % w, at / w);
            at += 1;
            let rows = y.saturating_sub(1)..(y + 2).min(h);
            let around = rows.flat_map(|r| &from[r * w + x.saturating_sub(1)..r * w + (x + 2).min(w)]);
            if label > 0 { label } else { around.copied().max().unwrap_or(0) }
        });
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: &[&str]) -> LabelMap {
        let digit = |x: usize, y: usize| rows[y].chars().nth(x).and_then(|c| c.to_digit(10)).unwrap_or(0);
        LabelMap::from_fn(rows[0].len(), rows.len(), digit).unwrap()
    }

    #[test]
    fn corners_join_only_eight_neighbours() {
        let mask = map(&["1.1..", ".1..1", "...1.", "1...."]);
        assert_eq!(components(&mask, Connectivity::Four), map(&["1.2..", ".3..4", "...5.", "6...."]));
        assert_eq!(components(&mask, Connectivity::Eight), map(&["1.1..", ".1..2", "...2.", "3...."]));
    }

    #[test]
    fn branches_that_meet_late_are_one() {
        let mask = map(&["1.1.1", "1.1.1", "11111", ".....", "1...1"]);
        for c in [Connectivity::Four, Connectivity::Eight] {
            assert_eq!(components(&mask, c), map(&["1.1.1", "1.1.1", "11111", ".....", "2...3"]), "{c:?}");
        }
        let spiral = map(&["11111", "....1", "111.1", "1...1", "11111"]);
        assert_eq!(components(&spiral, Connectivity::Four), spiral);
    }

    #[test]
    fn different_labels_stay_apart() {
        let mask = map(&["1122", "1122", "3311"]);
        assert_eq!(components(&mask, Connectivity::Four), map(&["1122", "1122", "3344"]));
        assert_eq!(components(&map(&["....", "...."]), Connectivity::Eight).instances(), [0u32; 0]);
    }

    #[test]
    fn the_ends_of_rows_do_not_touch() {
        let mask = map(&["..1", "1.."]);
        assert_eq!(components(&mask, Connectivity::Eight), map(&["..1", "2.."]));
        assert_eq!(components(&map(&["1", "1", ".", "1"]), Connectivity::Eight), map(&["1", "1", ".", "2"]));
    }

    /// Against flood filling, on noise.
    #[test]
    fn components_are_those_of_flood_filling() {
        let mut state = 1u32;
        let mut noise = |_, _| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 24) % 5 / 2
        };
        let mask = LabelMap::from_fn(37, 23, &mut noise).unwrap();
        for connectivity in [Connectivity::Four, Connectivity::Eight] {
            let (w, h) = (mask.width() as isize, mask.height() as isize);
            let mut expected = vec![0; (w * h) as usize];
            let mut count = 0;
            for start in 0..expected.len() {
                if expected[start] > 0 || mask.labels()[start] == 0 {
                    continue;
                }
                count += 1;
                let mut open = vec![start as isize];
                while let Some(i) = open.pop() {
                    if expected[i as usize] > 0 {
                        continue;
                    }
                    expected[i as usize] = count;
                    for (dx, dy) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))) {
                        let (x, y) = (i % w + dx, i / w + dy);
                        let near = connectivity == Connectivity::Eight || dx == 0 || dy == 0;
                        let inside = (0..w).contains(&x) && (0..h).contains(&y);
                        if near && inside && mask.labels()[(y * w + x) as usize] == mask.labels()[start] {
                            open.push(y * w + x);
                        }
                    }
                }
            }
            assert_eq!(components(&mask, connectivity).labels(), expected, "{connectivity:?}");
        }
    }

    #[test]
    fn objects_grow_into_the_background() {
        let seeds = map(&[".....", ".1...", "...2."]);
        assert_eq!(grow(&seeds, 0), seeds);
        assert_eq!(grow(&seeds, 1), map(&["111..", "11222", "11222"]));
    }
}
