//! Tests of the rules by which instances are kept, separated and joined.

use proptest::prelude::*;

use super::*;
use crate::infer::{Ids, LabelMap, Mask};

fn mask(rows: &[&str]) -> Mask {
    let ids = rows.iter().flat_map(|r| r.bytes().map(|b| if b == b'.' { 0 } else { b - b'0' })).collect();
    Mask::new(rows[0].len(), rows.len(), 10, Ids::U8(ids)).unwrap()
}

fn map(rows: &[&str]) -> Vec<u32> {
    rows.iter().flat_map(|r| r.bytes().map(|b| if b == b'.' { 0 } else { u32::from(b - b'0') })).collect()
}

fn found(mask: &Mask, probabilities: Option<&[f32]>, options: &InstanceOptions) -> InstanceMap {
    find_instances(mask, probabilities, options).unwrap().to_map().unwrap()
}

fn labels(mask: &Mask, options: &InstanceOptions) -> Vec<u32> {
    found(mask, None, options).labels.into_labels()
}

/// A mask of two classes of discs.
fn discs(width: usize, height: usize, centres: &[(i32, i32)], radius: i32) -> Mask {
    let inside = |x: i32, y: i32| centres.iter().any(|c| (x - c.0).pow(2) + (y - c.1).pow(2) <= radius * radius);
    let at = |i: usize| u8::from(inside((i % width) as i32, (i / width) as i32));
    Mask::new(width, height, 2, Ids::U8((0..width * height).map(at).collect())).unwrap()
}

fn watershed() -> InstanceOptions {
    InstanceOptions::from(&InstanceSettings::default().with_method(InstanceMethod::Watershed))
}

#[test]
fn small_instances_are_dropped_beside_the_median() {
    // Areas 9, 9, 4, 1, 1: the median is 4.
    let m = mask(&["111.111", "111.111", "111.111", ".......", "11.1.1.", "11....."]);
    let percent = |p: f64| labels(&m, &InstanceOptions::default().with_min_area_percent(p));
    assert_eq!(percent(25.0), labels(&m, &InstanceOptions::default()));
    let without = map(&["111.222", "111.222", "111.222", ".......", "33.....", "33....."]);
    assert_eq!(percent(25.1), without);
    assert_eq!(percent(100.0), without);
    // Of three instances none is typical.
    let few = mask(&["111.1", "111..", "111.1", "....1"]);
    assert_eq!(
        labels(&few, &InstanceOptions::default().with_min_area_percent(100.0)),
        map(&["111.2", "111..", "111.3", "....3"])
    );
}

#[test]
fn the_median_is_of_what_other_rules_keep() {
    let m = mask(&["1.1.1.1.1.1", "...........", "111.111.111", "111.111.111"]);
    let least = |pixels: u64| labels(&m, &InstanceOptions::default().with_min_area(pixels).with_min_area_percent(50.0));
    // The median of all is 1; three instances are too few for a median of their own.
    assert_eq!(least(0).iter().max(), Some(&9));
    assert_eq!(least(2).iter().max(), Some(&3));
}

#[test]
fn uncertain_instances_are_dropped() {
    let m = mask(&["11.11", "11.11"]);
    let p = [0.9, 0.7, 0.1, 0.6, 0.6, 0.9, 0.7, 0.1, 0.6, 0.8];
    let confident = |p: &[f32], least: f64| {
        let options = InstanceOptions::default().with_min_confidence(least);
        found(&m.clone(), Some(p), &options).labels.into_labels()
    };
    // Means 0.8 and 0.65. The class of the mask counts, so any number of planes will do.
    assert_eq!(confident(&p, 0.6), map(&["11.22", "11.22"]));
    assert_eq!(confident(&p, 0.7), map(&["11...", "11..."]));
    assert_eq!(confident(&p, 0.81), vec![0; 10]);
    let e = find_instances(&m, None, &InstanceOptions::default().with_min_confidence(0.5)).unwrap_err();
    assert_eq!(e.to_string(), "instances: probabilities are missing");
    // A watershed's parts have their own means.
    let touching = discs(40, 25, &[(11, 12), (28, 12)], 10);
    let p: Vec<f32> = (0..1000).map(|i| if i % 40 < 20 { 0.9 } else { 0.6 }).collect();
    let all = found(&touching, Some(&p), &watershed().with_min_confidence(0.5));
    assert_eq!(all.labels.largest(), 2);
    let left = found(&touching, Some(&p), &watershed().with_min_confidence(0.7));
    let expected = all.labels.map(|n| u32::from(n == 1));
    assert_eq!((left.labels, left.classes), (expected, vec![0, 1]));
}

