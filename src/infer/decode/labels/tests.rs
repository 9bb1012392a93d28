//! Ground ground truth files of every kind.

use std::collections::BTreeMap;
use std::fs::File;

use super::*;
use crate::infer::{Ids, Mask, ProbabilityFormat, write_mask, write_probabilities};

fn png(path: &Path, (w, h): (u32, u32), color: ::png::ColorType, depth: ::png::BitDepth, data: &[u8]) {
    let mut encoder = ::png::Encoder::new(File::create(path).unwrap(), w, h);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

#[test]
fn every_depth_gives_its_numbers() {
    use ::png::{BitDepth, ColorType};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    let labels = |size, color, depth, data: &[u8]| {
        png(&path, size, color, depth, data);
        LabelMap::open(&path).unwrap().into_labels()
    };
    let grey = ColorType::Grayscale;
    assert_eq!(labels((10, 1), grey, BitDepth::One, &[0b1010_0001, 0b0100_0000]), [1, 0, 1, 0, 0, 0, 0, 1, 0, 1]);
    assert_eq!(labels((3, 2), grey, BitDepth::Two, &[0b11_10_01_00, 0b00_01_10_00]), [3, 2, 1, 0, 1, 2]);
    assert_eq!(labels((3, 1), grey, BitDepth::Four, &[0xf2, 0x90]), [15, 2, 9]);
    assert_eq!(labels((2, 1), grey, BitDepth::Eight, &[255, 4]), [255, 4]);
    assert_eq!(labels((2, 1), grey, BitDepth::Sixteen, &[1, 0, 2, 3]), [256, 515]);
    assert_eq!(labels((2, 1), ColorType::Rgb, BitDepth::Eight, &[7, 7, 7, 9, 9, 9]), [7, 9]);
    png(&path, (1, 1), ColorType::Rgb, BitDepth::Eight, &[7, 8, 7]);
    assert!(LabelMap::open(&path).unwrap_err().to_string().contains("a.png: holds 1 colour and no ids (100.0%"));
}

#[test]
fn our_own_masks_are_read_as_class_ids() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_mask.png");
    let mask = Mask::new(3, 1, 5, Ids::U8(vec![4, 0, 2])).unwrap();
    write_mask(&path, &mask).unwrap();
    assert_eq!(LabelMap::open(&path).unwrap().labels(), [4, 0, 2]);
}

#[test]
fn what_holds_no_labels_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (tif, other) = (dir.path().join("a.tif"), dir.path().join("b.png"));
    write_probabilities(&tif, ProbabilityFormat::Tiff, 2, 1, &[3.0, 0.0]).unwrap();
    assert_eq!(LabelMap::open(&tif).unwrap().labels(), [3, 0]);
    write_probabilities(&tif, ProbabilityFormat::Tiff, 2, 1, &[3.0, 0.5]).unwrap();
    assert!(LabelMap::open(&tif).unwrap_err().to_string().contains("a.tif: holds the value 0.5"));
    assert!(LabelMap::open(dir.path()).unwrap_err().to_string().contains("is a folder"));
    assert!(LabelMap::open(dir.path().join("none.png")).unwrap_err().to_string().contains("none.png: "));
    png(&other, (64, 64), ::png::ColorType::Grayscale, ::png::BitDepth::Eight, &[1; 4096]);
    let whole = std::fs::read(&other).unwrap();
    std::fs::write(&other, &whole[..whole.len() / 2]).unwrap();
    assert!(LabelMap::open(&other).unwrap_err().to_string().contains("b.png: "));
    std::fs::write(&other, [0xff, 0xd8, 0xff, 0xe0]).unwrap();
    assert!(LabelMap::open(&other).unwrap_err().to_string().contains("a JPEG file cannot hold labels"));
}

#[test]
fn damage_is_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    let mask = Mask::new(9, 5, 5, Ids::U8((0..45).map(|i| i % 5).collect())).unwrap();
    write_mask(&path, &mask).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in 8..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            std::fs::write(&path, bytes).unwrap();
            if let Err(e) = LabelMap::open(&path) {
                assert!(e.to_string().contains("a.png: "), "{e}");
            }
        }
        std::fs::write(&path, &whole[..at]).unwrap();
        // What follows the pixels says nothing about them.
        assert!(LabelMap::open(&path).is_err() || at + 16 > whole.len(), "{at}");
    }
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/labels").join(name)
}

