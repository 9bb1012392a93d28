use proptest::prelude::*;

use super::*;
use crate::infer::{Band, BandInfo, Ids, Image, LabelMap, Pixels, components};

/// The instance numbers of a mask, by streaming.
fn label(mask: &LabelMap, options: &InstanceOptions) -> (LabelMap, Instances) {
    let mut components_of_rows = ConnectedComponents::new(mask.width(), mask.height(), options).unwrap();
    mask.labels().chunks(mask.width()).for_each(|row| components_of_rows.push_row(row).unwrap());
    let mut instances = components_of_rows.finish().unwrap();
    let map = whole(&mut instances);
    (map, instances)
}

fn whole(instances: &mut Instances) -> LabelMap {
    let (w, h) = (instances.width(), instances.height());
    let mut labels = vec![0; w * h];
    let fill = |y: usize, row: &[Run]| {
        row.iter().for_each(|r| labels[y * w + r.start as usize..y * w + r.end as usize].fill(r.label));
        Ok(())
    };
    instances.rows(fill).unwrap();
    LabelMap::new(w, h, labels).unwrap()
}

fn map(rows: &[&str]) -> LabelMap {
    let digit = |x: usize, y: usize| rows[y].chars().nth(x).and_then(|c| c.to_digit(10)).unwrap_or(0);
    LabelMap::from_fn(rows[0].len(), rows.len(), digit).unwrap()
}

/// Reference flood fill: the region of equal labels around every pixel, numbered in the order of first pixels.
fn regions(mask: &LabelMap, eight: impl Fn(u32) -> bool) -> Vec<usize> {
    let (w, h) = (mask.width() as isize, mask.height() as isize);
    let mut region = vec![usize::MAX; (w * h) as usize];
    let mut count = 0;
    for start in 0..region.len() {
        if region[start] < usize::MAX {
            continue;
        }
        let own = mask.labels()[start];
        let mut open = vec![start as isize];
        region[start] = count;
        while let Some(i) = open.pop() {
            for (dx, dy) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))) {
                let (x, y) = (i % w + dx, i / w + dy);
                let inside = (0..w).contains(&x) && (0..h).contains(&y);
                if inside && (eight(own) || dx == 0 || dy == 0) {
                    let k = (y * w + x) as usize;
                    if region[k] == usize::MAX && mask.labels()[k] == own {
                        region[k] = count;
                        open.push(k as isize);
                    }
                }
            }
        }
        count += 1;
    }
    region
}

