//! Classes: those of a data set, their colours, and the live view of several.

use super::app::*;
use eframe::egui::{Key, Modifiers, accesskit};
use egui_kittest::kittest::Queryable;
use unet_studio::canvas::instance_colour;
use unet_studio::project::class_colour;
use unet_wgpu::low_level::infer::{Ids, read_image};
use unet_wgpu::{Backend, Model, SegmentOptions, Segmenter};

const SIDE: usize = 96;

/// Three squares of classes 1, 2 and 2 in a black image.
fn class(i: usize) -> u8 {
    match (i % SIDE / 32, i / SIDE / 32) {
        (0, 0) => 1,
        (2, 0) | (0, 2) => 2,
        _ => 0,
    }
}

/// A colour over black by the opacity of fills.
fn fill(colour: [u8; 3]) -> [f32; 3] {
    colour.map(|v| f32::from(v) * 0.35)
}

fn near(seen: [u8; 3], wanted: [f32; 3]) -> bool {
    seen.iter().zip(wanted).all(|(a, b)| (f32::from(*a) - b).abs() <= 2.0)
}

#[test]
fn a_data_set_brings_its_classes_in_their_colours() {
    let dir = tempfile::tempdir().unwrap();
    write_pnm(&dir.path().join("images/a.pgm"), [SIDE; 2], &[0; SIDE * SIDE]);
    let mask: Vec<u8> = (0..SIDE * SIDE).map(class).collect();
    write_pnm(&dir.path().join("masks/a.pgm"), [SIDE; 2], &mask);
    let mut harness = studio(dir.path());
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
    let status = harness.state().status();
    assert_eq!((status.classes, status.labelled, status.failures), (2, 3, 0), "{status:?}");

    let centres = [[16.5, 16.5], [80.5, 16.5], [16.5, 80.5]];
    let places = centres.map(|at| harness.state().place_of(at).unwrap());
    let seen = shot(&mut harness);
    for (class, at) in [1, 2, 2].into_iter().zip(places) {
        let colour = colour_at(&seen, at, 1.0);
        assert!(near(colour, fill(class_colour(class))), "class {class}: {colour:?}");
    }
    // K: each instance in a colour of its own, and back.
    press(&mut harness, Modifiers::NONE, Key::K);
    let seen = shot(&mut harness);
    for (id, at) in [1, 2, 3].into_iter().zip(places) {
        let [r, g, b, _] = instance_colour(id).to_array();
        let colour = colour_at(&seen, at, 1.0);
        assert!(near(colour, fill([r, g, b])), "instance {id}: {colour:?}");
    }
    press(&mut harness, Modifiers::NONE, Key::K);

    // Names and classes by mouse and keyboard.
    press(&mut harness, Modifiers::NONE, Key::B);
    harness.get_by_label("Add a class").click();
    harness.run_steps(3);
    assert_eq!(harness.state().status().classes, 3);
    picture(&mut harness, "classes");
    harness.get_all_by_role(accesskit::Role::TextInput).nth(1).unwrap().focus();
    harness.run_steps(2);
    press(&mut harness, Modifiers::COMMAND, Key::A);
    harness.get_all_by_role(accesskit::Role::TextInput).nth(1).unwrap().type_text("dividing");
    harness.run_steps(2);
    let written = || std::fs::read_to_string(dir.path().join("studio.json")).unwrap();
    assert!(!written().contains("dividing"), "not with every letter");
    press(&mut harness, Modifiers::NONE, Key::Tab);
    harness.run_steps(2);
    assert_eq!(harness.state().class_list()[1], ("dividing".to_string(), class_colour(2)));
    assert!(written().contains("dividing"));

    // An instance of another class has its colour at once, and the label files have its class.
    press(&mut harness, Modifiers::NONE, Key::Escape);
    press(&mut harness, Modifiers::NONE, Key::V);
    let at = places[0];
    drag(&mut harness, &[at]);
    harness.get_by_label("Class").click();
    harness.run_steps(3);
    harness.get_by_label("class 3").click();
    harness.run_steps(3);
    press(&mut harness, Modifiers::NONE, Key::Escape);
    let colour = colour_at(&shot(&mut harness), at, 1.0);
    assert!(near(colour, fill(class_colour(3))), "{colour:?}");
    press(&mut harness, Modifiers::COMMAND, Key::S);
    assert_eq!(harness.state().status().failures, 0, "{:?}", harness.state().status());
    let mask = unet_wgpu::low_level::infer::LabelMap::open(dir.path().join("masks/a.tif")).unwrap();
    assert_eq!([16 * SIDE + 16, 16 * SIDE + 80].map(|i| mask.labels()[i]), [3, 2]);
    assert!(dir.path().join("imported/masks/a.pgm").is_file(), "the data set's own mask is kept");
}

