//! The whole application on a device without a window: open, segment, correct, train, export. What it finds must be what the
//! library finds, and `unet segment` where UNET_PROGRAM names it. STUDIO_PICTURES is a folder for pictures of the window;
//! `window/pictures.rs` compares those of the manual.

#[path = "window/app.rs"]
mod app;
#[path = "window/channels.rs"]
mod channels;
#[path = "window/classes.rs"]
mod classes;
#[path = "window/frames.rs"]
mod frames;
#[path = "window/look.rs"]
mod look;
#[path = "window/minutes.rs"]
mod minutes;
#[path = "window/pictures.rs"]
mod pictures;

use app::{IMAGE, drag, image, picture, press, quiet, studio, until};
use eframe::egui::{Key, Modifiers, Pos2, vec2};
use egui_kittest::kittest::Queryable;
use unet_wgpu::low_level::infer::{InstanceSettings, read_image};
use unet_wgpu::{Backend, Model, SegmentOptions, Segmenter};

#[test]
fn from_an_image_to_a_model() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(image(), dir.path().join(IMAGE)).unwrap();
    let mut harness = studio(dir.path());
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
    assert_eq!(harness.state().status().labelled, 0);

    // Segment: the same instances as the library's segmenter on another device.
    press(&mut harness, Modifiers::COMMAND, Key::Enter);
    until(&mut harness, "segmenting", |s| s.status().predicted.is_some());
    picture(&mut harness, "segment");
    let (pixels, _) = read_image(image(), &Default::default()).unwrap();
    let mut segmenter = Segmenter::new(Backend::open("auto").unwrap(), Model::open("nuclei").unwrap());
    let options = SegmentOptions::default().with_instances(Some(InstanceSettings::default()));
    let expected = segmenter.segment(&pixels, &options, |_| Ok(())).unwrap().instances.unwrap();
    let found = harness.state().prediction().unwrap();
    assert!(expected.labels.largest() > 3, "the image has nuclei");
    assert!(found.labels == expected.labels.labels(), "the window finds other instances than the library");

    // Settings take effect without running the network.
    let count = found.rows.len();
    // A slider that is drawn changes them faster than they take effect: the last counts.
    for area in [100_000, 0, 100_000] {
        harness.state_mut().set_instances(InstanceSettings::default().with_min_area(area));
    }
    until(&mut harness, "decoding", |s| s.status().predicted != Some(count));
    assert_eq!(harness.state().status().predicted, Some(0));
    harness.state_mut().set_instances(InstanceSettings::default());
    until(&mut harness, "decoding again", |s| s.status().predicted == Some(count));

    // Accept, paint, undo.
    press(&mut harness, Modifiers::NONE, Key::A);
    let accepted = harness.state().status();
    assert_eq!(accepted.labelled, count);
    press(&mut harness, Modifiers::NONE, Key::B);
    press(&mut harness, Modifiers::NONE, Key::N);
    quiet(&mut harness);
    let canvas = harness.state().canvas_rect().unwrap();
    let stroke: Vec<Pos2> = (0..12).map(|i| canvas.left_top() + vec2(60.0 + 3.0 * i as f32, 60.0)).collect();
    drag(&mut harness, &stroke);
    let painted = harness.state().status();
    assert_eq!((painted.labelled, painted.undo), (count + 1, accepted.undo + 1), "{painted:?}");
    picture(&mut harness, "label");
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    assert_eq!(harness.state().status().labelled, count, "undone");
    press(&mut harness, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(harness.state().status().labelled, count + 1, "redone");
    press(&mut harness, Modifiers::COMMAND, Key::S);

    // Train.
    harness.get_by_label("Train").click();
    harness.step();
    harness.state_mut().set_training(20, 2);
    harness.step();
    harness.get_all_by_label("Train").last().unwrap().click();
    harness.step();
    assert!(harness.state().status().training, "{:?}", harness.state().status());
    until(&mut harness, "training", |s| !s.status().training);
    let trained = harness.state().status();
    assert_eq!((trained.steps, trained.failures), (20, 0), "{trained:?}");
    until(&mut harness, "the trained model", |s| s.status().model != Some("nuclei".into()));
    until(&mut harness, "its instances", |s| s.prediction().is_some_and(|p| p.model != "nuclei"));
    picture(&mut harness, "train");
    let model = Model::open(&harness.state().status().model.unwrap()).unwrap();
    let recipe = model.metadata.recipe.as_ref().unwrap();
    assert_eq!((recipe["steps"].as_u64(), recipe["data"]["ignore"].as_i64()), (Some(20), Some(-1)), "{recipe}");
    assert!(!recipe.to_string().contains(dir.path().to_str().unwrap()), "whose folders these are is not in it");

    // Export: the program's bytes.
    let out = dir.path().join("results");
    harness.state_mut().export_to(&["labels", "mask", "csv"], out.clone());
    until(&mut harness, "exporting", |s| s.status().idle);
    let stem = IMAGE.trim_end_matches(".png");
    assert!(out.join(format!("{stem}_mask.png")).is_file(), "{:?}", harness.state().status());
    if let Some(program) = std::env::var_os("UNET_PROGRAM") {
        let reference = dir.path().join("reference");
        let run = std::process::Command::new(program)
            .args(["segment", "--save", "labels,mask,csv", "-q", "-m"])
            .arg(harness.state().status().model.unwrap())
            .arg("-o")
            .arg(&reference)
            .arg(image())
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        for file in std::fs::read_dir(&reference).unwrap().map(|f| f.unwrap().path()) {
            let own = out.join(file.file_name().unwrap());
            assert!(std::fs::read(&file).unwrap() == std::fs::read(&own).unwrap(), "{} differs", own.display());
        }
    }

    // Nothing is lost: another window on the project has the labels.
    drop(harness);
    let mut again = studio(dir.path());
    until(&mut again, "opening again", |s| s.status().image.is_some());
    assert_eq!(again.state().status().labelled, count + 1);
}

/// The network runs inside the frames of the window, which goes on.
#[test]
fn the_network_follows_the_view() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(image(), dir.path().join(IMAGE)).unwrap();
    let mut harness = studio(dir.path());
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
    harness.state_mut().set_live(true, 8.0);
    until(&mut harness, "a region", |s| s.status().regions > 0);
    picture(&mut harness, "live");
    assert_eq!(harness.state().status().failures, 0, "{:?}", harness.state().status());
    // The same probabilities as the segmenter's, where the image is as large as the network's view.
    let (pixels, _) = read_image(image(), &Default::default()).unwrap();
    let mut segmenter = Segmenter::new(Backend::open("auto").unwrap(), Model::open("nuclei").unwrap());
    let options = SegmentOptions::default().with_probabilities(true);
    let expected = segmenter.segment(&pixels, &options, |_| Ok(())).unwrap().probabilities.unwrap();
    let plane = pixels.width() * pixels.height();
    let found = harness.state().live_probabilities().unwrap();
    let expected = &expected[expected.len() - plane..];
    let largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(found.len() == plane && largest < 1e-5, "{largest}");
}
