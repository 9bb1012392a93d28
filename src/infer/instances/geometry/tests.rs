use proptest::prelude::*;

use super::*;
use crate::infer::instances::foreground::Foreground;
use crate::infer::instances::{ElevationRule, Instances, OffsetRule};
use crate::infer::{Band, Ids};
use crate::tensor::HostTensor;

/// Planes of a network, `[height][width]` each.
#[derive(Clone)]
pub(in super::super) struct Planes {
    pub(in super::super) width: usize,
    pub height: usize,
    pub probability: Vec<f32>,
    pub geometry: Vec<Vec<f32>>,
}

impl Planes {
    /// The instances, as they are found in rows.
    pub(in super::super) fn instances(&self, options: &InstanceOptions) -> Result<Instances> {
        let mut components = ConnectedComponents::new(self.width, self.height, options)?;
        for y in 0..self.height {
            let row = y * self.width..(y + 1) * self.width;
            let probability = &self.probability[row.clone()];
            components.push_row(&probability.iter().map(|&p| u32::from(p > 0.5)).collect::<Vec<_>>())?;
            components.push_probabilities(probability)?;
            let planes: Vec<f32> = self.geometry.iter().flat_map(|p| p[row.clone()].to_vec()).collect();
            components.push_geometry(&planes)?;
        }
        components.finish()
    }

    /// The same, in bands of so many rows.
    fn in_bands(&self, options: &InstanceOptions, rows: usize) -> Result<Instances> {
        let mut components = ConnectedComponents::new(self.width, self.height, options)?;
        for first in (0..self.height).step_by(rows) {
            let height = rows.min(self.height - first);
            let range = first * self.width..(first + height) * self.width;
            let probabilities = &self.probability[range.clone()];
            let geometry: Vec<f32> = self.geometry.iter().flat_map(|p| p[range.clone()].to_vec()).collect();
            let classes = Ids::U8(probabilities.iter().map(|&p| u8::from(p > 0.5)).collect());
            let band = Band {
                first,
                height,
                width: self.width,
                classes: &classes,
                probabilities: Some(probabilities),
                geometry: Some(&geometry),
                pixels: None,
            };
            components.push_band(&band, Foreground { classes: 2, planes: 1 }, None)?;
        }
        components.finish()
    }

    pub(in super::super) fn labels(&self, options: &InstanceOptions) -> Vec<u32> {
        self.instances(options).unwrap().to_map().unwrap().labels.into_labels()
    }

    pub(in super::super) fn plain(width: usize, height: usize, distance: impl Fn(usize, usize) -> f32) -> Self {
        let distance: Vec<f32> = (0..width * height).map(|i| distance(i % width, i / width)).collect();
        let probability = distance.iter().map(|&d| if d > 0.0 { 0.9 } else { 0.1 }).collect();
        Self { width, height, probability, geometry: vec![distance] }
    }
}

/// A case of assets/fixtures/instance_planes.safetensors; see scripts/make_instance_fixtures.py.
pub(in super::super) struct Case {
    pub planes: Planes,
    tensors: Vec<(String, HostTensor)>,
}

impl Case {
    pub(in super::super) fn get(&self, name: &str) -> Vec<f32> {
        self.tensors.iter().find(|t| t.0 == name).unwrap_or_else(|| panic!("no {name}")).1.data().to_vec()
    }

    pub(in super::super) fn labels(&self, name: &str) -> Vec<u32> {
        self.get(name).into_iter().map(|v| v as u32).collect()
    }
}

pub(in super::super) fn cases() -> Vec<Case> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/instance_planes.safetensors");
    let all = crate::weights::load(path).unwrap().weights;
    let of = |n: usize| {
        let case = format!("{n:02}/");
        let tensors: Vec<(String, HostTensor)> =
            all.iter().filter_map(|(k, t)| Some((k.strip_prefix(&case)?.to_string(), t.clone()))).collect();
        let dims = tensors.iter().find(|t| t.0 == "probability")?.1.dims().to_vec();
        let mut case = Case {
            planes: Planes { width: dims[1], height: dims[0], probability: Vec::new(), geometry: Vec::new() },
            tensors,
        };
        let offsets = case.get("offset");
        let (dy, dx) = offsets.split_at(dims[0] * dims[1]);
        case.planes.probability = case.get("probability");
        case.planes.geometry = vec![case.get("distance"), case.get("border"), dy.to_vec(), dx.to_vec()];
        Some(case)
    };
    let cases: Vec<Case> = (0..).map_while(of).collect();
    assert!(cases.len() > 4);
    cases
}