#[test]
fn a_class_is_removed_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mask: Vec<u8> = (0..SIDE * SIDE).map(class).collect();
    for name in ["a", "b"] {
        write_pnm(&dir.path().join(format!("images/{name}.pgm")), [SIDE; 2], &[0; SIDE * SIDE]);
        write_pnm(&dir.path().join(format!("masks/{name}.pgm")), [SIDE; 2], &mask);
    }
    let mut harness = studio(dir.path());
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
    press(&mut harness, Modifiers::NONE, Key::B);
    harness.run_steps(3);
    for name in ["Remove a class", "Remove class 2", "its instances become class 1"] {
        harness.get_by_label(name).click();
        harness.run_steps(3);
        if name == "Remove class 2" {
            picture(&mut harness, "remove_class");
        }
    }
    let status = harness.state().status();
    assert_eq!((status.classes, status.labelled, status.failures), (1, 3, 0), "{status:?}");
    assert_eq!(harness.state().class_list(), [("class 1".to_string(), class_colour(1))]);
    // Both images, the open one and the other, are of one class.
    let masks = || ["a", "b"].map(|name| dir.path().join(format!("masks/{name}.tif")));
    assert!(masks().iter().all(|mask| !mask.exists()) && dir.path().join("labels/b.tif").is_file());
    let [corner, other] = [[16, 16], [80, 16]].map(|[x, y]| y * SIDE + x);
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    assert_eq!(harness.state().class_list().len(), 2, "{:?}", harness.state().status());
    for file in masks() {
        let mask = unet_wgpu::low_level::infer::LabelMap::open(&file).unwrap();
        assert_eq!([corner, other].map(|i| mask.labels()[i]), [1, 2], "{}", file.display());
    }
    press(&mut harness, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!((harness.state().status().classes, harness.state().status().failures), (1, 0));
}

#[test]
fn the_live_view_shows_every_class_or_a_chosen_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("three.safetensors");
    model_of(3, &file);
    let folder = dir.path().join("images of nuclei");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(image(), folder.join(IMAGE)).unwrap();
    let mut harness = studio(&folder);
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
    harness.state().open_model(file.to_string_lossy());
    until(&mut harness, "the model", |s| s.status().model.is_some_and(|name| name.ends_with("three.safetensors")));
    harness.state_mut().set_live(true, 20.0);
    until(&mut harness, "a region", |s| s.status().regions > 0);

    // All classes: the segmenter's, each in its colour.
    let (pixels, _) = read_image(image(), &Default::default()).unwrap();
    let mut segmenter = Segmenter::new(Backend::open("auto").unwrap(), Model::open(file.to_str().unwrap()).unwrap());
    let options = SegmentOptions::default().with_probabilities(true);
    let expected = segmenter.segment(&pixels, &options, |_| Ok(())).unwrap();
    let found = harness.state().live_classes().unwrap();
    let Ids::U8(mask) = expected.mask.ids() else { panic!("three classes fit a byte") };
    assert!(found.iter().any(|class| *class != found[0]), "the network that has learned nothing sees several classes");
    let differ = found.iter().zip(mask).filter(|(a, b)| a != b).count();
    assert!(found.len() == mask.len() && differ * 10_000 < mask.len(), "{differ} of {} pixels differ", mask.len());
    picture(&mut harness, "live_classes");

    // One class: its probability.
    harness.get_by_role_and_label(accesskit::Role::ComboBox, "class that is shown");
    harness.state_mut().set_live_class(Some(2));
    until(&mut harness, "class 2", |s| s.live_probabilities().is_some());
    let probabilities = expected.probabilities.unwrap();
    let plane = pixels.width() * pixels.height();
    let seen = harness.state().live_probabilities().unwrap();
    let of_class = &probabilities[probabilities.len() - plane..];
    let largest = seen.iter().zip(of_class).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(seen.len() == plane && largest < 1e-3, "{largest}");
    picture(&mut harness, "live_class");
    assert_eq!(harness.state().status().failures, 0, "{:?}", harness.state().status());
}
