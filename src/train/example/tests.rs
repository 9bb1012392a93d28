//! Tests of reading pairs.

use std::fs::File;
use std::path::Path;

use super::*;
use crate::infer::Orientation;
use crate::train::{ClassWeights, Split};

/// A grey PNG.
pub(crate) fn png(path: &Path, [w, h]: [usize; 2], data: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), w as u32, h as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

/// `count` noise images with two touching instances each, with masks of 0 and 255 and with labels.
pub(crate) fn data(count: usize, [w, h]: [usize; 2]) -> (tempfile::TempDir, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..count {
        let at = |folder: &str| dir.path().join(folder).join(format!("{n}.png"));
        let instance = |i: usize| match (i % w, i / w) {
            (2..5, 2..6) => 1,
            (5..8, 2..6) => 2,
            _ => 0u8,
        };
        let instances: Vec<u8> = (0..w * h).map(instance).collect();
        let pixels: Vec<u8> =
            instances.iter().enumerate().map(|(i, o)| 100 * o + ((i * 7 + n * 13) % 50) as u8).collect();
        png(&at("images"), [w, h], &pixels);
        png(&at("masks"), [w, h], &instances.iter().map(|&o| if o > 0 { 255 } else { 0 }).collect::<Vec<_>>());
        png(&at("labels"), [w, h], &instances);
    }
    let set = Dataset::open(dir.path()).unwrap();
    (dir, set)
}

pub(crate) fn options() -> ExampleOptions {
    ExampleOptions {
        channels: 1,
        classes: 2,
        normalisation: Normalisation::MinMax,
        labels: LabelOptions::default(),
        separate_touching: false,
        read: OpenOptions::default(),
        weight_map: Some(WeightMap::default()),
        instances: false,
        diameters: false,
    }
}

/// Class ids and instances of an example.
fn maps(example: &Example) -> &GroundTruth {
    example.truth.class_maps().unwrap()
}

#[test]
fn examples_match_their_files() {
    let (_dir, set) = data(2, [12, 10]);
    let examples = Examples::new(set, options(), 1 << 20);
    let e = examples.example(1).unwrap();
    assert_eq!((e.name.as_str(), e.width, e.height, e.image.len()), ("1", 12, 10, 120));
    assert_eq!(e.image.iter().copied().fold(0.0, f32::max), 1.0);
    assert_eq!(
        (maps(&e).classes.labels()[2 * 12 + 2], maps(&e).instances.as_ref().unwrap().labels()[2 * 12 + 6]),
        (1, 2)
    );
    assert!(Arc::ptr_eq(&e, &examples.example(1).unwrap()), "cached");
    assert!(examples.example(2).is_err());
    let scarce = Examples::new(examples.data().clone(), options(), 100);
    assert_eq!(*scarce.example(1).unwrap(), *e);
    assert!(!Arc::ptr_eq(&scarce.example(1).unwrap(), &scarce.example(1).unwrap()), "no memory to cache it");
}

#[test]
fn touching_instances_are_separated_in_the_classes_too() {
    let (_dir, set) = data(1, [12, 10]);
    let separated = ExampleOptions { separate_touching: true, ..options() };
    let e = Example::read(&set.pairs()[0], &separated).unwrap();
    let row: Vec<u32> = maps(&e).classes.labels()[3 * 12..4 * 12].to_vec();
    assert_eq!(row, [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0]);
    let weights = e.weights.unwrap();
    // The gap between the two weighs more than the background elsewhere.
    assert!(weights[3 * 12 + 4] > weights[3 * 12 + 11] + 5.0);
}

#[test]
fn without_labels_components_of_the_mask_are_instances() {
    let (dir, _) = data(1, [12, 10]);
    std::fs::remove_dir_all(dir.path().join("labels")).unwrap();
    let mut pixels = vec![0; 120];
    (pixels[62], pixels[66]) = (255, 255);
    png(&dir.path().join("masks/0.png"), [12, 10], &pixels);
    let plain = WeightMap { class_weights: ClassWeights::None, ..WeightMap::default() };
    let options = ExampleOptions { weight_map: Some(plain), ..options() };
    let e = Example::read(&Dataset::open(dir.path()).unwrap().pairs()[0], &options).unwrap();
    assert_eq!(maps(&e).instances, None);
    assert_eq!(e.weights.unwrap()[64], (1.0 + 10.0 * (-16.0f64 / 50.0).exp()) as f32);
}

#[test]
fn labels_alone_are_foreground() {
    let (dir, _) = data(1, [12, 10]);
    std::fs::remove_dir_all(dir.path().join("masks")).unwrap();
    let pair = Dataset::open(dir.path()).unwrap().pairs()[0].clone();
    let ground_truth = GroundTruth::read(&pair, 2, &LabelOptions::default()).unwrap();
    assert_eq!(ground_truth.classes, ground_truth.instances.unwrap().map(|l| u32::from(l > 0)));
    assert!(
        GroundTruth::read(&pair, 3, &LabelOptions::default()).unwrap_err().to_string().contains("which of 3 classes")
    );
}