pub(in super::super) fn rules(separation: Separation) -> InstanceOptions {
    InstanceOptions::default()
        .with_separation(separation)
        .with_fill_holes(true)
        .with_min_area(20)
        .with_min_area_percent(10.0)
        .with_min_confidence(0.8)
}

pub(in super::super) fn all(separation: Separation) -> InstanceOptions {
    InstanceOptions::default().with_separation(separation).with_fill_holes(true)
}

const MULTI: ElevationRule = ElevationRule { depth: 0.15, min_seed: 0.4, border: 0.5, smoothing: 1.0 };
const DISTANCE: ElevationRule = ElevationRule { depth: 0.2, min_seed: 0.4, border: 0.0, smoothing: 0.0 };

#[test]
fn elevations_match_the_reference() {
    let mut found = 0;
    for (n, mut case) in cases().into_iter().enumerate() {
        for (name, rule) in [("multi", MULTI), ("distance_labels", DISTANCE)] {
            let elevation = Separation::Elevation(rule);
            let expected = case.labels(name);
            assert_eq!(case.planes.labels(&rules(elevation)), expected, "{name} of case {n}");
            let expected = case.labels(&format!("{name}_all"));
            assert_eq!(case.planes.labels(&all(elevation)), expected, "all of {name} of case {n}");
            found += expected.iter().max().unwrap();
            // The distance alone.
            case.planes.geometry.truncate(1);
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn bands_change_nothing() {
    for case in cases() {
        let offsets = OffsetRule { votes: 8, min_cluster: 4, max_offset: 6, jumps: 2 };
        for separation in [Separation::Elevation(MULTI), Separation::Offsets(offsets)] {
            let options = rules(separation).with_min_confidence(0.5);
            let expected = case.planes.labels(&options);
            for rows in [1, 7, case.planes.height] {
                let labels = case.planes.in_bands(&options, rows).unwrap().to_map().unwrap().labels.into_labels();
                assert_eq!(labels, expected, "{separation:?} in bands of {rows}");
            }
        }
    }
}

#[test]
fn smoothing_matches_scipy() {
    for case in cases() {
        let Planes { width, height, geometry, .. } = &case.planes;
        let heights = Samples::new(&std::env::temp_dir(), *width, 1);
        let mut elevation = Elevation::new(*width, *height, MULTI, heights);
        geometry[0]
            .chunks(*width)
            .zip(geometry[1].chunks(*width))
            .for_each(|(d, b)| elevation.push(d, Some(b)).unwrap());
        let (mut heights, _) = elevation.finish(*height).unwrap();
        let mut next = heights.read().unwrap();
        let mut row = Vec::new();
        for expected in case.get("smooth").chunks(*width) {
            next(&mut row).unwrap();
            row.iter().zip(expected).for_each(|(a, e)| assert!((a - e).abs() < 2e-7, "{a} {e}"));
        }
    }
}

/// Background from which no way along edges of pixels leads out of one instance becomes part of it, of the first such one.
pub(in super::super) fn without_holes(width: usize, labels: &[u32]) -> Vec<u32> {
    let mut out = labels.to_vec();
    for n in 1..=labels.iter().copied().max().unwrap_or(0) {
        let mut reached = vec![false; labels.len()];
        let edge =
            |i: &usize| i.is_multiple_of(width) || i % width + 1 == width || *i < width || i + width >= labels.len();
        let mut open: Vec<usize> = (0..labels.len()).filter(edge).collect();
        while let Some(i) = open.pop() {
            if !reached[i] && labels[i] != n {
                reached[i] = true;
                open.extend(beside(i, width, labels.len()));
            }
        }
        out.iter_mut().zip(reached).filter(|(own, reached)| **own == 0 && !reached).for_each(|(own, _)| *own = n);
    }
    out
}

/// Up, left, right, down.
pub(in super::super) fn beside(i: usize, width: usize, pixels: usize) -> impl Iterator<Item = usize> {
    let x = i % width;
    let near = [
        (i >= width).then(|| i - width),
        (x > 0).then(|| i - 1),
        (x + 1 < width).then(|| i + 1),
        (i + width < pixels).then(|| i + width),
    ];
    near.into_iter().flatten()
}

/// Numbers in the order of first pixels.
pub(in super::super) fn numbered(labels: &[u32]) -> Vec<u32> {
    let mut number = std::collections::BTreeMap::from([(0, 0)]);
    let mut of = |l: u32| {
        let next = number.len() as u32;
        *number.entry(l).or_insert(next)
    };
    labels.iter().map(|&l| of(l)).collect()
}

/// The flood of a whole image by its definition, with the basin of every pixel written out at every merger.
fn flooded(width: usize, inside: &[bool], height: &[f32], depth: f32, least: f32) -> Vec<u32> {
    let mut order: Vec<usize> = (0..inside.len()).filter(|&i| inside[i]).collect();
    order.sort_by(|&a, &b| height[b].total_cmp(&height[a]));
    let mut label = vec![0u32; inside.len()];
    let mut top = vec![f32::MIN];
    for i in order {
        let near: Vec<usize> = beside(i, width, inside.len()).filter(|&k| label[k] > 0).collect();
        let Some(&best) = near.iter().reduce(|a, b| if height[*b] > height[*a] { b } else { a }) else {
            label[i] = top.len() as u32;
            top.push(height[i]);
            continue;
        };
        label[i] = label[best];
        for &k in &near {
            let (a, b) = (label[i], label[k]);
            let lower_first =
                |a: u32, b: u32| (top[a as usize], std::cmp::Reverse(a)) < (top[b as usize], std::cmp::Reverse(b));
            let (lower, higher) = if lower_first(a, b) { (a, b) } else { (b, a) };
            if a != b && (top[lower as usize] - height[i] < depth || top[lower as usize] < least) {
                label.iter_mut().filter(|l| **l == lower).for_each(|l| *l = higher);
            }
        }
    }
    label.iter().map(|&l| if top[l as usize] >= least { l } else { 0 }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Few heights, so that most are equal.
    #[test]
    fn elevations_are_flooded_by_their_definition(
        width in 1usize..14,
        height in 1usize..12,
        noise in prop::collection::vec((0u32..9, -3i32..9), 14 * 12),
        depth in 1u32..4,
        least in 0u32..6,
        fill_holes: bool,
        sparse in 1u32..5,
    ) {
        let pixels = width * height;
        let planes = Planes {
            width,
            height,
            probability: noise[..pixels].iter().map(|n| if n.0 > sparse { 0.7 } else { 0.5 }).collect(),
            geometry: vec![noise[..pixels].iter().map(|n| n.1 as f32 / 8.0).collect()],
        };
        let inside: Vec<bool> = planes.probability.iter().map(|&p| p > 0.5).collect();
        let (depth, least) = (depth as f32 / 8.0, least as f32 / 8.0);
        let parts = numbered(&flooded(width, &inside, &planes.geometry[0], depth, least));
        let expected = if fill_holes { without_holes(width, &parts) } else { parts };
        let rule = ElevationRule { depth: depth.into(), min_seed: least.into(), border: 0.0, smoothing: 0.0 };
        let options = all(Separation::Elevation(rule)).with_fill_holes(fill_holes);
        prop_assert_eq!(planes.labels(&options), expected);
    }
}

/// A ring of eight instances around a ninth that touches none: what lies between them is background.
#[test]
fn instances_in_a_ring_of_others_are_found() {
    let (side, radius) = (60, 8.0);
    let centres: Vec<_> =
        (0..9).map(|n| [10.5 + 17.5 * (n % 3) as f32 + 2.0, 10.5 + 17.5 * (n / 3) as f32 + 2.0]).collect();
    let height = |x: usize, y: usize| {
        let at = |n: usize| {
            let own = if n == 4 { radius - 2.0 } else { radius + 1.0 };
            1.0 - f32::hypot(centres[n][0] - x as f32, centres[n][1] - y as f32) / own
        };
        (0..9).map(at).fold(0.0, f32::max)
    };
    let planes = Planes::plain(side, side, height);
    let labels = planes.labels(&rules(Separation::Elevation(DISTANCE)));
    let found: std::collections::BTreeSet<u32> =
        centres.iter().map(|c| labels[c[1] as usize * side + c[0] as usize]).collect();
    assert_eq!((found.len(), labels.iter().copied().max()), (9, Some(9)), "{found:?}");
    let [x, y] = centres[4].map(|v| v as usize);
    assert_eq!(labels[y * side + x - 8], 0, "the ground around the ninth");
}

/// `columns` x `rows` pyramids that touch on all sides.
fn crowd(columns: usize, rows: usize) -> Planes {
    const SIDE: usize = 13;
    let rise = |v: usize| (v % SIDE + 1).min(SIDE - v % SIDE) as f32 / 7.0;
    Planes::plain(columns * SIDE, rows * SIDE, |x, y| rise(x).min(rise(y)))
}

#[test]
fn a_crowd_is_told_apart() {
    let planes = crowd(100, 50);
    let labels = planes.labels(&rules(Separation::Elevation(DISTANCE)));
    let mut areas = vec![0; 5001];
    labels.iter().for_each(|&l| areas[l as usize] += 1);
    assert_eq!(areas[0], 0);
    assert!(areas[1..].iter().all(|&a| (145..=193).contains(&a)), "{areas:?}");
    let centres: std::collections::BTreeSet<u32> =
        (0..5000).map(|n| labels[(n / 100 * 13 + 6) * 1300 + n % 100 * 13 + 6]).collect();
    assert_eq!(centres.len(), 5000, "each pyramid has its own number");
}

#[test]
fn one_giant_instance_single_pixels_and_none() {
    let options = all(Separation::Elevation(MULTI));
    let count =
        |distance: &dyn Fn(usize, usize) -> f32| Planes::plain(300, 200, distance).instances(&options).unwrap().count();
    assert_eq!(count(&|_, _| 0.9), 1);
    // A comb, whose teeth are as high as its back.
    let comb = |x, y| if y == 0 || x % 10 == 0 { 0.9 } else { 0.0 };
    assert_eq!(count(&comb), 1);
    assert_eq!(count(&|x, y| comb(x + 5, y + 1)), 0, "smoothing takes the tops of thin lines");
    let plain = all(Separation::Elevation(DISTANCE));
    let count =
        |distance: &dyn Fn(usize, usize) -> f32| Planes::plain(300, 200, distance).instances(&plain).unwrap().count();
    assert_eq!(count(&comb), 1);
    assert_eq!(count(&|x, y| if x % 5 == 0 && y % 5 == 0 { 0.9 } else { 0.0 }), 60 * 40);
    assert_eq!(count(&|x, y| if x % 5 == 0 && y % 5 == 0 { 0.39 } else { 0.0 }), 0, "below the least height");
    assert_eq!(count(&|_, _| 0.0), 0);
}

#[test]
fn what_exceeds_the_memory_limit_stays_whole_or_fails() {
    let elevation = Separation::Elevation(DISTANCE);
    let planes = crowd(4, 4);
    assert_eq!(planes.instances(&all(elevation)).unwrap().count(), 16);
    let small = planes.instances(&all(elevation).with_memory(80_000)).unwrap();
    assert_eq!((small.count(), small.left_whole()), (1, &["52x52 pixels at column 0, row 0".to_string()][..]));
    // Sixteen columns side by side: none is too large, all of them together are.
    let bars = Planes::plain(64, 2000, |x, _| if x % 4 == 0 { 0.0 } else { 0.9 });
    let e = bars.instances(&all(elevation).with_memory(500_000)).unwrap_err();
    assert!(matches!(&e, Error::Limit { what, .. } if what.contains("instances down to row")), "{e}");
}

#[test]
fn an_instance_has_the_class_of_most_of_its_pixels() {
    let options = all(Separation::Elevation(DISTANCE));
    let mut components = ConnectedComponents::new(7, 2, &options).unwrap();
    for (ids, heights) in
        [([2u32, 1, 1, 3, 3, 0, 4], [0.9f32, 0.8, 0.2, 0.8, 0.9, 0.0, 0.9]), ([2, 2, 0, 3, 1, 0, 5], [0.8; 7])]
    {
        components.push_row(&ids).unwrap();
        components.push_geometry(&heights).unwrap();
    }
    let map = components.finish().unwrap().to_map().unwrap();
    assert_eq!(map.labels.labels(), [1, 1, 1, 2, 2, 0, 3, 1, 1, 0, 2, 2, 0, 3]);
    assert_eq!(map.classes, [0, 2, 3, 4]);
}

#[test]
fn missing_planes_are_reported() {
    let options = all(Separation::Elevation(MULTI));
    let mut components = ConnectedComponents::new(3, 1, &options).unwrap();
    components.push_row(&[1u32; 3]).unwrap();
    assert_eq!(
        components.push_geometry(&[0.5]).unwrap_err().to_string(),
        "instances: 0 planes of geometry do not suffice for a row"
    );
    assert_eq!(components.finish().unwrap_err().to_string(), "instances: an elevation of 0 of 1 rows");
}
