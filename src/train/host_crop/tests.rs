//! Tests of crops that are augmented on the host.

use std::sync::Arc;

use super::field::{Field, bicubic};
use super::*;
use crate::ops::{Border, DisplacementField, Interpolation, Op, Similarity, Warp};
use crate::tensor::HostTensor;
use crate::train::augment::{AugmentationPreset, Elastic, Simard};
use crate::train::example::ExampleOptions;
use crate::train::example::tests::{data, options, png};
use crate::train::{Batch, Batcher, Dataset, Prefetch};

fn square(side: usize, margin: usize) -> CropOptions {
    CropOptions { height: side, width: side, margin }
}

/// Batches of four crops.
fn batcher(set: Dataset, read: ExampleOptions, crop: CropOptions, host: HostCrops) -> Batcher {
    let examples = Arc::new(Examples::new(set, read, 1 << 20));
    Batcher::new(examples, 4, crop, 3).unwrap().augmented(host).unwrap()
}

fn plain(target: Option<InstanceTarget>, weight_map: Option<WeightMap>) -> HostCrops {
    HostCrops { options: Augmentation::default(), target, weight_map, mirrored: false }
}

fn reading(instances: bool) -> ExampleOptions {
    ExampleOptions { weight_map: None, instances, diameters: true, ..options() }
}

#[test]
fn without_augmentation_crops_are_those_of_the_image() {
    let (_dir, set) = data(3, [12, 10]);
    for (side, margin) in [(16, 0), (8, 2), (6, 0), (20, 3)] {
        let mirrored = side == 20;
        let host = HostCrops { mirrored, ..plain(None, Some(WeightMap::default())) };
        let batcher = batcher(set.clone(), reading(false), square(side, margin), host);
        let batch = batcher.batch(1).unwrap();
        let output = side - 2 * margin;
        assert_eq!((batch.images.dims(), batch.targets.dims()), (&[4, 1, side, side][..], &[4, 1, output, output][..]));
        for (n, crop) in batch.crops.iter().enumerate() {
            let example = batcher.examples().example(crop.example).unwrap();
            let truth = example.truth.class_maps().unwrap();
            for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                let [row, column] = [crop.y + y as isize, crop.x + x as isize];
                let from = crate::infer::mirror(row, 10) * 12 + crate::infer::mirror(column, 12);
                assert_eq!(batch.images.data()[(n * side + y) * side + x], example.image[from]);
                let [y, x] = [y.wrapping_sub(margin), x.wrapping_sub(margin)];
                if y < output && x < output {
                    let known = (0..10).contains(&row) && (0..12).contains(&column);
                    let want = if known || mirrored { truth.classes.labels()[from] as f32 } else { 255.0 };
                    assert_eq!(batch.targets.data()[(n * output + y) * output + x], want);
                }
            }
        }
    }
}

#[test]
fn weights_of_a_whole_image_are_those_of_the_image() {
    let (_dir, set) = data(1, [12, 12]);
    let map = WeightMap::default();
    let want = Example::read(&set.pairs()[0], &ExampleOptions { weight_map: Some(map.clone()), ..options() }).unwrap();
    let batch = batcher(set, reading(false), square(12, 0), plain(None, Some(map))).batch(0).unwrap();
    let weights = batch.weights.unwrap();
    for (found, want) in weights.data().iter().zip(want.weights.unwrap().iter().cycle()) {
        assert!((found - want).abs() < 1e-6, "{found}, {want}");
    }
}

#[test]
fn targets_of_instances_have_their_planes() {
    let (_dir, set) = data(3, [40, 30]);
    let of = |target: InstanceTarget, weight_map| {
        batcher(set.clone(), reading(true), square(24, 2), plain(Some(target), weight_map)).batch(0).unwrap()
    };
    let multi = of(InstanceTarget::Multi, None);
    assert_eq!((multi.targets.dims(), &multi.weights), (&[4, 6, 20, 20][..], &None));
    let distance = of(InstanceTarget::Distance, None);
    assert_eq!(distance.targets.data()[..1200], multi.targets.data()[..1200]);
    let gap = of(InstanceTarget::Gap, Some(WeightMap { class_weights: ClassWeights::None, ..WeightMap::default() }));
    assert_eq!((gap.targets.dims(), gap.weights.unwrap().dims()), (&[4, 1, 20, 20][..], &[4, 1, 20, 20][..]));
}