#[test]
fn a_threshold_replaces_the_mask() {
    let none = |classes: usize| Mask::new(4, 1, classes, Ids::U8(vec![0; 4])).unwrap();
    let at = |classes: usize, planes: &[f32], t: f64| {
        let found = found(&none(classes), Some(planes), &InstanceOptions::default().with_threshold(Some(t)));
        (found.labels.into_labels(), found.classes)
    };
    // A single sigmoid, and a softmax of two classes.
    let p = [0.3, 0.5, 0.6, 0.2];
    assert_eq!(at(2, &p, 0.5), (vec![0, 0, 1, 0], vec![0, 1]));
    assert_eq!(at(2, &p, 0.25), (vec![1, 1, 1, 0], vec![0, 1]));
    let both: Vec<f32> = p.iter().map(|p| 1.0 - p).chain(p).collect();
    assert_eq!(at(2, &both, 0.25), (vec![1, 1, 1, 0], vec![0, 1]));
    // Three classes: the background is what no class is.
    let three = [0.4, 0.4, 0.4, 0.9, 0.5, 0.1, 0.2, 0.1, 0.1, 0.5, 0.4, 0.0];
    assert_eq!(at(3, &three, 0.5), (vec![1, 2, 2, 0], vec![0, 1, 2]));
    assert_eq!(at(3, &three, 0.6), (vec![0; 4], vec![0]));
    // Two sigmoids of classes that exclude nothing.
    let two = [0.9, 0.2, 0.6, 0.1, 0.8, 0.7, 0.2, 0.3];
    assert_eq!(at(3, &two, 0.5), (vec![1, 2, 3, 0], vec![0, 1, 2, 1]));
    for bad in [1.0, -0.1, f64::NAN] {
        assert!(find_instances(&none(2), Some(&p), &InstanceOptions::default().with_threshold(Some(bad))).is_err());
    }
}

/// A long instance with a hole in its middle would have a maximum of the distance on both sides of it.
#[test]
fn holes_are_filled_before_the_watershed() {
    let shape = |hole: usize| {
        let at = |i: usize| {
            let (x, y) = ((i % 40).abs_diff(20), (i / 40).abs_diff(20));
            u8::from(x * x * 81 + y * y * 324 <= 81 * 324 && !(x < hole && y < hole))
        };
        Mask::new(40, 40, 2, Ids::U8((0..1600).map(at).collect())).unwrap()
    };
    let whole = labels(&shape(0), &InstanceOptions::default());
    assert_eq!(labels(&shape(4), &watershed()), whole);
    assert_eq!(labels(&shape(4), &watershed().with_fill_holes(false)).into_iter().max(), Some(2));
}

#[test]
fn gaps_are_closed_and_nothing_grows_outwards() {
    let m = mask(&["......", ".1.11.", ".1.11.", ".1....", "......", "..1111"]);
    let gap = |n: u32| labels(&m, &InstanceOptions::default().with_close_gaps(n));
    assert_eq!(gap(0), map(&["......", ".1.22.", ".1.22.", ".1....", "......", "..3333"]));
    // The larger number wins; of the pixels around, those join that have an edge in common with one and another near.
    assert_eq!(gap(1), map(&["......", ".1222.", ".1222.", ".11...", ".13...", "..3333"]));
    let wide = mask(&["1..1...1"]);
    let gap = |n: u32| labels(&wide, &InstanceOptions::default().with_close_gaps(n));
    assert_eq!((gap(1), gap(2)), (map(&["1..2...3"]), map(&["1122...3"])));
    // Numbers follow first pixels, also those of closed gaps.
    let below = mask(&["1....1", ".1...."]);
    assert_eq!(labels(&below, &InstanceOptions::default()), map(&["1....2", ".3...."]));
    assert_eq!(labels(&below, &InstanceOptions::default().with_close_gaps(1)), map(&["12...3", "22...."]));
}

