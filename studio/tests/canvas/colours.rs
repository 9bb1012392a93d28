//! Colours of images at screen positions.

use super::app::{device, hash, near, open, settle};
use eframe::egui::Color32;
use unet_studio::canvas::{ChannelDisplay, Contrast, View};
use unet_wgpu::{Image, Pixels};

/// Its quarter is the coarsest level.
const SIZE: [usize; 2] = [1100, 900];

/// A pattern with noise, as fractions.
fn pattern(channels: usize) -> Vec<f64> {
    let value = |i: usize| {
        let (x, y) = (i / channels % SIZE[0], i / channels / SIZE[0]);
        let wave = ((x as f64 / 9.0).sin() + (y as f64 / 13.0).cos()) / 4.0 + 0.5;
        wave * 0.7 + f64::from(hash(i as u32) % 1000) / 1000.0 * 0.3
    };
    (0..SIZE[0] * SIZE[1] * channels).map(value).collect()
}

fn image(sample: &str, channels: usize) -> Image {
    let v = pattern(channels).into_iter();
    let pixels = match sample {
        "u8" => Pixels::U8(v.map(|v| (v * 255.0) as u8).collect()),
        "u16" => Pixels::U16(v.map(|v| (v * 9000.0) as u16).collect()),
        _ => Pixels::F32(v.enumerate().map(|(i, v)| odd(i).unwrap_or(v as f32 * 5.0 - 2.0)).collect()),
    };
    Image::new(SIZE[0], SIZE[1], channels, pixels).unwrap()
}

/// Here and there something that is not a number.
fn odd(i: usize) -> Option<f32> {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    (hash(i as u32) % 50 < 3).then(|| odd[(hash(i as u32) % 50) as usize])
}

/// The samples of a pixel of a level, by averages of averages.
fn level(image: &Image, level: u32, [x, y]: [usize; 2]) -> Vec<f64> {
    if level == 0 {
        return image.window(x, y, 1, 1).unwrap().into_iter().map(f64::from).collect();
    }
    let finer = [image.width(), image.height()].map(|s| s.div_ceil(1 << (level - 1)));
    let four = [[0, 0], [1, 0], [0, 1], [1, 1]].map(|[dx, dy]| {
        self::level(image, level - 1, [(2 * x + dx).min(finer[0] - 1), (2 * y + dy).min(finer[1] - 1)])
    });
    let channel = |c: usize| {
        let finite: Vec<f64> = four.iter().map(|p| p[c]).filter(|v| v.is_finite()).collect();
        let mean = finite.iter().sum::<f64>() / finite.len() as f64;
        if matches!(image.pixels(), Pixels::F32(_)) { mean } else { mean.round_ties_even() }
    };
    (0..image.channels()).map(channel).collect()
}

fn expected(contrast: &Contrast, values: &[f64]) -> [f64; 3] {
    let mut sum = [0.0; 3];
    for (c, v) in contrast.channels.iter().zip(values).filter(|(c, v)| c.visible && v.is_finite()) {
        let (low, high) = (f64::from(c.low), f64::from(c.high));
        let t = ((v - low) / (high - low)).clamp(0.0, 1.0).powf(f64::from(c.gamma));
        let rgb = c.colour.to_array();
        (0..3).for_each(|i| sum[i] += t * f64::from(rgb[i]));
    }
    sum.map(|s: f64| s.min(255.0))
}

fn check(pixels: Image, contrast: Contrast, zoom: f64, pixels_per_point: f32) {
    let mut harness = open(pixels.clone(), [400.0, 300.0], pixels_per_point);
    harness.state_mut().contrast = Some(contrast.clone());
    harness.state_mut().canvas.view = Some(View { centre: [352.0, 300.0], zoom });
    let shot = settle(&mut harness);
    assert_eq!((shot.size, shot.view.zoom), ([400, 300], zoom));
    let coarse = (1.0 / zoom).log2().max(0.0) as u32;
    let mut checked = 0;
    for y in 0..300 {
        for x in 0..400 {
            let at = shot.image_point(x, y);
            if at[0] < 0.0 || at[1] < 0.0 || at[0] >= SIZE[0] as f64 || at[1] >= SIZE[1] as f64 {
                continue;
            }
            let values = level(&pixels, coarse, at.map(|v| v as usize >> coarse));
            let (seen, wanted) = (shot.at(x, y), expected(&contrast, &values));
            assert!(near(seen, wanted, 1.0), "zoom {zoom}, screen {x} {y}, image {at:?}: {seen:?}, not {wanted:?}");
            checked += 1;
        }
    }
    assert!(checked >= 175 * 150, "{checked}");
}

