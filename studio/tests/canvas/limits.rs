//! Contrast limits counted by the device equal those of sorted samples.

use super::app::{device, hash, open, settle, shot};
use unet_studio::canvas::CanvasImage;
use unet_wgpu::{Image, Pixels};

/// The sample of a rank, as percentiles are defined here: the last one at or below it.
fn sorted(image: &Image, percentiles: [f64; 2], step: usize) -> Vec<[f32; 2]> {
    let (w, h) = (image.width(), image.height());
    let channel = |c: usize| {
        let all = image.window(0, 0, w, h).unwrap();
        let plane = &all[c * w * h..][..w * h];
        let rows = plane.chunks(w).step_by(step).flat_map(|r| r.iter().step_by(step));
        let mut values: Vec<f32> = rows.copied().filter(|v| v.is_finite()).collect();
        values.sort_by(f32::total_cmp);
        percentiles.map(|p| values[(p / 100.0 * (values.len() - 1) as f64) as usize])
    };
    (0..image.channels()).map(channel).collect()
}

fn found(image: Image, percentiles: [f64; 2]) -> Vec<[f32; 2]> {
    let mut harness = open(image, [200.0, 200.0], 1.0);
    settle(&mut harness);
    harness.state_mut().image.request_limits(percentiles);
    for _ in 0..100 {
        shot(&mut harness);
        if let Some(limits) = harness.state().image.limits() {
            return limits;
        }
    }
    panic!("no limits");
}

#[test]
fn limits_equal_percentiles_of_the_host() {
    if !device() {
        return;
    }
    let n = 1000 * 1100;
    let float = |i: u32| match hash(i) % 1000 {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => -1e20,
        v => (v as f32 / 100.0).powi(3) - 300.0 + hash(i ^ 77) as f32 * 1e-12,
    };
    let images = [
        Image::new(1000, 1100, 1, Pixels::U8((0..n).map(|i| (hash(i) % 200) as u8).collect())).unwrap(),
        Image::new(1000, 550, 2, Pixels::U16((0..n).map(|i| (hash(i) % 3000 * (1 + i % 2)) as u16).collect())).unwrap(),
        Image::new(1000, 1100, 1, Pixels::F32((0..n).map(float).collect())).unwrap(),
        Image::new(7, 1, 3, Pixels::F32((0..21).map(|i| i as f32 - 9.0).collect())).unwrap(),
    ];
    for image in images {
        for percentiles in [CanvasImage::PERCENTILES, [0.0, 100.0], [25.0, 50.0]] {
            assert_eq!(found(image.clone(), percentiles), sorted(&image, percentiles, 1), "{percentiles:?}");
        }
    }
    // Of a larger image, every second pixel counts.
    let values = (0..2100 * 40).map(|i| (hash(i) % 60_000) as u16).collect();
    let large = Image::new(2100, 40, 1, Pixels::U16(values)).unwrap();
    assert_eq!(found(large.clone(), [1.0, 99.8]), sorted(&large, [1.0, 99.8], 2));
}

#[test]
fn an_image_is_shown_between_its_percentiles() {
    if !device() {
        return;
    }
    let values: Vec<u16> = (0..400 * 300).map(|i| 1000 + (hash(i) % 1000) as u16).collect();
    let image = Image::new(400, 300, 1, Pixels::U16(values)).unwrap();
    let wanted = sorted(&image, CanvasImage::PERCENTILES, 1);
    let mut harness = open(image, [400.0, 300.0], 1.0);
    harness.state_mut().canvas.view = Some(unet_studio::canvas::View { centre: [200.0, 150.0], zoom: 1.0 });
    for _ in 0..20 {
        shot(&mut harness);
    }
    assert_eq!(harness.state().image.limits(), Some(wanted.clone()));
    let seen = shot(&mut harness);
    for i in [0u32, 3000, 77_777] {
        let v = 1000.0 + f64::from(hash(i) % 1000);
        let [low, high] = wanted[0].map(f64::from);
        let grey = ((v - low) / (high - low)).clamp(0.0, 1.0) * 255.0;
        assert!(super::app::near(seen.at(i % 400, i / 400), [grey; 3], 1.0));
    }
}