/// The rule by its definition.
fn closed(map: &LabelMap, reach: i64) -> Vec<u32> {
    let (w, h) = (map.width() as i64, map.height() as i64);
    let at = |x: i64, y: i64| {
        if (0..w).contains(&x) && (0..h).contains(&y) { map.labels()[(y * w + x) as usize] } else { 0 }
    };
    let pixel = |i: i64| {
        let (x, y) = (i % w, i / w);
        let edge = [at(x - 1, y), at(x + 1, y), at(x, y - 1), at(x, y + 1)].into_iter().max().unwrap();
        let other = |n: u32| n > 0 && n != edge;
        let near = (-reach..=reach).any(|dy| (-reach..=reach).any(|dx| other(at(x + dx, y + dy))));
        if at(x, y) > 0 {
            at(x, y)
        } else if near {
            edge
        } else {
            0
        }
    };
    let joined: Vec<u32> = (0..w * h).map(pixel).collect();
    let mut number = std::collections::BTreeMap::from([(0, 0)]);
    joined
        .iter()
        .map(|&n| {
            let next = number.len() as u32;
            *number.entry(n).or_insert(next)
        })
        .collect()
}

proptest! {
    #[test]
    fn closing_gaps_follows_its_definition(
        w in 1usize..14,
        h in 1usize..12,
        noise in prop::collection::vec(0u8..5, 154),
        reach in 1u32..=2,
        percent in 0u32..120,
    ) {
        let ids = (0..w * h).map(|i| u8::from(noise[i] > 2)).collect();
        let m = Mask::new(w, h, 2, Ids::U8(ids)).unwrap();
        let options = InstanceOptions::default().with_min_area_percent(f64::from(percent.min(100)));
        let before = found(&m, None, &options).labels;
        let mut after = find_instances(&m, None, &options.with_close_gaps(reach)).unwrap();
        let labels = after.to_map().unwrap().labels;
        prop_assert_eq!(labels.labels(), &closed(&before, reach.into())[..]);
        // Each is visited once, with all its pixels.
        let mut pixels = vec![0; w * h];
        after.instances(|o| {
            o.runs().iter().for_each(|r| pixels[r.y as usize * w..][r.start as usize..r.end as usize].fill(o.number()));
            Ok(())
        }).unwrap();
        prop_assert_eq!(labels.labels(), &pixels[..]);
    }
}

#[test]
fn means_count_the_pixels_of_closed_gaps() {
    let options = InstanceOptions::default().with_close_gaps(1);
    let mut components = ConnectedComponents::new(3, 1, &options).unwrap().with_samples(1);
    components.push_row(&[1u32, 0, 1]).unwrap();
    components.push_samples(&[1.0, 6.0, 8.0]).unwrap();
    let mut means = Vec::new();
    components
        .finish()
        .unwrap()
        .instances(|o| {
            means.push((o.number(), o.means()));
            Ok(())
        })
        .unwrap();
    assert_eq!(means, [(1, vec![1.0]), (2, vec![7.0])]);
}

