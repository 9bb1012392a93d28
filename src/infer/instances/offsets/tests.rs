use proptest::prelude::*;

use super::*;
use crate::infer::instances::Separation;
use crate::infer::instances::geometry::tests::{Case, Planes, all, beside, cases, numbered, rules, without_holes};
use crate::infer::{LabelMap, components};

const RULE: OffsetRule = OffsetRule { votes: 20, min_cluster: 10, max_offset: 64, jumps: 3 };

/// The planes in units of the network.
fn planes(case: Case) -> Planes {
    let mut planes = case.planes;
    planes.geometry[2..].iter_mut().flatten().for_each(|v| *v /= OFFSET_UNIT);
    planes
}

#[test]
fn offsets_match_the_reference() {
    let mut found = 0;
    for (n, case) in cases().into_iter().enumerate() {
        let (expected, everything) = (case.labels("offsets"), case.labels("offsets_all"));
        let planes = planes(case);
        assert_eq!(planes.labels(&rules(Separation::Offsets(RULE))), expected, "case {n}");
        let few = OffsetRule { votes: 5, min_cluster: 4, ..RULE };
        assert_eq!(planes.labels(&all(Separation::Offsets(few))), everything, "all of case {n}");
        found += everything.iter().max().unwrap();
    }
    assert!(found > 50, "{found}");
}

/// Every pixel of the foreground with offset (0, 0), or one towards a place.
fn towards(width: usize, height: usize, place: impl Fn(usize, usize) -> Option<[f32; 2]>) -> Planes {
    let pixel = |i: usize| place(i % width, i / width).map(|[y, x]| [y - (i / width) as f32, x - (i % width) as f32]);
    let offsets: Vec<Option<[f32; 2]>> = (0..width * height).map(pixel).collect();
    let plane = |k: usize| offsets.iter().map(|o| o.map_or(9.0, |o| o[k] / OFFSET_UNIT)).collect();
    Planes {
        width,
        height,
        probability: offsets.iter().map(|o| if o.is_some() { 0.9 } else { 0.1 }).collect(),
        geometry: vec![vec![0.0; width * height], vec![0.0; width * height], plane(0), plane(1)],
    }
}

/// The decoding of a whole image by its definition.
fn whole(planes: &Planes, rule: &OffsetRule, fill_holes: bool) -> Vec<u32> {
    let (w, h) = (planes.width, planes.height);
    let pixels = w * h;
    let most = rule.max_offset as f32;
    let offset = |k: usize, i: usize| (planes.geometry[2 + k][i] * OFFSET_UNIT).clamp(-most, most);
    let inside: Vec<bool> = planes.probability.iter().map(|&p| p > 0.5).collect();
    let at = |[y, x]: [f32; 2]| {
        let on = |v: f32, side: usize| ((v + 0.5).floor().max(0.0) as usize).min(side - 1);
        on(y, h) * w + on(x, w)
    };
    let arrive = |i: usize| {
        let mut to = [(i / w) as f32, (i % w) as f32];
        for _ in 0..rule.jumps {
            let from = at(to);
            if inside[from] {
                to = [to[0] + offset(0, from), to[1] + offset(1, from)];
            }
        }
        at(to)
    };
    let mut arrived = vec![0u64; pixels];
    let places: Vec<Option<usize>> = (0..pixels).map(|i| inside[i].then(|| arrive(i))).collect();
    places.iter().flatten().for_each(|&k| arrived[k] += 1);
    let near = |i: usize| {
        let (x, y) = (i % w, i / w);
        let rows = y.saturating_sub(1)..(y + 2).min(h);
        rows.flat_map(|r| (x.saturating_sub(1)..(x + 2).min(w)).map(move |c| r * w + c))
            .map(|k| arrived[k])
            .sum::<u64>()
    };
    let clusters = LabelMap::new(w, h, (0..pixels).map(|i| u32::from(near(i) >= rule.votes)).collect()).unwrap();
    let clusters = components(&clusters, Connectivity::Eight);
    let mut labels: Vec<u32> = places.iter().map(|p| p.map_or(0, |k| clusters.labels()[k])).collect();
    let area = |labels: &[u32], l: u32| labels.iter().filter(|&&o| o == l).count() as u64;
    let small: Vec<u32> = (1..=clusters.largest()).filter(|&l| area(&labels, l) < rule.min_cluster).collect();
    labels.iter_mut().filter(|l| small.contains(l)).for_each(|l| *l = 0);
    // The pixel of the shortest offset, then the one that waits longest, passes its label on.
    let length = |i: usize| length([offset(0, i), offset(1, i)]);
    let mut waiting: Vec<(f32, usize, usize)> =
        (0..pixels).filter(|&i| labels[i] > 0).map(|i| (length(i), i, i)).collect();
    let mut age = pixels;
    while let Some(k) = (0..waiting.len()).min_by(|&a, &b| waiting[a].partial_cmp(&waiting[b]).unwrap()) {
        let (_, _, i) = waiting.swap_remove(k);
        for near in beside(i, w, pixels).filter(|&n| inside[n]) {
            if labels[near] == 0 {
                labels[near] = labels[i];
                waiting.push((length(near), age, near));
                age += 1;
            }
        }
    }
    if fill_holes {
        labels = without_holes(w, &labels);
    }
    numbered(&labels)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Offsets reach across a few rows only, so that windows move on while rows arrive.
    #[test]
    fn offsets_are_followed_as_in_the_whole_image(
        width in 1usize..12,
        height in 1usize..40,
        noise in prop::collection::vec((0u32..8, -9i32..10, -9i32..10), 12 * 40),
        votes in 1u64..7,
        min_cluster in 0u64..6,
        max_offset in 1u32..4,
        jumps in 1u32..4,
        sparse in 1u32..5,
        fill_holes: bool,
    ) {
        let noise = &noise[..width * height];
        // Fractions of pixels, so that coordinates are rounded.
        let plane = |k: fn(&(u32, i32, i32)) -> i32| noise.iter().map(|n| k(n) as f32 / 23.0).collect::<Vec<f32>>();
        let planes = Planes {
            width,
            height,
            probability: noise.iter().map(|n| if n.0 >= sparse { 0.7 } else { 0.5 }).collect(),
            geometry: vec![vec![0.0; noise.len()], vec![0.0; noise.len()], plane(|n| n.1), plane(|n| n.2)],
        };
        let rule = OffsetRule { votes, min_cluster, max_offset, jumps };
        let options = all(Separation::Offsets(rule)).with_fill_holes(fill_holes);
        prop_assert_eq!(planes.labels(&options), whole(&planes, &rule, fill_holes));
    }
}