/// Reference for components, holes and minimum area, each by its definition.
fn plain(mask: &LabelMap, options: &InstanceOptions) -> Vec<u32> {
    let (w, h) = (mask.width(), mask.height());
    let eight = options.connectivity == Connectivity::Eight;
    let mut region = regions(mask, |class| eight == (class > 0));
    if options.fill_holes {
        let count = region.iter().max().unwrap() + 1;
        let mut neighbours = vec![std::collections::BTreeSet::new(); count];
        for i in 0..w * h {
            let (x, y) = (i % w, i / w);
            if x == 0 || y == 0 || x + 1 == w || y + 1 == h {
                neighbours[region[i]].extend([usize::MAX, usize::MAX - 1]);
            }
            let near = [(x > 0).then(|| i - 1), (y > 0).then(|| i - w)];
            for k in near.into_iter().flatten().filter(|&k| region[k] != region[i]) {
                neighbours[region[i]].insert(region[k]);
                neighbours[region[k]].insert(region[i]);
            }
        }
        let ground: std::collections::BTreeSet<usize> =
            (0..w * h).filter(|&i| mask.labels()[i] == 0).map(|i| region[i]).collect();
        for r in &mut region {
            if ground.contains(r) {
                let own = *r;
                *r = usize::MAX;
                if neighbours[own].len() == 1 {
                    *r = *neighbours[own].first().unwrap();
                }
            }
        }
    } else {
        region.iter_mut().zip(mask.labels()).filter(|(_, class)| **class == 0).for_each(|(r, _)| *r = usize::MAX);
    }
    let mut number = std::collections::BTreeMap::new();
    region
        .iter()
        .map(|r| {
            let area = region.iter().filter(|o| *o == r).count() as u64;
            if *r == usize::MAX || area < options.min_area {
                return 0;
            }
            let next = number.len() as u32 + 1;
            *number.entry(*r).or_insert(next)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn instances_match_flood_filling(
        w in 1usize..13,
        h in 1usize..11,
        noise in prop::collection::vec(0u32..5, 143),
        eight: bool,
        fill_holes: bool,
        min_area in 0u64..5,
    ) {
        // One class dominates, so that holes and late merges occur.
        let mask = LabelMap::from_fn(w, h, |x, y| [0, 0, 1, 1, 2][noise[y * w + x] as usize]).unwrap();
        let connectivity = if eight { Connectivity::Eight } else { Connectivity::Four };
        let options = InstanceOptions { connectivity, fill_holes, min_area, ..Default::default() };
        let (actual, mut instances) = label(&mask, &options);
        prop_assert_eq!(actual.labels(), &plain(&mask, &options)[..]);
        // Every instance appears once with all its pixels, in the order of last rows.
        let mut pixels = vec![0; w * h];
        let mut order = Vec::new();
        instances.instances(|o| {
            for r in o.runs() {
                pixels[r.y as usize * w..][r.start as usize..r.end as usize].fill(o.number());
            }
            let [.., y, _, rows] = o.bounds();
            order.push((y + rows, o.number()));
            Ok(())
        }).unwrap();
        prop_assert_eq!(actual.labels(), &pixels[..]);
        prop_assert_eq!(order.len(), instances.count());
        prop_assert!(order.is_sorted());
    }
}

#[test]
fn holes_inside_one_instance_are_filled() {
    let mask = map(&["11111.22", "1...1.2.", "1.1.1.22", "1...1...", "11111.22", ".1..1.2."]);
    let options = InstanceOptions { fill_holes: true, ..Default::default() };
    // An island keeps its ring open, and so does the image's edge.
    assert_eq!(
        label(&mask, &options).0,
        map(&["11111.22", "1...1.2.", "1.3.1.22", "1...1...", "11111.44", ".1..1.4."])
    );
    let mask = map(&["1111.", "1..1.", "1.11.", "1111.", "....."]);
    assert_eq!(label(&mask, &options).0, map(&["1111.", "1111.", "1111.", "1111.", "....."]));
    // A diagonal gap is open if the instances are four-connected, closed if they are eight-connected.
    let corner = map(&[".....", ".111.", ".1.1.", ".11..", "....."]);
    assert_eq!(label(&corner, &options).0, corner);
    let eight = InstanceOptions { connectivity: Connectivity::Eight, ..options };
    assert_eq!(label(&corner, &eight).0, map(&[".....", ".111.", ".111.", ".11..", "....."]));
}

/// A large image, whose runs go through a file, has the same instances as the map in memory.
#[test]
fn a_large_image_goes_through_a_file() {
    let mut state = 7u32;
    let mut noise = |_, _| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        u32::from(state >> 24 > 140)
    };
    let mask = LabelMap::from_fn(2000, 3000, &mut noise).unwrap();
    let (actual, _) = label(&mask, &InstanceOptions::default());
    assert!(actual.largest() > 100_000);
    assert!(actual == components(&mask, Connectivity::Four));
}

#[test]
fn memory_budget_is_respected() {
    let options = InstanceOptions { memory: 10_000, ..Default::default() };
    let mut components_of_rows = ConnectedComponents::new(64, 64, &options).unwrap();
    let row: Vec<u32> = (0..64).map(|x| x % 2).collect();
    let blank = vec![0u32; 64];
    let error =
        (0..64).find_map(|y| components_of_rows.push_row(if y % 2 == 0 { &row } else { &blank }).err()).unwrap();
    assert!(matches!(&error, Error::Limit { what, .. } if what.contains("pieces of instances up to row")), "{error}");
    // One instance with many runs.
    let mut components_of_rows =
        ConnectedComponents::new(64, 500, &InstanceOptions { memory: 60_000, ..Default::default() }).unwrap();
    (0..500).for_each(|y| components_of_rows.push_row(if y == 0 { &[1u32; 64][..] } else { &row }).unwrap());
    let error = components_of_rows.finish().unwrap().instances(|_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("number 1, 64x"), "{error}");
}

#[test]
fn wrong_row_lengths_are_reported() {
    let mut components_of_rows = ConnectedComponents::new(3, 1, &InstanceOptions::default()).unwrap();
    assert!(
        components_of_rows.push_row(&[0u32; 2]).unwrap_err().to_string().contains("row 0 of 2 class ids is not of 3x1")
    );
    components_of_rows.push_row(&[0u32; 3]).unwrap();
    assert!(components_of_rows.push_row(&[0u32; 3]).is_err());
    assert_eq!(components_of_rows.finish().unwrap().count(), 0);
    assert!(ConnectedComponents::new(3, 2, &InstanceOptions::default()).unwrap().finish().is_err());
    assert!(ConnectedComponents::new(usize::MAX, 2, &InstanceOptions::default()).is_err());
    let depth = InstanceOptions { separation: Separation::Watershed { depth: 0.0 }, ..Default::default() };
    assert!(ConnectedComponents::new(1, 1, &depth).unwrap_err().to_string().contains("depth 0"));
}

#[test]
fn bands_give_instances_with_means() {
    let info = BandInfo {
        width: 3,
        height: 2,
        channels: 1,
        classes: vec!["background".into(), "cell".into()],
        planes: 2,
        geometry: 0,
        contrast: None,
        network: None,
    };
    let mut components = ConnectedComponents::for_image(&info, &InstanceOptions::default()).unwrap().with_samples(1);
    for (first, ids) in [(0, vec![1, 0, 1]), (1, vec![1, 0, 0])] {
        let samples = ids.iter().map(|id| 10 + id * 90 + first as u8).collect();
        let image = Image::new(3, 1, 1, Pixels::U8(samples)).unwrap();
        let classes = Ids::U8(ids);
        let band =
            Band { first, height: 1, width: 3, classes: &classes, probabilities: None, geometry: None, pixels: None };
        let e = components.push(&band, &info).unwrap_err().to_string();
        assert!(e.contains("pixels are missing"), "{e}");
        components.push(&Band { pixels: Some(&image), ..band }, &info).unwrap();
    }
    let mut means = Vec::new();
    let mut instances = components.finish().unwrap();
    instances
        .instances(|i| {
            means.push((i.number(), i.area(), i.means()));
            Ok(())
        })
        .unwrap();
    assert_eq!(means, [(2, 1, vec![100.0]), (1, 2, vec![100.5])]);
}