/// `columns` x `rows` discs of radius 7 at these distances, and the pixel of each centre.
fn field([columns, rows]: [i32; 2], apart: [i32; 2]) -> (Mask, Vec<usize>) {
    let [width, height] = [columns * apart[0] + 4, rows * apart[1] + 4];
    let centre = |n: i32, apart: i32| 2 + apart / 2 + n * apart;
    let inside = |x: i32, y: i32| {
        let nearest = |v: i32, count: i32, apart: i32| centre(((v - 2) / apart).clamp(0, count - 1), apart);
        let (dx, dy) = (x - nearest(x, columns, apart[0]), y - nearest(y, rows, apart[1]));
        dx * dx + dy * dy <= 49
    };
    let ids = (0..width * height).map(|i| u8::from(inside(i % width, i / width))).collect();
    let at = |n: i32| (centre(n / columns, apart[1]) * width + centre(n % columns, apart[0])) as usize;
    let centres = (0..columns * rows).map(at).collect();
    (Mask::new(width as usize, height as usize, 2, Ids::U8(ids)).unwrap(), centres)
}

/// Five thousand discs that touch their neighbours: in rows, and on all sides, where the gaps between four are no holes of
/// theirs.
#[test]
fn a_crowded_field_is_told_apart() {
    let rules = watershed().with_min_area(20).with_min_area_percent(10.0);
    for (apart, rules, components) in [([13, 16], rules.clone(), 50), ([13, 13], rules.with_fill_holes(false), 1)] {
        let (m, centres) = field([100, 50], apart);
        assert_eq!(labels(&m, &InstanceOptions::default()).into_iter().max(), Some(components));
        let found = found(&m, None, &rules);
        assert_eq!(found.labels.largest(), 5000, "{apart:?}");
        let mut numbers: Vec<u32> = centres.into_iter().map(|at| found.labels.labels()[at]).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=5000).collect::<Vec<u32>>(), "each disc has its own number");
    }
}

#[test]
fn one_giant_instance_single_pixels_and_none() {
    let all = InstanceSettings::default()
        .with_method(InstanceMethod::Watershed)
        .with_min_area_percent(10.0)
        .with_min_confidence(0.5)
        .with_threshold(0.5)
        .with_close_gaps(2);
    let options = InstanceOptions::from(&all);
    let run = |p: &dyn Fn(usize) -> f32| {
        let p: Vec<f32> = (0..300 * 200).map(p).collect();
        let none = Mask::new(300, 200, 2, Ids::U8(vec![0; p.len()])).unwrap();
        find_instances(&none, Some(&p), &options).unwrap()
    };
    assert_eq!(run(&|_| 0.9).count(), 1);
    let mut areas = Vec::new();
    // A comb: one instance, whose teeth reach through all rows.
    let comb = |i: usize| if i / 300 == 0 || (i % 300).is_multiple_of(10) { 0.9 } else { 0.1 };
    run(&comb)
        .instances(|o| {
            areas.push(o.area());
            Ok(())
        })
        .unwrap();
    assert_eq!(areas, [300 + 30 * 199]);
    let dots = |i: usize| if (i % 300).is_multiple_of(5) && (i / 300).is_multiple_of(5) { 0.9 } else { 0.1 };
    assert_eq!(run(&dots).count(), 60 * 40);
    assert_eq!(run(&|_| 0.1).count(), 0);
}

#[test]
fn rules_in_one_line() {
    let settings = InstanceSettings::default()
        .with_method(InstanceMethod::Watershed)
        .with_seed_depth(2.0)
        .with_connectivity(Connectivity::Eight)
        .with_threshold(0.6)
        .with_min_area(20)
        .with_min_area_percent(10.0)
        .with_min_confidence(0.8)
        .with_close_gaps(2);
    assert_eq!(
        InstanceOptions::from(&settings).to_string(),
        "watershed of the distance (seed depth 2), connected by corners too, probability above 0.6, at least 20 pixels, at \
         least 10 % of the median area, mean probability at least 0.8, holes filled, gaps of up to 2 pixels closed"
    );
    assert_eq!(InstanceOptions::default().to_string(), "connected components");
    assert_eq!(InstanceOptions::from(&InstanceSettings::default()), InstanceOptions::default());
    let bad = InstanceOptions::default().with_close_gaps(3);
    assert_eq!(ConnectedComponents::new(1, 1, &bad).unwrap_err().to_string(), "gaps to close: 3 is not from 0 to 2");
}
