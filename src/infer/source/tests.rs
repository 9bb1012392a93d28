//! Files of `assets/fixtures/reading.zip` against the results of Pillow, tifffile and scikit-image.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::error::Hint;
use crate::infer::{Alpha, ChannelMap, Colour, LabelMap, Pixels, check_channels, open_image, read_image};

#[derive(Deserialize)]
struct Reference {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<f32>,
}

/// Unpacked fixtures, with their expected contents.
struct Files {
    folder: tempfile::TempDir,
    expected: BTreeMap<String, Value>,
}

impl Files {
    fn new() -> Self {
        let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fixtures/reading.zip");
        let mut zip = zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut expected = BTreeMap::new();
        for i in 0..zip.len() {
            let mut file = zip.by_index(i).unwrap();
            let (name, mut bytes) = (file.name().unwrap().to_string(), Vec::new());
            file.read_to_end(&mut bytes).unwrap();
            match name.as_str() {
                "expected.json" => expected = serde_json::from_slice(&bytes).unwrap(),
                _ => std::fs::write(folder.path().join(name), bytes).unwrap(),
            }
        }
        Self { folder, expected }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn reference(&self, name: &str) -> Reference {
        serde_json::from_value(self.expected[name].clone()).unwrap()
    }

    fn open(&self, name: &str, options: &OpenOptions) -> Box<dyn ImageSource> {
        open_image(self.path(name), options).unwrap()
    }
}

fn floats(image: &Image) -> Vec<f32> {
    match image.pixels() {
        Pixels::U8(v) => v.iter().map(|&x| x.into()).collect(),
        Pixels::U16(v) => v.iter().map(|&x| x.into()).collect(),
        Pixels::F32(v) => v.clone(),
    }
}

fn all(channels: usize) -> OpenOptions {
    OpenOptions { channels: Some((0..channels).collect()), ..OpenOptions::default() }
}

#[test]
fn every_file_matches_other_readers() {
    let files = Files::new();
    let names: Vec<&String> = files.expected.keys().filter(|n| !n.starts_with("luminance")).collect();
    assert!(names.len() >= 101, "{}", names.len());
    for name in names {
        let reference = files.reference(name);
        let options = match name.as_str() {
            "pages12.tif" => OpenOptions { pages_as_channels: true, ..OpenOptions::default() },
            // All channels, alpha included.
            _ if name.contains("alpha") || name.contains("rgba") || name.contains("opaque") => all(reference.channels),
            _ => OpenOptions::default(),
        };
        let mut source = files.open(name, &options);
        let info = source.info();
        assert_eq!(
            [info.width, info.height, info.channels],
            [reference.width, reference.height, reference.channels],
            "{name}"
        );
        let whole = read_all(&mut *source).unwrap();
        let max = if name.ends_with(".jpg") { 2.0 } else { 0.0 };
        let off = floats(&whole).iter().zip(&reference.pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= max, "{name}: off by {off}");
        // Windows equal parts of the whole.
        let (w, h) = (info.width, info.height);
        for (i, [x0, y0]) in [[0, 0], [w / 3, 1], [1, h / 2], [w - 2, h - 1]].into_iter().enumerate() {
            let (x1, y1) = ((x0 + 1 + 5 * i).min(w), (y0 + 2 + 9 * i).min(h));
            let actual = source.read(x0, y0, x1 - x0, y1 - y0).unwrap();
            assert_eq!(actual.pixels(), whole.part(x0, y0, x1 - x0, y1 - y0).unwrap().pixels(), "{name} {x0} {y0}");
        }
        assert!(source.read(w - 1, 0, 2, 1).is_err() && source.read(0, h, 1, 1).is_err(), "{name}");
        // The same in bands, as statistics read it.
        let mut rows = Vec::new();
        pass(&mut *source, |band| {
            rows.extend(floats(&band));
            Ok(())
        })
        .unwrap();
        assert_eq!(rows, floats(&whole), "{name}");
    }
}

#[test]
fn orientations_are_reported_and_can_be_ignored() {
    let files = Files::new();
    for tag in 1..=8 {
        for kind in
            ["exif{}.png", "exif_at_end{}.png", "profile{}.png", "xmp{}.png", "exif{}.webp", "xmp{}.jpg", "tiles{}.tif"]
        {
            let (name, upright) = (kind.replace("{}", &tag.to_string()), kind.replace("{}", "1"));
            let oriented = files.open(&name, &OpenOptions::default());
            let notes = oriented.notes();
            match tag {
                1 => assert_eq!(notes, Vec::<Message>::new()),
                6 => assert!(notes[0].to_string().starts_with("rotated by 90 degrees clockwise, as"), "{notes:?}"),
                _ => assert!(notes[0].hints().eq([&Hint::IgnoreOrientation]), "{notes:?}"),
            }
            let stored = OpenOptions { ignore_orientation: true, ..OpenOptions::default() };
            let mut stored = files.open(&name, &stored);
            assert_eq!(stored.notes(), Vec::<Message>::new());
            let mut first = files.open(&upright, &OpenOptions::default());
            assert_eq!(read_all(&mut *stored).unwrap(), read_all(&mut *first).unwrap(), "{name}");
        }
        // Images and labels are rotated alike.
        let (name, reference) = (format!("plain{tag}.tif"), files.reference(&format!("plain{tag}.tif")));
        let labels = LabelMap::open(files.path(&name)).unwrap();
        assert_eq!([labels.width(), labels.height()], [reference.width, reference.height]);
        assert_eq!(labels.labels().iter().map(|&l| l as f32).collect::<Vec<_>>(), reference.pixels);
        assert_eq!(floats(&Image::open(files.path(&name)).unwrap()), reference.pixels);
        let rows = LabelMap::open_stored(files.path(&name)).unwrap();
        assert_eq!(rows, LabelMap::open(files.path("plain1.tif")).unwrap());
    }
}

#[test]
fn rotated_images_are_not_held_as_a_whole() {
    let files = Files::new();
    let (upright, oriented) =
        (files.open("tiles1.tif", &Default::default()), files.open("tiles6.tif", &Default::default()));
    assert_eq!(upright.held_bytes(), oriented.held_bytes());
    // Every band of the transposed image touches all rows of tiles.
    assert_eq!(oriented.cache_bytes(1), upright.cache_bytes(37));
    assert_eq!(files.open("tiles4.tif", &Default::default()).cache_bytes(16), upright.cache_bytes(16));
}

#[test]
fn channels_follow_the_file() {
    let files = Files::new();
    let separate = |name: &str, names: &[&str]| {
        let source = files.open(name, &OpenOptions::default());
        assert_eq!(source.info().kind, ChannelKind::SEPARATE, "{name}");
        assert_eq!(source.channel_names(), names, "{name}");
        // An RGB image is never converted to grey here.
        check_channels(files.path(name), &*source, 1).unwrap_err().to_string()
    };
    let e = separate("dyes_imagej.tif", &["DAPI", "GFP", "Cy5"]);
    assert!(e.contains("dyes_imagej.tif: has 3 channels (0 DAPI, 1 GFP, 2 Cy5), the network takes 1 channel; "), "{e}");
    assert!(e.ends_with("choose one, such as OpenOptions::channels = [0]"), "{e}");
    assert!(separate("dyes_unnamed.tif", &[]).contains("has 3 channels (0, 1, 2), "));
    assert!(separate("dyes.ome.tif", &["nuclei", "actin", "tubulin"]).contains("1 actin, 2 tubulin"));
    separate("bands_contig.tif", &[]);
    separate("dyes_shaped.tif", &[]);
    separate("dyes_lsm.tif", &[]);
    let chosen = OpenOptions { channels: Some(vec![1]), ..OpenOptions::default() };
    let chosen = files.open("dyes_imagej.tif", &chosen);
    assert_eq!((chosen.channel_names(), chosen.info().kind.colour), (vec!["GFP".into()], Colour::Chosen));
    check_channels(files.path("dyes_imagej.tif"), &*chosen, 1).unwrap();
    let none = OpenOptions { channels: Some(vec![3]), ..OpenOptions::default() };
    let e = open_image(files.path("dyes.ome.tif"), &none).err().unwrap().to_string();
    assert!(e.ends_with("there is no channel 3, the image has channels 0 to 2 (0 nuclei, 1 actin, 2 tubulin)"), "{e}");
}

#[test]
fn pages_become_channels_only_if_asked() {
    let files = Files::new();
    let source = files.open("pages12.tif", &OpenOptions::default());
    let e = check_channels(files.path("pages12.tif"), &*source, 12).unwrap_err().to_string();
    assert!(e.contains("has 1 channel, the network takes 12 channels; one channel is never repeated"), "{e}");
    assert!(e.contains("the file has 12 pages: OpenOptions::pages_as_channels makes channels of them"), "{e}");
    let some = OpenOptions { pages_as_channels: true, channels: Some(vec![11, 2]), ..OpenOptions::default() };
    let mut source = files.open("pages12.tif", &some);
    assert_eq!(source.channel_names(), ["page 11", "page 2"]);
    let reference = files.reference("pages12.tif").pixels;
    let reference: Vec<f32> = reference.chunks_exact(12).flat_map(|p| [p[11], p[2]]).collect();
    assert_eq!(floats(&read_all(&mut *source).unwrap()), reference);
}

#[test]
fn a_fourth_sample_is_a_channel() {
    let files = Files::new();
    let reference = files.reference("rgb_nir.tif").pixels;
    let mut source = files.open("rgb_nir.tif", &OpenOptions::default());
    assert_eq!((source.info().kind, source.info().channels), (ChannelKind::RGB, 4));
    let map = |requested| ChannelMap::of(&source.info(), &source.channel_names(), requested).unwrap();
    let (three, four) = (map(3), map(4));
    assert!(
        three.note(false).unwrap().to_string().contains("(0 red, 1 green, 2 blue, 3) red, green and blue are used")
    );
    assert_eq!(four.note(false), None);
    let image = read_all(&mut *source).unwrap();
    assert_eq!(floats(&four.apply(&image).unwrap()), reference);
    let colours: Vec<f32> = reference.chunks_exact(4).flat_map(|p| &p[..3]).copied().collect();
    assert_eq!(floats(&three.apply(&image).unwrap()), colours);
    let last = OpenOptions { channels: Some(vec![3]), ..OpenOptions::default() };
    let near: Vec<f32> = reference.iter().skip(3).step_by(4).copied().collect();
    assert_eq!(floats(&read_all(&mut *files.open("rgb_nir.tif", &last)).unwrap()), near);
}

#[test]
fn alpha_is_dropped_with_a_note_unless_opaque() {
    let files = Files::new();
    for (name, colours, stored) in [
        ("rgba.png", 3, 4),
        ("rgba.tif", 3, 4),
        ("grey_alpha.png", 1, 2),
        ("grey_alpha.tif", 1, 2),
        ("opaque.png", 3, 4),
    ] {
        let (image, notes) = read_image(files.path(name), &OpenOptions::default()).unwrap();
        assert_eq!((image.channels(), image.kind().alpha), (colours, Alpha::LeftOut(colours)), "{name}");
        let reference = files.reference(name).pixels;
        let reference: Vec<f32> = reference.chunks_exact(stored).flat_map(|p| &p[..colours]).copied().collect();
        assert_eq!(floats(&image), reference, "{name}");
        match name {
            "opaque.png" => assert_eq!(notes, Vec::<Message>::new()),
            _ => assert!(
                notes[0].to_string().starts_with(&format!("its alpha, channel {colours}, is not opaque")),
                "{notes:?}"
            ),
        }
        // A matching channel count is no reason to use alpha.
        let source = files.open(name, &OpenOptions::default());
        let e = check_channels(files.path(name), &*source, stored).unwrap_err().to_string();
        let list: Vec<String> = (0..stored).map(|c| c.to_string()).collect();
        assert!(e.ends_with(&format!("unless OpenOptions::channels = [{}] includes it", list.join(", "))), "{e}");
        check_channels(files.path(name), &*files.open(name, &all(stored)), stored).unwrap();
        assert_eq!(Image::open(files.path(name)).unwrap().channels(), colours);
    }
}

#[test]
fn colours_become_grey_as_in_scikit_image() {
    let files = Files::new();
    for name in ["rgba.png", "rgba.tif"] {
        let image = Image::open(files.path(name)).unwrap();
        let reference: Vec<f64> = serde_json::from_value(files.expected[&format!("luminance {name}")].clone()).unwrap();
        let grey = image.to_channels(1).unwrap();
        for (actual, expected) in floats(&grey).iter().zip(&reference) {
            assert!((f64::from(*actual) - expected).abs() <= 0.5 + 1e-6, "{name}: {actual} {expected}");
        }
        let float = Image::new(image.width(), image.height(), 3, Pixels::F32(floats(&image))).unwrap();
        for (actual, expected) in floats(&float.to_channels(1).unwrap()).iter().zip(&reference) {
            assert!((f64::from(*actual) - expected).abs() <= 1e-6 * expected.abs(), "{name}: {actual} {expected}");
        }
    }
}

#[test]
fn nan_is_replaced() {
    let pixels = Pixels::F32(vec![1.0, f32::NAN, f32::INFINITY, -f32::INFINITY]);
    let image = Image::new(2, 2, 1, pixels).unwrap();
    let mut source = FillNan::new(Box::new(InMemory::owned(image.clone())), -2.5);
    assert_eq!(source.notes(), Vec::<Message>::new());
    assert_eq!(read_all(&mut source).unwrap().pixels(), &Pixels::F32(vec![1.0, -2.5, -2.5, -2.5]));
    assert_eq!(source.notes(), ["NaN and infinite values are replaced by -2.5"]);
    let e = crate::infer::normalise(&image, &crate::weights::Normalisation::Unit).unwrap_err().to_string();
    assert!(e.ends_with("the pixel at column 1, row 0 is NaN; OpenOptions::fill_nan replaces such values"), "{e}");
}