fn grey(low: f32, high: f32, gamma: f32) -> Contrast {
    Contrast { channels: vec![ChannelDisplay { visible: true, colour: Color32::WHITE, low, high, gamma }] }
}

#[test]
fn images_have_the_colours_of_their_samples() {
    if !device() {
        return;
    }
    for zoom in [1.0, 8.0, 0.25] {
        check(image("u8", 1), grey(20.0, 220.0, 1.0), zoom, 1.0);
        check(image("u16", 1), grey(500.0, 8000.0, 0.5), zoom, 1.0);
        check(image("f32", 1), grey(-1.0, 2.5, 1.0), zoom, 1.0);
    }
    // Zoom is in screen pixels, also where a point has two.
    check(image("u8", 1), grey(0.0, 255.0, 1.0), 1.0, 2.0);
}

#[test]
fn channels_are_added_in_their_colours() {
    if !device() {
        return;
    }
    let channel = |visible, colour, low, high| ChannelDisplay { visible, colour, low, high, gamma: 1.0 };
    let (green, magenta) = (Color32::from_rgb(0, 255, 0), Color32::from_rgb(255, 0, 255));
    let channels = vec![
        channel(true, green, 0.0, 9000.0),
        channel(false, Color32::RED, 0.0, 1.0),
        channel(true, magenta, 2000.0, 12000.0),
        channel(true, Color32::from_rgb(100, 100, 0), 1000.0, 4000.0),
    ];
    for zoom in [1.0, 0.5] {
        check(image("u16", 4), Contrast { channels: channels.clone() }, zoom, 1.0);
    }
}

#[test]
fn rgb_is_shown_as_it_is() {
    if !device() {
        return;
    }
    let pixels = image("u8", 3);
    let mut harness = open(pixels.clone(), [400.0, 300.0], 1.0);
    harness.state_mut().canvas.view = Some(View { centre: [352.0, 300.0], zoom: 1.0 });
    let shot = settle(&mut harness);
    for (x, y) in [(0, 0), (399, 299), (17, 120), (200, 150)] {
        let at = shot.image_point(x, y).map(|v| v as usize);
        assert_eq!(shot.at(x, y).map(f32::from).to_vec(), pixels.window(at[0], at[1], 1, 1).unwrap());
    }
}

#[test]
fn what_is_coming_is_shown_coarsely_and_never_black() {
    if !device() {
        return;
    }
    let pixels = Image::new(3000, 3000, 1, Pixels::U8(vec![200; 9_000_000])).unwrap();
    let mut harness = open(pixels, [300.0, 300.0], 1.0);
    harness.state_mut().contrast = Some(grey(0.0, 255.0, 1.0));
    for (i, centre) in [[1500.0, 1500.0], [150.0, 150.0], [2800.0, 1400.0]].into_iter().enumerate() {
        harness.state_mut().canvas.view = Some(View { centre, zoom: [0.1, 1.0, 4.0][i] });
        let shot = super::app::shot(&mut harness);
        assert!((0..300).all(|i| shot.at(i, i) == [200; 3] && shot.at(i, 299 - i) == [200; 3]), "{i}");
    }
}

#[test]
fn the_image_has_a_border_and_a_background() {
    if !device() {
        return;
    }
    let mut harness = open(super::app::black([40, 40]), [300.0, 300.0], 1.0);
    harness.state_mut().canvas.view = Some(View { centre: [20.0, 20.0], zoom: 4.0 });
    let shot = settle(&mut harness);
    let row = [68, 69, 70, 229, 230, 231].map(|x| shot.at(x, 150));
    assert_eq!(row, [[20, 30, 40], [128; 3], [0; 3], [0; 3], [128; 3], [20, 30, 40]]);
    assert_eq!([69, 230].map(|y| shot.at(150, y)), [[128; 3]; 2]);
    // Lines between pixels where these are large.
    harness.state_mut().canvas.view = Some(View { centre: [20.0, 20.0], zoom: 12.0 });
    let shot = settle(&mut harness);
    let lines = (0..36).filter(|&x| shot.at(x + 31, 155) != [0; 3]).count();
    assert_eq!(lines, 3);
}
