//! Connected components: from a mask to single objects.

use super::labels::LabelMap;

/// Which pixels are neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connectivity {
    /// Those that share an edge.
    #[default]
    Four,
    /// Those that share an edge or a corner.
    Eight,
}

/// Numbers the connected components of equal labels above 0 from 1 on, in the order of their first pixels (row by row).
/// Touching pixels of different labels belong to different components; of a mask of 0 and 1 these are its components.
pub fn components(map: &LabelMap, connectivity: Connectivity) -> LabelMap {
    let (w, labels) = (map.width(), map.labels());
    // Union-find over the pixels; a root is its component's first pixel.
    let mut parent: Vec<u32> = Vec::new();
    // Provisional component of each pixel; 0 is the background.
    let mut found = vec![0u32; labels.len()];
    parent.push(0);
    for i in 0..labels.len() {
        if labels[i] == 0 {
            continue;
        }
        let (x, y) = (i % w, i / w);
        let diagonals = connectivity == Connectivity::Eight && y > 0;
        let before = [
            (x > 0, 1),
            (diagonals && x > 0, w + 1),
            (y > 0, w),
            // Beyond the last column the offset would be the next row's first pixel.
            (diagonals && x + 1 < w, w - 1),
        ];
        let mut own = 0;
        for (_, offset) in before.into_iter().filter(|(exists, offset)| *exists && labels[i - offset] == labels[i]) {
            let other = root(&mut parent, found[i - offset]);
            own = match own {
                0 => other,
                own => {
                    let (first, second) = (own.min(other), own.max(other));
                    parent[second as usize] = first;
                    first
                }
            };
        }
        if own == 0 {
            own = parent.len() as u32;
            parent.push(own);
        }
        found[i] = own;
    }
    // Provisional numbers ascend with first pixels, and roots are the smallest of their component.
    let mut number = vec![0u32; parent.len()];
    let mut count = 0;
    for i in 1..parent.len() as u32 {
        let root = root(&mut parent, i);
        if root == i {
            count += 1;
            number[i as usize] = count;
        } else {
            number[i as usize] = number[root as usize];
        }
    }
    let mut at = 0;
    map.map(|_| {
        at += 1;
        number[found[at - 1] as usize]
    })
}

/// The root of a component, with the path to it halved.
fn root(parent: &mut [u32], mut i: u32) -> u32 {
    while parent[i as usize] != i {
        parent[i as usize] = parent[parent[i as usize] as usize];
        i = parent[i as usize];
    }
    i
}

/// Lets every object grow by one pixel in all eight directions, `steps` times, into the background only; where several
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
        assert_eq!(components(&map(&["....", "...."]), Connectivity::Eight).objects(), [0u32; 0]);
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
            let mut want = vec![0; (w * h) as usize];
            let mut count = 0;
            for start in 0..want.len() {
                if want[start] > 0 || mask.labels()[start] == 0 {
                    continue;
                }
                count += 1;
                let mut open = vec![start as isize];
                while let Some(i) = open.pop() {
                    if want[i as usize] > 0 {
                        continue;
                    }
                    want[i as usize] = count;
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
            assert_eq!(components(&mask, connectivity).labels(), want, "{connectivity:?}");
        }
    }

    #[test]
    fn objects_grow_into_the_background() {
        let seeds = map(&[".....", ".1...", "...2."]);
        assert_eq!(grow(&seeds, 0), seeds);
        assert_eq!(grow(&seeds, 1), map(&["111..", "11222", "11222"]));
    }
}
