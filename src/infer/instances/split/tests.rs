use serde::Deserialize;

use super::*;
use crate::infer::instances::{ConnectedComponents, Separation};
use crate::infer::{LabelMap, components};

/// Results of scikit-image and SciPy for a mask; see scripts/skimage_objects.py.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub width: usize,
    pub height: usize,
    pub mask: Vec<u32>,
    pub labels: Vec<u32>,
    squared: Vec<u64>,
    maxima: std::collections::BTreeMap<String, Vec<Vec<usize>>>,
    heights: Vec<u64>,
    seeds: Vec<usize>,
    floods: [Vec<u32>; 2],
    pub intensity: Vec<u32>,
    #[serde(rename = "objects")]
    pub instances: Vec<Measurement>,
}

#[derive(Deserialize)]
pub(crate) struct Measurement {
    pub area: u64,
    pub centroid: [f64; 2],
    pub bbox: [u32; 4],
    pub eccentricity: f64,
    pub perimeter: f64,
    pub mean: f64,
}

pub(crate) fn cases() -> Vec<Case> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/objects_skimage.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(cases.len() > 1);
    cases
}

fn mask(case: &Case) -> LabelMap {
    LabelMap::new(case.width, case.height, case.mask.clone()).unwrap()
}

/// The whole image as one crop.
fn squared(mask: &LabelMap) -> Vec<u64> {
    let inside = mask.labels();
    nearest_sites(mask.width(), inside.len(), |i| inside[i] == 0).into_iter().map(|n| n.squared).collect()
}

#[test]
fn distances_and_components_match_scipy() {
    for case in cases() {
        assert_eq!(squared(&mask(&case)), case.squared);
        assert_eq!(components(&mask(&case), Connectivity::Four).labels(), case.labels);
    }
}