#[test]
fn bad_pairs_are_named() {
    let (dir, set) = data(1, [12, 10]);
    let (mask, labels, image) = ("masks/0.png", "labels/0.png", "images/0.png");
    let error = |options: &ExampleOptions| {
        let text = Example::read(&set.pairs()[0], options).unwrap_err().to_string();
        text.replace(dir.path().to_str().unwrap(), "D").replace('\\', "/")
    };
    let at = |file: &str| dir.path().join(file);
    let mut pixels = vec![0; 120];
    pixels[25] = 7;
    png(&at(mask), [12, 10], &pixels);
    let exists = "D/masks/0.png: class 7 at column 1, row 2; there are";
    assert_eq!(error(&options()), format!("{exists} 2: 0 to 1, or only 0 and 255"));
    assert_eq!(error(&ExampleOptions { classes: 3, ..options() }), format!("{exists} 3: 0 to 2"));
    let ignored = ExampleOptions { labels: LabelOptions { ignore: Some(7), ..Default::default() }, ..options() };
    assert_eq!(Example::read(&set.pairs()[0], &ignored).unwrap().weights.unwrap()[25], 0.0);
    png(&at(mask), [10, 12], &[0; 120]);
    assert_eq!(error(&options()), "D/labels/0.png: has 12x10 pixels, but D/masks/0.png has 10x12");
    png(&at(labels), [10, 12], &[0; 120]);
    assert_eq!(error(&options()), "D/masks/0.png: has 10x12 pixels, but D/images/0.png has 12x10");
    std::fs::write(at(mask), "no image").unwrap();
    assert!(error(&options()).starts_with("D/masks/0.png: not an image"));
    assert_eq!(
        error(&options()),
        "D/masks/0.png: not an image in a known format (PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY)"
    );
    png(&at(mask), [12, 10], &[0; 120]);
    png(&at(labels), [12, 10], &[0; 120]);
    let fixed = Normalisation::Fixed { mean: vec![0.5; 2], std: vec![1.0; 2] };
    let normalised = error(&ExampleOptions { normalisation: fixed, ..options() });
    assert_eq!(normalised, "D/images/0.png: normalisation: mean has 2 values, the image has 1 channels");
    std::fs::write(at(image), "").unwrap();
    assert_eq!(error(&options()), "D/images/0.png: the file is empty");
}

/// Files of `assets/fixtures/reading.zip` as a data set of one pair.
fn oriented(image: &str, mask: &str) -> (tempfile::TempDir, Pair) {
    let dir = tempfile::tempdir().unwrap();
    let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fixtures/reading.zip");
    let mut zip = zip::ZipArchive::new(File::open(zip).unwrap()).unwrap();
    let mut unpack = |name: &str, folder: &str| {
        let path = dir.path().join(folder).join(format!("a.{}", name.rsplit_once('.').unwrap().1));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::copy(&mut zip.by_name(name).unwrap(), &mut File::create(path).unwrap()).unwrap();
    };
    unpack(image, "images");
    unpack(mask, "masks");
    let pair = Dataset::open(dir.path()).unwrap().pairs()[0].clone();
    (dir, pair)
}

#[test]
fn images_and_masks_are_oriented_alike() {
    let options = ExampleOptions { classes: 256, weight_map: None, ..options() };
    let stored = OpenOptions { ignore_orientation: true, ..OpenOptions::default() };
    let stored = ExampleOptions { read: stored, ..options.clone() };
    let (_dir, upright) = oriented("exif1.png", "plain1.tif");
    let upright = Example::read(&upright, &options).unwrap();
    let colours = "its colours became grey by luminance (0.2125 red + 0.7154 green + 0.0721 blue)";
    assert_eq!((upright.kind.as_str(), &upright.notes[..]), ("RGB", &[colours.into()][..]));
    for tag in 2..=8 {
        let (_dir, pair) = oriented(&format!("exif{tag}.png"), &format!("plain{tag}.tif"));
        let by = Orientation::from_tag(tag).unwrap();
        let e = Example::read(&pair, &options).unwrap();
        assert_eq!(e.image, by.planes(&upright.image, [5, 9]), "{tag}");
        assert_eq!(maps(&e).classes, maps(&upright).classes.clone().oriented(by), "{tag}");
        assert_eq!(e.notes.len(), 2, "{:?}", e.notes);
        let e = Example::read(&pair, &stored).unwrap();
        assert_eq!((&e.image, &e.truth, e.notes.len()), (&upright.image, &upright.truth, 1), "{tag}");
    }
    // A mask in stored orientation for an image whose tag rotates it.
    let (_dir, pair) = oriented("exif6.png", "plain1.tif");
    let e = Example::read(&pair, &options).unwrap_err().to_string();
    assert!(
        e.contains("has 9x5 pixels, but ") && e.contains("a.png has 5x9; only one of the two has an orientation"),
        "{e}"
    );
    assert!(Example::read(&pair, &stored).is_ok());
    // Notes of several images are counted.
    let data = Dataset::open(pair.image.parent().unwrap().parent().unwrap()).unwrap();
    let summary = Examples::new(data, stored, 0).check().unwrap();
    assert_eq!((summary.kinds, summary.notes), (vec![("RGB".into(), 1)], vec![(colours.into(), 1)]));
}

