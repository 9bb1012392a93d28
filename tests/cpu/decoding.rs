//! Instances from the planes that a network of target `multi` predicts: right where nuclei touch, and how long it takes.

use std::time::Instant;
use unet_wgpu::low_level::infer::{Ids, InstanceOptions, LabelMap, Mask, find_instances_in};
use unet_wgpu::low_level::train::instance_target::{MARGIN, planes};
use unet_wgpu::low_level::weights::{InstanceMethod, InstanceSettings, InstanceTarget};

const SIDE: usize = 512;
/// Nuclei in a row, and rows of them.
const GRID: [usize; 2] = [14, 15];

/// A number from 0 to 1 for every `i`.
fn noise(i: usize) -> f32 {
    let mixed = (i as u32 ^ 0x9e37).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    (mixed >> 8) as f32 / (1u32 << 24) as f32
}

/// 210 nuclei of 18 pixels' radius, most of which touch others. The margin around the image is empty.
fn crowd() -> LabelMap {
    let [columns, rows] = GRID;
    let pitch = [SIDE as f32 / columns as f32, SIDE as f32 / rows as f32];
    let centre = |n: usize| {
        let at = |k: usize, axis: usize| (k as f32 + 0.4 + 0.2 * noise(2 * n + axis)) * pitch[axis];
        [at(n % columns, 0), at(n / columns, 1)]
    };
    let centres: Vec<_> = (0..columns * rows).map(centre).collect();
    LabelMap::from_fn(SIDE + 2 * MARGIN, SIDE + 2 * MARGIN, |x, y| {
        let (Some(x), Some(y)) = (x.checked_sub(MARGIN), y.checked_sub(MARGIN)) else { return 0 };
        let far = |c: &[f32; 2]| (c[0] - x as f32).powi(2) + (c[1] - y as f32).powi(2);
        let nearest = (0..centres.len()).min_by(|&a, &b| far(&centres[a]).total_cmp(&far(&centres[b]))).unwrap();
        if x < SIDE && y < SIDE && far(&centres[nearest]) < 18.0 * 18.0 { nearest as u32 + 1 } else { 0 }
    })
    .unwrap()
}

/// The probability and the geometry `[4, H, W]` that a good network would predict: the targets with noise.
fn predicted(labels: &LabelMap) -> (Vec<f32>, Vec<f32>) {
    let target = planes(InstanceTarget::Multi, labels, MARGIN, None).unwrap();
    let noisy = |(i, v): (usize, &f32)| v + 0.1 * (noise(i) - 0.5);
    let plane = |k: usize| &target[k * SIDE * SIDE..(k + 1) * SIDE * SIDE];
    let probability = plane(1).iter().map(|inside| 0.03 + 0.94 * inside).collect();
    (probability, target[2 * SIDE * SIDE..].iter().enumerate().map(noisy).collect())
}

/// Median milliseconds of a decoding, and the share of pixels whose instance is the true one, for instances in any order.
fn decoded(method: InstanceMethod, runs: usize) -> (f64, usize, f64) {
    let truth = crowd();
    let (probability, geometry) = predicted(&truth);
    let ids = probability.iter().map(|&p| u8::from(p > 0.5)).collect();
    let mask = Mask::new(SIDE, SIDE, 2, Ids::U8(ids)).unwrap();
    let mut settings = InstanceSettings::default();
    settings.method = Some(method);
    let options = InstanceOptions::of_model(&settings, None, Some(InstanceTarget::Multi)).unwrap();
    let mut times = Vec::new();
    let mut labels = vec![0; SIDE * SIDE];
    let mut found = 0;
    for _ in 0..runs {
        let start = Instant::now();
        let mut instances = find_instances_in(&mask, Some(&probability), Some(&geometry), &options).unwrap();
        labels.fill(0);
        instances
            .rows(|y, row| {
                row.iter().for_each(|r| labels[y * SIDE..][r.start as usize..r.end as usize].fill(r.label));
                Ok(())
            })
            .unwrap();
        times.push(start.elapsed().as_secs_f64() * 1e3);
        found = labels.iter().copied().max().unwrap_or(0) as usize;
    }
    times.sort_by(f64::total_cmp);
    let mut of = std::collections::BTreeMap::<(u32, u32), usize>::new();
    let wide = SIDE + 2 * MARGIN;
    let mut inside = 0;
    for (i, &label) in labels.iter().enumerate() {
        let true_label = truth.labels()[(i / SIDE + MARGIN) * wide + i % SIDE + MARGIN];
        if true_label > 0 {
            inside += 1;
            *of.entry((true_label, label)).or_default() += 1;
        }
    }
    // The pixels of every true instance that one found instance holds, if it is not another's.
    let mut best = std::collections::BTreeMap::<u32, (u32, usize)>::new();
    for ((truth, label), n) in of {
        let most = best.entry(truth).or_insert((label, 0));
        *most = if n > most.1 && label > 0 { (label, n) } else { *most };
    }
    let used: std::collections::BTreeSet<_> = best.values().map(|&(label, _)| label).collect();
    assert_eq!(used.len(), best.len(), "{method}: two nuclei are one instance");
    let right: usize = best.values().map(|&(_, n)| n).sum();
    (times[times.len() / 2], found, right as f64 / inside as f64)
}

#[test]
fn touching_nuclei_are_found_one_by_one() {
    for method in [InstanceMethod::Elevation, InstanceMethod::Offsets] {
        let (_, found, right) = decoded(method, 1);
        assert_eq!(found, GRID[0] * GRID[1], "{method}");
        assert!(right > 0.98, "{method}: {right}");
    }
}

/// `cargo test --release --test cpu decoding -- --ignored --nocapture`
#[test]
#[ignore = "times a release build"]
fn time_of_decoding() {
    for method in [InstanceMethod::Elevation, InstanceMethod::Offsets] {
        let (ms, found, right) = decoded(method, 21);
        println!("{method}: {found} instances of {SIDE}x{SIDE} in {ms:.2} ms, {:.2} % of pixels right", right * 100.0);
    }
}