#[test]
fn displacements_are_those_of_the_device() {
    let (side, grid) = (17, 4);
    let points: Vec<f64> = (0..grid * grid).map(|i| ((i * 37 % 11) as f64 - 5.0) / 4.0).collect();
    let found = bicubic(&points, grid, side);
    // A ramp of columns, warped along columns, is the column plus the displacement.
    let ramp =
        HostTensor::new([1, 1, side, side], (0..side * side).map(|i| (i % side) as f32).collect::<Vec<_>>()).unwrap();
    let transform = HostTensor::new([1, 8, 1, 1], Similarity::IDENTITY.words(side, side).to_vec()).unwrap();
    let mut both = vec![0.0; grid * grid];
    both.extend(points.iter().map(|&v| v as f32));
    let points = HostTensor::new([1, 2, grid, grid], both).unwrap();
    let warp = Warp {
        h: side,
        w: side,
        interpolation: Interpolation::Bilinear,
        border: Border::Clamp,
        a: -0.5,
        displacement: DisplacementField::Grid,
    };
    let warped = warp.reference(&[&ramp, &transform, &points]).unwrap();
    for (i, &want) in warped[0].data().iter().enumerate().filter(|(i, _)| (3..14).contains(&(i % side))) {
        assert!(((i % side) as f32 + found[i] - want).abs() < 1e-4, "{i}: {} {want}", found[i]);
    }
}

#[test]
fn blur_is_scipys() {
    let mut plane = vec![0.0; 25];
    (plane[1], plane[19]) = (1.0, 2.0);
    intensity::blur(&mut plane, 5, 0.9);
    let want = [
        0.188764, 0.303650, 0.163309, 0.026568, 0.003555, 0.076525, 0.123225, 0.069094, 0.031143, 0.051694, 0.010866,
        0.018292, 0.028150, 0.133771, 0.326413, 0.000501, 0.002318, 0.035337, 0.246255, 0.607291, 0.000019, 0.000971,
        0.021715, 0.153048, 0.377528,
    ];
    for (found, want) in plane.iter().zip(want) {
        assert!((found - want).abs() < 1e-5, "{found}, {want}");
    }
}

/// Every geometric option at once.
fn geometric(elastic: Option<Elastic>, simard: Option<Simard>) -> Augmentation {
    Augmentation {
        elastic,
        simard,
        flips: true,
        turns: true,
        rotate: 180.0,
        rotate_probability: 0.5,
        scale: [0.5, 2.0],
        log_scale: true,
        shift: 3.0,
        ..Augmentation::default()
    }
}

#[test]
fn image_and_labels_stay_aligned() {
    // Bright to the right of an edge, where the labels begin.
    let dir = tempfile::tempdir().unwrap();
    let [w, h] = [50, 40];
    let right: Vec<u8> = (0..w * h).map(|i| u8::from(i % w >= 23)).collect();
    png(&dir.path().join("images/a.png"), [w, h], &right.iter().map(|v| v * 200).collect::<Vec<_>>());
    png(&dir.path().join("labels/a.png"), [w, h], &right);
    let set = Dataset::open(dir.path()).unwrap();
    let fields = [
        (Some(Elastic { std: 4.0, grid: 3, probability: 0.7 }), None),
        (None, Some(Simard { alpha: 20.0, sigma: 4.0, probability: 0.7 })),
    ];
    for (elastic, simard) in fields {
        let host = HostCrops { options: geometric(elastic, simard), ..plain(Some(InstanceTarget::Distance), None) };
        let batcher = batcher(set.clone(), reading(true), square(32, 4), host);
        let (mut edges, mut unknown) = (0, 0);
        for batch in (0..6).map(|step| batcher.batch(step).unwrap()) {
            let side = 24;
            for n in 0..4 {
                let target = &batch.targets.data()[3 * n * side * side..];
                let (known, foreground) = target.split_at(side * side);
                for i in 0..side * side {
                    let grey = batch.images.data()[(n * 32 + 4 + i / side) * 32 + 4 + i % side];
                    if known[i] > 0.0 && (grey - 0.5).abs() > 1e-3 {
                        assert_eq!(foreground[i] > 0.0, grey > 0.5, "{n} {i}: {grey}");
                        edges += u32::from(grey > 0.0 && grey < 1.0);
                    }
                    unknown += u32::from(known[i] == 0.0);
                }
            }
        }
        assert!(edges > 100 && unknown > 100, "{edges} {unknown}");
    }
}