#[test]
fn a_crowd_is_told_apart() {
    let planes = towards(1300, 650, |x, y| Some([y / 13 * 13 + 6, x / 13 * 13 + 6].map(|v| v as f32)));
    let labels = planes.labels(&rules(Separation::Offsets(RULE)));
    assert_eq!(labels.iter().max(), Some(&5000));
    let expected: Vec<u32> = (0..1300 * 650).map(|i| (i / 1300 / 13 * 100 + i % 1300 / 13 + 1) as u32).collect();
    assert!(labels == expected);
}

#[test]
fn one_giant_instance_single_pixels_pieces_and_none() {
    let count = |rule: OffsetRule, planes: &Planes| planes.instances(&all(Separation::Offsets(rule))).unwrap().count();
    // Further away than three jumps reach, all that is left belongs to the only cluster.
    let giant = towards(700, 500, |_, _| Some([250.0, 350.0]));
    assert_eq!(count(RULE, &giant), 1);
    assert!(giant.labels(&all(Separation::Offsets(RULE))).iter().all(|&l| l == 1));
    let dots = towards(60, 40, |x, y| (x % 5 == 0 && y % 5 == 0).then_some([y as f32, x as f32]));
    assert_eq!(count(RULE, &dots), 0);
    assert_eq!(count(OffsetRule { votes: 1, min_cluster: 1, ..RULE }, &dots), 12 * 8);
    assert_eq!(count(RULE, &towards(60, 40, |_, _| None)), 0);
    // Two pieces that point to the same place, and a hole in one of them.
    let mut pieces = towards(30, 12, |x, y| {
        let inside = (3..9).contains(&y) && ((2..8).contains(&x) || (20..26).contains(&x));
        (inside && (x, y) != (4, 5)).then_some([6.0, 14.0])
    });
    let labels = pieces.labels(&all(Separation::Offsets(RULE)));
    assert_eq!(labels.iter().filter(|&&l| l == 1).count(), 72);
    assert_eq!(labels.iter().max(), Some(&1));
    // NaN is no offset.
    pieces.geometry[2].fill(f32::NAN);
    pieces.geometry[3].fill(f32::NAN);
    assert_eq!(count(OffsetRule { votes: 9, min_cluster: 1, ..RULE }, &pieces), 2);
}

#[test]
fn the_memory_limit_is_respected() {
    let options = all(Separation::Offsets(RULE));
    let planes = towards(300, 900, |x, y| Some([y / 13 * 13 + 6, x / 13 * 13 + 6].map(|v| v as f32)));
    let message = |memory: u64| planes.instances(&options.clone().with_memory(memory)).unwrap_err().to_string();
    assert!(
        message(1_000_000).contains("the rows that offsets of 64 pixels may cross in 3 jumps"),
        "{}",
        message(1_000_000)
    );
    // Nothing is left over, so nothing but windows takes memory.
    assert!(planes.instances(&options.clone().with_memory(1_100_000)).is_ok());
    // All but one row is left over.
    let left = towards(300, 900, |x, y| Some(if y == 0 { [0.0, 0.0] } else { [y as f32, x as f32] }));
    let e = left.instances(&options.with_memory(1_100_000)).unwrap_err();
    assert!(matches!(&e, Error::Limit { what, .. } if what.starts_with("regions without clusters: ")), "{e}");
}
