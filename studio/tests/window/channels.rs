//! Channels: which are shown, and which one a network gets.

use super::app::*;
use eframe::egui::{Key, Modifiers, accesskit};
use egui_kittest::kittest::Queryable;
use unet_wgpu::low_level::infer::{OpenOptions, read_image};
use unet_wgpu::{Backend, Model, SegmentOptions, Segmenter};

const SIDE: usize = 160;

/// Nuclei in channel 1 alone; 0 is their opposite, 2 is even.
fn samples() -> Vec<u8> {
    let (grey, side) = grey();
    let value = |i: usize| grey[(100 + i / SIDE) * side + 100 + i % SIDE];
    (0..SIDE * SIDE).flat_map(|i| [255 - value(i), value(i), 40]).collect()
}

#[test]
fn a_network_gets_the_chosen_channel_as_the_program_gives_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("three.ppm");
    write_pnm(&file, [SIDE; 2], &samples());
    let mut harness = studio(dir.path());
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());

    // Keys go through the channels: red, green, blue alone, then all again.
    let alone: Vec<_> = (0..4)
        .map(|_| {
            press(&mut harness, Modifiers::NONE, Key::Period);
            harness.state().channel_alone()
        })
        .collect();
    assert_eq!(alone, [Some(0), Some(1), Some(2), None]);
    let of_all = shot(&mut harness);
    press(&mut harness, Modifiers::NONE, Key::Comma);
    assert_eq!(harness.state().channel_alone(), Some(2));
    let even = shot(&mut harness);
    let places = [[20.5, 20.5], [80.5, 90.5], [140.5, 30.5]].map(|at| harness.state().place_of(at).unwrap());
    let seen = places.map(|at| colour_at(&even, at, 1.0));
    assert!(seen.iter().all(|c| *c == [40; 3]), "channel 2 is even and grey: {seen:?}");
    let three = samples();
    for ([x, y], at) in [[20, 20], [80, 90], [140, 30]].into_iter().zip(places) {
        assert_eq!(colour_at(&of_all, at, 1.0).to_vec(), three[(y * SIDE + x) * 3..][..3], "all channels at {x} {y}");
    }
    press(&mut harness, Modifiers::NONE, Key::Period);

    // The mouse: the box, then the channel in its list.
    harness.get_by_label("Choose the network's channels").click();
    harness.run_steps(3);
    assert_eq!(harness.state().network_channels(), Some(vec![0]));
    harness.get_by_role_and_label(accesskit::Role::ComboBox, "channel").click();
    harness.run_steps(3);
    harness.get_all_by_label("1").last().unwrap().click();
    harness.run_steps(3);
    assert_eq!(harness.state().network_channels(), Some(vec![1]));
    picture(&mut harness, "channels");
    until(&mut harness, "reading", |s| s.status().idle);
    press(&mut harness, Modifiers::COMMAND, Key::Enter);
    until(&mut harness, "segmenting", |s| s.status().predicted.is_some());
    let found = harness.state().prediction().unwrap().rows.len();
    assert!(found > 0, "{:?}", harness.state().status());

    // The live view sees the same channel.
    let options = OpenOptions { channels: Some(vec![1]), ..OpenOptions::default() };
    let (pixels, _) = read_image(&file, &options).unwrap();
    let mut segmenter = Segmenter::new(Backend::open("auto").unwrap(), Model::open("nuclei").unwrap());
    let options = SegmentOptions::default().with_probabilities(true);
    let expected = segmenter.segment(&pixels, &options, |_| Ok(())).unwrap().probabilities.unwrap();
    harness.state_mut().set_live(true, 8.0);
    until(&mut harness, "a region", |s| s.status().regions > 0);
    let seen = harness.state().live_probabilities().unwrap();
    let expected = &expected[expected.len() - SIDE * SIDE..];
    // The live network has 512 x 512 pixels around it, so its borders differ; the middle sees the same.
    let middle = (0..SIDE * SIDE).filter(|i| (60..100).contains(&(i % SIDE)) && (60..100).contains(&(i / SIDE)));
    let largest = middle.map(|i| (seen[i] - expected[i]).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-3, "{largest}");
    harness.state_mut().set_live(false, 8.0);

    // Results are the program's with the same option.
    let out = dir.path().join("results");
    harness.state_mut().export_to(&["labels", "mask", "csv"], out.clone());
    until(&mut harness, "exporting", |s| s.status().idle);
    assert!(out.join("three_mask.png").is_file(), "{:?}", harness.state().status());
    if let Some(program) = std::env::var_os("UNET_PROGRAM") {
        let reference = dir.path().join("reference");
        let mut run = std::process::Command::new(program);
        run.args(["segment", "--channels", "1", "--save", "labels,mask,csv", "-q", "-m", "nuclei", "-o"]);
        let run = run.arg(&reference).arg(&file).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let files: Vec<_> = std::fs::read_dir(&reference).unwrap().map(|f| f.unwrap().path()).collect();
        assert_eq!(files.len(), 3);
        for file in files {
            let own = out.join(file.file_name().unwrap());
            assert!(std::fs::read(&file).unwrap() == std::fs::read(&own).unwrap(), "{} differs", own.display());
        }
    }

    // The choice is the project's: another window has it.
    assert_eq!(harness.state().status().failures, 0, "{:?}", harness.state().status());
    drop(harness);
    let mut again = studio(dir.path());
    until(&mut again, "opening again", |s| s.status().image.is_some() && s.status().model.is_some());
    assert_eq!(again.state().network_channels(), Some(vec![1]));
}
