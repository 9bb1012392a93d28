//! Targets against those of the Python reference (`scripts/make_instance_target_fixtures.py`).

use super::*;
use crate::tensor::HostTensor;
use crate::train::WeightMap;
use crate::weights::{Weights, load_bytes};

/// Pixels around the targets of the fixtures.
const AROUND: usize = 6;

const CASES: [&str; 6] = ["touching", "unknown", "one_pixel", "ties", "whole", "none"];

fn fixtures() -> Weights {
    let bytes = include_bytes!("../../../assets/fixtures/instances/targets.safetensors");
    load_bytes(bytes, "targets.safetensors").unwrap().weights
}

/// A case's labels and one of its tensors.
fn case<'a>(all: &'a Weights, name: &str, of: &str) -> (LabelMap, &'a HostTensor) {
    let labels = all.get(&format!("{name}/labels")).unwrap();
    let [height, width] = labels.dims()[..] else { panic!("{:?}", labels.dims()) };
    let label = |v: &f32| if *v < 0.0 { LabelMap::IGNORED } else { *v as u32 };
    let map = LabelMap::new(width, height, labels.data().iter().map(label).collect()).unwrap();
    (map, all.get(&format!("{name}/{of}")).unwrap())
}

#[test]
fn planes_equal_the_references() {
    let all = fixtures();
    for name in CASES {
        let (labels, want) = case(&all, name, "multi");
        let multi = planes(InstanceTarget::Multi, &labels, AROUND, None).unwrap();
        let off = multi.iter().zip(want.data()).position(|(a, b)| (a - b).abs() > 1e-6);
        assert_eq!((multi.len(), off), (want.data().len(), None), "{name}");
        let distance = planes(InstanceTarget::Distance, &labels, AROUND, None).unwrap();
        assert_eq!(distance, multi[..distance.len()], "{name}");
        assert_eq!(distance.len() / 3 * target_planes(InstanceTarget::Multi, 1), multi.len());
        let (_, want) = case(&all, name, "border");
        assert_eq!(planes(InstanceTarget::Border, &labels, AROUND, None).unwrap(), want.data(), "{name}");
    }
}

#[test]
fn gaps_and_their_weights_equal_the_references() {
    let all = fixtures();
    for name in CASES {
        let (labels, want) = case(&all, name, "gap");
        let (known, rest) = want.data().split_at(want.data().len() / 3);
        let (foreground, weights) = rest.split_at(known.len());
        let ids = planes(InstanceTarget::Gap, &labels, AROUND, None).unwrap();
        let class = |(known, f): (&f32, &f32)| if *known > 0.0 { *f } else { IGNORED_CLASS as f32 };
        assert_eq!(ids, known.iter().zip(foreground).map(class).collect::<Vec<_>>(), "{name}");
        let map = WeightMap::default();
        let found = gap_weights(InstanceTarget::Gap, &labels, AROUND, &[1.0; 2], &map).unwrap();
        for (i, found) in found.iter().enumerate() {
            let want = if known[i] > 0.0 { weights[i] } else { 0.0 };
            assert!((found - want).abs() < 1e-5, "{name}, pixel {i}: {found}, {want}");
        }
    }
    let (labels, _) = case(&all, "unknown", "gap");
    let map = WeightMap { w0: 0.0, ..WeightMap::default() };
    let border = gap_weights(InstanceTarget::Border, &labels, AROUND, &[1.0, 2.0, 4.0], &map).unwrap();
    let ids = planes(InstanceTarget::Border, &labels, AROUND, None).unwrap();
    let weight = |id: &f32| [1.0, 2.0, 4.0].get(*id as usize).copied().unwrap_or(0.0);
    assert_eq!(border, ids.iter().map(weight).collect::<Vec<f32>>());
}

#[test]
fn classes_follow_the_instances() {
    let map = LabelMap::new(5, 1, vec![0, 3, 3, LabelMap::IGNORED, 1]).unwrap();
    let classes = |of: &[u32]| planes(InstanceTarget::Distance, &map, 0, Some(of));
    let planes = classes(&[0, 2, 0, 1]).unwrap();
    assert_eq!(planes.len() / 5, target_planes(InstanceTarget::Distance, 2));
    assert_eq!(planes[15..], [0.0, 1.0, 1.0, 0.0, 2.0]);
    for without in [&[0, 2, 0][..], &[0, 2, 0, 0]] {
        assert_eq!(classes(without).unwrap_err().to_string(), "labels: instance 3 has no class");
    }
}

#[test]
fn a_window_has_room_for_a_target() {
    let map = LabelMap::new(12, 20, vec![0; 240]).unwrap();
    assert_eq!(planes(InstanceTarget::Gap, &map, 5, None).unwrap().len(), 20);
    assert!(planes(InstanceTarget::Gap, &map, 6, None).unwrap_err().to_string().contains("12x20 pixels"));
}

/// Prints the time of a crop: `cargo test --release --lib crops_are_fast -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn crops_are_fast() {
    // Touching discs of 12 pixels in a window of 176x176.
    let label = |x: usize, y: usize| {
        let (cx, cy) = (x % 12, y % 12);
        let inside = cx.abs_diff(6).pow(2) + cy.abs_diff(6).pow(2) <= 36;
        if inside { (y / 12 * 15 + x / 12 + 1) as u32 } else { 0 }
    };
    let map = LabelMap::from_fn(176, 176, label).unwrap();
    let begin = std::time::Instant::now();
    for _ in 0..100 {
        planes(InstanceTarget::Multi, &map, MARGIN, None).unwrap();
    }
    let multi = begin.elapsed();
    for _ in 0..100 {
        gap_weights(InstanceTarget::Gap, &map, MARGIN, &[1.0; 2], &WeightMap::default()).unwrap();
    }
    println!("multi {:?}, gap {:?} a crop", multi / 100, (begin.elapsed() - multi) / 100);
}