#[test]
fn turns_and_flips_hit_pixels() {
    let options = Augmentation { flips: true, turns: true, ..Augmentation::default() };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let geometry = Geometry::draw(&mut Rng::new(seed, 0), &options, [1.0; 2], 4, [10, 20]).unwrap();
        let positions = geometry.positions(4);
        let mut all: Vec<[i64; 2]> = positions.iter().map(|p| p.map(|v| v as i64)).collect();
        assert!(positions.iter().zip(&all).all(|(p, i)| p[0] == i[0] as f64 && p[1] == i[1] as f64), "{positions:?}");
        seen.insert(all.clone());
        all.sort_unstable();
        assert_eq!(all, (10..14).flat_map(|y| (20..24).map(move |x| [y, x])).collect::<Vec<_>>());
        // The same in the middle of a larger square.
        let larger = geometry.positions(8);
        assert!((0..16).all(|i| larger[(2 + i / 4) * 8 + 2 + i % 4] == positions[i]));
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn the_scale_keeps_instances_in_their_range() {
    let host = HostCrops { options: AugmentationPreset::Microscopy.augmentation(), ..plain(None, None) };
    let (_dir, set) = data(1, [12, 10]);
    let mut example = Example::read(&set.pairs()[0], &options()).unwrap();
    let mut scales = |diameter| {
        example.diameter = diameter;
        host.scales(&example)
    };
    assert_eq!(scales(None), [0.5, 2.0]);
    assert_eq!(scales(Some(10.0)), [0.8, 2.0]);
    assert_eq!(scales(Some(60.0)), [0.5, 1.2]);
    // Neither smaller than 8 nor larger than 72 pixels becomes so, but the image may keep its size.
    assert_eq!(scales(Some(5.0)), [1.0, 2.0]);
    assert_eq!(scales(Some(100.0)), [0.5, 1.0]);
}

#[test]
fn a_batch_depends_on_seed_and_step_alone() {
    let (_dir, set) = data(5, [40, 30]);
    let preset = AugmentationPreset::Microscopy.augmentation();
    let make = || {
        let host = HostCrops { options: preset.clone(), ..plain(Some(InstanceTarget::Multi), None) };
        batcher(set.clone(), reading(true), square(32, 0), host)
    };
    let a = make();
    let forward: Vec<Batch> = (0..4).map(|step| a.batch(step).unwrap()).collect();
    assert_ne!(forward[0].images, forward[1].images);
    let b = make();
    let backward: Vec<Batch> = (0..4).rev().map(|step| b.batch(step).unwrap()).collect();
    assert!(forward.iter().eq(backward.iter().rev()));
    let ahead = Prefetch::new([4, 3], 0..4, move |step| b.batch(step)).unwrap();
    assert!(ahead.map(Result::unwrap).eq(forward.iter().cloned()));
    assert!(forward.iter().all(|b| b.images.data().iter().chain(b.targets.data()).all(|v| v.is_finite())));
}

#[test]
fn nearly_empty_crops_are_drawn_again() {
    // One image of five has instances.
    let (dir, _) = data(5, [40, 30]);
    for n in 1..5 {
        png(&dir.path().join(format!("labels/{n}.png")), [40, 30], &[0; 1200]);
    }
    let all: Vec<u8> = (0..1200).map(|i| u8::from(i % 9 > 3)).collect();
    png(&dir.path().join("labels/0.png"), [40, 30], &all);
    let set = Dataset::open(dir.path()).unwrap();
    let full = |redraw_empty| {
        let options = Augmentation { redraw_empty, ..Augmentation::default() };
        let batcher = batcher(
            set.clone(),
            reading(true),
            square(16, 0),
            HostCrops { options, ..plain(Some(InstanceTarget::Gap), None) },
        );
        (0..25).flat_map(|step| batcher.batch(step).unwrap().crops).filter(|crop| crop.example == 0).count()
    };
    assert_eq!(full(0.0), 20, "of 100 crops");
    // 1 - 0.8^4 of them.
    assert!((45..75).contains(&full(1.0)), "{}", full(1.0));
}

#[test]
fn intensities_change_as_requested() {
    let change = |options: Augmentation, nonnegative| {
        let mut image = vec![0.25, -0.25, 0.5, 1.0];
        intensity::change(&mut Rng::new(1, 1), &options, nonnegative, &mut image, 2);
        image
    };
    let none = Augmentation::default();
    assert_eq!(change(none.clone(), true), [0.25, -0.25, 0.5, 1.0]);
    let linear = Augmentation { gain: [2.0; 2], offset: [0.5; 2], ..none.clone() };
    assert_eq!(change(linear, true), [1.0, 0.0, 1.5, 2.5]);
    let square = Augmentation { gamma: [2.0; 2], ..none.clone() };
    assert_eq!(change(square.clone(), true), [0.0625, 0.0, 0.25, 1.0]);
    assert_eq!(change(square.clone(), false), [0.0625, -0.0625, 0.25, 1.0]);
    assert_eq!(change(Augmentation { gamma_probability: 0.0, ..square }, true), change(none.clone(), true));
    let noise = Augmentation { noise: [0.5, 0.5], ..none.clone() };
    assert_ne!(change(noise.clone(), true), change(none.clone(), true));
    assert_eq!(change(Augmentation { noise_probability: 0.0, ..noise }, true), change(none, true));
}

#[test]
fn impossible_crops_are_named() {
    let (_dir, set) = data(1, [12, 10]);
    let error = |read: ExampleOptions, crop, host| {
        let examples = Arc::new(Examples::new(set.clone(), read, 1 << 20));
        Batcher::new(examples, 1, crop, 0).unwrap().augmented(host).unwrap_err().to_string()
    };
    let oblong = CropOptions { height: 4, width: 6, margin: 0 };
    assert!(error(reading(false), oblong, plain(None, None)).contains("6x4 pixels, but crops"));
    assert!(
        error(reading(false), square(4, 0), plain(Some(InstanceTarget::Gap), None)).contains("examples with instances")
    );
    let sized = Augmentation { scale_by_size: Some([8.0, 72.0]), ..Augmentation::default() };
    let without = ExampleOptions { diameters: false, ..reading(false) };
    assert!(
        error(without, square(4, 0), HostCrops { options: sized, ..plain(None, None) }).contains("`scale_by_size`")
    );
    let examples = Arc::new(Examples::new(set.clone(), reading(true), 1 << 20));
    let e = Batcher::new(examples, 1, square(4, 0), 0).unwrap().batch(0).unwrap_err().to_string();
    assert!(e.contains("augmented on the host"), "{e}");
}

#[test]
fn a_field_of_noise_repeats() {
    let options = geometric(None, Some(Simard { probability: 1.0, ..Simard::default() }));
    let draw = || Field::draw(&mut Rng::new(5, 0), &options, 20).unwrap().unwrap().at(3, 4);
    assert_eq!(draw(), draw());
    assert!(Field::draw(&mut Rng::new(5, 0), &Augmentation::default(), 20).unwrap().is_none());
}

/// Prints the time of a crop: `cargo test --release --lib host_crops_are_fast -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn host_crops_are_fast() {
    let (_dir, set) = data(2, [200, 200]);
    let options = AugmentationPreset::Microscopy.augmentation();
    let host = HostCrops { options, ..plain(Some(InstanceTarget::Multi), None) };
    let batcher = batcher(set, reading(true), square(128, 0), host);
    batcher.batch(0).unwrap();
    let begin = std::time::Instant::now();
    (1..26).for_each(|step| drop(batcher.batch(step).unwrap()));
    println!("{:?} a crop", begin.elapsed() / 100);
}

