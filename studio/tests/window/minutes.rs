//! The manual's five minutes, by the clock, as somebody would spend them who has never seen the program.

use super::app::*;
use eframe::egui::{Key, Modifiers, Pos2};
use std::time::{Duration, Instant};
use unet_wgpu::low_level::infer::{InstanceSettings, read_image};
use unet_wgpu::{Backend, Model, SegmentOptions, Segmenter};

/// Seconds for the training.
const TRAINING: u64 = 300;

/// The outline of an instance as a hand draws it: points around its middle.
fn outline(labels: &[u32], side: usize, id: u32, centre: [f64; 2]) -> Vec<[f64; 2]> {
    let is = |[x, y]: [f64; 2]| labels.get(y as usize * side + x as usize) == Some(&id);
    let along = |angle: f64, r: f64| [centre[0] + r * angle.cos(), centre[1] + r * angle.sin()];
    let reach =
        |angle: f64| (1..120).map(|r| f64::from(r) / 2.0).take_while(|&r| is(along(angle, r))).last().unwrap_or(1.0);
    (0..=32).map(|i| f64::from(i) / 32.0 * std::f64::consts::TAU).map(|a| along(a, reach(a) + 0.5)).collect()
}

/// Dark nuclei on a bright ground, which the built-in model has never seen. Half of the image is labelled by hand; then the training
/// with its own parameters. The scores are those of the application, and those on the other half.
///
/// `cargo test --manifest-path studio/Cargo.toml --test window minutes -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of ten minutes"]
fn from_an_empty_folder_to_a_trained_model() {
    let dir = tempfile::tempdir().unwrap();
    let (values, side) = grey();
    let dark: Vec<u8> = values.iter().map(|v| 255 - v).collect();
    write_pnm(&dir.path().join("dark.pgm"), [side; 2], &dark);
    let mut segmenter = Segmenter::new(Backend::open("auto").unwrap(), Model::open("nuclei").unwrap());
    let options = SegmentOptions::default().with_instances(Some(InstanceSettings::default()));
    let (pixels, _) = read_image(image(), &Default::default()).unwrap();
    let truth = segmenter.segment(&pixels, &options, |_| Ok(())).unwrap().instances.unwrap().labels.labels().to_vec();

    let start = Instant::now();
    let say = |what: String| println!("{:4.0} s: {what}", start.elapsed().as_secs_f64());
    let mut harness = studio(dir.path());
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
    press(&mut harness, Modifiers::COMMAND, Key::Enter);
    until(&mut harness, "segmenting", |s| s.status().predicted.is_some());
    say(format!(
        "the built-in model finds {:?} instances, really {}",
        harness.state().status().predicted,
        truth.iter().max().unwrap()
    ));
    picture(&mut harness, "minutes_before");
    let before = harness.state().prediction().unwrap().labels.clone();

    // Background with a large brush, then outlines.
    press(&mut harness, Modifiers::NONE, Key::G);
    (0..9).for_each(|_| press(&mut harness, Modifiers::NONE, Key::CloseBracket));
    let half = side as f64 / 2.0;
    let place =
        |harness: &egui_kittest::Harness<'_, unet_studio::app::Studio>, at| harness.state().place_of(at).unwrap();
    for x in (20..256).step_by(40) {
        let ends = [[f64::from(x), 20.0], [f64::from(x), side as f64 - 20.0]].map(|at| place(&harness, at));
        let stroke: Vec<Pos2> = (0..=10).map(|i| ends[0] + (ends[1] - ends[0]) * (i as f32 / 10.0)).collect();
        drag(&mut harness, &stroke);
    }
    press(&mut harness, Modifiers::NONE, Key::P);
    let mut drawn = 0;
    for id in 1..=*truth.iter().max().unwrap() {
        let own: Vec<usize> = (0..truth.len()).filter(|&i| truth[i] == id).collect();
        let mean = |of: fn(usize, usize) -> usize| {
            own.iter().map(|&i| of(i, side) as f64 + 0.5).sum::<f64>() / own.len().max(1) as f64
        };
        let centre = [mean(|i, side| i % side), mean(|i, side| i / side)];
        let inside = centre[0] < half - 20.0 && truth[centre[1] as usize * side + centre[0] as usize] == id;
        if own.is_empty() || !inside {
            continue;
        }
        let outline: Vec<Pos2> = outline(&truth, side, id, centre).into_iter().map(|at| place(&harness, at)).collect();
        drag(&mut harness, &outline);
        press(&mut harness, Modifiers::NONE, Key::N);
        drawn += 1;
    }
    let status = harness.state().status();
    say(format!("{drawn} outlines are drawn, {} instances are labelled", status.labelled));
    assert!(drawn > 5 && status.labelled == drawn && status.failures == 0, "{status:?}");
    picture(&mut harness, "minutes_labels");
    press(&mut harness, Modifiers::NONE, Key::C);
    until(&mut harness, "scores", |s| s.scores().len() == 1);

    press(&mut harness, Modifiers::NONE, Key::T);
    let training = Instant::now();
    let seconds = |n| Duration::from_secs(n);
    until(&mut harness, "training", |s| !s.status().training || training.elapsed() > seconds(TRAINING));
    let steps = harness.state().status().steps;
    say(format!("{steps} steps in {:.0} s with the application's own parameters", training.elapsed().as_secs_f64()));
    if harness.state().status().training {
        press(&mut harness, Modifiers::SHIFT, Key::T);
    }
    until(&mut harness, "the end", |s| !s.status().training);
    until(&mut harness, "its instances", |s| s.prediction().is_some_and(|p| p.model.contains("model-1")));
    picture(&mut harness, "minutes_after");
    let after = harness.state().prediction().unwrap().labels.clone();
    press(&mut harness, Modifiers::NONE, Key::C);
    until(&mut harness, "scores", |s| s.scores().len() == 2);
    for scores in harness.state().scores() {
        say(format!("{}: F1 {:.3}, mean AP {:.3}, Dice {:?}", scores.model, scores.f1, scores.mean_ap, scores.dice));
    }
    let right = |labels: &[u32]| f1(labels, &truth, side);
    let [before, after] = [before, after].map(|labels| right(&labels));
    say(format!("F1 on the half that nobody labelled: {before:.3}, then {after:.3}"));
    assert!(after > before + 0.2, "a visibly better model");
    assert_eq!(harness.state().status().failures, 0, "{:?}", harness.state().status());
}

/// F1 at an IoU above 0.5, of instances whose first pixels lie in the right half.
fn f1(found: &[u32], truth: &[u32], side: usize) -> f64 {
    let areas = |labels: &[u32]| {
        let mut areas = std::collections::BTreeMap::<u32, [usize; 2]>::new();
        for (i, &id) in labels.iter().enumerate().filter(|(_, id)| **id != 0) {
            let area = areas.entry(id).or_default();
            *area = [area[0] + 1, area[1] + usize::from(i % side > side / 2)];
        }
        areas
            .into_iter()
            .filter(|(_, [all, right])| 2 * right > *all)
            .map(|(id, [all, _])| (id, all))
            .collect::<Vec<_>>()
    };
    let [found_areas, truth_areas] = [areas(found), areas(truth)];
    let mut right = 0;
    for &(id, area) in &found_areas {
        right += usize::from(truth_areas.iter().any(|&(other, of)| {
            let both = found.iter().zip(truth).filter(|pair| pair == &(&id, &other)).count();
            2 * both > area + of - both
        }));
    }
    2.0 * right as f64 / (found_areas.len() + truth_areas.len()).max(1) as f64
}