#[test]
fn fill_nan_applies_in_training_too() {
    let (dir, set) = data(1, [12, 10]);
    let mut out = File::create(dir.path().join("images/0.tif")).unwrap();
    let mut pixels = vec![0.5f32; 120];
    pixels[7] = f32::NAN;
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut out).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray32Float>(12, 10, &pixels).unwrap();
    let pair = Pair { image: dir.path().join("images/0.tif"), ..set.pairs()[0].clone() };
    let e = Example::read(&pair, &options()).unwrap_err().to_string();
    assert!(e.contains("column 7, row 0 is NaN; OpenOptions::fill_nan"), "{e}");
    let read = OpenOptions { fill_nan: Some(1.0), ..OpenOptions::default() };
    let e = Example::read(&pair, &ExampleOptions { read, ..options() }).unwrap();
    assert_eq!((e.image[7], e.image[8], e.notes.len()), (1.0, 0.0, 1));
}

#[test]
fn checking_reads_everything() {
    let (dir, set) = data(3, [12, 10]);
    let small = dir.path().join("images/1.png");
    png(&small, [9, 8], &[5; 72]);
    let error = Examples::new(set.clone(), options(), 0).check().unwrap_err().to_string();
    assert!(error.contains("1.png: has 12x10 pixels"), "{error}");
    let (_, good) = set.split(Split::Every(2), 0).unwrap();
    let summary = Examples::new(good, options(), 0).check().unwrap();
    assert_eq!((summary.images, summary.class_pixels), (2, vec![2 * 96, 2 * 24]));
    assert_eq!((summary.smallest, summary.largest), ([12, 10], [12, 10]));
}

#[test]
fn instances_have_numbers_classes_and_a_diameter() {
    let (dir, set) = data(1, [12, 10]);
    let pair = &set.pairs()[0];
    let one = ExampleOptions { instances: true, diameters: true, ..options() };
    let e = Example::read(pair, &one).unwrap();
    // Two of 3 x 4 pixels.
    assert_eq!((e.diameter, e.weights), (Some((12.0 * 4.0 / std::f64::consts::PI).sqrt()), None));
    let Truth::Instances { labels, classes } = &e.truth else { panic!("{:?}", e.truth) };
    assert_eq!((labels.labels()[2 * 12 + 6], labels.largest(), classes.len()), (2, 2, 0));
    // Of three classes: the larger part of each instance counts, and pixels without ground truth are unknown.
    let at = |file: &str| dir.path().join(file);
    let row = |y: usize, x: usize| match (y, x) {
        (2, 2) => 9,
        (2..6, 2..5) => 1 + u8::from(x > 2),
        (2..6, 5..8) => 1,
        _ => 0,
    };
    let mask: Vec<u8> = (0..120).map(|i| row(i / 12, i % 12)).collect();
    png(&at("masks/0.png"), [12, 10], &mask);
    let labels: Vec<u8> = (0..120)
        .map(|i| if (2..6).contains(&(i / 12)) { [0, 0, 40, 40, 40, 7, 7, 7, 0, 0, 0, 0][i % 12] } else { 0 })
        .collect();
    png(&at("labels/0.png"), [12, 10], &labels);
    let three = ExampleOptions {
        classes: 3,
        labels: LabelOptions { ignore: Some(9), ..LabelOptions::default() },
        ..one.clone()
    };
    let Truth::Instances { labels, classes } = Example::read(pair, &three).unwrap().truth else { panic!() };
    assert_eq!((&labels.labels()[26..32], &classes[..]), (&[LabelMap::IGNORED, 2, 2, 1, 1, 1][..], &[0, 1, 2][..]));
    png(&at("masks/0.png"), [12, 10], &[0; 120]);
    let e = Example::read(pair, &three).unwrap_err().to_string();
    assert!(e.ends_with("labels/0.png: instance 7 has no class: its pixels are background in the mask"), "{e}");
    std::fs::remove_dir_all(at("labels")).unwrap();
    let without = Dataset::open(dir.path()).unwrap();
    let e = Example::read(&without.pairs()[0], &one).unwrap_err().to_string();
    assert!(e.ends_with("images/0.png: has no labels/, which [instances] needs"), "{e}");
}

#[test]
fn the_median_diameter_is_of_areas() {
    let map = |labels: &[u32]| median_diameter(LabelMap::new(labels.len(), 1, labels.to_vec()).unwrap().areas());
    assert_eq!(map(&[0, 0, LabelMap::IGNORED]), None);
    let disc = |area: f64| Some((area * 4.0 / std::f64::consts::PI).sqrt());
    assert_eq!(map(&[5, 5, 5, 0, 5]), disc(4.0));
    assert_eq!(map(&[5, 5, 5, 2]), disc(2.0));
    assert_eq!(map(&[1, 2, 2, 2, 2, 2, 9, 9]), disc(2.0));
}