/// Writes crops of a data set as grey images with their targets beside them:
/// `UNET_LOOK=folder UNET_DATA=data cargo test --lib look_at_crops -- --ignored`.
#[test]
#[ignore = "for visual inspection"]
fn look_at_crops() {
    let folder = std::path::PathBuf::from(std::env::var("UNET_LOOK").unwrap());
    let set = Dataset::open(std::env::var("UNET_DATA").unwrap()).unwrap();
    let side = 128;
    let normalisation = Normalisation::Percentile { low: 1.0, high: 99.8, clamp: Some([0.0, 1.5]) };
    let read = ExampleOptions { normalisation, ..reading(true) };
    let options = AugmentationPreset::Microscopy.augmentation();
    let host = HostCrops { options, ..plain(Some(InstanceTarget::Multi), None) };
    let batcher = batcher(set, read, square(side, 0), host);
    for step in 0..6 {
        let batch = batcher.batch(step).unwrap();
        let tile = |value: &dyn Fn(usize) -> f32| -> Vec<u8> {
            (0..side * side).map(|i| (255.0 * value(i)).clamp(0.0, 255.0) as u8).collect()
        };
        let mut sheet = vec![0u8; 4 * side * 7 * side];
        for n in 0..4 {
            let plane = |p: usize, i: usize| batch.targets.data()[(n * 6 + p) * side * side + i];
            let mut tiles = vec![tile(&|i| batch.images.data()[n * side * side + i] / 1.2)];
            tiles.extend((0..4).map(|p| tile(&|i| plane(p, i))));
            tiles.extend((4..6).map(|p| tile(&|i| 0.5 + plane(p, i) / 6.0)));
            for (column, tile) in tiles.iter().enumerate() {
                for y in 0..side {
                    let at = (n * side + y) * 7 * side + column * side;
                    sheet[at..at + side].copy_from_slice(&tile[y * side..(y + 1) * side]);
                }
            }
        }
        png(&folder.join(format!("{step}.png")), [7 * side, 4 * side], &sheet);
    }
}