/// What tifffile, Pillow and numpy read from the files that they wrote (scripts/make_label_fixtures.py).
#[test]
fn files_of_other_programs_hold_the_numbers_that_those_read() {
    let expected: BTreeMap<String, Vec<u32>> =
        serde_json::from_str(&std::fs::read_to_string(fixture("want.json")).unwrap()).unwrap();
    assert!(expected.len() > 40);
    let colours = "#000000=0,#ff0000=1,#00ff00=2,#5a5ac8=3".parse().unwrap();
    let colours = LabelOptions { colours, ..LabelOptions::default() };
    for (name, ids) in expected {
        let got = match name.strip_prefix("colours:") {
            Some(name) => LabelMap::open_with(fixture(name), &colours),
            None => LabelMap::open(fixture(&name)),
        };
        assert_eq!(got.unwrap_or_else(|e| panic!("{name}: {e}")).labels(), ids, "{name}");
    }
    let bool = LabelMap::open(fixture("mask_bool_by_tifffile.tif")).unwrap();
    assert_eq!((bool.labels().iter().sum::<u32>(), bool.largest(), bool.labels()[0]), (1133, 1, 0));
    let lut = LabelMap::open(fixture("imagej_8bit_lut_palette.tif")).unwrap();
    assert_eq!((lut.labels().iter().sum::<u32>(), &lut.labels()[..6]), (2526796, &[185, 186, 184, 186, 182, 151][..]));
    // By their colours, palettes give the same ids.
    for name in ["palette.png", "palette.bmp", "palette.gif", "palette.tif", "imagej_lut.tif"] {
        let map = LabelMap::open_with(fixture(name), &colours).unwrap();
        assert_eq!(map, LabelMap::open(fixture(name)).unwrap(), "{name}");
    }
}

#[test]
fn what_is_no_id_is_named() {
    let error = |name: &str, options: &LabelOptions| {
        let text = LabelMap::open_with(fixture(name), options).unwrap_err().to_string();
        assert!(text.contains(name), "{text}");
        text
    };
    let plain = LabelOptions::default();
    let e = error("minus_one.tif", &plain);
    assert!(e.contains("the value -1 at column 2, row 0;") && e.ends_with("say ignore = -1"), "{e}");
    let ignored = LabelOptions { ignore: Some(-1), ..LabelOptions::default() };
    let map = LabelMap::open_with(fixture("minus_one.tif"), &ignored).unwrap();
    assert_eq!((map.labels()[2], map.labels()[9 + 1]), (LabelMap::IGNORED, 1));
    assert!(error("too_large.npy", &plain).contains("the value 4294967296 at column 1, row 1; the largest label is"));
    assert!(error("objects.npy", &plain).contains("Python objects"));
    assert!(error("lossy.jpg", &plain).contains("a JPEG file cannot hold labels"));
    assert!(error("lossy.webp", &plain).contains("a lossy WebP file cannot hold labels"));
    assert!(error("jpeg.tif", &plain).contains("changes numbers (such as JPEG)"));
    let table = r##"{"#000000" = 0, "#00ff00" = 1, "#ff0000" = 2, "#5a5ac8" = 3}"##;
    for name in ["rgb.png", "rgb.tif", "rgb.bmp", "rgb.webp", "rgb.npy", "rgba.png", "rgb16.tif"] {
        let e = error(name, &plain);
        assert!(e.contains(&format!("colours = {table}")) && e.contains("holds 4 colours and no ids (79.4%, "), "{e}");
    }
    let some = LabelOptions { colours: "#000000=0,#ff0100=1".parse().unwrap(), ..LabelOptions::default() };
    let e = error("rgb.png", &some);
    let unlisted = "the colour #ff0000 at column 1, row 1; `colours` has no id for it (its nearest is #ff0100); not there: #00ff00, #ff0000, #5a5ac8 (";
    assert!(e.contains(unlisted), "{e}");
    assert!(error("miniswhite8.tif", &some).contains("grey with white as zero"));
    // Grey files are read through the table; arrays of numbers are not.
    let white = LabelOptions { colours: "#000=0,#fff=1".parse().unwrap(), ..LabelOptions::default() };
    for name in ["onebit.png", "grey.bmp", "grey16.png"] {
        assert_eq!(LabelMap::open_with(fixture(name), &white).unwrap().largest(), 1, "{name}");
    }
    assert!(error("uint8.tif", &white).contains("the colour #010101 at"));
    assert_eq!(LabelMap::open_with(fixture("int8.npy"), &white).unwrap().labels()[10], 1);
}

#[test]
fn opacity_is_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    use ::png::{BitDepth, ColorType};
    png(&path, (2, 1), ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 255, 0, 255]);
    assert_eq!(LabelMap::open(&path).unwrap().labels(), [7, 0]);
    png(&path, (2, 1), ColorType::GrayscaleAlpha, BitDepth::Eight, &[255, 255, 255, 0]);
    let e = LabelMap::open(&path).unwrap_err().to_string();
    assert!(e.contains(r##"{"#ffffff00" = 0, "#ffffff" = 1}"##), "{e}");
    let table = LabelOptions { colours: "#ffffff=1,#ffffff00=0".parse().unwrap(), ..LabelOptions::default() };
    assert_eq!(LabelMap::open_with(&path, &table).unwrap().labels(), [1, 0]);
}