#[test]
fn each_h_maximum_of_skimage_has_one_seed() {
    let mut count = 0;
    for case in cases() {
        for (depth, regions) in &case.maxima {
            let seeds = seeds(case.width, &case.squared, depth.parse().unwrap());
            assert_eq!(seeds.len(), regions.len(), "depth {depth}");
            for region in regions {
                let inside: Vec<&usize> = seeds.iter().filter(|s| region.contains(s)).collect();
                assert_eq!(inside.len(), 1, "depth {depth}: {region:?} has {inside:?} of {seeds:?}");
            }
            count += regions.len();
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn flooding_matches_skimage_watershed() {
    for case in cases() {
        let inside: Vec<u64> = case.heights.iter().zip(&case.mask).map(|(h, m)| h * u64::from(*m)).collect();
        for (connectivity, expected) in [Connectivity::Four, Connectivity::Eight].into_iter().zip(&case.floods) {
            assert_eq!(&flood(case.width, &inside, &case.seeds, connectivity), expected, "{connectivity:?}");
        }
    }
}

/// Reference flooding by definition, each step searching all pixels: the highest pixel next to a flooded one is next.
#[test]
fn flooding_takes_the_highest_pixel_first() {
    let case = &cases()[0];
    let inside: Vec<u64> = case.heights.iter().zip(&case.mask).map(|(h, m)| h * u64::from(*m)).collect();
    let mut expected = vec![0; inside.len()];
    case.seeds.iter().enumerate().for_each(|(k, &i)| expected[i] = k as u32 + 1);
    let near = |i: usize| around(i, case.width, inside.len(), false);
    // A pixel belongs to the flooded neighbour expanded first; heights differ, so that is the highest.
    let mut expanded = vec![false; inside.len()];
    while let Some(i) = (0..inside.len()).filter(|&i| expected[i] > 0 && !expanded[i]).max_by_key(|&i| inside[i]) {
        expanded[i] = true;
        for k in near(i).filter(|&k| expected[k] == 0 && inside[k] > 0).collect::<Vec<_>>() {
            expected[k] = expected[i];
        }
    }
    assert_eq!(flood(case.width, &inside, &case.seeds, Connectivity::Four), expected);
}

fn split_map(map: &LabelMap, options: InstanceOptions) -> (LabelMap, Instances) {
    let mut components_of_rows = ConnectedComponents::new(map.width(), map.height(), &options).unwrap();
    map.labels().chunks(map.width()).for_each(|row| components_of_rows.push_row(row).unwrap());
    let mut instances = components_of_rows.finish().unwrap();
    let mut labels = vec![0; map.labels().len()];
    let fill = |y: usize, row: &[Run]| {
        row.iter().for_each(|r| labels[y * map.width()..][r.start as usize..r.end as usize].fill(r.label));
        Ok(())
    };
    instances.rows(fill).unwrap();
    (LabelMap::new(map.width(), map.height(), labels).unwrap(), instances)
}

fn watershed(depth: f64) -> InstanceOptions {
    InstanceOptions { separation: Separation::Watershed { depth }, ..Default::default() }
}

/// Splitting component by component equals splitting the whole image.
#[test]
fn components_split_as_in_the_whole_image() {
    for case in cases() {
        let mask = mask(&case);
        let whole = squared(&mask);
        let flooded = flood(case.width, &whole, &seeds(case.width, &whole, 1.0), Connectivity::Four);
        // Numbered by first pixels.
        let mut number = std::collections::BTreeMap::new();
        let expected: Vec<u32> = flooded
            .iter()
            .map(|&l| {
                let next = number.len() as u32 + 1;
                if l == 0 { 0 } else { *number.entry(l).or_insert(next) }
            })
            .collect();
        let (actual, instances) = split_map(&mask, watershed(1.0));
        assert_eq!(actual.labels(), expected);
        assert!(instances.count() > components(&mask, Connectivity::Four).largest() as usize);
        assert!(instances.left_whole().is_empty());
        // Parts are connected.
        assert_eq!(components(&actual, Connectivity::Four).largest(), actual.largest());
    }
}

fn two_discs() -> LabelMap {
    let inside = |x: i32, y: i32, cx: i32| (x - cx).pow(2) + (y - 12).pow(2) <= 100;
    LabelMap::from_fn(40, 25, |x, y| u32::from(inside(x as i32, y as i32, 11) || inside(x as i32, y as i32, 28)))
        .unwrap()
}

#[test]
fn touching_discs_are_two_instances() {
    let mask = two_discs();
    let (actual, mut instances) = split_map(&mask, watershed(1.0));
    assert_eq!(instances.count(), 2);
    for (x, label) in [(11, 1), (28, 2)] {
        assert_eq!(actual.labels()[12 * 40 + x], label);
    }
    let mut areas = Vec::new();
    instances
        .instances(|o| {
            areas.push(o.area());
            Ok(())
        })
        .unwrap();
    assert_eq!(areas.iter().sum::<u64>(), mask.labels().iter().map(|&l| u64::from(l)).sum::<u64>());
    assert!(areas[0].abs_diff(areas[1]) < 20, "{areas:?}");
    // The neck is deeper than one pixel and shallower than six.
    assert_eq!(split_map(&mask, watershed(6.0)).1.count(), 1);
    let small = InstanceOptions { min_area: 1000, ..watershed(1.0) };
    assert_eq!(split_map(&mask, small).1.count(), 0);
}

#[test]
fn instances_beyond_the_memory_limit_stay_whole() {
    let options = InstanceOptions { memory: 40 * 25 * BYTES - 10_000, ..watershed(1.0) };
    let (actual, instances) = split_map(&two_discs(), options);
    assert_eq!((instances.count(), instances.left_whole().len()), (1, 1));
    assert_eq!(instances.left_whole()[0], "38x21 pixels at column 1, row 2");
    assert_eq!(actual, two_discs());
}

/// Without a pixel outside the instance no distance is known, and the instance stays whole.
#[test]
fn an_instance_that_fills_the_image_is_one() {
    let full = LabelMap::from_fn(9, 7, |_, _| 1).unwrap();
    assert_eq!(split_map(&full, watershed(0.5)).0, full);
}
