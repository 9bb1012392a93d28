//! Pictures to look at, in the folder for temporary files of tests: `cargo test --test canvas pictures -- --ignored`.

use super::app::{App, Map, device, drawn, hash, open, settle};
use egui_kittest::Harness;
use unet_studio::canvas::{LabelStyle, UNLABELLED, View};
use unet_wgpu::{Image, Pixels};

const SIDE: u32 = 600;

/// Round cells on a jittered lattice; their numbers, 0 between them.
fn cell(x: u32, y: u32) -> u32 {
    let place = [x / 40, y / 40];
    let id = place[1] * 15 + place[0] + 1;
    let centre = [0, 1].map(|i| f64::from(place[i] * 40 + 18 + hash(id * 2 + i as u32) % 5));
    let d = ((f64::from(x) - centre[0]).powi(2) + (f64::from(y) - centre[1]).powi(2)).sqrt();
    if d < 12.0 + f64::from(hash(id) % 7) { id } else { 0 }
}

fn cells<'a>() -> Harness<'a, App> {
    let value = |i: u32| (u32::from(cell(i % SIDE, i / SIDE) > 0) * 2000 + 300 + hash(i) % 900) as u16;
    let pixels = Pixels::U16((0..SIDE * SIDE).map(value).collect());
    let mut harness = open(Image::new(SIDE as usize, SIDE as usize, 1, pixels).unwrap(), [900.0, 700.0], 1.0);
    let state = harness.state_mut();
    state.labels = Some(Map::new([SIDE; 2], |x, y| if x > 440 && y > 200 { UNLABELLED } else { cell(x, y) }));
    state.pixel_size = Some(0.65);
    harness
}

fn save(harness: &mut Harness<App>, name: &str) {
    settle(harness);
    for _ in 0..10 {
        harness.step();
        drawn!(harness);
    }
    drawn!(harness).save(format!("{}/canvas_{name}.png", env!("CARGO_TARGET_TMPDIR"))).unwrap();
}

#[test]
#[ignore = "pictures are for people"]
fn pictures() {
    if !device() {
        return;
    }
    let mut harness = cells();
    save(&mut harness, "fit");
    harness.state_mut().canvas.view = Some(View { centre: [430.0, 190.0], zoom: 16.0 });
    harness.state_mut().style.selected = Some(72);
    save(&mut harness, "close");
    harness.state_mut().canvas.view = Some(View { centre: [300.0, 300.0], zoom: 3.0 });
    harness.state_mut().compare = Some(Map::new([SIDE; 2], |x, y| cell(x.saturating_sub(3), y)));
    harness.state_mut().style = LabelStyle { fills: false, ..Default::default() };
    save(&mut harness, "split");
    harness.state_mut().canvas.view = Some(View { centre: [300.0, 300.0], zoom: 0.4 });
    save(&mut harness, "far");
}
